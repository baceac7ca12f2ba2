"""Real clients run a query across four sources, read a list over many pages, and meet a denied field."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.e2e.clients.conftest import RunningServer
from tests.e2e.clients.dashboard import board

PAGES = ("apollo", "urql", "relay")
ID = "20"
FORBIDDEN = {"code": "FORBIDDEN", "owner": "sales operations"}


@pytest.fixture
async def plain(server: RunningServer) -> Callable[..., Any]:
    """Query the server without a client library."""

    async def ask(query: str) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.post(server.url, json={"query": query}, headers=server.bearer()) as reply,
        ):
            return (await reply.json())["data"]

    return ask


@pytest.fixture(scope="session")
def page_output(run_program: Callable[..., Any]) -> Callable[[str], Any]:
    """What a page shows; each is opened once."""
    known: dict[str, Any] = {}
    return lambda page: known[page] if page in known else known.setdefault(page, run_program("ask.mjs", page))


@pytest.mark.parametrize("page", PAGES)
async def test_a_question_across_sources_is_answered(page: str, page_output: Callable[[str], Any], plain: Any) -> None:
    result = await plain(
        f'{{ customer(id: "{ID}") {{ id name channel {{ id name }} revenue(first: 3) {{ nodes {{ id month revenue }} }}'
        " files(first: 2) { nodes { id name size } } } }"
    )
    assert all(result["customer"].values())
    assert without_typenames(page_output(page)["board"]) == result["customer"]


@pytest.mark.parametrize("page", PAGES)
async def test_a_list_is_read_page_by_page(page: str, page_output: Callable[[str], Any], plain: Any) -> None:
    result = await plain("{ customers(first: 1000) { nodes { name } } }")
    assert page_output(page)["names"] == [node["name"] for node in result["customers"]["nodes"]]


@pytest.mark.parametrize("page", PAGES)
async def test_a_denied_field_differs_from_an_empty_one(page: str, page_output: Callable[[str], Any]) -> None:
    assert page_output(page)["credit"] == {"name": "Granit Foods AB", "limit": None, "denied": [FORBIDDEN]}


def without_typenames(value: Any) -> Any:
    """The value without what the clients ask for themselves."""
    if isinstance(value, list):
        return [without_typenames(item) for item in value]
    if isinstance(value, dict):
        return {name: without_typenames(item) for name, item in value.items() if name != "__typename"}
    return value


async def test_gql_reads_amounts_as_decimals(server: RunningServer, plain: Any) -> None:
    result = await plain(f'{{ customer(id: "{ID}") {{ revenue(first: 3) {{ nodes {{ revenue }} }} }} }}')
    async with board.connected(server.url, server.key) as session:
        board_data = await board.load_board(session, ID)

    assert [node["revenue"] for node in board_data["revenue"]["nodes"]] == [
        Decimal(node["revenue"]) for node in result["customer"]["revenue"]["nodes"]
    ]


async def test_gql_reads_a_list_page_by_page(server: RunningServer, plain: Any) -> None:
    result = await plain("{ customers(first: 1000) { nodes { name } } }")
    async with board.connected(server.url, server.key) as session:
        names = await board.list_names(session, 15)

    assert names == [node["name"] for node in result["customers"]["nodes"]]


async def test_gql_tells_a_denied_field_from_an_empty_one(server: RunningServer) -> None:
    async with board.connected(server.url, server.key) as session:
        customer, errors = await board.load_credit(session, ID)

    assert customer == {"name": "Granit Foods AB", "creditLimit": None}
    assert [(error["path"], error["extensions"]["code"]) for error in errors] == [
        (["customer", "creditLimit"], "FORBIDDEN")
    ]
