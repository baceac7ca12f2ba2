"""Count the bytes that each key has written within a minute."""

from collections import Counter
from collections.abc import Callable
from time import monotonic

WINDOW_SECONDS = 60.0


class ByteBudget:
    """Counts bytes by name from one minute's start to the next; a minute begins for all at once."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.counts: Counter[str] = Counter()
        self.began_at = clock()

    def add(self, name: str, byte_count: int) -> None:
        """Count bytes of a name."""
        self._begin_minute()
        self.counts[name] += byte_count

    def get_wait(self, name: str, limit: int) -> float | None:
        """Return the seconds until a name that has written its bytes may write again; None: it has not."""
        if self.counts[name] < limit:
            return None
        self._begin_minute()
        return None if self.counts[name] < limit else self.began_at + WINDOW_SECONDS - self.clock()

    def _begin_minute(self) -> None:
        now = self.clock()
        if now - self.began_at >= WINDOW_SECONDS:
            self.began_at = now
            self.counts.clear()
