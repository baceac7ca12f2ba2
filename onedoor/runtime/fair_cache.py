"""Keep what requests can use again within a number of bytes, without letting one person push out what others need."""

from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class OwnedEntry(Generic[Value]):
    """A value, its size in bytes by estimate, and whose request it was made for."""

    value: Value
    size: int
    owner: str


class FairCache(Generic[Key, Value]):
    """Values by key; past `max_bytes` the one that holds the most loses what it used least recently.

    Nobody holds more than half of it.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.share = max_bytes, max_bytes // 2
        self.entries: dict[Key, OwnedEntry[Value]] = {}
        self.keys_by_owner: dict[str, OrderedDict[Key, None]] = {}
        """The keys of each owner, the one used least recently first."""
        self.bytes_by_owner: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, which counts as used now."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        self.keys_by_owner[entry.owner].move_to_end(key)
        return entry.value

    def put(self, key: Key, value: Value, size: int, owner: str) -> None:
        """Keep a value, unless it is larger than half of the cache."""
        self.remove(key)
        if size > self.share:
            return
        self.entries[key] = OwnedEntry(value, size, owner)
        self.keys_by_owner.setdefault(owner, OrderedDict())[key] = None
        self.bytes_by_owner[owner] += size
        while self.bytes_by_owner[owner] > self.share:
            self._remove_oldest(owner)
        while self.bytes_by_owner.total() > self.max_bytes:
            self._remove_oldest(max(self.bytes_by_owner, key=self.bytes_by_owner.__getitem__))

    def remove(self, key: Key) -> None:
        """Forget a key, if it is there."""
        entry = self.entries.pop(key, None)
        if entry is None:
            return
        keys = self.keys_by_owner[entry.owner]
        del keys[key]
        self.bytes_by_owner[entry.owner] -= entry.size
        if not keys:
            del self.keys_by_owner[entry.owner], self.bytes_by_owner[entry.owner]

    def _remove_oldest(self, owner: str) -> None:
        self.remove(next(iter(self.keys_by_owner[owner])))

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self.keys_by_owner.clear()
        self.bytes_by_owner.clear()
