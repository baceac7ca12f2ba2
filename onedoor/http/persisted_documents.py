"""Find the documents that clients name in place of sending them: trusted ones, and automatic persisted queries."""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cachetools import LRUCache

from onedoor.errors import ConfigurationError, ErrorCode, GraphQLErrorInfo, HTTPError, RequestRejected

log = logging.getLogger("onedoor.http")

APOLLO_FORMAT = "apollo-persisted-query-manifest"

DOCUMENT_SUFFIX = ".graphql"

SHA256_HEX = re.compile("[0-9a-f]{64}")

DIGEST_PREFIX = "sha256:"

PERSISTED_QUERY_NOT_FOUND = GraphQLErrorInfo(code=ErrorCode.PERSISTED_QUERY_NOT_FOUND, message="PersistedQueryNotFound")

PERSISTED_QUERY_NOT_SUPPORTED = GraphQLErrorInfo(
    code=ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED, message="PersistedQueryNotSupported"
)
"""Clients of automatic persisted queries recognize these two by their messages."""

DOCUMENT_UNKNOWN = GraphQLErrorInfo(
    code=ErrorCode.DOCUMENT_UNKNOWN, message="no document is registered under this name, register it first"
)

DOCUMENT_NOT_TRUSTED = GraphQLErrorInfo(
    code=ErrorCode.DOCUMENT_NOT_TRUSTED,
    message="only registered documents are answered here, have this one registered with `documents register`",
)


def hash_document(text: str) -> str:
    """Return the SHA-256 of the exact text, in hexadecimal."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


class AutomaticQueryCache:
    """Texts that clients registered by sending them, by digest; the least recently used go first."""

    def __init__(self, *, max_entries: int = 0, max_characters: int = 0) -> None:
        self.max_entries = max_entries
        self.texts: LRUCache[str, str] = LRUCache(max_characters, getsizeof=len)

    def get(self, digest: str) -> str | None:
        return self.texts.get(digest)

    def put(self, digest: str, text: str) -> None:
        """Add a text; only a valid one, or anyone could fill the cache with anything."""
        if digest in self.texts or len(text) > self.texts.maxsize:
            return
        self.texts[digest] = text
        while len(self.texts) > self.max_entries:
            self.texts.popitem()


def trust_no_document(_: str) -> None:
    """Return None: no document is trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistedDocuments:
    """The documents that are known by a name; with `trusted_only`, any other text is rejected."""

    find_trusted: Callable[[str], str | None] = trust_no_document
    """Finds the text that was registered under a digest, or under an id of the manifest."""
    trusted_only: bool = False
    automatic: AutomaticQueryCache = field(default_factory=AutomaticQueryCache)


def resolve_document(documents: PersistedDocuments, parameters: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the text to execute, and its digest where the client named it. Raises HTTPError, RequestRejected."""
    text, id = parameters.get("query"), parameters.get("documentId")
    digest = _parse_persisted_query(parameters.get("extensions"))
    if id is not None and (not isinstance(id, str) or not id):
        raise HTTPError(400, "`documentId` must be the name of a document, as `sha256:` and its digest")
    if text is not None and (not isinstance(text, str) or not text):
        raise HTTPError(400, "`query` must be the text of a GraphQL operation")
    if text is None:
        text = _find_text(documents, id, digest)
    elif not _is_name_of(documents, id, text) or not _is_name_of(documents, digest, text):
        raise HTTPError(400, "the text and the digest sent with it do not belong together, send the text's SHA-256")
    if documents.trusted_only and documents.find_trusted(hash_document(text)) is None:
        raise RequestRejected(DOCUMENT_NOT_TRUSTED)
    return text, None if id is None and digest is None else DIGEST_PREFIX + hash_document(text)


def register_automatic_query(documents: PersistedDocuments, name: str | None, text: str) -> None:
    """Remember a valid text that came with its digest."""
    if name is not None and documents.automatic.max_entries and documents.find_trusted(name) is None:
        documents.automatic.put(name.removeprefix(DIGEST_PREFIX), text)


def _parse_persisted_query(extensions: Any) -> str | None:
    """Return the digest of an automatic persisted query."""
    persisted_query = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    if persisted_query is None:
        return None
    digest = persisted_query.get("sha256Hash") if isinstance(persisted_query, dict) else None
    if not isinstance(digest, str) or persisted_query.get("version") != 1:
        raise HTTPError(400, "`extensions.persistedQuery` must hold `version` 1 and a `sha256Hash`")
    return digest


def _find_text(documents: PersistedDocuments, id: str | None, digest: str | None) -> str:
    if id is not None:
        text = documents.find_trusted(id)
        if text is None:
            raise RequestRejected(DOCUMENT_UNKNOWN)
        return text
    if digest is None:
        raise HTTPError(400, "`query` must be the text of a GraphQL operation")
    text = documents.find_trusted(digest) or documents.automatic.get(digest)
    if text is None:
        raise RequestRejected(
            DOCUMENT_UNKNOWN
            if documents.trusted_only
            else PERSISTED_QUERY_NOT_FOUND
            if documents.automatic.max_entries
            else PERSISTED_QUERY_NOT_SUPPORTED
        )
    return text


def _is_name_of(documents: PersistedDocuments, name: str | None, text: str) -> bool:
    """Whether a name, where there is one, is the text's digest or an id it was registered under."""
    return (
        name is None or name.removeprefix(DIGEST_PREFIX) == hash_document(text) or documents.find_trusted(name) == text
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistedDocumentSettings:
    """The settings of `[documents]`."""

    folder: Path | None = None
    """The folder of trusted documents, each in a file named by its digest; `documents register` writes there."""
    manifest: Path | None = None
    """A file of trusted documents as Relay or Apollo write it, read at the start."""
    trusted_only: bool = False
    """Whether any other text is rejected."""
    automatic: int = 1000
    """How many texts that clients registered are kept in each process; 0: none, and clients are told so."""
    automatic_bytes: int = 4_194_304
    """How many characters those texts have together."""


@dataclass(slots=True, kw_only=True)
class PersistedDocumentStore:
    """The trusted documents; one that was added to the folder since the start is found when it is named."""

    folder: Path | None
    texts: dict[str, str] = field(default_factory=dict)

    def find(self, id: str) -> str | None:
        name = id.removeprefix(DIGEST_PREFIX)
        if name not in self.texts and self.folder is not None and SHA256_HEX.fullmatch(name):
            self._load_file(self.folder / f"{name}{DOCUMENT_SUFFIX}")
        return self.texts.get(name)

    def _load_file(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            self.texts[path.stem] = read_document_file(path)
        except ConfigurationError as error:
            log.error("%s", error)


def open_persisted_documents(settings: PersistedDocumentSettings) -> PersistedDocuments:
    """Read the trusted documents. Raises ConfigurationError where one cannot be read, or is not what its name says."""
    trusted = PersistedDocumentStore(folder=settings.folder, texts=dict(read_trusted_documents(settings)))
    max_entries = 0 if settings.trusted_only else settings.automatic
    automatic = AutomaticQueryCache(max_entries=max_entries, max_characters=settings.automatic_bytes)
    return PersistedDocuments(find_trusted=trusted.find, trusted_only=settings.trusted_only, automatic=automatic)


def read_trusted_documents(settings: PersistedDocumentSettings) -> Iterator[tuple[str, str]]:
    """Yield every trusted document under each of its names."""
    if settings.folder is not None:
        if not settings.folder.is_dir():
            raise ConfigurationError(f"there is no folder of documents at `{settings.folder}`: create it")
        for path in sorted(settings.folder.glob(f"*{DOCUMENT_SUFFIX}")):
            yield path.stem, read_document_file(path)
    if settings.manifest is not None:
        for name, text in read_manifest(settings.manifest).items():
            yield name, text
            yield hash_document(text), text


def read_document_file(path: Path) -> str:
    """Read a file of the folder, which must be named by its digest. Raises ConfigurationError."""
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as reason:
        raise ConfigurationError(f"the document `{path}` cannot be read: put a file in UTF-8 there") from reason
    if hash_document(text) != path.stem:
        raise ConfigurationError(
            f"the document `{path}` was changed: its name is the digest of another text, register it anew"
        )
    return text


def read_manifest(path: Path) -> Mapping[str, str]:
    """Read the documents of a manifest by id: an object of texts as Relay writes it, or Apollo's list of operations."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as reason:
        raise ConfigurationError(f"the manifest `{path}` cannot be read: put a file in JSON there") from reason
    is_apollo = isinstance(manifest, dict) and manifest.get("format") == APOLLO_FORMAT
    documents = _parse_apollo_manifest(manifest) if is_apollo else manifest
    if not isinstance(documents, dict) or not all(isinstance(part, str) for pair in documents.items() for part in pair):
        raise ConfigurationError(
            f"the manifest `{path}` has another form: make it an object of ids and texts, or Apollo's"
        )
    for name, text in documents.items():
        if SHA256_HEX.fullmatch(name) and hash_document(text) != name:
            raise ConfigurationError(
                f"the manifest `{path}` names a text `{name}`, which is the digest of another: make it anew"
            )
    return documents


def _parse_apollo_manifest(manifest: Mapping[str, Any]) -> Any:
    operations = manifest.get("operations")
    if manifest.get("version") != 1 or not isinstance(operations, list):
        return None
    return {entry.get("id"): entry.get("body") for entry in operations if isinstance(entry, dict)}
