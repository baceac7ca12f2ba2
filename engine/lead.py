"""The root fields of a mutation or an event, one after the other: what each leads to, and what is wanted of it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from auth.caller import Caller
from engine import errand
from engine.act import Act, Acted
from engine.cache.through import Reader
from engine.deadline import Deadline
from engine.errand import Errand, Waiter
from engine.errors import Code, SourceFailed
from engine.fetch.fetch import fetch, nothing
from engine.fetch.words import Fetching, Results
from engine.house import House
from engine.plan.plan import led_by
from engine.plan.words import Branch, Plan
from engine.select import Pick
from engine.slots import filled
from engine.source import Source
from records.record import Changed

NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leading:
    """For whom, and until when."""

    house: House
    caller: Caller
    record: str
    until: float
    event: str | None
    """The id of the row that an event leads to; None: a mutation, whose actions tell."""
    changes: list[Changed]
    """What was changed, for the record."""
    own: Callable[[str, Source], Reader]
    """A source of this answer alone, as it is read."""


async def led(run: Fetching, plan: Plan, to: Leading) -> Results:
    """As fetched. What could not be done is a `SourceFailed` in place of its row; the next is done for all that."""
    for branch in plan.branches:
        try:
            await _branch(run, branch, to)
        except SourceFailed as failure:
            _note(to, getattr(failure, "noted", NOTHING))
            run.results[branch.pick.number] = failure
    return run.results


async def _branch(run: Fetching, branch: Branch, to: Leading) -> None:
    acted = Acted(id=to.event) if to.event is not None else await _acted(run, branch.pick, to)
    _note(to, acted.noted)
    if acted.id is None:
        run.results[branch.pick.number] = nothing(branch)
        return
    run.values = replace(run.values, variables={**run.values.variables, led_by(branch.pick): acted.id})
    run.guards = _Beside(run.guards, {name: to.own(name, source) for name, source in acted.sources.items()})
    try:
        with Deadline(to.until), errand.on(Errand(waiters=[Waiter(person=to.caller.person_id, until=to.until)])):
            await fetch(run, Plan(branches=(branch,)))
    except TimeoutError:
        message = f"`{branch.pick.field}` was done, but what it came to could not be read in time"
        raise SourceFailed(message, Code.LIMIT_EXCEEDED) from None


def _note(to: Leading, noted: Mapping[str, Any]) -> None:
    to.changes.extend(Changed.from_json(each) for each in noted.get("changes", ()))


async def _acted(run: Fetching, pick: Pick, to: Leading) -> Acted:
    arguments = {name: filled(value, run.values.variables) for name, value in pick.arguments.items()}
    act = Act(caller=to.caller, field=pick.field, arguments=arguments, record=to.record, until=to.until)
    try:
        async with asyncio.timeout_at(to.until):
            return await to.house.actions[pick.field](act)
    except TimeoutError:
        limit = f"the limit `request_seconds` of {to.house.limits.request_seconds:g}"
        message = f"`{pick.field}` took longer than {limit}; it may still be done: send it again with its key, and see"
        raise SourceFailed(message, Code.CHANGE_UNSETTLED) from None


class _Beside(dict[str, Reader]):
    """Sources as a request reads them, some of them its own."""

    def __init__(self, those: Mapping[str, Reader], own: Mapping[str, Reader]) -> None:
        super().__init__(own)
        self._those = those

    def __missing__(self, name: str) -> Reader:
        return self._those[name]
