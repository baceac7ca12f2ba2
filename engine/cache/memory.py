"""Rows kept in this process: at most so many reads and so many bytes, those used least recently forgotten first."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sys import getsizeof

from engine.cache.words import Kept
from engine.words import Row

LARGEST = 8
"""One read takes at most an eighth of the whole, or a single large one would push out all the others."""


@dataclass(frozen=True, slots=True)
class Entry:
    kept: Kept
    until: float
    size: int


class Memory:
    """`clock` in seconds, never going back."""

    def __init__(self, *, entries: int, size: int, clock: Callable[[], float]) -> None:
        self.most, self.room, self.clock = entries, size, clock
        self.taken = 0
        self.held: OrderedDict[bytes, Entry] = OrderedDict()

    def at_hand(self, key: bytes) -> Kept | None:
        entry = self.held.get(key)
        if entry is None:
            return None
        if entry.until <= self.clock():
            self._forget(key)
            return None
        self.held.move_to_end(key)
        return entry.kept

    async def get(self, key: bytes) -> Kept | None:
        return self.at_hand(key)

    async def put(self, key: bytes, kept: Kept, seconds: float) -> None:
        self._forget(key)
        size = weighed(kept.rows)
        if size > self.room // LARGEST:
            return
        self.held[key] = Entry(kept, self.clock() + seconds, size)
        self.taken += size
        while len(self.held) > self.most or self.taken > self.room:
            self._forget(next(iter(self.held)))

    async def close(self) -> None:
        self.held.clear()
        self.taken = 0

    def _forget(self, key: bytes) -> None:
        entry = self.held.pop(key, None)
        if entry is not None:
            self.taken -= entry.size


def weighed(rows: Sequence[Row]) -> int:
    """The bytes rows take, at most: what they share is counted each time."""
    return getsizeof(rows) + sum(getsizeof(row) + sum(map(_weighed, row)) for row in rows)


def _weighed(value: object) -> int:
    return getsizeof(value) + (sum(map(_weighed, value)) if isinstance(value, tuple) else 0)
