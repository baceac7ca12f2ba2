"""A filter costs what it names and how deep it goes: too much is refused before anything is judged or asked."""

import json
from typing import Any

import pytest

from tests.acme import ask, house, opened

AT = opened(house())


def nested(levels: int, link: str = "manager") -> dict[str, Any]:
    where: dict[str, Any] = {"id": {"eq": "1"}}
    for _ in range(levels):
        where = {link: where}
    return where


def literal(where: dict[str, Any]) -> str:
    return json.dumps(where).replace('"id"', "id").replace('"eq"', "eq").replace('"manager"', "manager")


MANY = {"and": [{"and": [{"id": {"eq": str(number)}} for number in range(1000)]} for _ in range(16)]}


@pytest.mark.parametrize(
    ("where", "said"),
    [
        pytest.param(MANY, "fields in filters and orders than the limit `tests_max` of 500", id="wide"),
        pytest.param(nested(60), "levels of a filter than the limit `filter_depth_max` of 24", id="deep"),
        pytest.param(nested(60, "not"), "levels of a filter than the limit `filter_depth_max` of 24", id="turned"),
    ],
)
async def test_a_filter_over_a_limit_is_refused(where: dict[str, Any], said: str) -> None:
    text = "query ($w: EmployeeWhere) { employees(where: $w) { totalCount } }"
    told = await ask(AT, text, variables={"w": where})
    assert [each.message for each in told.errors] == [f"the operation has more {said}, ask in parts"]


async def test_a_literal_counts_as_a_variable_does() -> None:
    told = await ask(AT, f"{{ employees(where: {literal(nested(60))}) {{ totalCount }} }}")
    assert "filter_depth_max" in told.errors[0].message


async def test_filters_of_one_operation_are_counted_together() -> None:
    one = "items(where: {line: {eq: 1}, quantity: {eq: 1}}) { totalCount }"
    aliases = " ".join(f"a{number}: {one}" for number in range(190))
    told = await ask(AT, f"{{ orders {{ nodes {{ {aliases} }} }} }}", "sales")
    assert "tests_max" in told.errors[0].message


async def test_a_document_over_the_limit_is_not_read() -> None:
    told = await ask(AT, "#" + "x" * 100_000 + "\n{ me { id } }")
    assert "`document_characters` of 100000" in told.errors[0].message
