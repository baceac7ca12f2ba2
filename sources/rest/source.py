"""Options in, a source that answers from one API out."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.change.words import Change, Made, Unmade, Writes
from engine.errors import Code, SourceFailed
from engine.words import Ask, Can, Row
from sources.rest.addresses import checked
from sources.rest.calls import Calls, calls
from sources.rest.collection import Collection, promise, writes
from sources.rest.declared import collections, read
from sources.rest.failures import failed
from sources.rest.pages import pages
from sources.rest.readers import text
from sources.rest.requests import requests
from sources.rest.rows import kept
from sources.rest.writing import Desk, made, write


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`headers` go with every call. `timeout`: seconds of one call. `connections`: calls at once.

    `described`: a file with further collections, as `introspect` writes it. `response_bytes`: the most that one answer
    may hold, unpacked. `private_addresses`: the API may be in this network, and spoken to without TLS. `redirects`:
    hosts where the text of a `text` may lie; they are not sent our headers. `writable`: what the collections declare of
    `writes` may be done.
    """

    base_url: str
    collections: Mapping[str, Any] = field(default_factory=dict)
    described: Path | None = None
    headers: Mapping[str, Any] | None = field(default=None, repr=False)
    timeout: float = 5.0
    connections: int = 8
    response_bytes: int = 16_777_216
    private_addresses: bool = False
    redirects: tuple[str, ...] = ()
    writable: bool = False


async def connect(options: Options) -> "Rest":
    """Asks the API nothing yet. ValueError: what cannot be, of the declarations or the url."""
    declared = collections({**(read(options.described) if options.described else {}), **options.collections})
    headers = {name: text(value, f"headers.{name}") for name, value in (options.headers or {}).items()}
    base_url = checked(options.base_url, private_addresses=options.private_addresses)
    called = calls(
        base_url, headers, timeout=options.timeout, at_once=options.connections, most=options.response_bytes,
        private_addresses=options.private_addresses, redirects=options.redirects,
    )  # fmt: skip
    return Rest(called, declared, writable=options.writable)


class Rest:
    """The collections that were declared."""

    def __init__(self, calls: Calls, collections: Mapping[str, Collection], *, writable: bool = False) -> None:
        self.calls = calls
        self.writable = writable
        self.collections = collections
        self.promises = {name: promise(each) for name, each in collections.items()}

    def can(self, collection: str) -> Can:
        return self.promises[collection]

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        """Page by page; what was asked in several calls comes in the order of the calls."""
        collection, left = self.collections[ask.collection], ask.limit
        wanted = requests(ask, collection)
        async for request, items in pages(self.calls, wanted, collection):
            found = kept(items, ask, collection, request)
            yield found if left is None else found[:left]
            left = None if left is None else max(0, left - len(found))
            if left == 0:
                return

    def writes(self, collection: str) -> Writes | None:
        return writes(self.collections[collection]) if self.writable else None

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        """One at a time: what an API does together is its own."""
        (change,) = changes
        promised = self.writes(change.collection)
        if promised is None or change.verb not in promised.verbs:
            raise Unmade("the API is not changed so: its settings do not declare it `writable`", Code.CANNOT_ANSWER)
        try:
            return (await write(self._desk(change), change, dry=dry),)
        except (SourceFailed, Unmade):
            raise
        except Exception as error:
            raise failed(error, self.calls.bounds.timeout) from error

    async def made(self, change: Change) -> Made | None:
        try:
            return await made(self._desk(change), change)
        except SourceFailed:
            raise
        except Exception as error:
            raise failed(error, self.calls.bounds.timeout) from error

    def _desk(self, change: Change) -> Desk:
        return Desk(calls=self.calls, collection=self.collections[change.collection], read=self.read)

    async def ping(self) -> None:
        await self.calls.ping()

    async def close(self) -> None:
        await self.calls.session.close()
