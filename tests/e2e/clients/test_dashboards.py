"""Real clients, as they come: a question across four sources, a list over many pages, a field that is denied."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.e2e.clients.conftest import Door
from tests.e2e.clients.dashboard import board

PAGES = ("apollo", "urql", "relay")
ID = "20"
FORBIDDEN = {"code": "FORBIDDEN", "owner": "sales operations"}


@pytest.fixture
async def plain(door: Door) -> Callable[..., Any]:
    """What the door tells a client of no library."""

    async def ask(query: str) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.post(door.url, json={"query": query}, headers=door.bearer()) as reply,
        ):
            return (await reply.json())["data"]

    return ask


@pytest.fixture(scope="session")
def shown(asked: Callable[..., Any]) -> Callable[[str], Any]:
    """What a page shows; each is opened once."""
    known: dict[str, Any] = {}
    return lambda page: known[page] if page in known else known.setdefault(page, asked("ask.mjs", page))


@pytest.mark.parametrize("page", PAGES)
async def test_a_question_across_sources_is_answered(page: str, shown: Callable[[str], Any], plain: Any) -> None:
    told = await plain(
        f'{{ customer(id: "{ID}") {{ id name channel {{ id name }} revenue(first: 3) {{ nodes {{ id month revenue }} }}'
        " files(first: 2) { nodes { id name size } } } }"
    )
    assert all(told["customer"].values())
    assert without_typenames(shown(page)["board"]) == told["customer"]


@pytest.mark.parametrize("page", PAGES)
async def test_a_list_is_read_page_by_page(page: str, shown: Callable[[str], Any], plain: Any) -> None:
    told = await plain("{ customers(first: 1000) { nodes { name } } }")
    assert shown(page)["names"] == [each["name"] for each in told["customers"]["nodes"]]


@pytest.mark.parametrize("page", PAGES)
async def test_a_denied_field_differs_from_an_empty_one(page: str, shown: Callable[[str], Any]) -> None:
    assert shown(page)["credit"] == {"name": "Granit Foods AB", "limit": None, "denied": [FORBIDDEN]}


def without_typenames(value: Any) -> Any:
    """The value without what the clients ask for themselves."""
    if isinstance(value, list):
        return [without_typenames(each) for each in value]
    if isinstance(value, dict):
        return {name: without_typenames(each) for name, each in value.items() if name != "__typename"}
    return value


async def test_gql_reads_amounts_as_decimals(door: Door, plain: Any) -> None:
    told = await plain(f'{{ customer(id: "{ID}") {{ revenue(first: 3) {{ nodes {{ revenue }} }} }} }}')
    async with board.connected(door.url, door.key) as session:
        found = await board.load_board(session, ID)

    assert [each["revenue"] for each in found["revenue"]["nodes"]] == [
        Decimal(each["revenue"]) for each in told["customer"]["revenue"]["nodes"]
    ]


async def test_gql_reads_a_list_page_by_page(door: Door, plain: Any) -> None:
    told = await plain("{ customers(first: 1000) { nodes { name } } }")
    async with board.connected(door.url, door.key) as session:
        found = await board.list_names(session, 15)

    assert found == [each["name"] for each in told["customers"]["nodes"]]


async def test_gql_tells_a_denied_field_from_an_empty_one(door: Door) -> None:
    async with board.connected(door.url, door.key) as session:
        customer, errors = await board.load_credit(session, ID)

    assert customer == {"name": "Granit Foods AB", "creditLimit": None}
    assert [(each["path"], each["extensions"]["code"]) for each in errors] == [
        (["customer", "creditLimit"], "FORBIDDEN")
    ]
