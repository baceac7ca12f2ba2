"""What is kept of a read, and what keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from engine.words import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The rows of one read, and when it began; nobody changes them."""

    rows: Sequence[Row]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """What one read came to. `cached`: it was not made for this question alone."""

    kept: Kept
    cached: bool


class Store(Protocol):
    """Keeps rows by key, none longer than asked. It may forget at any time, and it never fails."""

    def at_hand(self, key: bytes) -> Kept | None:
        """What can be had without waiting."""
        ...

    async def get(self, key: bytes) -> Kept | None: ...

    async def put(self, key: bytes, kept: Kept, seconds: float) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """Settings: how much is kept in a process, or where else, and for how long that is waited for."""

    url: str | None = field(default=None, repr=False)
    """A Redis shared by all replicas, as `{ env = "REDIS_URL" }`; without one, each process keeps its own."""
    entries: int = 10_000
    """Reads that one process keeps."""
    bytes: int = 67_108_864
    """What they may take of its memory, by estimate; one alone, or in Redis, an eighth of it."""
    seconds: float = 0.1
    """The longest that Redis is waited for; past it the source is asked, and Redis left alone for a second."""


Fresh = Mapping[str, float]
"""By collection, how many seconds a read may be old."""
