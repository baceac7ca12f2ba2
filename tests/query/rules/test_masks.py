"""Whoever sees a field masked is shown a part of each value, and can use none of it anywhere else."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from auth.authentication import Principal
from onedoor.mapping import bucket, domain, keyed_hash, last, year
from onedoor.model.masks import Mask, compile_mask, derive_mask_key, select_mask
from onedoor.query.context import GraphQLRequest
from onedoor.query.engine import execute
from tests import acme
from tests.query.rules.world import DESK, STAFF, VENDOR, World, person

IN_MODULE = pytest.mark.asyncio(loop_scope="module")
SHOWN = "{ accounts { nodes { id phone email band } } }"
STAFF_ALONE = frozenset({"staff"})
FORBIDDEN_TO_DESK = "`{}` is for staff; ask tests for it"


@pytest.mark.parametrize(
    ("mask", "value", "shown"),
    [
        pytest.param(last(4), "+43 1 5551234", "••••1234", id="last four"),
        pytest.param(last(4), "1234", "••••", id="last four of four"),
        pytest.param(last(4), "", "••••", id="last four of nothing"),
        pytest.param(domain(), "ada@a.example", "••••@a.example", id="domain"),
        pytest.param(domain(), '"a@b"@c.example', "••••@c.example", id="domain after a quoted at"),
        pytest.param(domain(), "nobody", "••••", id="no domain"),
        pytest.param(year(), date(1980, 12, 31), "1980", id="year of a day"),
        pytest.param(year(), datetime(2026, 12, 31, 23, tzinfo=UTC), "2026", id="year of a time"),
        pytest.param(bucket(1000), 2500, "2000 to less than 3000", id="bucket"),
        pytest.param(bucket(1000), -1, "-1000 to less than 0", id="bucket below zero"),
        pytest.param(bucket(1000), Decimal("3000.00"), "3000 to less than 4000", id="bucket of its start"),
        pytest.param(bucket("0.5"), 0.7, "0.5 to less than 1.0", id="bucket of a float"),
        pytest.param(bucket(10), float("inf"), None, id="bucket of no number"),
    ],
)
def test_a_mask_shows_a_part_of_a_value(mask: Mask, value: Any, shown: str | None) -> None:
    assert mask.build(b"key")(value) == shown


def test_null_stays_null_under_a_mask() -> None:
    assert compile_mask(last(2).build(b"key"))([("abcd",), (None,)]) == ["••••cd", None]


def test_a_keyed_hash_tells_equal_values_of_one_field_alone() -> None:
    one, other = (keyed_hash().build(derive_mask_key(b"pepper", "Account", field)) for field in ("phone", "email"))
    assert (one("a") == one("a"), one("a") == one("b"), one("a") == other("a")) == (True, False, False)
    assert one(Decimal("1.0")) == one(Decimal("1.00"))


@pytest.mark.parametrize(
    ("masks", "least"),
    [
        ({"a": last(2), "b": last(4)}, last(4)),
        ({"a": last(2), "b": keyed_hash()}, last(2)),
        ({"a": bucket(10), "b": bucket(1000)}, bucket(10)),
        ({"a": keyed_hash(), "b": domain()}, domain()),
    ],
    ids=str,
)
def test_a_person_gets_the_mask_that_hides_least(masks: dict[str, Mask], least: Mask) -> None:
    assert select_mask(masks, frozenset({"a", "b"})) == least


@IN_MODULE
@pytest.mark.parametrize(
    ("who", "first"),
    [
        pytest.param(STAFF, ("+43 1 5551234", "ada@a.example", "2500"), id="as they are"),
        pytest.param(DESK, ("••••1234", "••••ple", "2000 to less than 3000"), id="masked"),
        pytest.param(VENDOR, ("••••34", None, "0 to less than 10000"), id="masked otherwise, and one denied"),
        pytest.param(
            person("desk", "vendor", region="EU"), ("••••1234", "••••ple", "2000 to less than 3000"), id="least masked"
        ),
        pytest.param(person("desk", "staff"), ("+43 1 5551234", "ada@a.example", "2500"), id="not masked by one group"),
    ],
)
async def test_a_masked_field_shows_what_its_reader_may_see(world: World, who: Principal, first: Any) -> None:
    answer = await world.ask(who, SHOWN)
    assert answer.data is not None
    shown = answer.data["accounts"]["nodes"][0]
    assert (shown["phone"], shown["email"], shown["band"]) == first


@IN_MODULE
async def test_a_field_that_is_masked_for_others_is_null_where_its_column_is(world: World) -> None:
    answer = await world.ask(STAFF, '{ account(id: "3") { phone band } }')
    assert answer.data == {"account": {"phone": None, "band": None}}


USES = {
    "filter": ('accounts(where: {phone: {endsWith: "4"}}) { totalCount }', "AccountWhere.phone"),
    "filter for null": ("accounts(where: {phone: {isNull: true}}) { totalCount }", "AccountWhere.phone"),
    "filter below and": ('accounts(where: {and: [{phone: {eq: "1"}}]}) { totalCount }', "AccountWhere.phone"),
    "filter through a link": ('deals(where: {account: {phone: {eq: "1"}}}) { totalCount }', "AccountWhere.phone"),
    "order": ("accounts(orderBy: [{phone: ASC}]) { totalCount }", "AccountOrder.phone"),
    "order through a link": ("deals(orderBy: [{account: {phone: ASC}}]) { totalCount }", "AccountOrder.phone"),
    "group": ("accounts { groups(by: [{phone: VALUE}]) { aggregate { count } } }", "AccountGroupBy.phone"),
    "group through a link": (
        "deals { groups(by: [{account: {phone: VALUE}}]) { aggregate { count } } }",
        "AccountGroupBy.phone",
    ),
    "aggregate": ("accounts { aggregate { max { phone } } }", "AccountMaximum.phone"),
    "count of distinct values": ("accounts { aggregate { countDistinct { phone } } }", "AccountCountDistinct.phone"),
    "having": (
        'accounts { groups(by: [{region: VALUE}], having: {max: {phone: {gt: "1"}}}) { aggregate { count } } }',
        "AccountMaximumHaving.phone",
    ),
    "history": ("accountChanges { nodes { after { phone } } }", "AccountValues.phone"),
    "filter by history": (
        'accountChanges(where: {after: {phone: {eq: "1"}}}) { totalCount }',
        "AccountValuesWhere.phone",
    ),
}


@IN_MODULE
@pytest.mark.parametrize("use", USES)
async def test_a_masked_field_cannot_be_used(world: World, use: str) -> None:
    text, coordinate = USES[use]
    allowed, refused = await world.ask(STAFF, f"{{ {text} }}"), await world.ask(DESK, f"{{ {text} }}")
    assert allowed.errors == []
    assert refused.cached_plan is not None
    denied = [decision for decision in refused.cached_plan.decisions.values() if not decision.allowed]
    assert [(".".join(decision.coordinate), decision.unmet) for decision in denied] == [(coordinate, (STAFF_ALONE,))]


@IN_MODULE
@pytest.mark.parametrize("text", ["{ accounts { nodes { id phone } } }", "{ deals { nodes { account { phone } } } }"])
async def test_a_masked_field_is_denied_where_its_values_are_kept(world: World, text: str) -> None:
    kept = await execute(world.engine, DESK, GraphQLRequest(query=text), record=acme.RECORD, keeps_values=True)
    shown = await world.ask(DESK, text)
    assert ([error.message for error in kept.errors], shown.errors) == ([FORBIDDEN_TO_DESK.format("Account.phone")], [])


@IN_MODULE
async def test_a_link_by_a_masked_column_still_leads_on(world: World) -> None:
    answer = await world.ask(DESK, '{ account(id: "1") { phone deals { nodes { title } } } }')
    assert answer.data == {"account": {"phone": "••••1234", "deals": {"nodes": [{"title": "red"}]}}}
