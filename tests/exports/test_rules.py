"""What may be exported, which columns the files have, and what is omitted; a refusal says what would do."""

import asyncio
from dataclasses import replace

import orjson
import pytest

from onedoor.errors import ErrorCode, RequestRejected
from onedoor.exports import writer
from onedoor.exports.models import ExportState, ExportStopped, Format
from onedoor.exports.pages import ExportPage, PagePosition, PageReader, advance, build_page_reader
from onedoor.exports.writer import run_export
from onedoor.model.catalog import Limits
from tests import acme
from tests.exports.conftest import Exporter, OpenExporter, build_host

REFUSED = [
    pytest.param("{ a: orders { nodes { id } } b: orders { nodes { id } } }", "`a`, `b` at its root", id="two lists"),
    pytest.param("{ order(id: 1) { id } }", "`order` at the root is no one list", id="a single row"),
    pytest.param("{ customer(id: 1) { orders { nodes { id } } } }", "no one list", id="a list that is not at the root"),
    pytest.param("{ __typename }", "no one list", id="no list at all"),
    pytest.param("{ __schema { types { name } } }", "`__schema` at the root is no one list", id="the schema itself"),
    pytest.param("{ orders { totalCount } }", "`totalCount` of `orders` is no row", id="a count"),
    pytest.param("{ orders { nodes { id } aggregate { count } } }", "`aggregate` of `orders` is no row", id="a sum"),
    pytest.param("{ orders { pageInfo { endCursor } } }", "by its `nodes` or by its `edges`", id="no rows"),
    pytest.param("{ orders { nodes { id } edges { node { id } } } }", "by its `nodes` or by its", id="rows twice"),
    pytest.param("{ orders { edges { cursor } } }", "exported by its `node`", id="cursors alone"),
    pytest.param("{ orders(last: 3) { nodes { id } } }", "in place of `last`", id="from the end"),
    pytest.param("{ orders(first: -3) { nodes { id } } }", "a whole number", id="less than none"),
    pytest.param("mutation { orders { nodes { id } } }", "an export takes one query", id="no query"),
    pytest.param("query A { me { id } } query B { me { id } }", "name one in `operationName`", id="which query"),
    pytest.param("{ orders { nodes { nothing } } }", "`Order` has no field `nothing`", id="an unknown field"),
    pytest.param("{ orders { nodes { id }", "Syntax Error", id="no document"),
    pytest.param("{ " + "a { " * 3000, "more words and signs|Syntax Error|too deep", id="no end of braces"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
async def test_a_query_that_is_not_one_list_is_refused_with_what_would_do(
    exporter: Exporter, text: str, message: str
) -> None:
    with pytest.raises(RequestRejected, match=message):
        await exporter.start(text, Format.CSV, "sales")
    assert exporter.store.load_plan("e1") is None


async def test_a_query_whose_single_row_costs_too_much_is_refused_at_the_start(
    open_exporter: OpenExporter,
) -> None:
    text = "{ customers { nodes { orders(first: 10) { nodes { items(first: 10) { nodes { id } } } } } } }"
    with pytest.raises(RequestRejected, match="cost_max"):
        await open_exporter(limits=Limits(first_max=10, cost_max=50)).start(text, Format.CSV, "sales")


TEXT = """
    query Sold($many: Int = 3) {
      ...Root
    }
    fragment Root on Query {
      orders(first: $many) {
        pageInfo { hasNextPage }
        edges {
          cursor
          node { number: id ...Rest items(first: 2) { nodes { quantity product { name } } totalCount } __typename }
        }
      }
    }
    fragment Rest on Order { buyer: customer { name manager: accountManager { lastName } } total }
"""


async def test_columns_are_response_keys_in_the_order_of_the_selection(exporter: Exporter) -> None:
    plan = await exporter.start(TEXT, Format.CSV, "sales")
    assert [(column.name, column.scalar, [inner.name for inner in column.item_columns]) for column in plan.columns] == [
        ("number", "ID", []),
        ("buyer.name", "String", []),
        ("buyer.manager.lastName", "String", []),
        ("total", "Decimal", []),
        ("items.nodes", "", ["quantity", "product.name"]),
        ("items.totalCount", "Int", []),
        ("__typename", "String", []),
    ]


async def test_first_is_how_many_rows_there_are_at_all(exporter: Exporter) -> None:
    """More than a page may have, by a variable with a default or with a value."""
    summary = [
        (await exporter.export(TEXT, Format.JSONL, "sales", id=f"w{n}", variables=given)).rows
        for n, given in ((1, {}), (2, {"many": 47}), (3, {"many": 0}), (4, {"many": 20}))
    ]
    assert summary == [3, 47, 0, 20]


async def test_after_is_where_it_begins(exporter: Exporter) -> None:
    result = await acme.ask(exporter.engine, "{ orders(first: 9) { pageInfo { endCursor } } }", "sales")
    after = result.data["orders"]["pageInfo"]["endCursor"]  # type: ignore[index]
    summary = await exporter.export(
        "query A($c: String) { orders(after: $c, first: 2) { nodes { id } } }",
        Format.JSONL,
        "sales",
        variables={"c": after},
    )
    assert await exporter.read_file(summary) == b'{"id":"10"}\n{"id":"11"}\n'


async def test_the_callers_own_order_is_kept(exporter: Exporter) -> None:
    text = "{ orders(first: 40, orderBy: [{status: DESC}, {total: ASC}]) { nodes { id } } }"
    result = await acme.ask(acme.open_engine(acme.build_catalog()), text, "sales")
    summary = await exporter.export(text, Format.JSONL, "sales")
    message = [f'{{"id":"{node["id"]}"}}' for node in result.data["orders"]["nodes"]]  # type: ignore[index]
    assert (await exporter.read_file(summary)).decode().splitlines() == message


async def test_a_denied_field_is_omitted_and_named(exporter: Exporter) -> None:
    summary = await exporter.export("{ customers(first: 1) { nodes { id creditLimit } } }", Format.JSONL, "sales")
    (left,) = summary.omitted_columns
    assert (await exporter.read_file(summary), left.name, left.position) == (
        b'{"id":"1"}\n',
        "creditLimit",
        "Customer.creditLimit",
    )
    assert (
        left.reason
        == "`Customer.creditLimit` is for finance; send `requestAccess`, or ask finance (finance@acme.example) for it"
    )


async def test_all_or_nothing_refuses_a_denied_field(exporter: Exporter) -> None:
    with pytest.raises(RequestRejected, match="is for finance") as refused:
        await exporter.start("{ customers { nodes { id creditLimit } } }", Format.CSV, "sales", all_or_nothing=True)
    assert refused.value.errors[0].code is ErrorCode.FORBIDDEN


@pytest.mark.parametrize("text", ["{ customers { nodes { creditLimit } } }", "{ requests { nodes { id } } }"])
async def test_an_export_whose_every_field_is_denied_is_refused(exporter: Exporter, text: str) -> None:
    with pytest.raises(RequestRejected) as refused:
        await exporter.start(text, Format.CSV, "sales")
    assert refused.value.errors[0].code is ErrorCode.FORBIDDEN


async def test_a_filter_by_a_denied_field_is_refused(exporter: Exporter) -> None:
    """Without the filter it would be another query."""
    with pytest.raises(RequestRejected, match="for finance"):
        await exporter.start('{ customers(where: {creditLimit: {gt: "1"}}) { nodes { id } } }', Format.CSV, "sales")


async def test_the_same_id_is_the_same_export(exporter: Exporter) -> None:
    text = "{ orders(first: 2) { nodes { id } } }"
    first = await exporter.start(text, Format.CSV, "sales")
    assert await exporter.start(text, Format.CSV, "sales") == first
    with pytest.raises(RequestRejected) as refused:
        await exporter.start(text, Format.JSONL, "sales")
    assert refused.value.errors[0].code is ErrorCode.IDEMPOTENCY_KEY_REUSED


async def test_each_page_leaves_one_record_of_its_own_surface(exporter: Exporter) -> None:
    summary = await exporter.export("{ orders(first: 25) { nodes { id } } }", Format.CSV, "sales")
    result = [
        (record["surface"], record["outcome"], record["person"], "Order.id" in record["fields"])
        for record in exporter.records()
    ]
    expected = ("export", "answered", "P1", True)
    assert (summary.rows, result) == (25, [("export", "answered", "P1", False), expected, expected, expected])


async def test_progress_is_reported_in_rows(exporter: Exporter) -> None:
    plan = await exporter.start("{ orders(first: 55) { nodes { id } } }", Format.CSV, "sales")
    host = build_host("sales")
    await run_export(exporter.build_run(plan, host, part_rows=20))
    assert host.progress == [(20, 55), (40, 55), (55, 55)]


async def test_a_list_of_several_types_has_the_columns_of_all(exporter: Exporter) -> None:
    """A column is null in a row of another type."""
    text = "{ files(first: 30, orderBy: [{name: ASC}]) { nodes { name ... on S3File { in: path } __typename } } }"
    summary = await exporter.export(text, Format.JSONL, "sales")
    result = await acme.ask(acme.open_engine(acme.build_catalog()), text, "sales")
    rows = [orjson.loads(line) for line in (await exporter.read_file(summary)).splitlines()]
    assert rows == [{"in": None, **node} for node in result.data["files"]["nodes"]]  # type: ignore[index]
    assert {"in" in row for row in rows} == {True}


async def test_a_list_that_gives_a_page_again_fails(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ExportPage(rows=[{"id": "1"}], cursor="there", is_last=False)

    async def read(*_: object) -> ExportPage:
        return page

    plan = await exporter.start("{ customers { nodes { id } } }", Format.CSV, "sales")
    reader = build_page_reader(exporter.executor, build_host("sales"), plan)
    monkeypatch.setattr(PageReader, "_read_with_retries", read)
    position = PagePosition(key_range=plan.ranges[0], after=None, rows_wanted=5)
    reader.prefetch(replace(position, rows_wanted=9))
    await asyncio.sleep(0)
    assert await reader.read_page(position) is page, "a page that was prefetched for nothing is no page before it"
    with pytest.raises(ExportStopped, match="the same page again"):
        await reader.read_page(advance(position, page))


async def test_a_list_that_goes_on_past_its_count_fails(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ROW_COUNT_SLACK", 0)
    plan = await exporter.start("{ customers { nodes { id } } }", Format.CSV, "sales")
    summary = await run_export(exporter.build_run(replace(plan, rows=20), build_host("sales")))
    assert (summary.state, summary.reason) == (
        ExportState.FAILED,
        "the list gave 60 rows and goes on, but counted 20 when the export began",
    )
