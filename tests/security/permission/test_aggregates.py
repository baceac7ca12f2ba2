"""A guarded field is guarded in every sum, group, order and filter: the ways to look at it are walked, not listed."""

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
from onedoor.query.audited import RequestFacts, build_audit_record, classify_outcome
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from tests import acme, changed
from tests.acme import GROUP_NAMES
from tests.query.pushdown.strict import Strict
from tests.security.permission.ways import Way, looking, ways


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
EACH = [pytest.param(each, id=each.name) for each in GUARDED]


@cache
def standing() -> Catalog:
    return acme.house(limits=Limits(cost_max=10**9))


@pytest.fixture
def read() -> dict[str, Strict]:
    """The sources of the small Acme, which keep what they were asked."""
    kept = changed.changes(standing().mappings, acme.sources())
    return {name: Strict(memory) for name, memory in {**acme.sources(), HISTORY_CONNECTOR: kept}.items()}


@pytest.fixture
def desk(read: dict[str, Strict]) -> QueryEngine:
    return acme.opened(replace(standing(), connectors={**standing().connectors, **read}))


def asked(read: dict[str, Strict], guarded: Guarded) -> list[Any]:
    """The asks that name the column: shown, measured, grouped by, filtered by or ordered by, also through a link."""
    told = ((each, repr(each)) for source in read.values() for each in source.asked)
    of = [f"collection='{each}'" for each in (guarded.collection, f"{guarded.field[0]}.values")]
    return [each for each, text in told if any(one in text for one in of) and f"'{guarded.column}'" in text]


def recorded(desk: QueryEngine, groups: frozenset[str], text: str, told: ExecutionResult) -> AuditRecord:
    visit = RequestFacts(
        id="1", received_at=datetime(2026, 11, 1, tzinfo=UTC), principal=acme.caller(*groups),
        request=GraphQLRequest(query=text), client_request_id=None, status=200, bytes=0, ms=0.0,
    )  # fmt: skip
    return build_audit_record(desk, b"a key", visit, told, classify_outcome(told))


def all_ways(guarded: Guarded) -> list[Way]:
    return list(ways(standing().schema, guarded.field))


@pytest.mark.parametrize("guarded", EACH)
def test_every_position_that_bears_the_name_looks_at_the_field(guarded: Guarded) -> None:
    at = {each for each, shown in standing().policy.underlying_fields.items() if shown == guarded.field}
    assert at | {guarded.field} == looking(standing().schema, guarded.field)


@pytest.mark.parametrize("guarded", EACH)
def test_every_position_is_on_some_way(guarded: Guarded) -> None:
    assert {each.position for each in all_ways(guarded)} == looking(standing().schema, guarded.field)


@pytest.mark.parametrize("guarded", EACH)
async def test_every_way_is_forbidden_to_who_may_not_see_the_field_and_never_read(
    desk: QueryEngine, read: dict[str, Strict], guarded: Guarded
) -> None:
    wrong, found = [], set[SchemaCoordinate]()
    for way in all_ways(guarded):
        answer = await acme.ask(desk, way.text, *guarded.outsiders)
        positions = [tuple(each.extensions["position"].split(".")) for each in answer.errors if each.extensions]
        codes = {each.code for each in answer.errors}
        if (codes != {ErrorCode.FORBIDDEN} and (way.named or codes or shows(answer.data, guarded))) or asked(
            read, guarded
        ):
            wrong.append((way.text, [each.message for each in answer.errors], asked(read, guarded)))
        found.update(positions)  # type: ignore[arg-type]
        for source in read.values():
            source.asked.clear()
    assert wrong == []
    assert {each for each in looking(standing().schema, guarded.field) - found if not shows_a_key(each)} == set()


def shows(data: Any, guarded: Guarded) -> bool:
    """Whether the field stands anywhere in the data, null or not: where no row has it, nothing was withheld."""
    match data:
        case dict():
            return guarded.field[1] in data or any(shows(each, guarded) for each in data.values())
        case list():
            return any(shows(each, guarded) for each in data)
    return False


def shows_a_key(position: SchemaCoordinate) -> bool:
    """A key is shown only of groups by it, and these are forbidden before it."""
    return position[0].endswith("GroupKey")


@pytest.mark.parametrize("guarded", EACH)
async def test_every_way_is_open_to_who_may_see_the_field_and_told_of_it_in_the_record(
    desk: QueryEngine, guarded: Guarded
) -> None:
    wrong = []
    for way in (each for each in all_ways(guarded) if each.meant):
        answer = await acme.ask(desk, way.text, *GROUP_NAMES)
        kept = recorded(desk, GROUP_NAMES, way.text, answer)
        told = kept.fields_used if way.named else kept.fields
        if answer.errors or guarded.name not in told:
            wrong.append((way.text, [each.message for each in answer.errors], told))
    assert wrong == []


@pytest.mark.parametrize("guarded", EACH)
async def test_a_record_of_a_forbidden_way_tells_what_was_withheld_and_not_that_it_was_seen(
    desk: QueryEngine, guarded: Guarded
) -> None:
    wrong = []
    for way in all_ways(guarded):
        answer = await acme.ask(desk, way.text, *guarded.outsiders)
        kept = recorded(desk, guarded.outsiders, way.text, answer)
        if guarded.name in (*kept.fields, *kept.fields_used) or not kept.withheld:
            wrong.append((way.text, kept.fields, kept.fields_used, kept.withheld))
    assert wrong == []
