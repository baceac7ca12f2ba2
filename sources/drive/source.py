"""Options go in, a source that answers from one Google Drive comes out; it keeps files, too."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.change.addresses import Address, Upload
from engine.change.words import Change, Made, Unmade, Values, Writes
from engine.errors import SourceFailed
from engine.quota import Quotas
from engine.words import Ask, Can, Row
from sources.content.content import CANS, READ_BYTES
from sources.content.content import read as inside
from sources.content.words import Stat
from sources.drive.account import account
from sources.drive.calls import QUERIES, Absent, Calls, Item, calls
from sources.drive.columns import FILE
from sources.drive.content import Contents
from sources.drive.failures import failed, missing
from sources.drive.files import Files, Folders
from sources.drive.hits import Hits, Searches
from sources.drive.named import wished
from sources.drive.permissions import Permissions
from sources.drive.rows import rows
from sources.drive.scope import Roots, Scope
from sources.drive.tree import Tree, Trees
from sources.drive.upload import Wish, put
from sources.drive.writing import Writer
from sources.patterns import Pattern, compile_pattern
from sources.writing import change as changing
from sources.writing.uploads import awaited, before
from sources.writing.words import WRITES, Filed, Writing, prefixes

GOOGLE = "https://www.googleapis.com"
READ = "https://www.googleapis.com/auth/drive.readonly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`service_account_key`: the JSON that Google made. `subject`: the person it speaks for, by e-mail address.

    `folder`: the id of the one below which files are opened. `drive_id`: that of the shared drive to look in.
    `pattern`: as of sources.patterns, over the path below the root. `scope`: what Google is asked to allow.
    `timeout`: seconds one call may take. `connections`: calls at once. `response_bytes`: the most that one answer may
    hold, unpacked, content aside. `endpoint`: another place that answers for Google, tokens at its `/token`.
    `read_bytes`: the most that is read of one file for its rows. `writable`: files may be put, copied and put into the
    trash, below the folders of `writable_below` alone where there are any.
    """

    service_account_key: str = field(repr=False)
    subject: str | None = None
    folder: str | None = None
    drive_id: str | None = None
    pattern: str | None = None
    scope: str = READ
    endpoint: str | None = None
    timeout: float = 10.0
    connections: int = 8
    response_bytes: int = 16_777_216
    read_bytes: int = READ_BYTES
    writable: bool = False
    writable_below: tuple[str, ...] = ()


QUOTA: Mapping[str, int] = {QUERIES: 12_000}
"""Calls a minute, as Google grants them to one person."""


async def connect(options: Options, quotas: Quotas | None = None) -> "Drive":
    """Asks Google nothing yet. ValueError: the key is none, or the pattern, or the scope lets nothing be written."""
    if options.writable and options.scope.endswith(".readonly"):
        raise ValueError("`writable` needs a `scope` that lets files be written, https://www.googleapis.com/auth/drive")
    writing = Writing(writable=options.writable, below=prefixes(options.writable_below))
    quotas = quotas or Quotas(source="drive", a_minute={}, clock=asyncio.get_running_loop())
    pattern = None if options.pattern is None else compile_pattern(options.pattern)
    endpoint = None if options.endpoint is None else options.endpoint.rstrip("/")
    signs = account(
        options.service_account_key, subject=options.subject, scope=options.scope, endpoint=endpoint
    )  # fmt: skip
    called = calls(
        signs, endpoint or GOOGLE, quotas, timeout=options.timeout, at_once=options.connections,
        most=options.response_bytes,
    )  # fmt: skip
    return Drive(called, Scope(folder=options.folder, drive=options.drive_id), pattern, writing, options.read_bytes)


class Drive:
    """The collections `files`, `folders`, `permissions`, `searches` and `hits`; a Store of the files."""

    def __init__(
        self, calls: Calls, scope: Scope, pattern: Pattern | None, writing: Writing, read_bytes: int = READ_BYTES
    ) -> None:
        self.calls = calls
        self.read_bytes = read_bytes
        self.scope = scope
        self.trees = Trees(calls, scope, Roots(scope))
        self.contents = Contents(calls, scope, self.trees)
        self.pattern = pattern
        self.writing = writing
        self.writer = Writer(calls, scope, self.trees, self.whole, writing)
        self.collections: Mapping[str, Files | Folders | Permissions | Searches | Hits] = {
            "files": Files(calls, scope, self.trees, pattern),
            "folders": Folders(calls, scope, self.trees),
            "permissions": Permissions(calls, scope, self.trees),
            "searches": Searches(),
            "hits": Hits(calls, scope, self.trees),
        }

    def can(self, collection: str) -> Can:
        return CANS[collection] if collection in CANS else self.collections[collection].can

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        inner = ask.collection in CANS
        batches = inside(self, ask, self.read_bytes) if inner else self.collections[ask.collection].read(ask)
        while True:
            try:
                rows = await anext(batches)
            except StopAsyncIteration:
                return
            except Exception as error:
                raise told(error, self.calls.timeout) from error
            yield rows

    async def stat(self, id: str) -> Stat | None:
        try:
            return await self.contents.stat(id)
        except Exception as error:
            raise told(error, self.calls.timeout) from error

    async def octets(self, id: str, start: int, length: int) -> bytes:
        try:
            return await self.contents.octets(id, start, length)
        except Exception as error:
            raise told(error, self.calls.timeout) from error

    async def download_url(self, id: str, seconds: int) -> str | None:
        """Drive has none that is good for a while, and for whoever holds it."""
        return None

    async def put(self, name: str, parent: str | None, content_type: str, chunks: AsyncIterable[bytes]) -> Item:
        """A new file in the folder `parent`, None: where paths begin. Needs a `scope` that allows it."""
        try:
            within = await self.trees.open_folder(parent)
            return await put(
                self.calls, self.scope, Wish(name=name, parent=within, content_type=content_type), chunks
            )  # fmt: skip
        except Exception as error:
            raise told(error, self.calls.timeout) from error

    def writes(self, collection: str) -> Writes | None:
        return WRITES if collection == "files" and self.writing.writable else None

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        try:
            return await changing.written(self.writer, self.wished(changing.single(changes)), dry=dry)
        except Unmade:
            raise
        except Exception as error:
            raise told(error, self.calls.timeout) from error

    async def made(self, change: Change) -> Made | None:
        try:
            return await self.writer.made(change, self.wished(change))
        except Unmade:
            return None
        except Exception as error:
            raise told(error, self.calls.timeout) from error

    async def upload_address(self, upload: Upload) -> Address | None:
        try:
            filed = awaited(upload, self.wished)
            stood = await before(self.writer, filed)
            return await self.writer.address(filed, stood, upload.size, upload.seconds)
        except Unmade:
            raise
        except Exception as error:
            raise told(error, self.calls.timeout) from error

    def wished(self, change: Change) -> Filed:
        return wished(change, self.writing, self.pattern)

    def whole(self, item: Item, tree: Tree) -> Values | None:
        columns = tuple(self.collections["files"].can.columns)
        found = rows([item], tree, Ask(collection="files", columns=columns), FILE, self.pattern)
        return dict(zip(columns, found[0], strict=True)) if found else None

    async def ping(self) -> None:
        try:
            if await self.calls.found("about", fields="kind") is None:
                raise missing()
        except Exception as error:
            raise told(error, self.calls.timeout) from error

    async def close(self) -> None:
        await self.writer.sessions.close()
        await self.calls.session.close()


def told(error: Exception, timeout: float) -> SourceFailed:
    return missing() if isinstance(error, Absent) else failed(error, timeout)
