"""What a request names its document by in, the text of that document out: given, trusted, or registered by asking."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from door.shut import Shut
from engine.errors import Code, Fault, Refused

SHA256 = re.compile("[0-9a-f]{64}")
PREFIX = "sha256:"
NOT_FOUND = Fault(code=Code.PERSISTED_QUERY_NOT_FOUND, message="PersistedQueryNotFound")
NOT_SUPPORTED = Fault(code=Code.PERSISTED_QUERY_NOT_SUPPORTED, message="PersistedQueryNotSupported")
"""Clients of automatic persisted queries know these two by their messages."""
UNKNOWN = Fault(code=Code.DOCUMENT_UNKNOWN, message="no document is registered under this name, register it first")
NOT_TRUSTED = Fault(
    code=Code.DOCUMENT_NOT_TRUSTED,
    message="only registered documents are answered here, have this one registered with `documents register`",
)


def digest(text: str) -> str:
    """SHA-256 of the exact text, in hexadecimal."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


@dataclass(slots=True, kw_only=True)
class Automatic:
    """Texts that clients registered by asking, by digest; those used least recently are forgotten first."""

    most: int = 0
    room: int = 0
    taken: int = 0
    held: OrderedDict[str, str] = field(default_factory=OrderedDict)

    def get(self, digest: str) -> str | None:
        if digest in self.held:
            self.held.move_to_end(digest)
        return self.held.get(digest)

    def keep(self, digest: str, text: str) -> None:
        """Only of a text that was valid, or anyone could fill it with anything."""
        if digest in self.held:
            return
        self.held[digest] = text
        self.taken += len(text)
        while len(self.held) > self.most or self.taken > self.room:
            self.taken -= len(self.held.popitem(last=False)[1])


def nothing(_: str) -> None:
    """No document is trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """All that is known by a name. `only`: any text that is not trusted is refused."""

    trusted: Callable[[str], str | None] = nothing
    """The text that was registered under a digest, or under an id that its manifest gave it."""
    only: bool = False
    automatic: Automatic = field(default_factory=Automatic)


def text_of(documents: Documents, given: Mapping[str, Any]) -> tuple[str, str | None]:
    """The text to run, and the digest it was named by, if it was. Raises Shut, or Refused where it is not known."""
    text, id, hashed = given.get("query"), given.get("documentId"), _hashed(given.get("extensions"))
    if id is not None and (not isinstance(id, str) or not id):
        raise Shut(400, "`documentId` must be the name of a document, as `sha256:` and its digest")
    if text is not None and (not isinstance(text, str) or not text):
        raise Shut(400, "`query` must be the text of a GraphQL operation")
    if text is None:
        text = _found(documents, id, hashed)
    elif not _names(documents, id, text) or not _names(documents, hashed, text):
        raise Shut(400, "the text and the digest sent with it do not belong together, send the text's SHA-256")
    if documents.only and documents.trusted(digest(text)) is None:
        raise Refused(NOT_TRUSTED)
    return text, None if id is None and hashed is None else PREFIX + digest(text)


def keep(documents: Documents, name: str | None, text: str) -> None:
    """Remembers a valid text that came with its digest."""
    if name is not None and documents.automatic.most and documents.trusted(name) is None:
        documents.automatic.keep(name.removeprefix(PREFIX), text)


def _hashed(extensions: Any) -> str | None:
    """The digest of an automatic persisted query."""
    asked = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    if asked is None:
        return None
    if not isinstance(asked, dict) or asked.get("version") != 1 or not isinstance(asked.get("sha256Hash"), str):
        raise Shut(400, "`extensions.persistedQuery` must hold `version` 1 and a `sha256Hash`")
    hashed: str = asked["sha256Hash"]
    return hashed


def _found(documents: Documents, id: str | None, hashed: str | None) -> str:
    if id is not None:
        text = documents.trusted(id)
        if text is None:
            raise Refused(UNKNOWN)
        return text
    if hashed is None:
        raise Shut(400, "`query` must be the text of a GraphQL operation")
    text = documents.trusted(hashed) or documents.automatic.get(hashed)
    if text is None:
        raise Refused(UNKNOWN if documents.only else NOT_FOUND if documents.automatic.most else NOT_SUPPORTED)
    return text


def _names(documents: Documents, name: str | None, text: str) -> bool:
    """Whether a name, if there is one, is this text's: its digest, or an id it was registered under."""
    return name is None or name.removeprefix(PREFIX) == digest(text) or documents.trusted(name) == text
