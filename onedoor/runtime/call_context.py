"""Know for whom a source is called and until when they wait, which quotas need and no request says."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from auth.policy import Decision, SchemaCoordinate
from onedoor.errors import ConnectorError

CheckAccess = Callable[[], Awaitable[None]]
"""Raises ConnectorError once access that was lent for a time has ended."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waiter:
    """One request that waits: whose, and until when, on the loop's clock."""

    person: str
    deadline: float
    check_access: CheckAccess | None = None
    """None: they wait for nothing that was lent to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithheldCopy:
    """Copied values that a request is not shown, as it may not read what they were made of."""

    coordinate: SchemaCoordinate
    """The field that is null, or (type,) where rows are left out."""
    denials: tuple[Decision, ...]
    """Deny what they were made of, at least one."""


@dataclass(slots=True, kw_only=True, eq=False)
class CallContext:
    """All requests that wait for one call; they may join and leave while it is under way."""

    waiters: list[Waiter] = field(default_factory=list)
    shared: dict[object, Any] = field(default_factory=dict)
    """What the calls made for them share, by who keeps it."""
    is_probe: bool = False
    """Whether the call only asks if a source answers: it waits for no slot, as those may be full of slow calls."""
    withheld: dict[WithheldCopy, None] = field(default_factory=dict)
    """What connectors did not show them, in order."""

    @property
    def people(self) -> frozenset[str]:
        """Those who wait."""
        return frozenset(waiter.person for waiter in self.waiters)

    @property
    def deadline(self) -> float:
        """The time after which nobody waits any more."""
        return max((waiter.deadline for waiter in self.waiters), default=0.0)

    async def check_access(self) -> None:
        """Raise ConnectorError where none of those who wait may have what they wait for any more."""
        refusals: list[ConnectorError] = []
        for waiter in tuple(self.waiters):
            if waiter.check_access is None:
                return
            try:
                await waiter.check_access()
            except ConnectorError as refusal:
                refusals.append(refusal)
            else:
                return
        if refusals:
            raise refusals[0]


NO_DEADLINE = float("inf")

SlotYielding = Callable[[], AbstractAsyncContextManager[None]]

_call_context: ContextVar[CallContext | None] = ContextVar("call_context", default=None)

_slot_yielding: ContextVar[SlotYielding] = ContextVar("slot_yielding", default=nullcontext)


def get_call_context() -> CallContext | None:
    """Return the context of the calls made here; None: nobody waits, as for a ping."""
    return _call_context.get()


def build_call_context(person: str, check_access: CheckAccess | None = None) -> CallContext:
    """Return the context of calls for one person who waits for as long as it takes."""
    return CallContext(waiters=[Waiter(person=person, deadline=NO_DEADLINE, check_access=check_access)])


def build_waiter() -> Waiter:
    """Return those who wait here as one that waits for another call."""
    context = get_call_context()
    if context is None:
        return Waiter(person="", deadline=NO_DEADLINE)
    return Waiter(person=min(context.people, default=""), deadline=context.deadline, check_access=context.check_access)


async def check_access() -> None:
    """Raise ConnectorError where nobody who waits here may have what they wait for any more."""
    context = get_call_context()
    if context is not None:
        await context.check_access()


def yielding_slot() -> AbstractAsyncContextManager[None]:
    """Give up the call's slot and stop its clock during a wait that is not for its source, such as for a quota."""
    return _slot_yielding.get()()


def use_call_context(context: CallContext) -> AbstractContextManager[None]:
    """Set the context of calls made inside, also by tasks that begin inside."""
    return _ContextVarScope(_call_context, context)


def use_settling_context() -> AbstractContextManager[None]:
    """Set the context of calls inside that settle a change, which goes on after the access to make it has ended."""
    context = get_call_context()
    people = min(context.people, default="") if context is not None else ""
    return use_call_context(build_call_context(people))


def use_slot_yielding(yielding: SlotYielding) -> AbstractContextManager[None]:
    """Set how calls inside give up their slot during a wait that is not for their source."""
    return _ContextVarScope(_slot_yielding, yielding)


class _ContextVarScope:
    """Set a context variable for a block; a generator would cost five times as much."""

    __slots__ = ("_before", "_value", "_variable")

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self._variable, self._value = variable, value

    def __enter__(self) -> None:
        self._before = self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        self._variable.reset(self._before)
