"""Every walk over pages visits every row once, in order, and each page knows its neighbours."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from onedoor.errors import ErrorCode
from onedoor.query.context import QueryEngine
from tests import acme
from tests.query.spec.conftest import GROUPS, Ask, build_catalog

NOTHING = {name: acme.promising_nothing(source) for name, source in acme.sources().items()}
CATALOGS = {"as promised": build_catalog, "promising nothing": lambda: acme.build_catalog(NOTHING)}

NORTH = 'where: { country: { in: ["SE", "JP", "CA", "ES", "PL", "GB"] } }'
LISTS = [
    pytest.param(("customers", "", ""), id="by key"),
    pytest.param(("customers", "", "orderBy: [{ country: DESC }]"), id="many ties"),
    pytest.param(("customers", NORTH, "orderBy: [{ creditLimit: ASC }]"), id="nulls last, going up"),
    pytest.param(("customers", NORTH, "orderBy: [{ creditLimit: DESC }, { name: ASC }]"), id="nulls last, going down"),
    pytest.param(("customers", NORTH, "orderBy: [{ phone: ASC }, { segment: DESC }]"), id="text with nulls"),
    pytest.param(("employees", "", "orderBy: [{ hiredOn: DESC }]"), id="days"),
    pytest.param(("channels", "", "orderBy: [{ topic: DESC }, { members: ASC }]"), id="an API's rows, with nulls"),
    pytest.param(
        ("usageDays", 'where: { day: { eq: "2026-10-31" } }', "orderBy: [{ day: ASC }, { storageGb: DESC }]"),
        id="a key of two parts",
    ),
]


@pytest.fixture(params=CATALOGS, scope="module")
def paged_engine(request: pytest.FixtureRequest) -> QueryEngine:
    return acme.open_engine(CATALOGS[request.param]())


async def page(paged_engine: QueryEngine, of: str, where: str, order: str, **window: Any) -> Mapping[str, Any]:
    text = (
        f"query($first: Int, $after: String, $last: Int, $before: String) {{ {of}({where} {order} first: $first "
        "after: $after last: $last before: $before) { nodes { id } edges { cursor } "
        "pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"
    )
    result = await acme.ask(paged_engine, text, *GROUPS, variables=window)
    assert (result.errors, result.data is None) == ([], False)
    assert result.data is not None
    return result.data[of]


def ids(shown: Mapping[str, Any]) -> list[str]:
    return [node["id"] for node in shown["nodes"]]


async def forwards(paged_engine: QueryEngine, size: int, *of: str) -> AsyncIterator[Mapping[str, Any]]:
    shown = await page(paged_engine, *of, first=size)
    yield shown
    while shown["pageInfo"]["hasNextPage"]:
        shown = await page(paged_engine, *of, first=size, after=shown["pageInfo"]["endCursor"])
        yield shown


async def backwards(paged_engine: QueryEngine, size: int, *of: str) -> AsyncIterator[Mapping[str, Any]]:
    shown = await page(paged_engine, *of, last=size)
    yield shown
    while shown["pageInfo"]["hasPreviousPage"]:
        shown = await page(paged_engine, *of, last=size, before=shown["pageInfo"]["startCursor"])
        yield shown


@pytest.mark.parametrize("size", [3, 7, 20, 1000])
@pytest.mark.parametrize("of", LISTS)
async def test_a_walk_visits_every_row_once_in_order(
    paged_engine: QueryEngine, of: tuple[str, str, str], size: int
) -> None:
    whole = ids(await page(paged_engine, *of, first=1000))
    there = [ids(shown) async for shown in forwards(paged_engine, size, *of)]
    back = [ids(shown) async for shown in backwards(paged_engine, size, *of)]
    assert [item for shown in there for item in shown] == whole
    assert [item for shown in reversed(back) for item in shown] == whole
    assert len(set(whole)) == len(whole) > 0


@pytest.mark.parametrize("of", LISTS[:6])
async def test_a_page_knows_whether_rows_lie_before_and_after_it(
    paged_engine: QueryEngine, of: tuple[str, str, str]
) -> None:
    pages = [shown["pageInfo"] async for shown in forwards(paged_engine, 4, *of)]
    pages_back = [shown["pageInfo"] async for shown in backwards(paged_engine, 4, *of)]
    facts = [(page["hasPreviousPage"], page["hasNextPage"]) for page in pages]
    facts_back = [(item["hasPreviousPage"], item["hasNextPage"]) for item in reversed(pages_back)]
    expected = [(index > 0, index < len(pages) - 1) for index in range(len(pages))]
    assert (facts, facts_back) == (expected, expected)


async def test_any_window_between_two_cursors_is_exact(paged_engine: QueryEngine) -> None:
    of = ("employees", 'where: { department: { in: ["Sales", "Finance"] } }', "orderBy: [{ salary: DESC }]")
    whole = await page(paged_engine, *of, first=1000)
    every, cursors = ids(whole), [None, *(edge["cursor"] for edge in whole["edges"])]
    places = range(len(cursors))
    for after, before, size in ((a, b, s) for a in places for b in places for s in (1, 2, len(every))):
        for side in ("first", "last"):
            between = every[after : before - 1 if before else None]
            wanted = between[:size] if side == "first" else between[-size:]
            shown = await page(paged_engine, *of, **{side: size}, after=cursors[after], before=cursors[before])
            assert ids(shown) == wanted
            if wanted:
                info = shown["pageInfo"]
                assert (info["hasPreviousPage"], info["hasNextPage"]) == (
                    wanted[0] != every[0],
                    wanted[-1] != every[-1],
                )
                ends = (every.index(wanted[0]) + 1, every.index(wanted[-1]) + 1)
                assert (info["startCursor"], info["endCursor"]) == (cursors[ends[0]], cursors[ends[1]])


async def test_a_page_of_none_still_knows_whether_there_are_rows(paged_engine: QueryEngine) -> None:
    of = ("customers", "", "")
    edge = (await page(paged_engine, *of, first=1))["pageInfo"]["endCursor"]
    shown = [
        await page(paged_engine, *of, **window) for window in ({"first": 0}, {"last": 0}, {"first": 0, "after": edge})
    ]
    nothing = {"nodes": [], "edges": []}
    ends = {"startCursor": None, "endCursor": None}
    assert shown == [
        {**nothing, "pageInfo": {"hasNextPage": True, "hasPreviousPage": False, **ends}},
        {**nothing, "pageInfo": {"hasNextPage": False, "hasPreviousPage": True, **ends}},
        {**nothing, "pageInfo": {"hasNextPage": True, "hasPreviousPage": True, **ends}},
    ]


async def test_each_parent_has_its_own_pages(paged_engine: QueryEngine) -> None:
    """The cursor is of one list, asked of every parent: each goes on from the same place in the order."""
    text = """query($after: String) { customers(where: { id: { in: ["20", "40"] } }) { nodes {
      orders(first: 2, after: $after, orderBy: [{ placedAt: ASC }]) {
        nodes { placedAt } pageInfo { hasPreviousPage endCursor }
      }
    } } }"""
    first = await acme.ask(paged_engine, text, "sales")
    assert first.data is not None
    one, two = (node["orders"] for node in first.data["customers"]["nodes"])
    result = await acme.ask(paged_engine, text, "sales", variables={"after": one["pageInfo"]["endCursor"]})
    assert result.data is not None
    last = one["nodes"][-1]["placedAt"]
    later = [node["orders"] for node in result.data["customers"]["nodes"]]
    assert [min(node["placedAt"] for node in shown["nodes"]) > last for shown in later] == [True, True]
    assert [shown["pageInfo"]["hasPreviousPage"] for shown in later] == [True, two["nodes"][0]["placedAt"] <= last]


MOST = "the limit `first_max` of 1000"
SIZES = [
    pytest.param("first: -1", ErrorCode.BAD_USER_INPUT, "`first` of `Query.customers` is negative", id="negative"),
    pytest.param("last: -2147483648", ErrorCode.BAD_USER_INPUT, "`last` of `Query.customers` is negative", id="very"),
    pytest.param("first: 1, last: 1", ErrorCode.BAD_USER_INPUT, "`customers` takes first or last, not both", id="both"),
    pytest.param(
        "first: 0, last: 0", ErrorCode.BAD_USER_INPUT, "`customers` takes first or last, not both", id="both none"
    ),
    pytest.param(
        "first: 1001",
        ErrorCode.LIMIT_EXCEEDED,
        f"`first` of `Query.customers` is over {MOST}, read on with a cursor",
        id="first over the maximum",
    ),
    pytest.param(
        "last: 2147483647",
        ErrorCode.LIMIT_EXCEEDED,
        f"`last` of `Query.customers` is over {MOST}, read on with a cursor",
        id="last over the maximum",
    ),
]


@pytest.mark.parametrize(("window", "code", "message"), SIZES)
async def test_a_size_that_cannot_be_is_refused(ask: Ask, window: str, code: ErrorCode, message: str) -> None:
    result = await ask(f"{{ customers({window}) {{ nodes {{ id }} }} }}")
    assert ([(error.code, error.message) for error in result.errors], result.data, result.scan_stats) == (
        [(code, message)],
        None,
        [],
    )


@pytest.mark.parametrize(("window", "code", "message"), SIZES)
async def test_an_impossible_size_in_a_variable_is_refused(
    ask: Ask, window: str, code: ErrorCode, message: str
) -> None:
    sizes = {name: int(size) for name, size in (part.split(": ") for part in window.split(", "))}
    text = "query($first: Int, $last: Int) { customers(first: $first, last: $last) { nodes { id } } }"
    result = await ask(text, variables=sizes)
    assert [(error.code, error.message) for error in result.errors] == [(code, message)]


async def test_where_no_size_is_given_the_default_holds(ask: Ask) -> None:
    result = await ask("{ customers { nodes { id } } one: customers(first: null, last: 1) { nodes { id } } }")
    assert result.data is not None
    assert (len(result.data["customers"]["nodes"]), result.data["one"]) == (20, {"nodes": [{"id": "100"}]})
