"""How many may come through: requests a minute of one key, failed keys of one address, requests under way at once."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from time import monotonic

from onedoor.errors import ErrorCode, GraphQLErrorInfo
from onedoor.model.catalog import Limits


@dataclass(frozen=True, slots=True)
class LimitRejection:
    """A request that is turned away for now, the status it gets, and when it may come again, in seconds."""

    error: GraphQLErrorInfo
    status: int
    retry_after: int


WINDOW_SECONDS = 60.0


class SlidingWindow:
    """At most so many of one name within any minute, each counted from the moment it came."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self.limit, self.clock = limit, clock
        self.arrivals: dict[str, deque[float]] = {}
        self.swept_at = clock()

    def try_acquire(self, name: str) -> float | None:
        """The seconds until one more may come; None: it came. One that is turned away does not count."""
        now = self.clock()
        if now - self.swept_at >= WINDOW_SECONDS:
            self.forget_idle(now)
        came = self.arrivals.get(name)
        if came is None:
            came = self.arrivals[name] = deque()
        while came and came[0] <= now - WINDOW_SECONDS:
            came.popleft()
        if len(came) >= self.limit:
            return came[0] + WINDOW_SECONDS - now
        came.append(now)
        return None

    def forget_idle(self, now: float) -> None:
        """Forgets those who did not come for a minute."""
        self.swept_at = now
        self.arrivals = {name: came for name, came in self.arrivals.items() if came and came[-1] > now - WINDOW_SECONDS}


class RateLimited(Exception):
    """One too many."""

    def __init__(self, rejection: LimitRejection) -> None:
        super().__init__(rejection.error.message)
        self.rejection = rejection


def raise_if_rejected(rejection: LimitRejection | None) -> None:
    """Raises TurnedAway for one that did not."""
    if rejection is not None:
        raise RateLimited(rejection)


class RateLimiter:
    """Counts in this process; entered for as long as a request is under way.

    A key that opens the door is never held back for the failures of its address.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = monotonic) -> None:
        self.limits = limits
        self.requests = SlidingWindow(limits.requests_a_minute, clock)
        self.failures = SlidingWindow(limits.failed_keys_a_minute, clock)
        self.in_flight = 0

    def __enter__(self) -> None:
        self.in_flight += 1

    def __exit__(self, *_: object) -> None:
        self.in_flight -= 1

    def check_capacity(self) -> LimitRejection | None:
        """Judged before anything is read: a full house answers at once."""
        if self.in_flight < self.limits.concurrency_max:
            return None
        return _build_rejection(503, "requests under way", "concurrency_max", self.limits.concurrency_max, 1)

    def count_request(self, key_id: str) -> LimitRejection | None:
        after = self.requests.try_acquire(key_id)
        return (
            None
            if after is None
            else _reject_too_frequent("requests a minute", "requests_a_minute", self.requests.limit, after)
        )

    def count_failed_key(self, address: str) -> LimitRejection | None:
        after = self.failures.try_acquire(address)
        most = self.failures.limit
        return (
            None if after is None else _reject_too_frequent("failed keys a minute", "failed_keys_a_minute", most, after)
        )


def _reject_too_frequent(what: str, name: str, limit: int, after: float) -> LimitRejection:
    return _build_rejection(429, what, name, limit, max(1, ceil(after)))


def _build_rejection(status: int, what: str, name: str, limit: int, after: int) -> LimitRejection:
    message = f"there are more {what} than the limit `{name}` of {limit}, come again in {after} s"
    return LimitRejection(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message), status, after)
