"""A plan is used again only for the same text, the same shape of variables and the same permissions."""

import random
from typing import Any

import pytest

from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.query.engine import execute
from tests import acme
from tests.query.spec.conftest import build_catalog

FILTERED = """query($w: CustomerWhere, $o: [CustomerOrder!], $n: Int) {
  customers(where: $w, orderBy: $o, first: $n) { nodes { id creditLimit } totalCount }
}"""
CHOSEN = """query($a: Boolean = true, $b: Boolean!) {
  customer(id: 3) { id @include(if: $a) phone @skip(if: $b) }
  requests @include(if: $b) { totalCount }
}"""
NAMED = """query($id: ID!, $c: String, $n: Int) {
  customer(id: $id) { email orders(first: $n, after: $c) { nodes { id } pageInfo { hasPreviousPage } } }
}"""

QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    (FILTERED, {}),
    (FILTERED, {"w": None}),
    (FILTERED, {"w": {}}),
    (FILTERED, {"w": {"id": {"in": ["1", "2"]}}}),
    (FILTERED, {"w": {"id": {"in": ["3"]}}, "n": 1}),
    (FILTERED, {"w": {"id": {"in": []}}}),
    (FILTERED, {"w": {"id": {"notIn": ["3"]}}, "n": 2}),
    (FILTERED, {"w": {"or": []}}),
    (FILTERED, {"w": {"or": [{"country": {"eq": "JP"}}]}}),
    (FILTERED, {"w": {"or": [{"country": {"eq": "JP"}}, {"country": {"eq": "SE"}}]}}),
    (FILTERED, {"w": {"and": [{"country": {"eq": "JP"}}]}}),
    (FILTERED, {"w": {"phone": {"isNull": True}}, "n": 3}),
    (FILTERED, {"w": {"phone": {"isNull": False}}, "n": 3}),
    (FILTERED, {"w": {"phone": {"isNull": None}}}),
    (FILTERED, {"o": [{"country": "ASC"}], "n": 2}),
    (FILTERED, {"o": [{"country": "DESC"}], "n": 2}),
    (FILTERED, {"o": [{"creditLimit": "DESC"}], "n": 2}),
    (FILTERED, {"o": [], "n": 2}),
    (FILTERED, {"w": {"creditLimit": {"gt": "90000"}}, "n": 2}),
    (FILTERED, {"n": None}),
    (FILTERED, {"n": 0}),
    (FILTERED, {"n": -1}),
    (CHOSEN, {"b": True}),
    (CHOSEN, {"b": False}),
    (CHOSEN, {"a": False, "b": False}),
    (CHOSEN, {"a": False, "b": True}),
    (NAMED, {"id": "20", "n": 1}),
    (NAMED, {"id": "40", "n": 2}),
    (NAMED, {"id": "007", "n": 2}),
    (NAMED, {"id": "20", "n": 1, "c": None}),
    (NAMED, {"id": "20", "n": 1, "c": "no cursor"}),
]
CALLERS = [(), ("sales",), ("finance",), ("marketing",), ("audit",), ("sales", "finance")]


def summarize(told: ExecutionResult) -> Any:
    return told.data, told.rejected, [(error.code, error.message, error.path) for error in told.errors]


async def alone(text: str, groups: tuple[str, ...], variables: dict[str, Any]) -> Any:
    return summarize(await acme.ask(acme.open_engine(build_catalog()), text, *groups, variables=variables))


@pytest.mark.parametrize("seed", range(3))
async def test_any_interleaving_answers_each_question_as_if_it_were_alone(engine: QueryEngine, seed: int) -> None:
    ask = [(text, groups, variables) for text, variables in QUESTIONS for groups in CALLERS] * 2
    random.Random(seed).shuffle(ask)
    known: dict[Any, Any] = {}
    for text, groups, variables in ask:
        result = summarize(await acme.ask(engine, text, *groups, variables=variables))
        name = (text, groups, repr(variables))
        if name not in known:
            known[name] = await alone(text, groups, variables)
        assert result == known[name]


async def test_a_repeated_question_is_planned_once(engine: QueryEngine) -> None:
    for number in ("1", "2", "3"):
        await acme.ask(engine, FILTERED, "sales", variables={"w": {"id": {"in": [number, "7"]}}, "n": int(number)})
    assert (len(engine.document_cache), len(engine.plan_cache)) == (1, 1)


async def test_callers_with_the_same_permissions_share_a_plan(engine: QueryEngine) -> None:
    """The fingerprint is the set of rules met, not the person nor the groups."""
    for groups in (("finance",), ("finance", "everyone"), ("sales",)):
        await acme.ask(engine, FILTERED, *groups)
    assert (len(engine.document_cache), len(engine.plan_cache)) == (1, 2)


async def test_the_operation_chosen_is_part_of_what_a_plan_is_known_by(engine: QueryEngine) -> None:
    results = []
    for name in ("A", "B", "A"):
        text = "query A { me { id } } query B { me { email } }"
        result = await execute(engine, acme.caller(), GraphQLRequest(query=text, operation_name=name))
        results.append(result.data)
    assert results == [{"me": {"id": "P1"}}, {"me": {"email": "ada@acme.example"}}, {"me": {"id": "P1"}}]
