"""A request's way, in order: admit, select, permit, plan, fetch, render. The first file to read.

The door finds the caller before, and records and sends after.
"""

import re
from asyncio import get_running_loop
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from graphql import GraphQLSchema, OperationType, execute_sync

from auth.caller import Caller
from auth.decide import decide
from engine import entities, errand, explained
from engine.admit import CHANGES, EVENTS, Document, admit, operation
from engine.bind import bound, windows
from engine.cache.through import present
from engine.cost import cost
from engine.deadline import Deadline
from engine.desk import Answer, Asked, Compiled, Desk, Question, View
from engine.errand import Errand, Waiter
from engine.errors import Code, Fault, Refused
from engine.explained import Wish
from engine.faults import forbidden, forbidden_rows, may_tell
from engine.fetch.fetch import fetch
from engine.fetch.words import Fetching, Results
from engine.freshness import freshness
from engine.house import House
from engine.lead import Leading, led
from engine.permit import permit
from engine.plan.plan import plan
from engine.plan.words import Plan, shut
from engine.render.render import by_number, faults, render, shown
from engine.select import Pick, few, select
from engine.slots import Slot, shape, within
from engine.variables import plain, stands, variables
from engine.views import Readers, own, seen

INTROSPECTING = re.compile(rf"__(schema|type)\b|\b{entities.SERVICE}\b")


async def answer(desk: Desk, caller: Caller, question: Question, told: Answer, event: str | None = None) -> None:
    """Fills `told` stage by stage, so that whatever stops a request, its record says how far it came.

    `event` is the id of the row that the one field of a subscription leads to now.
    """
    until = get_running_loop().time() + desk.house.limits.request_seconds
    try:
        await _answered(desk, caller, question, told, (until, event))
    except Refused as refusal:
        told.faults, told.refused = refusal.faults, True
    except TimeoutError:
        limit = f"the limit `request_seconds` of {desk.house.limits.request_seconds:g}"
        told.data = None
        told.faults = (Fault(code=Code.LIMIT_EXCEEDED, message=f"the answer took longer than {limit}, ask for less"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A question that is judged and planned, before anything is asked."""

    view: View
    asked: Asked
    compiled: Compiled
    values: Mapping[str, Any]
    """Its variables, coerced."""


def prepare(desk: Desk, caller: Caller, question: Question, told: Answer, kinds: frozenset[OperationType]) -> Prepared:
    """Raises Refused; `told` says how far it came."""
    view = seen(desk, caller)
    asked = _asked(desk, view, question, told, kinds)
    values, shaped = _variables(view, asked, question, desk.house)
    compiled = _compiled(desk, caller, view, (asked, question, shaped))
    return Prepared(view=view, asked=asked, compiled=compiled, values=values)


async def _answered(
    desk: Desk, caller: Caller, question: Question, told: Answer, come: tuple[float, str | None]
) -> None:
    (until, event), house = come, desk.house
    prepared = prepare(desk, caller, question, told, EVENTS if event is not None else CHANGES)
    view, asked, compiled, values = prepared.view, prepared.asked, prepared.compiled, prepared.values
    told.compiled, kind = compiled, asked.operation.operation
    options = question.options
    if options.get("allOrNothing") and (denied := denials(house, compiled, values)):
        told.faults, told.refused = denied, True
        return
    filled = bound(house, compiled.windows, values)
    weighed = cost(house, compiled.plan, values)
    if options.get("cost"):
        told.extensions["cost"] = weighed
    wish = explained.wish(options) if options else None
    run = Fetching(
        guards=Readers(desk, view, caller, kept=kind is OperationType.QUERY),
        values=filled,
        calls=told.calls,
        limits=house.limits,
        scratch=house.scratch,
    )
    if wish is Wish.ONLY:
        told.planned, told.faults = True, denials(house, compiled, values)
        told.extensions["plan"] = _explained(house, caller, compiled, run)
        return
    if wish:
        run.seen = []
    try:
        if kind is OperationType.QUERY:
            results = await _fetched(run, compiled.plan, caller, until)
        else:
            results = await led(run, compiled.plan, _leading(desk, caller, told, come))
    finally:
        if wish:
            told.extensions["plan"] = _explained(house, caller, compiled, run)
    if options.get("freshness"):
        told.extensions["freshness"] = freshness(told.calls, desk.cache.now() if desk.cache else present())
    told.data, noted = render(house, compiled.shown, results, filled)
    if noted.any:
        told.faults = faults(house, compiled.picks, compiled.verdicts, results, noted)
    if compiled.introspects and told.data is not None:
        told.data = _introspected(view, asked, question, told.data)


def _leading(desk: Desk, caller: Caller, told: Answer, come: tuple[float, str | None]) -> Leading:
    until, event = come
    return Leading(
        house=desk.house,
        caller=caller,
        record=told.record,
        until=until,
        event=event,
        changes=told.changes,
        own=partial(own, desk),
    )


async def _fetched(run: Fetching, plan: Plan, caller: Caller, until: float) -> Results:
    if not plan.branches:
        return {}
    with Deadline(until), errand.on(Errand(waiters=[Waiter(person=caller.person_id, until=until)])):
        return await fetch(run, plan)


def _asked(desk: Desk, view: View, question: Question, told: Answer, kinds: frozenset[OperationType]) -> Asked:
    """The document is told though the operation is not found in it."""
    key = (question.text, question.operation, view.met if desk.house.view else None, kinds is EVENTS)
    known = desk.asked.get(key)
    if known is None:
        told.document = admit(view.schema, question.text, desk.house.limits)
        wanted = operation(told.document, question.operation, _known_roots(view, kinds))
        simple = plain(wanted)
        known = Asked(
            document=told.document,
            operation=wanted,
            plain=simple,
            shape=tuple((name, Slot) for name in simple or ()),
        )
        desk.asked.put(key, known)
    told.document, told.operation = known.document, known.operation
    return known


def _known_roots(view: View, kinds: frozenset[OperationType]) -> frozenset[OperationType]:
    return frozenset(each for each in kinds if view.schema.get_root_type(each) is not None)


def _variables(view: View, asked: Asked, question: Question, house: House) -> tuple[Mapping[str, Any], Any]:
    """The variables, coerced, and their shape."""
    given, simple = question.variables, asked.plain
    if simple is not None and given.keys() == simple.keys() and all(stands(given[n], of) for n, of in simple.items()):
        return given, asked.shape
    within(given, house.limits.in_max)
    coerced = variables(view.schema, asked.operation, given)
    return coerced.values, shape(dict(coerced.slots))


def _compiled(desk: Desk, caller: Caller, view: View, wanted: tuple[Asked, Question, Any]) -> Compiled:
    """From the cache where the same was asked with the same permissions and the same shape of variables."""
    house, (asked, question, shaped) = desk.house, wanted
    name = asked.operation.name.value if asked.operation.name else None
    key = (asked.document.text, name, view.met, house.version, shaped)
    known = desk.plans.get(key)
    if known is None:
        given = variables(view.schema, asked.operation, question.variables)
        picks = select(house.schema, asked.document, asked.operation, given, house.limits)
        few(asked.operation, picks, house.limits)
        if house.view is not None:
            picks = _known(picks, view.schema)
        verdicts = permit(house.schema, house.rules, picks, caller.groups)
        planned = plan(house, picks, verdicts)
        known = Compiled(
            picks=picks,
            verdicts=verdicts,
            plan=planned,
            shown=shown(picks, verdicts, planned),
            introspects=_introspects(asked.document),
            windows=windows(house, planned),
        )
        desk.plans.put(key, known)
    return known


def _known(picks: tuple[Pick, ...], schema: GraphQLSchema) -> tuple[Pick, ...]:
    """Without the entities that this view does not have: their names are not validated, as they come in variables."""
    names = entities.known(schema)
    return tuple(
        replace(pick, picks={name: below for name, below in pick.picks.items() if name in names})
        if pick.field == entities.ENTITIES
        else pick
        for pick in picks
    )


def _explained(house: House, caller: Caller, compiled: Compiled, run: Fetching) -> dict[str, Any]:
    shows_sql = decide(house.rules, explained.SQL, caller.groups).allowed
    return explained.explained(compiled.plan, run, sql=shows_sql)


def denials(house: House, compiled: Compiled, values: Mapping[str, Any]) -> list[Fault]:
    picks, verdicts = by_number(compiled.picks), compiled.verdicts
    denied = [number for number in picks if number in verdicts and not verdicts[number].allowed]
    return [
        *(forbidden(house.rules, picks[number], verdicts[number], None) for number in denied),
        *(
            forbidden_rows(house.rules, each.type, verdict, None)
            for each, verdict in shut(compiled.plan, values)
            if may_tell(house, each.type, verdict)
        ),
    ]


def _introspects(document: Document) -> bool:
    return INTROSPECTING.search(document.text) is not None


def _introspected(view: View, asked: Asked, question: Question, data: dict[str, Any]) -> dict[str, Any]:
    """The data with what it asks of the schema itself, which graphql-core answers; keys in the order asked."""
    found = execute_sync(
        view.schema,
        asked.document.node,
        {entities.SERVICE: {"sdl": lambda _: view.service and view.service()}, entities.ENTITIES: ()},
        variable_values=dict(question.variables),
        operation_name=asked.operation.name.value if asked.operation.name else None,
    ).data
    return {key: data.get(key, value) for key, value in (found or {}).items()}
