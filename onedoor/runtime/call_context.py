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
    deadline: float


@dataclass(slots=True, kw_only=True, eq=False)
class CallContext:
    """All who wait for one call. They may come and go while it is under way."""

    waiters: list[Waiter] = field(default_factory=list)

    @property
    def people(self) -> frozenset[str]:
        return frozenset(each.person for each in self.waiters)

    @property
    def deadline(self) -> float:
        """The time after which nobody waits any more."""
        return max((each.deadline for each in self.waiters), default=0.0)


SlotYielding = Callable[[], AbstractAsyncContextManager[None]]

_call_context: ContextVar[CallContext | None] = ContextVar("errand", default=None)

_slot_yielding: ContextVar[SlotYielding] = ContextVar("resting", default=nullcontext)


def get_call_context() -> CallContext | None:
    """The errand this code runs; None: nobody's, as a ping."""
    return _call_context.get()


def yielding_slot() -> AbstractAsyncContextManager[None]:
    """Around a wait for a quota: meanwhile the call takes up no place, and its source is not slow."""
    return _slot_yielding.get()()


def use_call_context(context: CallContext) -> AbstractContextManager[None]:
    """What is called inside is called on this errand, in tasks begun inside too."""
    return _ContextVarScope(_call_context, context)


def use_slot_yielding(yielding: SlotYielding) -> AbstractContextManager[None]:
    """What waits for a quota inside waits within `resting()`."""
    return _ContextVarScope(_slot_yielding, yielding)


class _ContextVarScope:
    """A variable of the context, set meanwhile; a generator would cost five times as much."""

    __slots__ = ("_before", "_value", "_variable")

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self._variable, self._value = variable, value

    def __enter__(self) -> None:
        self._before = self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        self._variable.reset(self._before)
