"""Limit the requests a minute of a key, the failed keys a minute of an address, and the requests under way."""

from collections import deque
from collections.abc import Callable
from math import ceil
from time import monotonic

from onedoor.audit.record import AuditOutcome
from onedoor.errors import ErrorCode, GraphQLErrorInfo
from onedoor.model.catalog import Limits
from onedoor.query.audited import Conclusion

WINDOW_SECONDS = 60.0


class RateLimiter:
    """Counts the requests of this process; entered for as long as a request is under way.

    A valid key is never held back for the failures of its address.
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

    def check_capacity(self) -> Conclusion | None:
        """Conclude a request that is one too many at once; called before anything of it is read."""
        if self.in_flight < self.limits.concurrency_max:
            return None
        return build_limit_conclusion(
            "requests under way", "concurrency_max", self.limits.concurrency_max, "come again in 1 s", status=503
        )

    def count_request(self, key_id: str) -> Conclusion | None:
        """Count a request of a key; conclude one that is over the limit, which does not count."""
        seconds = self.requests.try_acquire(key_id)
        if seconds is None:
            return None
        return _build_too_frequent("requests a minute", "requests_a_minute", self.requests.limit, seconds)

    def count_failed_key(self, address: str) -> Conclusion | None:
        """Count a request without a valid key; conclude one that is over the limit of its address."""
        seconds = self.failures.try_acquire(address)
        if seconds is None:
            return None
        return _build_too_frequent("failed keys a minute", "failed_keys_a_minute", self.failures.limit, seconds)


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
    message = f"there are more {what} than the limit `{limit_name}` of {limit}, {remedy}"
    return Conclusion(
        outcome=AuditOutcome.LIMITED,
        status=status,
        errors=(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message),),
        headers={"retry-after": str(retry_after)},
    )


def _build_too_frequent(what: str, limit_name: str, limit: int, seconds: float) -> Conclusion:
    retry_after = max(1, ceil(seconds))
    return build_limit_conclusion(what, limit_name, limit, f"come again in {retry_after} s", retry_after=retry_after)
