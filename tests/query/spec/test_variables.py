"""Coerce variables and their defaults, and apply @skip and @include (specification, sections 3.13 and 6.1.2)."""

from typing import Any

import pytest

from onedoor.errors import ErrorCode
from tests.query.spec.conftest import Ask

LISTED = "customers(first: $first, where: $where) { nodes { id } }"
GIVEN = [
    pytest.param("query($first: Int = 2) { customers(first: $first) { nodes { id } } }", {}, ["1", "2"], id="default"),
    pytest.param(
        "query($first: Int = 2) { customers(first: $first) { nodes { id } } }",
        {"first": 1},
        ["1"],
        id="given in place of the default",
    ),
    pytest.param(
        'query($first: Int = 2) { customers(first: $first, where: { id: { in: ["1", "2", "3"] } }) { nodes { id } } }',
        {"first": None},
        ["1", "2", "3"],
        id="null in place of the default",
    ),
    pytest.param(
        'query($first: Int) { customers(first: $first, where: { id: { in: ["1", "2"] } }) { nodes { id } } }',
        {},
        ["1", "2"],
        id="absent: as if the argument were",
    ),
    pytest.param(
        "query($where: CustomerWhere, $first: Int!) { " + LISTED + " }",
        {"where": {"id": {"in": ["7", "9"]}}, "first": 1},
        ["7"],
        id="an object",
    ),
    pytest.param(
        'query($where: CustomerWhere = { id: { eq: "8" } }, $first: Int) { ' + LISTED + " }",
        {},
        ["8"],
        id="an object by default",
    ),
    pytest.param(
        "query($id: ID!) { customers(where: { id: { in: [$id, 9] } }) { nodes { id } } }",
        {"id": 7},
        ["7", "9"],
        id="within a list",
    ),
    pytest.param(
        "query($ids: [ID!]!) { customers(where: { id: { in: $ids } }) { nodes { id } } }",
        {"ids": "7"},
        ["7"],
        id="a value where a list is wanted is a list of it",
    ),
    pytest.param(
        "query($all: [CustomerWhere!]) { customers(where: { and: $all }) { nodes { id } } }",
        {"all": [{"id": {"in": ["7", "9"]}}, {"country": {"eq": "FR"}}]},
        ["9"],
        id="a list of objects",
    ),
    pytest.param(
        "query($order: [CustomerOrder!]) { customers(first: 1, orderBy: $order) { nodes { id } } }",
        {"order": [{"country": "DESC"}, {"id": "DESC"}]},
        ["99"],
        id="a list of oneOf objects",
    ),
    pytest.param(
        "query($down: Direction!) { customers(first: 1, orderBy: [{ country: $down }]) { nodes { id } } }",
        {"down": "DESC"},
        ["1"],
        id="within a oneOf object",
    ),
    pytest.param(
        "query($with: Boolean!) { customers(first: 1, where: { phone: { isNull: $with } }) { nodes { id } } }",
        {"with": False},
        ["1"],
        id="a boolean that decides the filter",
    ),
]


@pytest.mark.parametrize(("text", "variables", "ids"), GIVEN)
async def test_variables_mean_what_the_same_literals_mean(
    ask: Ask, text: str, variables: dict[str, Any], ids: list[str]
) -> None:
    answer = await ask(text, variables=variables)
    assert (answer.data, answer.errors) == ({"customers": {"nodes": [{"id": id} for id in ids]}}, [])


PLACES = [
    pytest.param("country {}", id="a field"),
    pytest.param("... {} {{ country }}", id="an inline fragment"),
    pytest.param("... on Customer {} {{ country }}", id="an inline fragment with a type"),
    pytest.param("...F {}", id="a fragment's spread"),
    pytest.param("... {{ ...F {} }}", id="a spread within a fragment"),
]
CHOICES = [(skip, include) for skip in (True, False) for include in (True, False)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("skip", "include"), CHOICES)
async def test_skip_wins_over_include(ask: Ask, place: str, skip: bool, include: bool) -> None:
    wanted = place.format("@skip(if: $skip) @include(if: $include)")
    fragment = "fragment F on Customer { country }" if "...F" in wanted else ""
    text = f"query($skip: Boolean!, $include: Boolean!) {{ customer(id: 3) {{ id {wanted} }} }} {fragment}"
    answer = await ask(text, variables={"skip": skip, "include": include})
    shown = {"country": "DE"} if include and not skip else {}
    assert answer.data == {"customer": {"id": "3", **shown}}


async def test_a_field_left_out_is_not_judged_nor_fetched(ask: Ask) -> None:
    text = "query($no: Boolean = false) { me { id } requests @include(if: $no) { totalCount } }"
    answer = await ask(text, "sales")
    assert (answer.data, answer.errors, [call.source for call in answer.scan_stats]) == (
        {"me": {"id": "P1"}},
        [],
        ["caller"],
    )


async def test_a_field_skipped_in_one_place_may_be_selected_in_another(ask: Ask) -> None:
    answer = await ask("{ customer(id: 3) { id @skip(if: true) country id } }")
    assert answer.data == {"customer": {"country": "DE", "id": "3"}}


async def test_everything_may_be_left_out(ask: Ask) -> None:
    answer = await ask("{ customer(id: 3) @skip(if: true) { id } }")
    assert (answer.data, answer.rejected) == ({}, False)


WRONG = [
    pytest.param("query($x: ID!) { customer(id: $x) { id } }", {}, id="missing"),
    pytest.param("query($x: ID!) { customer(id: $x) { id } }", {"x": None}, id="null where none may be"),
    pytest.param("query($x: ID!) { customer(id: $x) { id } }", {"x": {"id": 1}}, id="an object for an id"),
    pytest.param("query($x: ID!) { customer(id: $x) { id } }", {"x": True}, id="a boolean for an id"),
    pytest.param("query($x: Int) { customers(first: $x) { totalCount } }", {"x": "1"}, id="text for a number"),
    pytest.param("query($x: Int) { customers(first: $x) { totalCount } }", {"x": 2**31}, id="past 32 bits"),
    pytest.param("query($x: Int) { customers(first: $x) { totalCount } }", {"x": 1.5}, id="half a number"),
    pytest.param(
        "query($x: CustomerWhere) { customers(where: $x) { totalCount } }",
        {"x": {"nmae": {"eq": "a"}}},
        id="an unknown field of an object",
    ),
    pytest.param(
        "query($x: [CustomerOrder!]) { customers(orderBy: $x) { totalCount } }",
        {"x": [{"id": "ASC", "name": "ASC"}]},
        id="two of a oneOf",
    ),
    pytest.param(
        "query($x: [CustomerOrder!]) { customers(orderBy: $x) { totalCount } }", {"x": [{}]}, id="none of a oneOf"
    ),
    pytest.param(
        "query($x: [CustomerOrder!]) { customers(orderBy: $x) { totalCount } }",
        {"x": [{"id": None}]},
        id="null of a oneOf",
    ),
    pytest.param(
        "query($x: Segment) { customers(where: { segment: { eq: $x } }) { totalCount } }",
        {"x": "HUGE"},
        id="no value of the enum",
    ),
    pytest.param(
        "query($x: [ID!]) { customers(where: { id: { in: $x } }) { totalCount } }",
        {"x": ["1", None]},
        id="null in a list of none",
    ),
    *(
        pytest.param(
            "query($x: Decimal) { orders(where: { total: { eq: $x } }) { totalCount } }",
            {"x": item},
            id=f"decimal {item!r}",
        )
        for item in ("1e3", "NaN", "", " 1", "1,5", 1.5, "9" * 131_073, True, "١")
    ),
    *(
        pytest.param(
            "query($x: DateTime) { orders(where: { placedAt: { eq: $x } }) { totalCount } }",
            {"x": item},
            id=f"time {item!r}",
        )
        for item in ("2026-10-31", "2026-10-31T12:00:00", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00", 1)
    ),
    *(
        pytest.param(
            "query($x: Date) { usageDays(where: { day: { eq: $x } }) { totalCount } }", {"x": item}, id=f"day {item!r}"
        )
        for item in ("2026-10-31T00:00:00Z", "2026-13-01", "20261031", "2026-W01-1", 20261031)
    ),
    *(
        pytest.param(
            "query($x: BigInt) { files(where: { size: { eq: $x } }) { totalCount } }",
            {"x": item},
            id=f"bigint {item!r}",
        )
        for item in (str(2**64), "1.0", "0x1", 1.5, False)
    ),
]


@pytest.mark.parametrize(("text", "variables"), WRONG)
async def test_a_variable_that_is_not_what_the_operation_says_is_refused(
    ask: Ask, text: str, variables: dict[str, Any]
) -> None:
    answer = await ask(text, variables=variables)
    (fault,) = answer.errors
    assert (fault.code, [*fault.locations], answer.data, answer.scan_stats) == (
        ErrorCode.BAD_USER_INPUT,
        [{"line": 1, "column": 7}],
        None,
        [],
    )


async def test_a_store_that_a_variable_names_beside_others_is_read(ask: Ask) -> None:
    text = "query($store: Store!) { files(where: { store: { in: [FOLDER, $store] } }, first: 1) { totalCount } }"
    both = await ask(text, variables={"store": "S3"})
    result = await ask(text, variables={"store": "FOLDER"})
    assert (both.errors, result.errors) == ([], [])
    assert both.data["files"]["totalCount"] > result.data["files"]["totalCount"] > 0  # type: ignore[index]
