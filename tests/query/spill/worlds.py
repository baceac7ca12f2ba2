"""Make an Acme whose connectors have no capabilities and return rows in batches, so that many rows are spilled."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from onedoor.connectors.spill.factory import SpillTableFactory
from onedoor.model.catalog import Catalog, Limits
from onedoor.query.context import QueryEngine
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests import acme

BATCH = 100
PATIENT = Limits(request_seconds=60, source_seconds=60, cost_max=10**9)
Between = Callable[[ScanRequest, int], Awaitable[None]]


async def at_once(ask: ScanRequest, number: int) -> None:
    """Nothing lies between one batch and the next."""


@dataclass(frozen=True, slots=True)
class Batches:
    """The same rows a few at a time; `between` is told the number of each batch before it is given."""

    of: Connector
    between: Between = at_once

    def capabilities(self, collection: str) -> Capabilities:
        return self.of.capabilities(collection)

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        async for rows in self.of.scan(ask):
            for number, start in enumerate(range(0, len(rows), BATCH)):
                await self.between(ask, number)
                yield rows[start : start + BATCH]

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def bare(limits: Limits, between: Between = at_once) -> QueryEngine:
    """A door behind which all steps are ours."""
    sources = {name: Batches(acme.promising_nothing(each), between) for name, each in acme.sources().items()}
    inside = {**built().connectors, **sources, "slack": acme.sources()["slack"]}
    return acme.opened(replace(built(), connectors=inside, limits=limits, open_spill_table=SpillTableFactory(limits)))


def promising() -> QueryEngine:
    """The door behind which the sources do all they can."""
    return acme.opened(built())


@cache
def built() -> Catalog:
    return acme.house()
