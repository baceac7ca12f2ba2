"""One ask in, its rows out: those that were read a moment ago where the settings allow it, else read now."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engine import errand, guard
from engine.cache.flight import Flights
from engine.cache.key import key
from engine.cache.words import Fresh, Got, Kept, Store
from engine.errand import Waiter
from engine.guard import Guard
from engine.house import Limits
from engine.overflow import Inflow
from engine.source import Source
from engine.words import Ask

NOT_FRESH: Fresh = {}
FOR_EVER = float("inf")


def present() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """What all requests share: where rows are kept, for how long by source and collection, and who reads just now."""

    store: Store
    fresh: Mapping[str, Fresh]
    secret: bytes = field(repr=False)
    now: Callable[[], datetime] = present
    flights: Flights[Got] = field(default_factory=Flights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One source as one caller reads it. Without a cache every ask is a call, as of what is the caller's own."""

    guard: Guard
    scope: str = ""
    """The permissions the rows are read under."""
    cache: Cache | None = None

    @property
    def limits(self) -> Limits:
        return self.guard.limits

    @property
    def source(self) -> Source:
        return self.guard.source

    def fresh(self, collection: str) -> float:
        """How many seconds its rows may be kept; 0: they are not."""
        return self.cache.fresh.get(self.guard.name, NOT_FRESH).get(collection, 0.0) if self.cache else 0.0


async def rows(reader: Reader, ask: Ask, inflow: Inflow | None = None) -> Got:
    """Raises SourceFailed, which is never kept. What may be kept is read whole; of the rest `inflow` may pour rows."""
    cache, seconds = reader.cache, reader.fresh(ask.collection)
    if cache is None or not seconds:
        return await _read(reader, ask, cache.now if cache else present, inflow)
    under = key(cache.secret, reader.scope, reader.guard.name, ask)
    kept = cache.store.at_hand(under)
    if kept is not None:
        return Got(kept=kept, cached=True)
    got, joined = await cache.flights.share(under, _waiter(), lambda: _kept(reader, cache, ask, under, seconds))
    return Got(kept=got.kept, cached=got.cached or joined)


async def _kept(reader: Reader, cache: Cache, ask: Ask, under: bytes, seconds: float) -> Got:
    kept = await cache.store.get(under)
    if kept is not None and (cache.now() - kept.at).total_seconds() < seconds:
        return Got(kept=kept, cached=True)
    got = await _read(reader, ask, cache.now)
    left = seconds - (cache.now() - got.kept.at).total_seconds()
    if left > 0:
        await cache.store.put(under, got.kept, left)
    return got


async def _read(reader: Reader, ask: Ask, now: Callable[[], datetime], inflow: Inflow | None = None) -> Got:
    at = now()
    return Got(kept=Kept(rows=tuple(await guard.rows(reader.guard, ask, inflow)), at=at), cached=False)


def _waiter() -> Waiter:
    """This question among those who wait for a read."""
    mine = errand.current()
    person = min(mine.people, default="") if mine else ""
    return Waiter(person=person, until=mine.until if mine else FOR_EVER)
