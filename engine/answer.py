"""A request's way, in order: admit, select, permit, plan, fetch, render. The first file to read.

The door finds the caller before, and records and sends after.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLSchema, OperationDefinitionNode, execute_sync

from auth.caller import Caller
from auth.decide import decide
from auth.rules import Requirement, fingerprint
from engine import errand, explained, guard
from engine.admit import Document, admit, operation
from engine.bind import bound
from engine.cache.key import scope
from engine.cache.through import Cache, Reader, present
from engine.cost import cost
from engine.errand import Errand, Waiter
from engine.errors import Code, Fault, Refused
from engine.explained import Wish
from engine.faults import forbidden
from engine.fetch.fetch import fetch
from engine.fetch.words import Call, Fetching
from engine.freshness import freshness
from engine.guard import Guard
from engine.house import House
from engine.least import Least
from engine.permit import Verdicts, permit
from engine.plan.plan import plan
from engine.plan.words import Plan
from engine.quota import READS, Quotas
from engine.render.render import Shown, by_number, faults, render, shown
from engine.select import Pick, Variables, select, variables
from engine.slots import shape, within
from engine.words import Source

DOCUMENTS = 256
PLANS = 1024
VIEWS = 1000
INTROSPECTING = re.compile(r"__(schema|type)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a client asks."""

    text: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """The request's own, from `extensions.onedoor`."""
    document: str | None = None
    """The digest by which the text was asked for, where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What callers with the same groups share: the requirements they meet, and the schema as they may know it."""

    met: frozenset[Requirement]
    scope: str
    """What of this is part of the key of all they read."""
    schema: GraphQLSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a question comes to for all callers with the same permissions."""

    picks: tuple[Pick, ...]
    verdicts: Verdicts
    plan: Plan
    shown: Shown
    introspects: bool


@dataclass(slots=True, kw_only=True)
class Answer:
    """What a client is told, and what the record says of it; filled stage by stage."""

    data: dict[str, Any] | None = None
    faults: Sequence[Fault] = ()
    refused: bool = False
    planned: bool = False
    """Only its plan was asked for, so there is no data."""
    document: Document | None = None
    operation: OperationDefinitionNode | None = None
    compiled: Compiled | None = None
    calls: list[Call] = field(default_factory=list)
    extensions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A house and what it remembers between requests."""

    house: House
    guards: Mapping[str, Guard]
    personal: Callable[[Caller], Mapping[str, Source]]
    """Sources made anew for each request, of the caller alone."""
    clock: Callable[[], float]
    cache: Cache | None
    """What was read a moment ago; None: nothing is kept."""
    documents: Least[Any, Document]
    plans: Least[Any, Compiled]
    views: Least[frozenset[str], View]
    """By groups held."""
    texts: Least[str, Mapping[str, Any]]
    """What records say of a document, by its text."""


def desk(
    house: House,
    personal: Callable[[Caller], Mapping[str, Source]],
    clock: Callable[[], float],
    cache: Cache | None = None,
    quotas: Mapping[str, Quotas] | None = None,
) -> Desk:
    reads = {name: each.of(READS) for name, each in (quotas or {}).items()}
    return Desk(
        house=house,
        guards={
            name: guard.guard(name, source, house.limits, clock, reads.get(name))
            for name, source in house.sources.items()
        },
        personal=personal,
        clock=clock,
        cache=cache,
        documents=Least(DOCUMENTS),
        plans=Least(PLANS),
        views=Least(VIEWS),
        texts=Least(DOCUMENTS),
    )


async def answer(desk: Desk, caller: Caller, question: Question, told: Answer) -> None:
    """Fills `told` stage by stage, so that whatever stops a request, its record says how far it came."""
    try:
        async with asyncio.timeout(desk.house.limits.request_seconds) as deadline:
            waiter = Waiter(person=caller.person_id, until=deadline.when() or 0.0)
            with errand.on(Errand(waiters=[waiter])):
                await _answered(desk, caller, question, told)
    except Refused as refusal:
        told.faults, told.refused = refusal.faults, True
    except TimeoutError:
        limit = f"the limit `request_seconds` of {desk.house.limits.request_seconds:g}"
        told.data = None
        told.faults = (Fault(code=Code.LIMIT_EXCEEDED, message=f"the answer took longer than {limit}, ask for less"),)


async def _answered(desk: Desk, caller: Caller, question: Question, told: Answer) -> None:
    house, view = desk.house, _view(desk, caller.groups)
    told.document = _admitted(desk, view, question.text)
    told.operation = operation(told.document, question.operation)
    within(question.variables, house.limits.in_max)
    given = variables(view.schema, told.operation, question.variables)
    told.compiled = compiled = _compiled(desk, caller, view.met, told.document, told.operation, given)
    if question.options.get("allOrNothing") and (denied := _denied(house, compiled)):
        told.faults, told.refused = denied, True
        return
    values = bound(house, compiled.plan, given.values)
    weighed = cost(house, compiled.plan, given.values)
    if question.options.get("cost"):
        told.extensions["cost"] = weighed
    wish = explained.wish(question.options)
    run = Fetching(guards=_readers(desk, view, caller), values=values, calls=told.calls, limits=house.limits)
    if wish is Wish.ONLY:
        told.planned, told.faults = True, _denied(house, compiled)
        told.extensions["plan"] = _explained(house, caller, compiled, run)
        return
    if wish:
        run.seen = []
    try:
        results = await fetch(run, compiled.plan)
    finally:
        if wish:
            told.extensions["plan"] = _explained(house, caller, compiled, run)
    if question.options.get("freshness"):
        told.extensions["freshness"] = freshness(told.calls, desk.cache.now() if desk.cache else present())
    told.data, noted = render(house, compiled.shown, results, values)
    told.faults = faults(house, compiled.picks, compiled.verdicts, results, noted)
    if compiled.introspects and told.data is not None:
        told.data = _introspected(view.schema, told.document, told.operation, question, told.data)


def _view(desk: Desk, groups: frozenset[str]) -> View:
    known = desk.views.get(groups)
    if known is None:
        house = desk.house
        met = fingerprint(house.rules, groups)
        schema = house.view(groups) if house.view else house.schema
        known = View(met=met, scope=scope(met, house.version), schema=schema)
        desk.views.put(groups, known)
    return known


def _admitted(desk: Desk, view: View, text: str) -> Document:
    key = (text, view.met) if desk.house.view else text
    known = desk.documents.get(key)
    if known is None:
        known = admit(view.schema, text, desk.house.limits)
        desk.documents.put(key, known)
    return known


def _compiled(
    desk: Desk,
    caller: Caller,
    met: frozenset[Requirement],
    document: Document,
    wanted: OperationDefinitionNode,
    given: Variables,
) -> Compiled:
    """From the cache where the same was asked with the same permissions and the same shape of variables."""
    house = desk.house
    name = wanted.name.value if wanted.name else None
    key = (document.text, name, met, house.version, shape(dict(given.slots)))
    known = desk.plans.get(key)
    if known is None:
        picks = select(house.schema, document, wanted, given, house.limits)
        verdicts = permit(house.schema, house.rules, picks, caller.groups)
        planned = plan(house, picks, verdicts)
        known = Compiled(
            picks=picks,
            verdicts=verdicts,
            plan=planned,
            shown=shown(picks, verdicts, planned),
            introspects=_introspects(document),
        )
        desk.plans.put(key, known)
    return known


def _explained(house: House, caller: Caller, compiled: Compiled, run: Fetching) -> dict[str, Any]:
    shows_sql = decide(house.rules, explained.SQL, caller.groups).allowed
    return explained.explained(compiled.plan, run, sql=shows_sql)


def _denied(house: House, compiled: Compiled) -> list[Fault]:
    picks = by_number(compiled.picks)
    denied = {number: verdict for number, verdict in sorted(compiled.verdicts.items()) if not verdict.allowed}
    return [forbidden(house.rules, picks[number], verdict, None) for number, verdict in denied.items()]


def _readers(desk: Desk, view: View, caller: Caller) -> dict[str, Reader]:
    """Of what is the caller's own nothing is kept."""
    own = desk.personal(caller)
    made = {name: guard.guard(name, source, desk.house.limits, desk.clock) for name, source in own.items()}
    return {
        **{name: Reader(guard=each, scope=view.scope, cache=desk.cache) for name, each in desk.guards.items()},
        **{name: Reader(guard=each) for name, each in made.items()},
    }


def _introspects(document: Document) -> bool:
    return INTROSPECTING.search(document.text) is not None


def _introspected(
    schema: GraphQLSchema, document: Document, wanted: OperationDefinitionNode, question: Question, data: dict[str, Any]
) -> dict[str, Any]:
    """The data with what it asks of the schema itself, which graphql-core answers; keys in the order asked."""
    found = execute_sync(
        schema,
        document.node,
        variable_values=dict(question.variables),
        operation_name=wanted.name.value if wanted.name else None,
    ).data
    return {key: data.get(key, value) for key, value in (found or {}).items()}
