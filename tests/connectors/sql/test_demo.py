"""Acme in memory, in SQLite and in PostgreSQL gives the same bytes for the same queries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from demo.data.seed_sql import seed
from demo.servers.postgresql import PostgresqlServer
from onedoor.connectors.sql import postgresql, sqlite
from onedoor.http.responses import encode_result
from onedoor.query.context import QueryEngine
from onedoor.spi.connector import Connector
from tests import acme

GROUPS = ("sales", "marketing", "finance", "people", "engineering", "support")
QUESTIONS = {
    "every column of a customer": "{ customers(first: 1000) { totalCount nodes { id name email phone country segment "
    "createdAt creditLimit accountManager { id } } } }",
    "every column of an order": "{ orders(first: 500) { nodes { id status placedAt total note } } }",
    "every column of a line": "{ orderItems(first: 500) { nodes { id line quantity unitPrice } } }",
    "every column of a product": "{ products(first: 500) { nodes { id sku name category price discontinued } } }",
    "every column of an employee": "{ employees(first: 500) { nodes { id firstName lastName fullName email title "
    "department hiredOn salary } } }",
    "every column of a deployment": "{ deployments(first: 500) { nodes { id service version environment status "
    "startedAt finishedAt commitSha } } }",
    "one by id": '{ customer(id: "20") { name } order(id: "7") { total } orderItem(id: "7:1") { quantity } '
    'nobody: customer(id: "0") { name } none: orderItem(id: "7:x") { line } }',
    "counts alone": "{ customers { totalCount } orders(where: {status: {eq: PAID}}) { totalCount } "
    "orderItems { totalCount } }",
    "text by code point": "{ customers(orderBy: [{name: ASC}], first: 100) { nodes { name } } }",
    "text in any case": '{ customers(where: {name: {iContains: "É"}}, first: 100) { nodes { name } } }',
    "a part of a text": '{ customers(where: {or: [{email: {endsWith: "example"}}, {name: {startsWith: "A"}}, '
    '{name: {contains: "%"}}]}) { totalCount nodes { name } } }',
    "nulls come last": "{ up: customers(orderBy: [{creditLimit: ASC}, {name: DESC}], first: 100) { nodes { id "
    "creditLimit } } down: customers(orderBy: [{creditLimit: DESC}], first: 100) { nodes { id creditLimit } } }",
    "the end of an order with nulls": "{ customers(orderBy: [{phone: ASC}], last: 7) { nodes { id phone } pageInfo { "
    "hasNextPage hasPreviousPage startCursor endCursor } } }",
    "cursors": "{ deployments(orderBy: [{finishedAt: ASC}], first: 30) { edges { cursor node { finishedAt } } "
    "pageInfo { hasNextPage hasPreviousPage endCursor } } }",
    "money compared": '{ orders(where: {total: {gte: "1000.005", lt: "2500.10"}}, orderBy: [{total: DESC}]) { '
    "totalCount nodes { id total } } }",
    "times compared": '{ orders(where: {placedAt: {gte: "2026-06-01T00:00:00+02:00"}, note: {isNull: true}}) { '
    "totalCount nodes { placedAt } } }",
    "days compared": '{ employees(where: {hiredOn: {notIn: ["9999-12-31"], lt: "2020-01-01"}}) { totalCount nodes { '
    "hiredOn } } }",
    "not": "{ customers(where: {not: {or: [{creditLimit: {gt: 10000}}, {phone: {isNull: true}}]}}) { totalCount nodes "
    "{ id phone creditLimit } } }",
    "none and all": "{ none: customers(where: {or: []}) { totalCount } all: customers(where: {and: []}) { totalCount "
    "} }",
    "ids": '{ customers(where: {id: {in: ["1", "3", "x", "007"]}}) { nodes { id } } orderItems(where: {id: {notIn: '
    '["1:1", "1:2"]}}, first: 3) { nodes { id } } }',
    "what a link leads to": '{ orders(where: {customer: {country: {eq: "FR"}}}) { totalCount nodes { id customer { '
    "country } } } }",
    "some, none and every": "{ some: orders(where: {items: {some: {quantity: {gt: 5}}}}) { totalCount } none: orders("
    "where: {items: {none: {quantity: {gt: 1}}}}) { totalCount } every: orders(where: {items: {every: {unitPrice: "
    '{lt: "500"}}}}) { totalCount } }',
    "pages for each row": "{ customers(first: 15, orderBy: [{name: DESC}]) { nodes { name orders(first: 2, orderBy: "
    "[{total: DESC}]) { totalCount nodes { id total items(last: 1) { nodes { id product { name } } } } pageInfo { "
    "hasNextPage } } } } }",
    "up and down a tree": "{ employees(first: 30) { nodes { fullName manager { fullName manager { fullName } } "
    "reports(first: 2) { totalCount nodes { fullName } } } } }",
    "into other sources": "{ customers(first: 10) { nodes { name usage(first: 2) { nodes { day apiCalls } } files("
    "first: 2) { nodes { name size } } channel { name } } } }",
    "by what is in other sources": "{ customers(where: {usage: {some: {apiCalls: {gt: 4500}}}}) { totalCount nodes { "
    "id } } }",
    "aggregates": "{ orders { aggregate { count countDistinct { status } sum { total } avg { total } min { placedAt "
    "note } max { total } } } }",
    "groups by month": "{ orders { groups(by: [{placedAt: MONTH}], orderBy: [{sum: {total: DESC}}], first: 5) { key { "
    "placedAt } aggregate { count sum { total } } } } }",
    "groups picked by text in any case": "{ customers { groups(by: [{country: VALUE}], having: {min: {name: "
    '{iContains: "A"}}}) { key { country } aggregate { count min { name } } } } }',
    "orders through links": "{ orders(orderBy: [{customer: {name: DESC}}, {id: ASC}], first: 20) { nodes { id "
    "customer { name accountManager { lastName } } } pageInfo { endCursor } } orderItems(orderBy: [{order: {customer: "
    "{country: ASC}}}], last: 9) { nodes { id order { customer { country } } } } }",
    "orders by what a list adds up to": "{ customers(orderBy: [{orders: {sum: {total: DESC}}}], first: 12) { nodes { "
    "id orders { aggregate { sum { total } } } } } }",
    "groups through links": "{ orderItems { groups(by: [{order: {status: VALUE}}, {product: {category: VALUE}}]) { "
    "key { order { status } product { category } } aggregate { count sum { quantity } } } } }",
    "announcements": "{ deployments(first: 20, orderBy: [{startedAt: DESC}]) { nodes { id announcements { nodes { text "
    "author { employee { fullName } } } } } } }",
}

PAGE = """
    query ($after: String) {
        customers(orderBy: [{phone: DESC}], first: 7, after: $after) {
            nodes { id phone }
            pageInfo { hasNextPage hasPreviousPage endCursor }
        }
    }
"""


@pytest.fixture(scope="module")
def sqlite_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "internal.sqlite"
    seed(f"sqlite:///{path}", acme.SCALE)
    return path


@pytest.fixture(scope="module")
def postgresql_url(postgresql_started: PostgresqlServer) -> str:
    url = postgresql_started.emptied("demo")
    seed(url, acme.SCALE)
    return url


@pytest.fixture(scope="module")
def in_memory() -> QueryEngine:
    return acme.open_engine(acme.build_catalog())


@pytest.fixture(params=["sqlite", "postgresql"])
async def in_database(request: pytest.FixtureRequest, in_memory: QueryEngine) -> AsyncIterator[QueryEngine]:
    """Open the same catalog with another internal connector."""
    if request.param == "sqlite":
        path = request.getfixturevalue("sqlite_path")
        source: Connector = await sqlite.connect(sqlite.SqliteOptions(path=str(path)))
    else:
        url = request.getfixturevalue("postgresql_url")
        source = await postgresql.connect(postgresql.PostgresqlOptions(url=url))
    async with closed(source):
        sources = {**in_memory.catalog.connectors, "internal": source}
        yield acme.open_engine(replace(in_memory.catalog, connectors=sources))


@asynccontextmanager
async def closed(source: Connector) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await source.close()


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
async def test_a_database_answers_as_memory_does(
    in_memory: QueryEngine, in_database: QueryEngine, question: str
) -> None:
    expected = await encode_answer(in_memory, question)
    assert b'"errors"' not in expected
    assert await encode_answer(in_database, question) == expected


async def test_pages_read_to_the_end_are_the_same_pages(in_memory: QueryEngine, in_database: QueryEngine) -> None:
    expected = await pages(in_memory)
    assert len(expected) > 3
    assert await pages(in_database) == expected


async def pages(engine: QueryEngine) -> list[bytes]:
    """All customers, by a column of which some are null, seven at a time."""
    found, after = [], None
    while len(found) < 100:
        answer = await acme.ask(engine, PAGE, *GROUPS, variables={"after": after})
        found.append(encode_result(answer, "application/json", 100).body)
        assert answer.data is not None
        info = answer.data["customers"]["pageInfo"]
        if not info["hasNextPage"]:
            return found
        after = info["endCursor"]
    raise AssertionError("the pages have no end")


async def encode_answer(engine: QueryEngine, question: str) -> bytes:
    return encode_result(await acme.ask(engine, question, *GROUPS), "application/json", 100).body
