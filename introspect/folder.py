"""A folder with schema/ and resolvers/ in, what stands there out; steps in, done."""

from collections.abc import Mapping
from pathlib import Path

from introspect.files import DECLARED
from introspect.kept import Kept, read, written
from introspect.steps import Steps
from introspect.words import Wish

FOLDERS = ("schema", "resolvers")


def standing(folder: Path) -> dict[str, str]:
    """By path, the text of each file of Python, and of what settings say of sources."""
    found = [path for each in FOLDERS for path in sorted((folder / each).glob("*.py"))]
    found += sorted((folder / DECLARED).glob("*.toml"))
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in found}


def lock(folder: Path, source: str) -> Path:
    """Where it is kept what was described and written of a source."""
    return folder / "schema" / "introspected" / f"{source}.json"


def kept(folder: Path, source: str) -> Kept:
    """Of the last run; of none, nothing."""
    path = lock(folder, source)
    if not path.exists():
        return Kept(wish=Wish(source=source))
    return read(path.read_text(encoding="utf-8"), str(path.relative_to(folder)))


def done(folder: Path, taken: Steps) -> None:
    """Writes and removes; what is kept comes last, so that a run that was cut short is begun anew."""
    texts: Mapping[Path, str] = {folder / path: text for path, text in taken.write.items()}
    for path, text in (*texts.items(), (lock(folder, taken.kept.wish.source), written(taken.kept))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for each in taken.remove:
        (folder / each).unlink()
