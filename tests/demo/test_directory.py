"""Query the office team's service with an independent client; it returns the seeded rows."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from gql import Client, GraphQLRequest, gql
from gql.client import AsyncClientSession
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError, TransportServerError

from demo.data import operations
from demo.servers.run import RunningServers, address

SCALE = 0.01
REFUSED = (TransportServerError, TransportQueryError, TransportConnectionFailed)


def transport(demo_servers: RunningServers, token: str) -> AIOHTTPTransport:
    host, port = address(demo_servers, "directory")
    return AIOHTTPTransport(url=f"http://{host}:{port}/graphql", headers={"authorization": f"Bearer {token}"})


@pytest.fixture
async def client(demo_servers: RunningServers) -> AsyncIterator[AsyncClientSession]:
    """It fetches the schema first, and judges each question by it."""
    token = demo_servers.environment["DIRECTORY_TOKEN"]
    async with Client(transport=transport(demo_servers, token), fetch_schema_from_transport=True) as session:
        yield session


async def pages(client: AsyncClientSession, text: str, field: str) -> list[Any]:
    found, after = list[Any](), None
    while True:
        page = (await client.execute(GraphQLRequest(text, variable_values={"after": after})))[field]
        found.append(page.get("nodes") or [item["node"] for item in page["edges"]])
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


async def test_offices_are_listed_whole(client: AsyncClientSession) -> None:
    result = await client.execute(gql("{ offices { id name address { street city country } } }"))
    assert [(item["id"], item["address"]["city"]) for item in result["offices"]] == [
        (office.id, office.city) for office in operations.OFFICES
    ]


@pytest.mark.parametrize(
    ("text", "field", "ids"),
    [
        (
            "query ($after: String) { desks(first: 7, after: $after) "
            "{ nodes { id } pageInfo { hasNextPage endCursor } } }",
            "desks", [desk.id for desk in operations.desks(SCALE)],
        ),
        (
            "query ($after: String) { onCall(first: 100, after: $after) "
            "{ edges { node { id } } pageInfo { hasNextPage endCursor } } }",
            "onCall", [shift.id for shift in operations.shifts(SCALE)],
        ),
    ],
    ids=["desks", "shifts"],
)  # fmt: skip
async def test_cursors_lead_through_everything_once(
    client: AsyncClientSession, text: str, field: str, ids: list[str]
) -> None:
    result = await pages(client, text, field)
    assert [item["id"] for page in result for item in page] == ids
    assert len(result) > 1


async def test_desks_are_found_by_whose_they_are(client: AsyncClientSession) -> None:
    text = "query ($who: [ID!]) { desks(staffNumbers: $who) { nodes { person { staffNumber } floor office { id } } } }"
    taken = [desk for desk in operations.desks(SCALE) if desk.employee is not None][:3]
    who = {"who": [str(item.employee) for item in taken]}
    nodes = (await client.execute(GraphQLRequest(text, variable_values=who)))["desks"]["nodes"]
    assert [(int(item["person"]["staffNumber"]), item["floor"], item["office"]["id"]) for item in nodes] == [
        (item.employee, item.floor, item.office) for item in taken
    ]


async def test_too_large_a_page_is_refused(client: AsyncClientSession) -> None:
    with pytest.raises(TransportQueryError, match="from 0 to 100"):
        await client.execute(gql("{ desks(first: 101) { nodes { id } } }"))


async def test_a_wrong_token_opens_nothing(demo_servers: RunningServers) -> None:
    with pytest.raises(REFUSED, match=r"401|who are you"):
        async with Client(transport=transport(demo_servers, "other")) as session:
            await session.execute(gql("{ offices { id } }"))


def test_nobody_sits_at_two_desks_and_every_service_is_answered_for() -> None:
    taken = [desk.employee for desk in operations.desks(1) if desk.employee is not None]
    assert len(taken) == len(set(taken))
    ids = [shift.id for shift in operations.shifts(1)]
    assert len(ids) == len(set(ids)) == operations.WEEKS * 12 * 2
