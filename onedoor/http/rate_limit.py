"""Limit the requests a minute of a key, the failed keys a minute of an address, and the requests under way.

What all share has a share for each key, so that nobody can use up what others need.
"""

from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from math import ceil
from time import monotonic
from typing import Any, Self, TypeVar

from onedoor.audit.log import ByteBudget
from onedoor.audit.record import AuditOutcome
from onedoor.errors import ErrorCode, GraphQLErrorInfo
from onedoor.model.catalog import Limits
from onedoor.query.audited import Conclusion
from onedoor.runtime.loop_time import LoopMeter, LoopSeconds, describe_used_up, run_metered

WINDOW_SECONDS = 60.0

Result = TypeVar("Result")


COME_AGAIN = "come again in 1 s"


class RateLimiter:
    """Counts the requests of this process.

    A valid key is never held back for the failures of its address. Whatever waits for a client (a body, a reader of a
    file) holds a place of its key alone, never one of those that all keys share.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = monotonic) -> None:
        self.limits = limits
        self.requests = SlidingWindow(limits.requests_a_minute, clock)
        self.failures = SlidingWindow(limits.failed_keys_a_minute, clock)
        self.loop_seconds = LoopSeconds(limits.loop_seconds_a_minute, clock)
        self.concurrency_a_key = min(limits.concurrency_a_key, max(1, limits.concurrency_max // 2))
        self.in_flight = 0
        self.in_flight_by_key: Counter[str] = Counter()
        self.bodies_by_key: Counter[str] = Counter()
        self.bytes_by_key: Counter[str] = Counter()
        self.subscriptions_by_key: Counter[str] = Counter()

    def check_capacity(self) -> Conclusion | None:
        """Conclude a request that is one too many at once; called before anything of it is read, and at its place."""
        if self.in_flight < self.limits.concurrency_max:
            return None
        return build_limit_conclusion(
            "requests under way", "concurrency_max", self.limits.concurrency_max, COME_AGAIN, status=503
        )

    def check_place(self, key_id: str) -> Conclusion | None:
        """Conclude a request that is one too many at once, in all or of its key."""
        return self.check_capacity() or self.check_share(key_id)

    def check_share(self, key_id: str) -> Conclusion | None:
        """Conclude a request that is one too many of its key at once."""
        if self.in_flight_by_key[key_id] < self.concurrency_a_key:
            return None
        return build_limit_conclusion(
            "requests of this key under way", "concurrency_a_key", self.concurrency_a_key, COME_AGAIN
        )

    @contextmanager
    def hold_place(self, key_id: str) -> Iterator[None]:
        """Count a request as under way, in all and of its key."""
        self.in_flight += 1
        try:
            with self.hold_share(key_id):
                yield
        finally:
            self.in_flight -= 1

    @contextmanager
    def hold_share(self, key_id: str) -> Iterator[None]:
        """Count a request of a key that waits for its client alone."""
        with _count(self.in_flight_by_key, key_id):
            yield

    def check_subscriptions(self, key_id: str) -> Conclusion | None:
        """Conclude a subscription that is one too many of its key."""
        limit = self.limits.subscriptions_a_key
        if self.subscriptions_by_key[key_id] < limit:
            return None
        return build_limit_conclusion("subscriptions of this key", "subscriptions_a_key", limit, "end one of them")

    @contextmanager
    def hold_subscription(self, key_id: str) -> Iterator[None]:
        """Count a subscription of a key, over whatever connection."""
        with _count(self.subscriptions_by_key, key_id):
            yield

    def check_bodies(self, key_id: str) -> Conclusion | None:
        """Conclude a request whose body is one too many to wait for."""
        limit = self.limits.bodies_a_key
        if self.bodies_by_key[key_id] < limit:
            return None
        return build_limit_conclusion("bodies of this key under way", "bodies_a_key", limit, COME_AGAIN)

    @contextmanager
    def receive_body(self, key_id: str) -> Iterator[None]:
        """Count a body of a key as under way."""
        with _count(self.bodies_by_key, key_id):
            yield

    def reserve_bytes(self) -> "ByteReservation":
        """Return a place for the bytes of one request, which it holds in a `with` block."""
        return ByteReservation(self.bytes_by_key, max(self.limits.request_bytes_a_key, self.limits.body_bytes))

    def count_request(self, key_id: str) -> Conclusion | None:
        """Count a request of a key; conclude one that is over the limit, which does not count."""
        seconds = self.requests.try_acquire(key_id)
        if seconds is None:
            return None
        return _build_too_frequent("requests a minute", "requests_a_minute", self.requests.limit, seconds)

    def meter(self, work: Coroutine[Any, Any, Result]) -> Coroutine[Any, Any, Result]:
        """Return a coroutine for the work of one request, whose key is charged what it takes of the event loop."""
        return run_metered(LoopMeter(self.loop_seconds), work)

    def check_loop_seconds(self, key_id: str) -> Conclusion | None:
        """Conclude a request of a key that has used up its seconds of the event loop."""
        wait = self.loop_seconds.get_wait(key_id)
        if wait is None:
            return None
        message, retry_after = describe_used_up(self.loop_seconds.limit, wait)
        return _conclude_limited(message, 429, retry_after)

    def check_record_bytes(self, key_id: str, written: ByteBudget) -> Conclusion | None:
        """Conclude a request of a key that has written its bytes to the audit log."""
        limit = self.limits.record_bytes_a_minute
        seconds = written.get_wait(key_id, limit)
        if seconds is None:
            return None
        return _build_too_frequent("bytes of records a minute", "record_bytes_a_minute", limit, seconds)

    def count_failed_key(self, address: str) -> Conclusion | None:
        """Count a request without a valid key; conclude one that is over the limit of its address."""
        seconds = self.failures.try_acquire(address)
        if seconds is None:
            return None
        return _build_too_frequent("failed keys a minute", "failed_keys_a_minute", self.failures.limit, seconds)


class ByteReservation:
    """The bytes of one request under way, counted against its key: its values take fifteen times as many."""

    __slots__ = ("_bytes_by_key", "_key_id", "_limit", "_taken")

    def __init__(self, bytes_by_key: Counter[str], limit: int) -> None:
        self._bytes_by_key, self._limit = bytes_by_key, limit
        self._key_id, self._taken = "", 0

    def take(self, key_id: str, byte_count: int) -> Conclusion | None:
        """Count more bytes of the request; conclude it where they are too many of its key at once."""
        if self._bytes_by_key[key_id] + byte_count > self._limit:
            what = "bytes of requests of this key under way"
            return build_limit_conclusion(what, "request_bytes_a_key", self._limit, COME_AGAIN)
        self._bytes_by_key[key_id] += byte_count
        self._key_id, self._taken = key_id, self._taken + byte_count
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bytes_by_key[self._key_id] -= self._taken
        if not self._bytes_by_key[self._key_id]:
            del self._bytes_by_key[self._key_id]


@contextmanager
def _count(counts: Counter[str], name: str) -> Iterator[None]:
    counts[name] += 1
    try:
        yield
    finally:
        counts[name] -= 1
        if not counts[name]:
            del counts[name]


class SlidingWindow:
    """Allows at most `limit` arrivals of one name within any minute."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self.limit, self.clock = limit, clock
        self.arrivals: dict[str, deque[float]] = {}
        self.swept_at = clock()

    def try_acquire(self, name: str) -> float | None:
        """Count an arrival and return None, or return the seconds until one more is allowed, without counting it."""
        now = self.clock()
        if now - self.swept_at >= WINDOW_SECONDS:
            self.forget_idle(now)
        arrivals = self.arrivals.get(name)
        if arrivals is None:
            arrivals = self.arrivals[name] = deque()
        while arrivals and arrivals[0] <= now - WINDOW_SECONDS:
            arrivals.popleft()
        if len(arrivals) >= self.limit:
            return arrivals[0] + WINDOW_SECONDS - now
        arrivals.append(now)
        return None

    def forget_idle(self, now: float) -> None:
        """Drop the names without an arrival in the last minute."""
        self.swept_at = now
        self.arrivals = {
            name: arrivals
            for name, arrivals in self.arrivals.items()
            if arrivals and arrivals[-1] > now - WINDOW_SECONDS
        }


def build_limit_conclusion(
    what: str, limit_name: str, limit: int, remedy: str, *, status: int = 429, retry_after: int = 1
) -> Conclusion:
    """Build the conclusion of a request that is turned away for now; `what` there is too much of, in the plural."""
    return _conclude_limited(
        f"there are more {what} than the limit `{limit_name}` of {limit}, {remedy}", status, retry_after
    )


def _conclude_limited(message: str, status: int, retry_after: int) -> Conclusion:
    return Conclusion(
        outcome=AuditOutcome.LIMITED,
        status=status,
        errors=(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message),),
        headers={"retry-after": str(retry_after)},
    )


def _build_too_frequent(what: str, limit_name: str, limit: int, seconds: float) -> Conclusion:
    retry_after = max(1, ceil(seconds))
    return build_limit_conclusion(what, limit_name, limit, f"come again in {retry_after} s", retry_after=retry_after)
