"""A plan shows which connector gets which request, who executes each step, and why the connector does not."""

import json
from typing import Any

import pytest

from onedoor.query.context import ExecutionResult
from tests import acme

REFUNDED = """{
  customers(
    where: {channel: {messages: {some: {text: {iContains: "invoice"}}}}}
    orderBy: [{revenue: {sum: {revenue: DESC}}}]
    first: 10
  ) {
    totalCount
    nodes { name orders(first: 3) { nodes { id total } } }
    groups(by: [{country: VALUE}]) { key { country } aggregate { count } }
  }
}"""
IN_ORDER = "{ orders(where: {status: {eq: PAID}}, orderBy: [{total: DESC}], first: 3) { nodes { id } } }"


async def query_plan(text: str, *groups: str, **variables: Any) -> ExecutionResult:
    return await acme.ask(acme.open_engine(acme.build_catalog()), text, *groups, variables=variables, plan="ONLY")


async def list_first_steps(text: str, *groups: str) -> list[tuple[str, str, str | None]]:
    """Of the first read."""
    first = (await query_plan(text, *groups)).extensions["plan"]["branches"][0]["reads"][0]
    return [(step["step"], step["how"], step.get("why")) for step in first["steps"]]


async def test_a_plan_is_its_nodes_their_scans_and_the_steps_of_each_scan() -> None:
    result = await query_plan(IN_ORDER, "finance")

    assert result.extensions["plan"] == {
        "text": [
            "Query.orders: Order",
            "  rows from internal orders (id, total)",
            "    where pushed down: status eq PAID",
            "    order pushed down: total desc, id",
            "    limit pushed down: 3",
        ],
        "branches": [{
            "type": "Query",
            "field": "orders",
            "key": "orders",
            "to": "Order",
            "reads": [{
                "purpose": "rows",
                "source": "internal",
                "collection": "orders",
                "columns": ["id", "total"],
                "steps": [
                    {"step": "where", "how": "PUSHED_DOWN", "what": "status eq PAID"},
                    {"step": "order", "how": "PUSHED_DOWN", "what": "total desc, id"},
                    {"step": "limit", "how": "PUSHED_DOWN", "what": "3"},
                ],
                "reads": [],
            }],
            "branches": [],
        }],
    }  # fmt: skip


async def test_a_scan_stands_below_the_scan_that_waits_for_it_and_is_shown_once() -> None:
    result = await query_plan(REFUNDED, "sales")
    (customers,) = result.extensions["plan"]["branches"]

    assert [outline_scan(read) for read in customers["reads"]] == [
        ("rows", "customer", [
            ("keys", "channels", [("keys", "messages", [])]), ("reached", "revenue_month", []),
        ]),
        ("tally", "customer", [("keys", "channels as above", [])]),
        ("groups", "customer", [("keys", "channels as above", [])]),
    ]  # fmt: skip
    assert [(branch["field"], branch["here"], branch["there"]) for branch in customers["branches"]] == [
        ("orders", ["id"], ["customer_id"])
    ]


def outline_scan(read: Any) -> Any:
    name = read["collection"] + (" as above" if read.get("shared") else "")
    return read["purpose"], name, [outline_scan(item) for item in read["reads"]]


@pytest.mark.parametrize(("text", "group", "expected"), [
    pytest.param(IN_ORDER, "finance", [
        ("where", "PUSHED_DOWN", None), ("order", "PUSHED_DOWN", None), ("limit", "PUSHED_DOWN", None),
    ], id="all of it"),
    pytest.param('{ messages(where: {text: {contains: "a"}}, first: 2) { nodes { text } } }', "sales", [
        ("where", "FINISHED", "`slack` does not filter `text` by `contains`"),
        ("order", "FINISHED", "Onedoor computes a step before it"),
        ("limit", "FINISHED", "Onedoor computes a step before it"),
    ], id="a test"),
    pytest.param("{ s3Files(orderBy: [{size: DESC}], first: 2) { nodes { name } } }", "sales", [
        ("order", "FINISHED", "`s3` does not sort by `size`"),
        ("limit", "FINISHED", "Onedoor computes a step before it"),
    ], id="an order"),
    pytest.param('{ s3Files(where: {or: [{kind: {eq: "a"}}, {size: {gt: 1}}]}) { totalCount } }', "sales", [
        ("where", "FINISHED", "`s3` takes no `or` in a filter"),
        ("measures", "FINISHED", "Onedoor computes a step before it"),
    ], id="logic"),
    pytest.param("{ s3Files { totalCount } }", "sales", [
        ("measures", "FINISHED", "`s3` computes no aggregates"),
    ], id="a count"),
    pytest.param("{ customers(where: {usage: {some: {apiCalls: {gt: 1}}}}, first: 2) { nodes { id } } }", "sales", [
        ("where", "CARRIED", "its keys come from `snowflake`"),
        ("order", "OPEN", "it depends on the keys that are read first"),
        ("limit", "OPEN", "it depends on the keys that are read first"),
    ], id="keys from another source"),
    pytest.param('{ channels(where: {messages: {some: {text: {contains: "a"}}}}) { nodes { id } } }', "sales", [
        ("where", "CARRIED", "`slack` does not filter by rows of `messages` through `id`"),
        ("order", "FINISHED", "`slack` does not sort by `id`"),
        ("limit", "FINISHED", "Onedoor computes a step before it"),
    ], id="keys from the same source"),
    pytest.param("{ customers(orderBy: [{accountManager: {lastName: ASC}}], first: 2) { nodes { id } } }", "sales", [
        ("join", "PUSHED_DOWN", None), ("order", "PUSHED_DOWN", None), ("limit", "PUSHED_DOWN", None),
    ], id="an order beyond a link"),
    pytest.param("{ customers(orderBy: [{revenue: {sum: {revenue: ASC}}}], first: 2) { nodes { id } } }", "finance", [
        ("order", "FINISHED", "`revenue.sum(revenue)` comes from a joined scan"),
        ("limit", "FINISHED", "Onedoor computes a step before it"),
    ], id="an order beyond a link to another source"),
    pytest.param("{ orders { groups(by: [{customer: {country: VALUE}}]) { aggregate { count } } } }", "sales", [
        ("join", "PUSHED_DOWN", None), ("measures", "PUSHED_DOWN", None),
        ("order", "FINISHED", "`internal` does not sort or limit groups"),
        ("limit", "FINISHED", "`internal` does not sort or limit groups"),
    ], id="groups beyond a link"),
])  # fmt: skip
async def test_a_step_says_who_takes_it_and_why_the_connector_does_not(text: str, group: str, expected: Any) -> None:
    assert await list_first_steps(text, group) == expected


async def test_a_denied_field_leaves_no_trace_in_a_plan() -> None:
    shown = "{ customers(first: 1) { nodes { name %s } } }"
    hidden = "creditLimit channel { messages(first: 1) { nodes { text } } }"
    result, less = [await query_plan(shown % item, "marketing") for item in (hidden, "")]

    assert result.extensions["plan"] == less.extensions["plan"]
    assert [fault.extensions["position"] for fault in result.errors if fault.extensions] == [
        "Customer.creditLimit", "Customer.channel",
    ]  # fmt: skip


async def test_a_filter_by_a_denied_field_leaves_no_trace_in_a_plan() -> None:
    text = '{ customers(where: {creditLimit: {gt: "1"}}) { totalCount } products(first: 1) { nodes { id } } }'
    result = await query_plan(text, "marketing")

    assert [branch["field"] for branch in result.extensions["plan"]["branches"]] == ["products"]


async def test_a_plan_does_not_show_the_value_of_a_variable() -> None:
    field = "customers(where: {name: {eq: $name}}, first: $first) { totalCount nodes { id } }"
    text = f"query Q($name: String!, $first: Int) {{ {field} }}"
    result = await query_plan(text, "sales", name="a secret name", first=17)
    lines = result.extensions["plan"]["text"]

    assert "    where pushed down: name eq $name" in lines
    assert "    limit pushed down: $first" in lines
    assert "secret" not in json.dumps(result.extensions)
