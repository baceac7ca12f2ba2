"""For whom a source is called, and until when they wait: what a quota needs to know, and no ask says."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


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


def on(errand: Errand) -> AbstractContextManager[None]:
    """What is called inside is called on this errand, in tasks begun inside too."""
    return _Inside(_errand, errand)


def rests(resting: Resting) -> AbstractContextManager[None]:
    """What waits for a quota inside waits within `resting()`."""
    return _Inside(_resting, resting)


class _Inside:
    """A variable of the context, set meanwhile; a generator would cost five times as much."""

    __slots__ = ("_before", "_value", "_variable")

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self._variable, self._value = variable, value

    def __enter__(self) -> None:
        self._before = self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        self._variable.reset(self._before)
