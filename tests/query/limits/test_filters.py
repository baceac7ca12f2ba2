"""A filter that names too much or nests too deep is refused before anything is authorized or read."""

import json
from functools import cache
from typing import Any

import pytest

from onedoor.query.context import QueryEngine
from tests.acme import ask, build_catalog, open_engine


@cache
def engine() -> QueryEngine:
    return open_engine(build_catalog())


def nested(levels: int, link: str = "manager") -> dict[str, Any]:
    where: dict[str, Any] = {"id": {"eq": "1"}}
    for _ in range(levels):
        where = {link: where}
    return where


def literal(where: dict[str, Any]) -> str:
    return json.dumps(where).replace('"id"', "id").replace('"eq"', "eq").replace('"manager"', "manager")


MANY = {"and": [{"and": [{"id": {"eq": str(number)}} for number in range(1000)]} for _ in range(16)]}


@pytest.mark.parametrize(
    ("where", "exceeded"),
    [
        pytest.param(MANY, "fields in filters and orders than the limit `tests_max` of 500", id="wide"),
        pytest.param(nested(60), "levels of a filter than the limit `filter_depth_max` of 24", id="deep"),
        pytest.param(nested(60, "not"), "levels of a filter than the limit `filter_depth_max` of 24", id="turned"),
    ],
)
async def test_a_filter_over_a_limit_is_refused(where: dict[str, Any], exceeded: str) -> None:
    text = "query ($w: EmployeeWhere) { employees(where: $w) { totalCount } }"
    result = await ask(engine(), text, variables={"w": where})
    assert [error.message for error in result.errors] == [f"the operation has more {exceeded}, ask in parts"]


async def test_a_literal_counts_as_a_variable_does() -> None:
    result = await ask(engine(), f"{{ employees(where: {literal(nested(60))}) {{ totalCount }} }}")
    assert "filter_depth_max" in result.errors[0].message


async def test_filters_of_one_operation_are_counted_together() -> None:
    items = "items(where: {line: {eq: 1}, quantity: {eq: 1}}) { totalCount }"
    aliases = " ".join(f"a{number}: {items}" for number in range(190))
    result = await ask(engine(), f"{{ orders {{ nodes {{ {aliases} }} }} }}", "sales")
    assert "tests_max" in result.errors[0].message


async def test_a_document_past_the_limit_is_not_parsed() -> None:
    result = await ask(engine(), "#" + "x" * 100_000 + "\n{ me { id } }")
    assert "`document_characters` of 100000" in result.errors[0].message
