"""How many may come through: requests a minute of one key, failed keys of one address, requests under way at once."""

from dataclasses import dataclass
from math import ceil
from time import time

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from engine.errors import Code, Fault
from engine.house import Limits


@dataclass(frozen=True, slots=True)
class Turned:
    """A request that is turned away for now, the status it gets, and when it may come again, in seconds."""

    fault: Fault
    status: int
    after: int


class TurnedAway(Exception):
    """One too many."""

    def __init__(self, turned: Turned) -> None:
        super().__init__(turned.fault.message)
        self.turned = turned


def passed(turned: Turned | None) -> None:
    """Raises TurnedAway for one that did not."""
    if turned is not None:
        raise TurnedAway(turned)


class Turnstile:
    """Counts in this process; entered for as long as a request is under way.

    A key that opens the door is never held back for the failures of its address.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.counted = MovingWindowRateLimiter(MemoryStorage())
        self.requests = RateLimitItemPerMinute(limits.requests_a_minute)
        self.failures = RateLimitItemPerMinute(limits.failed_keys_a_minute)
        self.under_way = 0

    def __enter__(self) -> None:
        self.under_way += 1

    def __exit__(self, *_: object) -> None:
        self.under_way -= 1

    def crowded(self) -> Turned | None:
        """Judged before anything is read: a full house answers at once."""
        if self.under_way < self.limits.concurrency_max:
            return None
        return _turned(503, "requests under way", "concurrency_max", self.limits.concurrency_max, 1)

    def asked(self, key_id: str) -> Turned | None:
        return self._hit(self.requests, key_id, "requests a minute", "requests_a_minute", self.limits.requests_a_minute)

    def failed(self, address: str) -> Turned | None:
        most = self.limits.failed_keys_a_minute
        return self._hit(self.failures, address, "failed keys a minute", "failed_keys_a_minute", most)

    def _hit(self, item: RateLimitItem, whose: str, what: str, name: str, most: int) -> Turned | None:
        if self.counted.hit(item, name, whose):
            return None
        reset = self.counted.get_window_stats(item, name, whose).reset_time
        return _turned(429, what, name, most, max(1, ceil(reset - time())))


def _turned(status: int, what: str, name: str, most: int, after: int) -> Turned:
    message = f"there are more {what} than the limit `{name}` of {most}, come again in {after} s"
    return Turned(Fault(code=Code.LIMIT_EXCEEDED, message=message), status, after)
