"""What a question may return is weighed as it will be run: no way of writing it costs less, none is left out."""

from collections.abc import Mapping
from typing import Any

import pytest

from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.query.engine import execute
from tests.acme import ask, caller, house, opened
from tests.http.conftest import Door
from tests.properties.reference.capabilities import kept
from tests.properties.reference.questions import questions
from tests.properties.reference.world import WORLDS

INNER = "{ nodes { orders(first: 250) { nodes { id } } } }"
OVER = 1000 * 251
"""Objects of 1000 customers with 250 orders each, past `cost_max`."""
QUESTIONS = 60
SEED = 20261102


@pytest.fixture(scope="module")
def at() -> QueryEngine:
    return opened(house())


async def weighed(at: QueryEngine, text: str, operation: str | None = None, **variables: Any) -> ExecutionResult:
    question = GraphQLRequest(query=text, variables=variables, operation_name=operation, extensions={"cost": True})
    return await execute(at, caller("sales"), question)


EVASIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "a variable": (f"query($n: Int) {{ customers(first: $n) {INNER} }}", {"n": 1000}),
    "a default": (f"query($n: Int = 1000) {{ customers(first: $n) {INNER} }}", {}),
    "a default that is not overridden with less": (
        f"query($n: Int = 1) {{ customers(first: $n) {INNER} }}",
        {"n": 1000},
    ),
    "last": (f"{{ customers(last: 1000) {INNER} }}", {}),
    "a variable below": (
        "query($n: Int) { customers(first: 1000) { nodes { orders(first: $n) { nodes { id } } } } }",
        {"n": 250},
    ),
    "a fragment": (f"{{ ...f }} fragment f on Query {{ customers(first: 1000) {INNER} }}", {}),
    "a fragment below": (
        "{ customers(first: 1000) { nodes { ...f } } } fragment f on Customer { orders(first: 250) { nodes { id } } }",
        {},
    ),
    "an inline fragment": (f"{{ ... {{ customers(first: 1000) {INNER} }} }}", {}),
    "edges": ("{ customers(first: 1000) { edges { node { orders(first: 250) { edges { node { id } } } } } } }", {}),
    "an alias": (f"{{ a: customers(first: 1000) {INNER} }}", {}),
    "ten aliases": (
        "{ "
        + " ".join(
            f"a{number}: customers(first: 100) {{ nodes {{ orders(first: 250) {{ nodes {{ id }} }} }} }}"
            for number in range(10)
        )
        + " }",
        {},
    ),
    "included": (f"query($y: Boolean!) {{ customers(first: 1000) @include(if: $y) {INNER} }}", {"y": True}),
    "another part left out": (
        f"query($y: Boolean!) {{ customers(first: 1) @skip(if: $y) {{ totalCount }} b: customers(first: 1000) {INNER}"
        " }",
        {"y": True},
    ),
}


@pytest.mark.parametrize(("text", "variables"), EVASIONS.values(), ids=EVASIONS)
async def test_however_it_is_written_it_costs_the_same_and_is_not_fetched(
    at: QueryEngine, text: str, variables: Mapping[str, Any]
) -> None:
    told = await weighed(at, text, **variables)
    (fault,) = told.errors
    assert (told.rejected, list(told.scan_stats), fault.code) == (True, [], "LIMIT_EXCEEDED")
    found = int(fault.message.removeprefix("the request may return ").partition(" ")[0])
    assert abs(found - OVER) <= 1000


async def test_what_is_left_out_costs_nothing_whatever_its_twin_of_before_cost(at: QueryEngine) -> None:
    text = "query($y: Boolean!) { customers(first: 900) @include(if: $y) { nodes { id } } me { id } }"
    costs = [(await weighed(at, text, y=y)).extensions["cost"] for y in (False, True, False)]
    assert costs == [1, 901, 1]


async def test_the_operation_that_is_run_is_the_one_weighed(at: QueryEngine) -> None:
    text = f"query Small {{ me {{ id }} }} query Large {{ customers(first: 1000) {INNER} }}"
    small, large = await weighed(at, text, "Small"), await weighed(at, text, "Large")
    assert (small.extensions["cost"], small.rejected, large.rejected) == (1, False, True)


async def test_a_list_without_a_size_has_one(at: QueryEngine) -> None:
    told = await weighed(at, "{ customers { nodes { orders { nodes { items { nodes { id } } } } } } }")
    assert told.extensions["cost"] == 20 * (1 + 20 * (1 + 20))


async def test_random_questions_return_no_more_than_they_cost() -> None:
    held = 0
    for asked in questions(QUESTIONS, SEED):
        desk = kept("real", WORLDS[asked.world.name])
        told = await ask(desk, asked.text, *asked.groups, variables=asked.given(0), cost=True)
        if "cost" in told.extensions:
            assert rows(told.data) <= told.extensions["cost"], asked.text
            held += rows(told.data) > 0
    assert held >= 0.3 * QUESTIONS


def rows(value: Any) -> int:
    """Rows in a reply: of a connection that shows them both as nodes and as edges, those of one of the two."""
    if isinstance(value, list):
        return sum(1 + rows(each) for each in value if isinstance(each, dict))
    if not isinstance(value, dict):
        return 0
    if any(isinstance(each, list) for each in value.values()):
        return max(rows(each) for each in value.values() if isinstance(each, list))
    return sum(rows(each) for each in value.values())


BATCHES = {
    "of none": [],
    "of one": [{"query": "{ __typename }"}],
    "of many": [{"query": "{ __typename }"}] * 1000,
}


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
async def test_a_batch_is_refused_whole(door: Door, batch: list[Any]) -> None:
    told = await door.send(json=batch, headers=door.bearer("sales"))
    (record,) = door.records()
    assert (told.status, told.code, record["outcome"], record["fields"]) == (400, "BAD_REQUEST", "refused", [])
