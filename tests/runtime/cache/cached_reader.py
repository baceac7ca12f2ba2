"""Read a counting connector through a cache whose clock only the tests move."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from onedoor.errors import ConnectorError
from onedoor.model.catalog import Limits
from onedoor.runtime import resilience
from onedoor.runtime.row_cache import CacheStore, InMemoryCacheStore, Reader, RowCache, build_cache_scope
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
ASK = ScanRequest(collection="orders", columns=("id", "total"))
SECRET = b"a secret of the tests"
FINANCE = build_cache_scope({frozenset({"finance"}), frozenset({"everyone"})}, "v1")
SALES = build_cache_scope({frozenset({"sales"}), frozenset({"everyone"})}, "v1")


class Clock:
    """Serves as the wall clock and the monotonic clock."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


class CountingConnector:
    """A connector whose row is the number of the scan; `act` runs before each scan returns."""

    def __init__(self, act: Callable[[int], Awaitable[None]] | None = None) -> None:
        self.act = act
        self.calls = 0
        self.cancelled = 0

    def capabilities(self, collection: str) -> Capabilities:
        raise KeyError(collection)

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        self.calls += 1
        number = self.calls
        try:
            if self.act is not None:
                await self.act(number)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        yield [(number, None)]

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


def reader(source: CountingConnector, clock: Clock, store: CacheStore | None = None, **more: Any) -> Reader:
    """Build the reader of a caller in finance, for whom orders may be 30 seconds old."""
    cache_store = store or InMemoryCacheStore(max_entries=100, max_bytes=1_000_000, clock=clock)
    cache = RowCache(store=cache_store, max_ages={"internal": {"orders": 30.0}}, secret=SECRET, now=clock.now)
    guarded = resilience.wrap_connector("internal", source, Limits(**more), clock)
    return Reader(connector=guarded, cache_scope=FINANCE, cache=cache)


async def failed(number: int) -> None:
    raise ConnectorError(f"down {number}")
