"""Read rows through a cache, sharing reads that are under way."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from sys import getsizeof
from typing import Any, Generic, Protocol, TypeVar

from cachetools import LRUCache

from auth.policy import GroupRequirement
from onedoor.model.catalog import Limits
from onedoor.runtime import call_context, resilience
from onedoor.runtime.call_context import CallContext, Waiter, use_call_context
from onedoor.runtime.loop_time import meter_task
from onedoor.runtime.resilience import ResilientConnector
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest, list_collections
from onedoor.spi.spill import SpillInput

Result = TypeVar("Result")


@dataclass(slots=True, kw_only=True, eq=False)
class InFlightCall(Generic[Result]):
    """A call under way, and those who wait for it."""

    task: asyncio.Task[Result]
    context: CallContext


@dataclass(frozen=True, slots=True)
class SingleFlight(Generic[Result]):
    """Make one call for all who want the same at once; it runs as long as anyone waits for it."""

    in_flight: dict[bytes, InFlightCall[Result]] = field(default_factory=dict)

    async def share(self, key: bytes, waiter: Waiter, work: Callable[[], Awaitable[Result]]) -> tuple[Result, bool]:
        """Return the result of `work`, or of a call under way with this key, and whether it was the latter."""
        flight = self.in_flight.get(key)
        joined = flight is not None
        if flight is None:
            flight = self._start(key, work)
        flight.context.waiters.append(waiter)
        try:
            return await asyncio.shield(flight.task), joined
        finally:
            flight.context.waiters.remove(waiter)
            if not flight.context.waiters:
                self._finish(key, flight)

    def _start(self, key: bytes, work: Callable[[], Awaitable[Result]]) -> InFlightCall[Result]:
        context = CallContext()

        async def run() -> Result:
            return await work()

        with use_call_context(context):
            flight = InFlightCall(task=asyncio.get_running_loop().create_task(meter_task(run())), context=context)
        self.in_flight[key] = flight
        flight.task.add_done_callback(lambda _: self._finish(key, flight))
        return flight

    def _finish(self, key: bytes, flight: InFlightCall[Any]) -> None:
        """Let nobody join a call that is over, and cancel one that nobody waits for."""
        if self.in_flight.get(key) is flight:
            del self.in_flight[key]
        flight.task.cancel()


REPR_SAFE_TYPES = frozenset({bool, int, float, str, bytes, Decimal, date, datetime, type(None)})
"""Types whose `repr` tells all values apart, 1, 1.0, True and Decimal(1) included."""


def build_cache_scope(requirements_met: Iterable[GroupRequirement], version: str) -> str:
    """Return who may share rows: those who meet the same requirements under the same schema and policy."""
    return f"{version} {sorted(sorted(groups) for groups in requirements_met)}"


def build_cache_key(secret: bytes, cache_scope: str, source: str, request: ScanRequest) -> bytes:
    """Return the key of a scan, whose filter holds any rule about rows, so that different rules never share."""
    return hmac.digest(
        secret, repr((cache_scope, source, serialize_canonically(request))).encode(errors="surrogatepass"), "sha256"
    )


def serialize_canonically(value: Any) -> str:
    """Write a value so that no two different values look alike. Raises TypeError where that is not sure."""
    kind = type(value)
    if kind in REPR_SAFE_TYPES or isinstance(value, StrEnum):
        return repr(value)
    if kind is tuple:
        return (
            repr(value)
            if REPR_SAFE_TYPES.issuperset(map(type, value))
            else f"({','.join(map(serialize_canonically, value))})"
        )
    if kind is frozenset:
        return f"{{{','.join(sorted(map(serialize_canonically, value)))}}}"
    if is_dataclass(kind):
        values = ",".join(serialize_canonically(getattr(value, name)) for name in list_field_names(kind))
        return f"{kind.__name__}({values})"
    raise TypeError(f"a {kind.__name__} cannot be part of a cache key")


@cache
def list_field_names(kind: Any) -> tuple[str, ...]:
    """Return the names of all fields of a dataclass."""
    return tuple(field.name for field in fields(kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """The rows of one scan, never changed, and when it began."""

    rows: Sequence[Row]
    read_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheResult:
    """The rows of one scan; `cached` where it was not made for this request alone."""

    entry: CacheEntry
    cached: bool


class CacheStore(Protocol):
    """Keep rows by key, never longer than asked. A store may forget at any time, and never fails."""

    def get_nowait(self, key: bytes) -> CacheEntry | None:
        """Return what is there without waiting."""
        ...

    async def get(self, key: bytes) -> CacheEntry | None:
        """Return what is there."""
        ...

    async def put(self, key: bytes, entry: CacheEntry, seconds: float) -> None:
        """Keep an entry for at most so many seconds."""
        ...

    async def close(self) -> None:
        """Release what the store holds."""
        ...


LARGEST_ENTRY_SHARE = 8
"""One read takes at most an eighth of the whole, or a single large one would push out all the others."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry with its size in bytes, by estimate."""

    entry: CacheEntry
    expires_at: float
    size: int


class InMemoryCacheStore:
    """Forget the reads used least recently, past a number of entries or of bytes.

    `clock` gives seconds and never goes back.
    """

    def __init__(self, *, max_entries: int, max_bytes: int, clock: Callable[[], float]) -> None:
        self.max_entries, self.max_bytes, self.clock = max_entries, max_bytes, clock
        self.stored: LRUCache[bytes, StoredEntry] = LRUCache(max_bytes, getsizeof=lambda stored: stored.size)

    def get_nowait(self, key: bytes) -> CacheEntry | None:
        """Return an entry that has not expired."""
        stored = self.stored.get(key)
        if stored is None:
            return None
        if stored.expires_at <= self.clock():
            del self.stored[key]
            return None
        return stored.entry

    async def get(self, key: bytes) -> CacheEntry | None:
        """Return an entry that has not expired."""
        return self.get_nowait(key)

    async def put(self, key: bytes, entry: CacheEntry, seconds: float) -> None:
        """Keep an entry for so long, in place of an earlier one, unless it is too large."""
        self.stored.pop(key, None)
        size = estimate_size(entry.rows)
        if size > self.max_bytes // LARGEST_ENTRY_SHARE:
            return
        self.stored[key] = StoredEntry(entry, self.clock() + seconds, size)
        while len(self.stored) > self.max_entries:
            self.stored.popitem()

    async def close(self) -> None:
        """Forget everything."""
        self.stored.clear()


def estimate_size(rows: Sequence[Row]) -> int:
    """Return the most bytes that rows can take: what they share is counted each time."""
    return getsizeof(rows) + sum(getsizeof(row) + sum(map(_estimate_value_size, row)) for row in rows)


def _estimate_value_size(value: object) -> int:
    return getsizeof(value) + (sum(map(_estimate_value_size, value)) if isinstance(value, tuple) else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """The settings of `[cache]`."""

    url: str | None = field(default=None, repr=False)
    """A Redis shared by all replicas, as `{ env = "REDIS_URL" }`; without one, each process keeps its own."""
    entries: int = 10_000
    """Reads that one process keeps."""
    bytes: int = 67_108_864
    """What they may take of its memory, by estimate; one alone, or in Redis, an eighth of it."""
    seconds: float = 0.1
    """The longest that Redis is waited for; past it the source is asked, and Redis left alone for a second."""


MaxAges = Mapping[str, float]
"""By collection, the most seconds since its rows were read."""

NO_MAX_AGES: MaxAges = {}


def utc_now() -> datetime:
    """Return the time of day in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCache:
    """What all requests share: a store, the ages that rows may have by source and collection, and reads under way."""

    store: CacheStore
    max_ages: Mapping[str, MaxAges]
    secret: bytes = field(repr=False)
    now: Callable[[], datetime] = utc_now
    single_flight: SingleFlight[CacheResult] = field(default_factory=SingleFlight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Read one source for one principal; without a cache every scan is a call, as for connectors of their own."""

    connector: ResilientConnector
    cache_scope: str = ""
    """The permissions that rows are read under."""
    cache: RowCache | None = None

    @property
    def limits(self) -> Limits:
        """The limits of calls."""
        return self.connector.limits

    @property
    def inner(self) -> Connector:
        """The connector itself, for what needs no I/O."""
        return self.connector.inner

    def max_age(self, collection: str) -> float:
        """Return how many seconds the collection's rows are kept; 0: they are not."""
        return self.cache.max_ages.get(self.connector.name, NO_MAX_AGES).get(collection, 0.0) if self.cache else 0.0


async def read_cached_rows(reader: Reader, request: ScanRequest, spill_input: SpillInput | None = None) -> CacheResult:
    """Return rows from the cache or the source; only those that are not to be cached may be spilled.

    Raises ConnectorError, which is never cached.
    """
    cache, seconds = reader.cache, min(map(reader.max_age, list_collections(request)))
    if cache is None or not seconds:
        return await _read_entry(reader, request, cache.now if cache else utc_now, spill_input)
    key = build_cache_key(cache.secret, reader.cache_scope, reader.connector.name, request)
    entry = cache.store.get_nowait(key)
    if entry is not None:
        return CacheResult(entry=entry, cached=True)
    result, joined = await cache.single_flight.share(
        key, call_context.build_waiter(), lambda: _get_or_read(reader, cache, request, key, seconds)
    )
    return CacheResult(entry=result.entry, cached=result.cached or joined)


async def _get_or_read(
    reader: Reader, cache: RowCache, request: ScanRequest, key: bytes, seconds: float
) -> CacheResult:
    entry = await cache.store.get(key)
    if entry is not None and (cache.now() - entry.read_at).total_seconds() < seconds:
        return CacheResult(entry=entry, cached=True)
    result = await _read_entry(reader, request, cache.now)
    remaining = seconds - (cache.now() - result.entry.read_at).total_seconds()
    if remaining > 0:
        await cache.store.put(key, result.entry, remaining)
    return result


async def _read_entry(
    reader: Reader, request: ScanRequest, now: Callable[[], datetime], spill_input: SpillInput | None = None
) -> CacheResult:
    read_at = now()
    rows = tuple(await resilience.read_rows(reader.connector, request, spill_input))
    return CacheResult(entry=CacheEntry(rows=rows, read_at=read_at), cached=False)
