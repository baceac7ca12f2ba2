"""A null where none may be takes its parents along, with an error at its path (specification, section 6.4.4)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from onedoor.connectors.memory import MemoryConnector
from onedoor.errors import ErrorCode
from onedoor.query.context import ExecutionResult
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Row
from tests import acme
from tests.query.spec.conftest import GROUPS, Ask

Changed = tuple[str, str, str, Callable[[Row], bool], Any]
"""(source, collection, column, which rows, the value in its place)"""


def with_values(*changes: Changed) -> Mapping[str, Connector]:
    """Acme, some values of some rows replaced by what their columns must not hold."""
    sources = dict(acme.sources())
    for source, collection, column, which, value in changes:
        collections = dict(sources[source].collections)
        memory_collection = collections[collection]
        position = list(memory_collection.capabilities.columns).index(column)
        rows = [(*row[:position], value, *row[position + 1 :]) if which(row) else row for row in memory_collection.rows]
        collections[collection] = replace(memory_collection, rows=rows)
        sources[source] = MemoryConnector(collections)
    return sources


async def ask_with(text: str, *changes: Changed) -> ExecutionResult:
    return await acme.ask(acme.open_engine(acme.build_catalog(with_values(*changes))), text, *GROUPS)


def third(row: Row) -> bool:
    return row[0] == 3


def every(row: Row) -> bool:
    return True


NAMELESS: Changed = ("internal", "customer", "name", third, None)
NO_VALUE = (ErrorCode.NULL_VALUE, "`Customer.name` is never null, but has no value")

NULLS = [
    pytest.param(
        "{ customer(id: 3) { id name } me { id } }",
        {"customer": None, "me": {"id": "P1"}},
        ("customer", "name"),
        id="the row, asked for by id",
    ),
    pytest.param(
        "{ customers(first: 3) { totalCount nodes { name } } }",
        {
            "customers": {
                "totalCount": 100,
                "nodes": [{"name": "Tramontana Interiors Inc."}, {"name": "Harbour Foods Inc."}, None],
            }
        },
        ("customers", "nodes", 2, "name"),
        id="the row in its list",
    ),
    pytest.param(
        "{ customers(first: 3) { edges { node { name } } pageInfo { hasNextPage } } }",
        {
            "customers": {
                "edges": [
                    {"node": {"name": "Tramontana Interiors Inc."}},
                    {"node": {"name": "Harbour Foods Inc."}},
                    {"node": None},
                ],
                "pageInfo": {"hasNextPage": True},
            }
        },
        ("customers", "edges", 2, "node", "name"),
        id="the node of its edge",
    ),
    pytest.param(
        "{ customer(id: 3) { ... on Customer { a: name } country } }",
        {"customer": None},
        ("customer", "a"),
        id="the row, whatever the field is called",
    ),
]


@pytest.mark.parametrize(("text", "data", "path"), NULLS)
async def test_a_null_where_none_may_be_takes_along_the_nearest_that_may(
    text: str, data: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    answer = await ask_with(text, NAMELESS)
    assert (answer.data, [(error.code, error.message, error.path) for error in answer.errors]) == (
        data,
        [(*NO_VALUE, path)],
    )


async def test_a_null_behind_a_link_leaves_the_row_it_hangs_from() -> None:
    text = "{ customers(first: 1) { nodes { id accountManager { firstName manager { lastName } } } } }"
    answer = await ask_with(text, ("internal", "employee", "last_name", every, None))
    path = ("customers", "nodes", 0, "accountManager", "manager", "lastName")
    assert (answer.data, [error.path for error in answer.errors]) == (
        {"customers": {"nodes": [{"id": "1", "accountManager": {"firstName": "Paolo", "manager": None}}]}},
        [path],
    )


async def test_a_null_in_a_list_of_one_parent_leaves_those_of_the_others() -> None:
    text = '{ customers(where: { id: { in: ["2", "3"] } }) { nodes { id orders(first: 1) { nodes { total } } } } }'
    answer = await ask_with(text, ("internal", "orders", "total", lambda row: row[1] == 3, None))
    assert answer.data is not None
    shown = {node["id"]: node["orders"]["nodes"] for node in answer.data["customers"]["nodes"]}
    assert (shown["3"], len(shown["2"]), [error.path for error in answer.errors]) == (
        [None],
        1,
        [("customers", "nodes", 1, "orders", "nodes", 0, "total")],
    )


async def test_a_null_where_one_may_be_is_no_error() -> None:
    answer = await ask_with("{ customer(id: 3) { email } }", ("internal", "customer", "email", every, None))
    assert (answer.data, answer.errors) == ({"customer": {"email": None}}, [])


INVALID = [
    pytest.param(
        ("internal", "customer", "segment", every, "GIANT"),
        "{ customer(id: 3) { segment } }",
        {"customer": None},
        "`Customer.segment` holds a value that is none of `Segment` in the column `segment`",
        id="a value the enum does not have",
    ),
    pytest.param(
        ("snowflake", "usage_day", "api_calls", every, 2**31),
        '{ usageDay(id: "3:2026-10-31") { apiCalls } }',
        {"usageDay": None},
        "`UsageDay.apiCalls` holds a value that is no whole number of 32 bits in the column `api_calls`",
        id="an Int over 32 bits",
    ),
    pytest.param(
        ("internal", "customer", "credit_limit", every, 1.5),
        "{ customer(id: 3) { id creditLimit } }",
        {"customer": {"id": "3", "creditLimit": None}},
        "`Customer.creditLimit` holds a value that is no decimal number in the column `credit_limit`",
        id="a float for money, where null may be",
    ),
    pytest.param(
        ("internal", "customer", "created_at", every, acme.NOW.replace(tzinfo=None)),
        "{ customer(id: 3) { createdAt } }",
        {"customer": None},
        "`Customer.createdAt` holds a value that is no moment with a zone in the column `created_at`",
        id="a time without a zone",
    ),
    pytest.param(
        ("slack", "channels", "archived", every, 1),
        '{ channel(id: "C0CC86BCR88") { archived } }',
        {"channel": None},
        "`Channel.archived` holds a value that is neither true nor false in the column `archived`",
        id="a number for a boolean",
    ),
    pytest.param(
        ("internal", "customer", "email", every, b"bytes"),
        "{ customer(id: 3) { email } }",
        {"customer": {"email": None}},
        "`Customer.email` holds a value that is no text in the column `email`",
        id="bytes for text",
    ),
    pytest.param(
        ("internal", "employee", "hired_on", every, acme.NOW),
        "{ employee(id: 3) { hiredOn } }",
        {"employee": {"hiredOn": None}},
        "`Employee.hiredOn` holds a value that is no day in the column `hired_on`",
        id="a time for a day",
    ),
]


@pytest.mark.parametrize(("change", "text", "data", "message"), INVALID)
async def test_a_value_that_cannot_be_is_an_error_that_does_not_show_it(
    change: Changed, text: str, data: dict[str, Any], message: str
) -> None:
    answer = await ask_with(text, change)
    assert (answer.data, [(error.code, error.message) for error in answer.errors]) == (
        data,
        [(ErrorCode.SOURCE_INVALID, message)],
    )


async def test_a_count_beyond_a_row_that_is_not_there_is_null_and_sorts_last(ask: Ask) -> None:
    text = "{ employees(orderBy: [{manager: {reports: {count: ASC}}}], last: 1) { nodes { id manager { id } } } }"
    assert (await ask(text)).data == {"employees": {"nodes": [{"id": "1", "manager": None}]}}
