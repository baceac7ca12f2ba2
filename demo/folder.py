"""A path to a folder that one demo at a time may use, and what is kept in it from start to start."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Unusable(Exception):
    """The port or the folder cannot be used; the message says why, and what would do."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Made where it is missing, then ours until the end, or until this process dies. Raises Unusable."""
    try:
        (folder / "records").mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as reason:
        raise Unusable(f"`{folder}` cannot be written to: {reason.strerror}; choose another `--folder`") from reason
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as reason:
            raise Unusable(f"another demo runs in `{folder}`; stop it, or choose another `--folder`") from reason
        yield


def pepper(folder: Path) -> str:
    """The folder's secret, made at its first start: it is why each start prints the same keys."""
    path = folder / "pepper"
    if not path.exists():
        keep(path, secrets.token_hex(32))
    return path.read_text(encoding="ascii")


def keep(path: Path, text: str) -> None:
    """For our eyes only, and whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
