"""For whom a source is called, and until when they wait: what a quota needs to know, and no ask says."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waiter:
    """One question that waits: whose, and until when, on the loop's clock."""

    person: str
    until: float


@dataclass(slots=True, kw_only=True, eq=False)
class Errand:
    """All who wait for one call. They may come and go while it is under way."""

    waiters: list[Waiter] = field(default_factory=list)

    @property
    def people(self) -> frozenset[str]:
        return frozenset(each.person for each in self.waiters)

    @property
    def until(self) -> float:
        """The time after which nobody waits any more."""
        return max((each.until for each in self.waiters), default=0.0)


Resting = Callable[[], AbstractAsyncContextManager[None]]

_errand: ContextVar[Errand | None] = ContextVar("errand", default=None)
_resting: ContextVar[Resting] = ContextVar("resting", default=nullcontext)


def current() -> Errand | None:
    """The errand this code runs; None: nobody's, as a ping."""
    return _errand.get()


def resting() -> AbstractAsyncContextManager[None]:
    """Around a wait for a quota: meanwhile the call takes up no place, and its source is not slow."""
    return _resting.get()()


@contextmanager
def on(errand: Errand) -> Iterator[None]:
    """What is called inside is called on this errand, in tasks begun inside too."""
    before = _errand.set(errand)
    try:
        yield
    finally:
        _errand.reset(before)


@contextmanager
def rests(resting: Resting) -> Iterator[None]:
    """What waits for a quota inside waits within `resting()`."""
    before = _resting.set(resting)
    try:
        yield
    finally:
        _resting.reset(before)
