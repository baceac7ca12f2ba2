"""Define the checkpoint of an audit log, and the second places it is written to."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol

from onedoor.audit.statements import SignedStatement, StatementKind, parse_statement
from onedoor.errors import ConfigurationError, OnedoorError


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainState:
    """How far a file has come: its lines, the header among them, and what seals those from `first` on."""

    first: int
    lines: int
    records: int
    head: str
    """The digest of the last of the lines."""
    root: str
    """The root of the Merkle tree over the lines from `first` to the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a checkpoint says of a file. It may stand further down than the last line it is about."""

    file: str
    number: int
    state: ChainState
    time: str
    end: bool
    """Whether its process ended there."""

    def to_json(self) -> Mapping[str, Any]:
        """Return what is signed, but for the key."""
        return {
            "file": self.file,
            "number": self.number,
            "first": self.state.first,
            "lines": self.state.lines,
            "records": self.state.records,
            "head": self.state.head,
            "root": self.state.root,
            "time": self.time,
            "end": self.end,
        }


def parse_checkpoint(statement: SignedStatement) -> Checkpoint | None:
    """Parse what a statement says; None where it is no checkpoint."""
    if statement.kind is not StatementKind.CHECKPOINT:
        return None
    content = statement.content
    with suppress(KeyError, TypeError, ValueError):
        return Checkpoint(
            file=str(content["file"]),
            number=int(content["number"]),
            state=ChainState(
                first=int(content["first"]),
                lines=int(content["lines"]),
                records=int(content["records"]),
                head=str(content["head"]),
                root=str(content["root"]),
            ),
            time=str(content["time"]),
            end=content["end"] is True,
        )
    return None


class PublishingFailed(OnedoorError):
    """A statement could not be written to a second place; the message says why, in words that a log may hold."""


class StatementConflict(PublishingFailed):
    """A second place holds another statement under a name: somebody wrote there, or another log has this one's key."""


class CheckpointStore(Protocol):
    """A second place for statements, where the process that writes the log cannot change them."""

    name: str
    """What the server's log calls it."""

    def publish(self, name: str, body: bytes) -> None:
        """Write a statement once; the same one again is no failure. Raises PublishingFailed, StatementConflict."""
        ...

    def load(self) -> Iterable[bytes]:
        """Return what was written. Raises PublishingFailed where that cannot be read."""
        ...


def name_statement(statement: SignedStatement) -> str:
    """Return the name of a statement at a second place; each has its own. Raises PublishingFailed."""
    content = statement.content
    if statement.kind is StatementKind.CHECKPOINT:
        name = f"{Path(content['file']).stem}.{content['number']:06}.json"
    else:
        name = f"{statement.kind}.{content['time'].replace(':', '')}.{sha256(statement.text).hexdigest()[:16]}.json"
    if "/" in name:
        raise PublishingFailed("the statement would be written outside of its place")
    return name


class FolderCheckpointStore:
    """A folder, on another disk or another machine's; a file there is never written twice."""

    def __init__(self, folder: Path) -> None:
        self.name = "the folder of checkpoints"
        self.folder = folder

    def publish(self, name: str, body: bytes) -> None:
        path, unfinished = self.folder / name, self.folder / f".{token_hex(8)}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                with unfinished.open("xb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
                path.hardlink_to(unfinished)
            except FileExistsError:
                if path.read_bytes() != body:
                    raise StatementConflict(f"another statement is there already as `{name}`") from None
            finally:
                with suppress(OSError):  # a folder may let files be added alone
                    unfinished.unlink()
        except OSError as error:
            raise PublishingFailed(f"it cannot be written: {error.strerror}") from error

    def load(self) -> Iterable[bytes]:
        return read_statement_files(self.folder)


def read_statement_files(place: Path) -> list[bytes]:
    """Read statements from a folder of files, or from a file with one a line. Raises ConfigurationError."""
    try:
        if place.is_dir():
            return [path.read_bytes().strip() for path in sorted(place.glob("*.json"))]
        return [line.strip() for line in place.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise ConfigurationError(f"there are no checkpoints to read at `{place}`: {error.strerror}") from error


def parse_statements(bodies: Iterable[bytes]) -> list[SignedStatement]:
    """Return the statements among what a second place holds; others may write there, too."""
    return [statement for body in bodies if (statement := parse_statement(body)) is not None]
