"""Options in, a source that answers from one GraphQL service out."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.words import Ask, Can, Row
from sources.graphql.calls import Calls
from sources.graphql.collection import Collection, promise
from sources.graphql.declared import collections
from sources.graphql.document import Document
from sources.graphql.pages import pages
from sources.graphql.parts import columns, parts
from sources.graphql.rows import kept
from sources.rest.addresses import checked
from sources.rest.calls import calls
from sources.rest.readers import text

ACCEPT = "application/graphql-response+json, application/json;q=0.9"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`headers` go with every call. `timeout`: seconds of one call. `connections`: calls at once.

    `response_bytes`: the most that one answer may hold, unpacked. `private_addresses`: the service may be in this
    network, and spoken to without TLS.
    """

    url: str
    collections: Mapping[str, Any]
    headers: Mapping[str, Any] | None = field(default=None, repr=False)
    timeout: float = 5.0
    connections: int = 8
    response_bytes: int = 16_777_216
    private_addresses: bool = False


async def connect(options: Options) -> "GraphQL":
    """Asks the service nothing yet. ValueError: what cannot be, of the declarations or the url."""
    declared = collections(options.collections)
    headers = {name: text(value, f"headers.{name}") for name, value in (options.headers or {}).items()}
    checked(options.url, private_addresses=options.private_addresses, name="url")
    called = calls(
        options.url, {"accept": ACCEPT, **headers}, timeout=options.timeout, at_once=options.connections,
        most=options.response_bytes, private_addresses=options.private_addresses,
    )  # fmt: skip
    return GraphQL(Calls(called, options.url), declared)


class GraphQL:
    """The collections that were declared."""

    def __init__(self, calls: Calls, collections: Mapping[str, Collection]) -> None:
        self.calls = calls
        self.collections = collections
        self.promises = {name: promise(each) for name, each in collections.items()}

    def can(self, collection: str) -> Can:
        return self.promises[collection]

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        """Page by page; what was asked in several documents comes in their order."""
        collection, left = self.collections[ask.collection], ask.limit
        places = [collection.columns[each].at for each in columns(ask)]
        async for part, items in pages(self.calls, parts(ask, collection), places):
            found = kept(items, ask, collection, part)
            yield found if left is None else found[:left]
            left = None if left is None else max(0, left - len(found))
            if left == 0:
                return

    async def ping(self) -> None:
        await self.calls.data(Document(text="query { __typename }", variables={}))

    async def close(self) -> None:
        await self.calls.calls.session.close()
