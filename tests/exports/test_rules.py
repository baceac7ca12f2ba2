"""What may be exported, what its columns are, and what is left out; a refusal says what would do."""

import orjson
import pytest

from onedoor.errors import ErrorCode, RequestRejected
from onedoor.exports.models import Format
from onedoor.exports.writer import run_export
from onedoor.model.catalog import Limits
from tests import acme
from tests.exports.conftest import Room, Rooms, always

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
    pytest.param("{ orders { nodes { nothing } } }", "Cannot query field 'nothing'", id="an unknown field"),
    pytest.param("{ orders { nodes { id }", "Syntax Error", id="no document"),
    pytest.param("{ " + "a { " * 3000, "more words and signs|Syntax Error|too deep", id="no end of braces"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
async def test_what_is_no_one_list_is_refused_with_what_would_do(room: Room, text: str, said: str) -> None:
    with pytest.raises(RequestRejected, match=said):
        await room.stated(text, Format.CSV, "sales")
    assert room.store.load_plan("e1") is None


async def test_a_question_that_may_cost_too_much_for_one_row_is_refused_at_the_start(rooms: Rooms) -> None:
    text = "{ customers { nodes { orders(first: 10) { nodes { items(first: 10) { nodes { id } } } } } } }"
    with pytest.raises(RequestRejected, match="cost_max"):
        await rooms(limits=Limits(first_max=10, cost_max=50)).stated(text, Format.CSV, "sales")


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


async def test_columns_are_response_keys_in_the_order_asked(room: Room) -> None:
    stated = await room.stated(TEXT, Format.CSV, "sales")
    assert [(each.name, each.scalar, [inner.name for inner in each.item_columns]) for each in stated.columns] == [
        ("number", "ID", []),
        ("buyer.name", "String", []),
        ("buyer.manager.lastName", "String", []),
        ("total", "Decimal", []),
        ("items.nodes", "", ["quantity", "product.name"]),
        ("items.totalCount", "Int", []),
        ("__typename", "String", []),
    ]


async def test_first_is_how_many_rows_there_are_at_all(room: Room) -> None:
    """More than a page may have, through a variable with a default or a value of its own."""
    made = [
        (await room.made(TEXT, Format.JSONL, "sales", id=f"w{n}", variables=given)).rows
        for n, given in ((1, {}), (2, {"many": 47}), (3, {"many": 0}), (4, {"many": 20}))
    ]
    assert made == [3, 47, 0, 20]


async def test_after_is_where_it_begins(room: Room) -> None:
    told = await acme.ask(room.desk, "{ orders(first: 9) { pageInfo { endCursor } } }", "sales")
    after = told.data["orders"]["pageInfo"]["endCursor"]  # type: ignore[index]
    made = await room.made(
        "query A($c: String) { orders(after: $c, first: 2) { nodes { id } } }",
        Format.JSONL,
        "sales",
        variables={"c": after},
    )
    assert await room.body(made) == b'{"id":"10"}\n{"id":"11"}\n'


async def test_the_callers_own_order_is_kept(room: Room) -> None:
    text = "{ orders(first: 40, orderBy: [{status: DESC}, {total: ASC}]) { nodes { id } } }"
    told = await acme.ask(acme.opened(acme.house()), text, "sales")
    made = await room.made(text, Format.JSONL, "sales")
    said = [f'{{"id":"{each["id"]}"}}' for each in told.data["orders"]["nodes"]]  # type: ignore[index]
    assert (await room.body(made)).decode().splitlines() == said


async def test_what_is_withheld_is_left_out_and_named(room: Room) -> None:
    made = await room.made("{ customers(first: 1) { nodes { id creditLimit } } }", Format.JSONL, "sales")
    (left,) = made.omitted_columns
    assert (await room.body(made), left.name, left.position) == (b'{"id":"1"}\n', "creditLimit", "Customer.creditLimit")
    assert left.reason == "`Customer.creditLimit` is for finance; ask sales operations for it"


async def test_all_or_nothing_refuses_what_is_withheld(room: Room) -> None:
    with pytest.raises(RequestRejected, match="is for finance") as refused:
        await room.stated("{ customers { nodes { id creditLimit } } }", Format.CSV, "sales", all_or_nothing=True)
    assert refused.value.errors[0].code is ErrorCode.FORBIDDEN


@pytest.mark.parametrize("text", ["{ customers { nodes { creditLimit } } }", "{ requests { nodes { id } } }"])
async def test_what_is_withheld_altogether_is_refused(room: Room, text: str) -> None:
    with pytest.raises(RequestRejected) as refused:
        await room.stated(text, Format.CSV, "sales")
    assert refused.value.errors[0].code is ErrorCode.FORBIDDEN


async def test_a_filter_that_names_a_withheld_field_is_refused(room: Room) -> None:
    """Without the filter, it would be another question."""
    with pytest.raises(RequestRejected, match="for finance"):
        await room.stated('{ customers(where: {creditLimit: {gt: "1"}}) { nodes { id } } }', Format.CSV, "sales")


async def test_the_same_id_is_the_same_export(room: Room) -> None:
    text = "{ orders(first: 2) { nodes { id } } }"
    first = await room.stated(text, Format.CSV, "sales")
    assert await room.stated(text, Format.CSV, "sales") == first
    with pytest.raises(RequestRejected) as refused:
        await room.stated(text, Format.JSONL, "sales")
    assert refused.value.errors[0].code is ErrorCode.IDEMPOTENCY_KEY_REUSED


async def test_each_page_leaves_one_record_of_its_own_surface(room: Room) -> None:
    made = await room.made("{ orders(first: 25) { nodes { id } } }", Format.CSV, "sales")
    told = [(each["surface"], each["outcome"], each["person"], "Order.id" in each["fields"]) for each in room.records()]
    asked = ("export", "answered", "P1", True)
    assert (made.rows, told) == (25, [("export", "answered", "P1", False), asked, asked, asked])


async def test_progress_is_told_in_rows(room: Room) -> None:
    stated = await room.stated("{ orders(first: 55) { nodes { id } } }", Format.CSV, "sales")
    works = always("sales")
    await run_export(room.exporting(stated, works, part_rows=20))
    assert works.told == [(20, 55), (40, 55), (55, 55)]


async def test_a_list_of_several_types_has_the_columns_of_all(room: Room) -> None:
    """In a row of another type, a column is null; who may not see one field of one type, is told so."""
    text = "{ files(first: 30, orderBy: [{name: ASC}]) { nodes { name ... on S3File { in: path } __typename } } }"
    made = await room.made(text, Format.JSONL, "sales")
    told = await acme.ask(acme.opened(acme.house()), text, "sales")
    rows = [orjson.loads(each) for each in (await room.body(made)).splitlines()]
    assert rows == [{"in": None, **each} for each in told.data["files"]["nodes"]]  # type: ignore[index]
    assert {"in" in each for each in rows} == {True}
