"""Options in, a source that answers from one Prometheus out."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import BasicAuth

from engine.errors import SourceFailed
from engine.words import Ask, Can, Row
from sources.fan_out import fan_out
from sources.prometheus.calls import Calls, calls
from sources.prometheus.collection import Collection, promise
from sources.prometheus.declared import collections
from sources.prometheus.failures import failed
from sources.prometheus.questions import Question, questions
from sources.prometheus.rows import kept, rows
from sources.rest.addresses import checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`token`, or `user` and `password`, where it asks for them. `timeout`: seconds of one call, told to it, too.

    `connections`: calls at once. `response_bytes`: the most that one answer may hold. `private_addresses`: it may be in
    this network, and spoken to without TLS.
    """

    base_url: str
    collections: Mapping[str, Any]
    token: str | None = field(default=None, repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 5.0
    connections: int = 8
    response_bytes: int = 16_777_216
    private_addresses: bool = False


def present() -> datetime:
    """In whole seconds, so that what is read twice in one second is one read."""
    return datetime.now(UTC).replace(microsecond=0)


async def connect(options: Options, clock: Callable[[], datetime] = present) -> "Prometheus":
    """Asks it nothing yet. ValueError: what cannot be, of the declarations or the url."""
    declared = collections(options.collections)
    base_url = checked(options.base_url, private_addresses=options.private_addresses)
    if (options.user is None) != (options.password is None) or (options.user and options.token):
        raise ValueError("give either `token`, or `user` and `password`")
    called = calls(
        base_url,
        BasicAuth(options.user, options.password or "", "utf-8") if options.user else None,
        options.token,
        timeout=options.timeout,
        at_once=options.connections,
        most=options.response_bytes,
        private_addresses=options.private_addresses,
    )
    return Prometheus(called, declared, clock)


class Prometheus:
    """The collections that were declared."""

    def __init__(self, calls: Calls, collections: Mapping[str, Collection], clock: Callable[[], datetime]) -> None:
        self.calls = calls
        self.collections = collections
        self.clock = clock
        self.promises = {name: promise(each) for name, each in collections.items()}

    def can(self, collection: str) -> Can:
        return self.promises[collection]

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        """As many questions at once as there are connections; a batch is the answer of one."""
        collection = self.collections[ask.collection]
        wanted = questions(ask, collection, self.clock())
        for start in range(0, len(wanted), self.calls.at_once):
            part = wanted[start : start + self.calls.at_once]
            for series, question in zip(await fan_out(self.calls.asked, part, len(part)), part, strict=True):
                yield self.kept(series, question, ask)

    def kept(self, series: Sequence[Any], question: Question, ask: Ask) -> list[Row]:
        collection = self.collections[ask.collection]
        try:
            return kept(rows(series, question, collection), ask, collection)
        except SourceFailed:
            raise
        except Exception as error:
            raise failed(error, self.calls.timeout) from error

    def text(self, ask: Ask) -> str:
        """The PromQL of an ask; a label that is filtered or read by shows as it is declared."""
        return self.collections[ask.collection].query

    async def ping(self) -> None:
        """Whether it reads a query and takes the credentials."""
        await self.calls.said("query", {"query": "1"})

    async def close(self) -> None:
        await self.calls.session.close()
