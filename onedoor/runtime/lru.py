"""LRU maps, in-memory CacheStore."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sys import getsizeof
from typing import Generic, TypeVar

from onedoor.runtime.row_cache import CacheEntry
from onedoor.spi.predicates import Row

LARGEST_ENTRY_SHARE = 8
"""One read takes at most an eighth of the whole, or a single large one would push out all the others."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    entry: CacheEntry
    expires_at: float
    size: int


class InMemoryCacheStore:
    """`clock` in seconds, never going back."""

    def __init__(self, *, max_entries: int, max_bytes: int, clock: Callable[[], float]) -> None:
        self.max_entries, self.max_bytes, self.clock = max_entries, max_bytes, clock
        self.used_bytes = 0
        self.stored: OrderedDict[bytes, StoredEntry] = OrderedDict()

    def get_nowait(self, key: bytes) -> CacheEntry | None:
        entry = self.stored.get(key)
        if entry is None:
            return None
        if entry.expires_at <= self.clock():
            self._forget(key)
            return None
        self.stored.move_to_end(key)
        return entry.entry

    async def get(self, key: bytes) -> CacheEntry | None:
        return self.get_nowait(key)

    async def put(self, key: bytes, entry: CacheEntry, seconds: float) -> None:
        self._forget(key)
        size = estimate_size(entry.rows)
        if size > self.max_bytes // LARGEST_ENTRY_SHARE:
            return
        self.stored[key] = StoredEntry(entry, self.clock() + seconds, size)
        self.used_bytes += size
        while len(self.stored) > self.max_entries or self.used_bytes > self.max_bytes:
            self._forget(next(iter(self.stored)))

    async def close(self) -> None:
        self.stored.clear()
        self.used_bytes = 0

    def _forget(self, key: bytes) -> None:
        entry = self.stored.pop(key, None)
        if entry is not None:
            self.used_bytes -= entry.size


def estimate_size(rows: Sequence[Row]) -> int:
    """The bytes rows take, at most: what they share is counted each time."""
    return getsizeof(rows) + sum(getsizeof(row) + sum(map(_estimate_value_size, row)) for row in rows)


def _estimate_value_size(value: object) -> int:
    return getsizeof(value) + (sum(map(_estimate_value_size, value)) if isinstance(value, tuple) else 0)


K = TypeVar("K")

V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """At most `size` entries."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        value = self.entries.get(key)
        if value is not None:
            self.entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self.entries[key] = value
        self.entries.move_to_end(key)
        if len(self.entries) > self.size:
            self.entries.popitem(last=False)
