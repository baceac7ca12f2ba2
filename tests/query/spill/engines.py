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
PATIENT = Limits(request_seconds=60, source_seconds=60, source_queue=10_000, cost_max=10**9)
BetweenBatches = Callable[[ScanRequest, int], Awaitable[None]]


async def without_delay(ask: ScanRequest, number: int) -> None:
    """Do nothing between two batches."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Return the rows of a connector a few at a time; `between_batches` runs before each batch."""

    of: Connector
    between_batches: BetweenBatches = without_delay

    def capabilities(self, collection: str) -> Capabilities:
        return self.of.capabilities(collection)

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        async for rows in self.of.scan(ask):
            for number, start in enumerate(range(0, len(rows), BATCH)):
                await self.between_batches(ask, number)
                yield rows[start : start + BATCH]

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def build_engine_without_capabilities(limits: Limits, between_batches: BetweenBatches = without_delay) -> QueryEngine:
    """Build an engine that takes every step itself."""
    sources = {
        name: Batches(acme.promising_nothing(source), between_batches) for name, source in acme.sources().items()
    }
    inside = {**build_catalog().connectors, **sources, "slack": acme.sources()["slack"]}
    return acme.open_engine(
        replace(build_catalog(), connectors=inside, limits=limits, open_spill_table=SpillTableFactory(limits))
    )


def build_engine_with_capabilities() -> QueryEngine:
    """Build an engine whose connectors have the capabilities of the real ones."""
    return acme.open_engine(build_catalog())


@cache
def build_catalog() -> Catalog:
    return acme.build_catalog()
