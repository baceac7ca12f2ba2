"""A plan shows its statements, without values, to the groups in `server.sql_shown_to` and to nobody else."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.data.seed_sql import seed
from onedoor.app import open_app
from onedoor.config import load_settings
from onedoor.connectors.memory import MemoryConnector
from onedoor.connectors.sql import sqlite
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.errors import ConfigurationError
from onedoor.query.context import QueryEngine
from onedoor.query.planner.explain import allow_sql
from onedoor.spi.connector import ExplainableConnector
from tests import acme

TEXT = """query Q($name: String!) {
  customers(where: {name: {contains: $name}, country: {notIn: ["ZZ", "QQ"]}}, first: 17) {
    nodes { name orders(first: 2, where: {total: {gt: "1234.5"}}) { nodes { total } } }
  }
}"""
WORDS = {"name": "Inc"}


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[QueryEngine]:
    """Statements are for sales."""
    path = tmp_path / "internal.sqlite"
    seed(f"sqlite:///{path}", 0.01)
    internal = await sqlite.connect(sqlite.SqliteOptions(path=str(path)))
    catalog = acme.build_catalog({**acme.sources(), "internal": internal})
    yield acme.open_engine(replace(catalog, policy=allow_sql(catalog.policy, ["sales"])))
    await internal.close()


async def fetch_statements(engine: QueryEngine, group: str, how: Any) -> list[list[str] | None]:
    """The statements of customers and of their orders."""
    result = await acme.ask(engine, TEXT, group, variables=WORDS, plan=how)
    (customers,) = result.extensions["plan"]["branches"]
    return [branch["reads"][0].get("sql") for branch in (customers, *customers["branches"])]


@pytest.mark.parametrize("how", [True, "ONLY"])
async def test_statements_are_shown_to_the_groups_in_the_settings(engine: QueryEngine, how: Any) -> None:
    (customers,), (orders,) = await fetch_statements(engine, "sales", how)

    assert customers.startswith(
        "SELECT t0.name AS c0, t0.id AS c1 \nFROM customer AS t0 \nWHERE instr(t0.name, ?) > 0 AND"
    )
    assert "FROM orders AS t0 \nWHERE t0.customer_id IN" in orders


@pytest.mark.parametrize("how", [True, "ONLY"])
@pytest.mark.parametrize("group", ["marketing", "finance", "engineering"])
async def test_statements_are_shown_to_nobody_else(engine: QueryEngine, group: str, how: Any) -> None:
    result = await acme.ask(engine, TEXT, group, variables=WORDS, plan=how)

    assert "SELECT" not in json.dumps(result.extensions)


@pytest.mark.parametrize("how", [True, "ONLY"])
async def test_a_statement_shows_no_value(engine: QueryEngine, how: Any) -> None:
    statements = json.dumps(await fetch_statements(engine, "sales", how))

    assert [value for value in ("Inc", "ZZ", "QQ", "17", "1234", "2000-01-01") if value in statements] == []


async def test_nobody_is_shown_a_statement_unless_the_settings_say_so() -> None:
    rules = acme.build_catalog().policy

    assert allow_sql(rules, []) == rules


def test_every_database_shows_its_statements() -> None:
    assert issubclass(SqlConnector, ExplainableConnector)


def test_rows_in_memory_have_no_statement() -> None:
    assert not issubclass(MemoryConnector, ExplainableConnector)


async def test_a_group_that_does_not_exist_is_shown_no_statement(tmp_path: Path) -> None:
    file = tmp_path / "onedoor.toml"
    file.write_text('[server]\nsql_shown_to = ["enginering"]\n')

    settings = load_settings(file, {"ONEDOOR_PEPPER": "a pepper of thirty-two characters"})

    with pytest.raises(ConfigurationError, match="there is no group `enginering`: did you mean `engineering`"):
        async with open_app(settings, acme.company()):
            raise AssertionError("the app opened")
