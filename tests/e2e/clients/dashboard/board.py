"""Query Onedoor from a notebook or a script, with gql."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from gql import Client, GraphQLRequest
from gql.client import AsyncClientSession
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportQueryError
from gql.utilities import update_schema_scalars
from graphql import GraphQLScalarType, GraphQLSchema, build_schema

SCALARS = [GraphQLScalarType("Decimal", parse_value=Decimal)]
BOARD = "query ($id: ID!) { customer(id: $id) { name revenue(first: 3) { nodes { month revenue } } } }"
CUSTOMERS = """
    query ($first: Int!, $after: String) {
      customers(first: $first, after: $after) { nodes { name } pageInfo { endCursor hasNextPage } }
    }
"""
CREDIT = "query ($id: ID!) { customer(id: $id) { name creditLimit } }"


@asynccontextmanager
async def connected(url: str, key: str) -> AsyncIterator[AsyncClientSession]:
    """Open a session that validates documents before it sends them and parses amounts as Decimal."""
    transport = AIOHTTPTransport(url=url, headers={"Authorization": f"Bearer {key}"})
    async with Client(transport=transport, schema=load_schema(), parse_results=True) as session:
        yield session


def load_schema() -> GraphQLSchema:
    schema = build_schema(Path("schema/schema.graphql").read_text(encoding="utf-8"))
    update_schema_scalars(schema, SCALARS)
    return schema


async def load_board(session: AsyncClientSession, id: str) -> Any:
    return (await session.execute(GraphQLRequest(BOARD, variable_values={"id": id})))["customer"]


async def list_names(session: AsyncClientSession, first: int) -> list[str]:
    names: list[str] = []
    page: dict[str, Any] = {"hasNextPage": True, "endCursor": None}
    while page["hasNextPage"]:
        variables = {"first": first, "after": page["endCursor"]}
        customers = (await session.execute(GraphQLRequest(CUSTOMERS, variable_values=variables)))["customers"]
        names += [customer["name"] for customer in customers["nodes"]]
        page = customers["pageInfo"]
    return names


async def load_credit(session: AsyncClientSession, id: str) -> Any:
    """Return the customer as far as it is allowed, and the errors that explain its nulls."""
    try:
        return (await session.execute(GraphQLRequest(CREDIT, variable_values={"id": id})))["customer"], []
    except TransportQueryError as partial:
        if partial.data is None:
            raise
        return partial.data["customer"], partial.errors
