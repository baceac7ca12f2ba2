"""Share the slots of a source among the people who wait for them: a bulkhead that nobody can fill alone."""

import asyncio
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass

from onedoor.runtime.call_context import CallContext, get_call_context

NO_PERSON = ""
"""Who is charged for calls that nobody waits for, such as recovery's; they have no share."""

PROBE = "the probe"
"""Who is charged for a probe, which takes no slot."""


class SlotQueueFull(Exception):
    """As many calls wait as may, in all or for the same people."""


@dataclass(slots=True, kw_only=True, eq=False)
class SlotWaiter:
    """A call that waits for a slot; `granted` gives the person who is charged."""

    context: CallContext | None
    granted: asyncio.Future[str]


class FairSlots:
    """So many slots, of which calls for the same person hold half at most.

    The next free slot goes to the person who holds the fewest; of several, to the one served longest ago. A call for
    several people is charged to the one of them who would be next.
    """

    def __init__(self, count: int, *, queue_max: int | None = None) -> None:
        """Let at most `queue_max` calls wait, half of them for the same people; None: any number."""
        self.free, self.share, self.queue_max = count, get_share(count), queue_max
        self.held: Counter[str] = Counter()
        self.last_turns: dict[str, int] = {}
        """The number of the last turn of each person, since nobody waited."""
        self.queue: list[SlotWaiter] = []

    def try_acquire(self) -> str | None:
        """Take a slot that is free for those who are called for, and return who is charged, for `release`."""
        context = get_call_context()
        if context is not None and context.is_probe:
            return PROBE
        if not self.free:
            return None
        people = _list_people(context)
        person = next(iter(people)) if len(people) == 1 else min(people, key=self.held.__getitem__)
        return self._take(person) if self._has_room(person) else None

    async def acquire(self) -> str:
        """Wait for a slot, and return who is charged, for `release`."""
        person = self.try_acquire()
        if person is not None:
            return person
        entry = SlotWaiter(context=get_call_context(), granted=asyncio.get_running_loop().create_future())
        self.queue.append(entry)
        try:
            return await entry.granted
        except asyncio.CancelledError:
            if entry.granted.done() and not entry.granted.cancelled():
                self.release(entry.granted.result())
            raise
        finally:
            if entry in self.queue:
                self.queue.remove(entry)
            if not self.queue:
                self.last_turns.clear()

    def check_queue(self) -> None:
        """Raise SlotQueueFull where one more call would be too many to wait."""
        if self.queue_max is None:
            return
        people = _list_people(get_call_context())
        own = sum(not people.isdisjoint(_list_people(entry.context)) for entry in self.queue)
        if len(self.queue) >= self.queue_max or own >= get_share(self.queue_max):
            raise SlotQueueFull

    def release(self, person: str) -> None:
        """Give a slot back."""
        if person == PROBE:
            return
        self.free += 1
        self.held[person] -= 1
        if not self.held[person]:
            del self.held[person]
        if self.queue:
            self._grant()

    def hold(self) -> "HeldSlot":
        """Hold a slot in an `async with` block."""
        return HeldSlot(self)

    def _grant(self) -> None:
        """Give the free slots to those who are next; of those who wait, none may take a slot that stays free."""
        while self.free and (turn := self._find_next()) is not None:
            entry, person = turn
            self.queue.remove(entry)
            self.last_turns[person] = max(self.last_turns.values(), default=0) + 1
            entry.granted.set_result(self._take(person))

    def _find_next(self) -> tuple[SlotWaiter, str] | None:
        candidates = [
            (entry, person)
            for entry in self.queue
            if not entry.granted.done()
            for person in _list_people(entry.context)
            if self._has_room(person)
        ]
        return min(candidates, key=lambda turn: (self.held[turn[1]], self.last_turns.get(turn[1], 0)), default=None)

    def _has_room(self, person: str) -> bool:
        return self.held[person] < self.share or person == NO_PERSON

    def _take(self, person: str) -> str:
        self.free -= 1
        self.held[person] += 1
        return person


class HeldSlot:
    """A slot, held for as long as it is entered; a generator would cost three times as much."""

    __slots__ = ("_person", "_slots")

    def __init__(self, slots: FairSlots) -> None:
        self._slots = slots

    async def __aenter__(self) -> None:
        self._person = await self._slots.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._slots.release(self._person)


def get_share(count: int) -> int:
    """Return how much of what all share one person may hold: half, and one at least."""
    return max(1, count // 2)


def _list_people(context: CallContext | None) -> Set[str]:
    return (context.people if context is not None else None) or frozenset({NO_PERSON})
