"""How many may come through: requests a minute of one key, failed keys of one address, requests under way at once."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from time import monotonic

from engine.errors import Code, Fault
from engine.house import Limits


@dataclass(frozen=True, slots=True)
class Turned:
    """A request that is turned away for now, the status it gets, and when it may come again, in seconds."""

    fault: Fault
    status: int
    after: int


MINUTE = 60.0


class Window:
    """At most so many of one name within any minute, each counted from the moment it came."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self.most, self.clock = most, clock
        self.came: dict[str, deque[float]] = {}
        self.swept = clock()

    def full(self, name: str) -> float | None:
        """The seconds until one more may come; None: it came. One that is turned away does not count."""
        now = self.clock()
        if now - self.swept >= MINUTE:
            self.sweep(now)
        came = self.came.get(name)
        if came is None:
            came = self.came[name] = deque()
        while came and came[0] <= now - MINUTE:
            came.popleft()
        if len(came) >= self.most:
            return came[0] + MINUTE - now
        came.append(now)
        return None

    def sweep(self, now: float) -> None:
        """Forgets those who did not come for a minute."""
        self.swept = now
        self.came = {name: came for name, came in self.came.items() if came and came[-1] > now - MINUTE}


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

    def __init__(self, limits: Limits, clock: Callable[[], float] = monotonic) -> None:
        self.limits = limits
        self.requests = Window(limits.requests_a_minute, clock)
        self.failures = Window(limits.failed_keys_a_minute, clock)
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
        after = self.requests.full(key_id)
        return None if after is None else _often("requests a minute", "requests_a_minute", self.requests.most, after)

    def failed(self, address: str) -> Turned | None:
        after = self.failures.full(address)
        most = self.failures.most
        return None if after is None else _often("failed keys a minute", "failed_keys_a_minute", most, after)


def _often(what: str, name: str, most: int, after: float) -> Turned:
    return _turned(429, what, name, most, max(1, ceil(after)))


def _turned(status: int, what: str, name: str, most: int, after: int) -> Turned:
    message = f"there are more {what} than the limit `{name}` of {most}, come again in {after} s"
    return Turned(Fault(code=Code.LIMIT_EXCEEDED, message=message), status, after)
