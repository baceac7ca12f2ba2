"""A guarded field is guarded in every sum, group, order and filter; the tests walk the ways to look at it."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from auth.policy import SchemaCoordinate
from onedoor.audit.record import AuditRecord
from onedoor.errors import ErrorCode
from onedoor.model.catalog import Catalog, Limits
from onedoor.mutations.history import HISTORY_CONNECTOR
from onedoor.query.audited import classify_outcome
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.query.request_record import RequestFacts, build_audit_record
from tests import acme, change_history
from tests.acme import GROUP_NAMES
from tests.query.pushdown.strict import Strict
from tests.security.permission.access_paths import LOGIC, Way, list_ways, looking


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A field that not all who see its type may see, and the column it is kept in."""

    field: SchemaCoordinate
    collection: str
    column: str
    groups: frozenset[str]
    """Any of these will do."""

    @property
    def outsiders(self) -> frozenset[str]:
        return GROUP_NAMES - self.groups

    @property
    def name(self) -> str:
        return ".".join(self.field)


GUARDED = [
    Guarded(field=tuple(field.split(".")), collection=collection, column=column, groups=frozenset(groups.split()))
    for field, collection, column, groups in (
        ("Customer.creditLimit", "customer", "credit_limit", "finance"),
        ("Customer.email", "customer", "email", "finance sales support"),
        ("Customer.phone", "customer", "phone", "sales support"),
        ("Employee.hiredOn", "employee", "hired_on", "people"),
        ("Employee.salary", "employee", "salary", "finance people"),
        ("RevenueMonth.refunds", "revenue_month", "refunds", "finance"),
    )
]
EACH = [pytest.param(item, id=item.name) for item in GUARDED]
WAYS = pytest.mark.parametrize("chosen", ["some", pytest.param("every", marks=pytest.mark.long)])
SOME = 5


@cache
def cached_catalog() -> Catalog:
    return acme.build_catalog(limits=Limits(cost_max=10**9))


@pytest.fixture
def recorded_sources() -> dict[str, Strict]:
    """The sources of the small Acme, which keep what they were asked."""
    result = change_history.build_change_history(cached_catalog().mappings, acme.sources())
    return {name: Strict(memory) for name, memory in {**acme.sources(), HISTORY_CONNECTOR: result}.items()}


@pytest.fixture
def engine(recorded_sources: dict[str, Strict]) -> QueryEngine:
    return acme.open_engine(replace(cached_catalog(), connectors={**cached_catalog().connectors, **recorded_sources}))


def list_requests_of(recorded_sources: dict[str, Strict], guarded: Guarded) -> list[Any]:
    """The asks that name the column: shown, measured, grouped by, filtered by or ordered by, also through a link."""
    result = (
        (scan_request, repr(scan_request)) for source in recorded_sources.values() for scan_request in source.requests
    )
    of = [f"collection='{item}'" for item in (guarded.collection, f"{guarded.field[0]}.values")]
    return [item for item, text in result if any(one in text for one in of) and f"'{guarded.column}'" in text]


def recorded(engine: QueryEngine, groups: frozenset[str], text: str, told: ExecutionResult) -> AuditRecord:
    visit = RequestFacts(
        id="1", received_at=datetime(2026, 11, 1, tzinfo=UTC), principal=acme.caller(*groups),
        request=GraphQLRequest(query=text), client_request_id=None, status=200, bytes=0, ms=0.0,
    )  # fmt: skip
    return build_audit_record(engine, b"a key", visit, told, classify_outcome(told))


@cache
def all_ways(guarded: Guarded) -> Sequence[Way]:
    return tuple(list_ways(cached_catalog().schema, guarded.field))


def some_ways(guarded: Guarded) -> Sequence[Way]:
    """Return every fifth of the ways of each kind, which differ in their root and in `and`, `or` and `not`."""
    kinds = defaultdict[tuple[Any, ...], list[Way]](list)
    for way in all_ways(guarded):
        kinds[way.position, way.named_in, way.meant].append(way)
    return [way for number, ways in enumerate(kinds.values()) for way in ways[number % min(SOME, len(ways)) :: SOME]]


CHOSEN = {"some": some_ways, "every": all_ways}


@pytest.mark.parametrize("guarded", EACH)
def test_every_position_that_bears_the_name_looks_at_the_field(guarded: Guarded) -> None:
    names = {name for name, shown in cached_catalog().policy.underlying_fields.items() if shown == guarded.field}
    assert names | {guarded.field} == looking(cached_catalog().schema, guarded.field)


@pytest.mark.parametrize("guarded", EACH)
def test_every_position_and_every_root_is_on_some_way(guarded: Guarded) -> None:
    assert {way.position for way in some_ways(guarded)} == looking(cached_catalog().schema, guarded.field)
    assert {get_root(way) for way in some_ways(guarded)} == {get_root(way) for way in all_ways(guarded)}
    assert {word for word in LOGIC for way in some_ways(guarded) if f"{{{word}: " in way.text} == LOGIC


def get_root(way: Way) -> str:
    return re.findall(r"\w+", way.text)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A query that looks at a field its caller may not see, and what came of it."""

    way: Way
    answer: ExecutionResult
    record: AuditRecord
    requests: list[Any]
    """What the field's source was asked of its column."""


ATTEMPTS: dict[tuple[str, str], list[Attempt]] = {}


@pytest.fixture
async def attempts(
    engine: QueryEngine, recorded_sources: dict[str, Strict], guarded: Guarded, chosen: str
) -> list[Attempt]:
    """Ways to look at a field, once tried by those who may not; the tests look at different sides of it."""
    if (guarded.name, chosen) not in ATTEMPTS:
        tried = []
        for way in CHOSEN[chosen](guarded):
            answer = await acme.ask(engine, way.text, *guarded.outsiders)
            record = recorded(engine, guarded.outsiders, way.text, answer)
            requests = list_requests_of(recorded_sources, guarded)
            tried.append(Attempt(way=way, answer=answer, record=record, requests=requests))
            for source in recorded_sources.values():
                source.requests.clear()
        ATTEMPTS[guarded.name, chosen] = tried
    return ATTEMPTS[guarded.name, chosen]


@WAYS
@pytest.mark.parametrize("guarded", EACH)
def test_every_way_is_forbidden_to_who_may_not_see_the_field_and_never_read(
    attempts: list[Attempt], guarded: Guarded
) -> None:
    wrong, coordinates = [], set[SchemaCoordinate]()
    for attempt in attempts:
        way, answer = attempt.way, attempt.answer
        positions = [tuple(error.extensions["position"].split(".")) for error in answer.errors if error.extensions]
        codes = {error.code for error in answer.errors}
        leaks = codes != {ErrorCode.FORBIDDEN} and (way.named or codes or shows(answer.data, guarded))
        if leaks or attempt.requests:
            wrong.append((way.text, [error.message for error in answer.errors], attempt.requests))
        coordinates.update(positions)  # type: ignore[arg-type]
    assert wrong == []
    assert {
        item for item in looking(cached_catalog().schema, guarded.field) - coordinates if not shows_a_key(item)
    } == set()


def shows(data: Any, guarded: Guarded) -> bool:
    """Whether the field stands anywhere in the data, null or not: where no row has it, nothing was withheld."""
    match data:
        case dict():
            return guarded.field[1] in data or any(shows(item, guarded) for item in data.values())
        case list():
            return any(shows(item, guarded) for item in data)
    return False


def shows_a_key(position: SchemaCoordinate) -> bool:
    """A key is shown only of groups by it, and these are forbidden before it."""
    return position[0].endswith("GroupKey")


@WAYS
@pytest.mark.parametrize("guarded", EACH)
async def test_every_query_over_a_visible_field_is_allowed_and_recorded(
    engine: QueryEngine, guarded: Guarded, chosen: str
) -> None:
    wrong = []
    for way in (item for item in CHOSEN[chosen](guarded) if item.meant):
        answer = await acme.ask(engine, way.text, *GROUP_NAMES)
        result = recorded(engine, GROUP_NAMES, way.text, answer)
        fields_used = result.fields_used if way.named else result.fields
        if answer.errors or guarded.name not in fields_used:
            wrong.append((way.text, [error.message for error in answer.errors], fields_used))
    assert wrong == []


@WAYS
@pytest.mark.parametrize("guarded", EACH)
def test_a_record_of_a_forbidden_way_tells_what_was_withheld_and_not_that_it_was_seen(
    attempts: list[Attempt], guarded: Guarded
) -> None:
    assert [
        (attempt.way.text, attempt.record.fields, attempt.record.fields_used, attempt.record.withheld)
        for attempt in attempts
        if guarded.name in (*attempt.record.fields, *attempt.record.fields_used) or not attempt.record.withheld
    ] == []
