"""A folder and a manifest in, the documents that are trusted out, by digest and by the ids a manifest gives them."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auth.mistake import Mistake
from door.documents import PREFIX, SHA256, Automatic, Documents, digest

log = logging.getLogger("onedoor.door")
APOLLO = "apollo-persisted-query-manifest"
ENDING = ".graphql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Settings: documents that are known by their digest."""

    folder: Path | None = None
    """Where trusted documents are kept, each in a file named by its digest; `documents register` writes there."""
    manifest: Path | None = None
    """A file of trusted documents as Relay or Apollo write it; it is read at the start."""
    trusted_only: bool = False
    """Whether any other text is refused."""
    automatic: int = 1000
    """Texts that clients register by asking, kept in each process; 0: none are, and clients are told."""
    automatic_bytes: int = 4_194_304
    """Characters of those, together."""


@dataclass(slots=True, kw_only=True)
class Register:
    """What is trusted. A document that was put into the folder since is found there when it is asked for."""

    folder: Path | None
    texts: dict[str, str] = field(default_factory=dict)

    def text(self, id: str) -> str | None:
        name = id.removeprefix(PREFIX)
        if name not in self.texts and self.folder is not None and SHA256.fullmatch(name):
            self._look(self.folder / f"{name}{ENDING}")
        return self.texts.get(name)

    def _look(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            self.texts[path.stem] = read(path)
        except Mistake as mistake:
            log.error("%s", mistake)


def documents(settings: Kept) -> Documents:
    """Raises Mistake where a document cannot be read, or is not what its name says."""
    trusted = Register(folder=settings.folder, texts=dict(registered(settings)))
    most = 0 if settings.trusted_only else settings.automatic
    automatic = Automatic(most=most, room=settings.automatic_bytes)
    return Documents(trusted=trusted.text, only=settings.trusted_only, automatic=automatic)


def registered(settings: Kept) -> Iterator[tuple[str, str]]:
    """Every trusted document, by each of its names."""
    if settings.folder is not None:
        if not settings.folder.is_dir():
            raise Mistake(f"there is no folder of documents at `{settings.folder}`: create it")
        for path in sorted(settings.folder.glob(f"*{ENDING}")):
            yield path.stem, read(path)
    if settings.manifest is not None:
        for name, text in manifest(settings.manifest).items():
            yield name, text
            yield digest(text), text


def read(path: Path) -> str:
    """The text of a file of the folder, which must be named by its digest."""
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as reason:
        raise Mistake(f"the document `{path}` cannot be read: put a file in UTF-8 there") from reason
    if digest(text) != path.stem:
        raise Mistake(f"the document `{path}` was changed: its name is the digest of another text, register it anew")
    return text


def manifest(path: Path) -> Mapping[str, str]:
    """The documents of a file, by id: an object of texts as Relay writes it, or Apollo's list of operations."""
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as reason:
        raise Mistake(f"the manifest `{path}` cannot be read: put a file in JSON there") from reason
    found = _apollo(written) if isinstance(written, dict) and written.get("format") == APOLLO else written
    if not isinstance(found, dict) or not all(isinstance(each, str) for pair in found.items() for each in pair):
        raise Mistake(f"the manifest `{path}` has another form: make it an object of ids and texts, or Apollo's")
    for name, text in found.items():
        if SHA256.fullmatch(name) and digest(text) != name:
            raise Mistake(f"the manifest `{path}` names a text `{name}`, which is the digest of another: make it anew")
    return found


def _apollo(written: Mapping[str, Any]) -> Any:
    operations = written.get("operations")
    if written.get("version") != 1 or not isinstance(operations, list):
        return None
    return {each.get("id"): each.get("body") for each in operations if isinstance(each, dict)}
