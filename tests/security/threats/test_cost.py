"""The cost of an operation bounds what it returns; no form of it costs less."""

from collections.abc import Mapping
from typing import Any

import pytest

from onedoor.errors import ErrorCode
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.query.engine import execute
from tests.acme import ask, build_catalog, caller, open_engine
from tests.http.conftest import RunningServer
from tests.properties.reference.capabilities import get_engine
from tests.properties.reference.questions import questions
from tests.properties.reference.world import WORLDS

INNER = "{ nodes { orders(first: 250) { nodes { id } } } }"
OVER = 1000 * 251
"""Objects of 1000 customers with 250 orders each, past `cost_max`."""
QUESTIONS = 60
SEED = 20261102


@pytest.fixture(scope="module")
def engine() -> QueryEngine:
    return open_engine(build_catalog())


async def weighed(engine: QueryEngine, text: str, operation: str | None = None, **variables: Any) -> ExecutionResult:
    question = GraphQLRequest(query=text, variables=variables, operation_name=operation, extensions={"cost": True})
    return await execute(engine, caller("sales"), question)


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
async def test_every_form_of_a_query_over_the_limit_costs_the_same_and_is_not_executed(
    engine: QueryEngine, text: str, variables: Mapping[str, Any]
) -> None:
    result = await weighed(engine, text, **variables)
    (fault,) = result.errors
    assert (result.rejected, list(result.scan_stats), fault.code) == (True, [], "LIMIT_EXCEEDED")
    estimate = int(fault.message.removeprefix("the request may return ").partition(" ")[0])
    assert abs(estimate - OVER) <= 1000


async def test_a_skipped_field_costs_nothing_whatever_the_cached_plan_cost(engine: QueryEngine) -> None:
    text = "query($y: Boolean!) { customers(first: 900) @include(if: $y) { nodes { id } } me { id } }"
    costs = [(await weighed(engine, text, y=y)).extensions["cost"] for y in (False, True, False)]
    assert costs == [1, 901, 1]


async def test_the_operation_that_is_run_is_the_one_weighed(engine: QueryEngine) -> None:
    text = f"query Small {{ me {{ id }} }} query Large {{ customers(first: 1000) {INNER} }}"
    small, large = await weighed(engine, text, "Small"), await weighed(engine, text, "Large")
    assert (small.extensions["cost"], small.rejected, large.rejected) == (1, False, True)


async def test_a_list_without_a_size_has_one(engine: QueryEngine) -> None:
    result = await weighed(engine, "{ customers { nodes { orders { nodes { items { nodes { id } } } } } } }")
    assert result.extensions["cost"] == 20 * (1 + 20 * (1 + 20))


async def test_random_questions_return_no_more_than_they_cost() -> None:
    held = 0
    for question in questions(QUESTIONS, SEED):
        engine = get_engine("real", WORLDS[question.world.name])
        result = await ask(engine, question.text, *question.groups, variables=question.given(0), cost=True)
        if "cost" in result.extensions:
            assert rows(result.data) <= result.extensions["cost"], question.text
            held += rows(result.data) > 0
    assert held >= 0.3 * QUESTIONS


def rows(value: Any) -> int:
    """Rows in a reply: of a connection that shows them both as nodes and as edges, those of one of the two."""
    if isinstance(value, list):
        return sum(1 + rows(item) for item in value if isinstance(item, dict))
    if not isinstance(value, dict):
        return 0
    if any(isinstance(item, list) for item in value.values()):
        return max(rows(item) for item in value.values() if isinstance(item, list))
    return sum(rows(item) for item in value.values())


BATCHES = {
    "of none": [],
    "of one": [{"query": "{ __typename }"}],
    "of many": [{"query": "{ __typename }"}] * 1000,
}


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
async def test_a_batch_is_refused_whole(server: RunningServer, batch: list[Any]) -> None:
    response = await server.send(json=batch, headers=server.bearer("sales"))
    (record,) = server.records()
    assert (response.status, response.code, record["outcome"], record["fields"]) == (400, "BAD_REQUEST", "refused", [])


LIST_FILTER = '{{orders: {{some: {{note: {{eq: "{0}"}}}}}}}}'


async def test_a_filter_through_a_list_costs_what_its_source_may_look_at(engine: QueryEngine) -> None:
    """The rows of a collection whose size nobody knows count as 100,000, fifty of which are one object."""
    plain = await weighed(engine, "{ customers(first: 1) { nodes { id } } }")
    filtered = await weighed(engine, f"{{ customers(first: 1, where: {LIST_FILTER.format(1)}) {{ nodes {{ id }} }} }}")
    assert filtered.extensions["cost"] - plain.extensions["cost"] == 2000


async def test_many_filters_through_lists_are_refused_before_a_source_is_asked(engine: QueryEngine) -> None:
    filters = [", ".join(LIST_FILTER.format(f"{field}-{each}") for each in range(6)) for field in range(20)]
    fields = (
        f"a{number}: customers(first: 1, where: {{or: [{text}]}}) {{ nodes {{ id }} }}"
        for number, text in enumerate(filters)
    )
    result = await weighed(engine, f"{{ {' '.join(fields)} }}")
    assert [error.code for error in result.errors] == [ErrorCode.LIMIT_EXCEEDED]
    assert "12000000 rows beyond their links" in result.errors[0].message
    assert result.scan_stats == []
