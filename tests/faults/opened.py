"""The sources that can go wrong: each a line in OPENED, opened over a wire that does what it is told."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

import pytest

from demo.postgresql import PostgresqlServer
from demo.s3 import BUCKET
from demo.servers import address
from demo.settings import SECRETS
from engine.words import Ask, Source
from sources import s3
from sources.rest import source as rest
from sources.slack import source as slack
from sources.snowflake import source as snowflake
from sources.sql import mysql, postgresql
from tests.contract.tables import into_mysql, into_postgresql
from tests.faults.wire import HOST, Wire, wired
from tests.servers.mariadb import MariadbServer
from tests.servers.rest import Api, serving

SECONDS = 0.4
"""One call's end, where a source has an end of its own."""
ROWS = tuple({"id": number, "name": f"row {number}"} for number in range(3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulty:
    """A source whose wire is ours, and an ask that it answers while all is well."""

    source: Source
    wire: Wire
    ask: Ask
    http: bool = True
    """It can be given a status."""
    goodbyes: int = 0
    """What it says to the far end of a connection it gives up: to stop a statement, that all is over."""


Open: TypeAlias = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Faulty]]


@asynccontextmanager
async def in_postgresql(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
    server: PostgresqlServer = request.getfixturevalue("postgresql_started")
    url = server.emptied("faults")
    into_postgresql(url)
    parts = urlsplit(url)
    async with wired(str(parts.hostname), parts.port or 0) as wire:
        options = postgresql.Options(url=at(url, wire), connect_seconds=SECONDS)
        ask = Ask(collection="thing", columns=("id", "name"))
        yield Faulty(source=await postgresql.connect(options), wire=wire, ask=ask, http=False)


@asynccontextmanager
async def in_mysql(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
    server: MariadbServer = request.getfixturevalue("mariadb_started")
    url = server.emptied("faults")
    into_mysql(url)
    parts = urlsplit(url)
    async with wired(str(parts.hostname), parts.port or 0) as wire:
        options = mysql.Options(url=at(url, wire), connect_seconds=SECONDS)
        ask = Ask(collection="thing", columns=("id", "name"))
        yield Faulty(source=await mysql.connect(options), wire=wire, ask=ask, http=False)


def at(url: str, wire: Wire) -> str:
    return url.replace(f":{urlsplit(url).port}", f":{wire.port}")


@asynccontextmanager
async def in_snowflake(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
    async with wired(*address(request.getfixturevalue("acme_servers"), "snowflake")) as wire:
        options = snowflake.Options(
            host=HOST, port=wire.port, protocol="http", account="acme", user="demo", password="any", database="ACME",
            schema="ANALYTICS", timeout=SECONDS,
        )  # fmt: skip
        ask = Ask(collection="revenue_month", columns=("customer_id", "month"))
        yield Faulty(source=await snowflake.connect(options), wire=wire, ask=ask, goodbyes=2)


@asynccontextmanager
async def in_s3(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
    async with wired(*address(request.getfixturevalue("acme_servers"), "s3")) as wire:
        options = s3.Options(
            endpoint=f"http://{HOST}:{wire.port}", bucket=BUCKET, pattern="customers/{customer_id:int}/{kind}/{name}",
            access_key=SECRETS["S3_ACCESS_KEY"], secret_key=SECRETS["S3_SECRET_KEY"], timeout=SECONDS,
        )  # fmt: skip
        yield Faulty(source=await s3.connect(options), wire=wire, ask=Ask(collection="files", columns=("name",)))


@asynccontextmanager
async def in_slack(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
    async with wired(*address(request.getfixturevalue("acme_servers"), "slack")) as wire:
        options = slack.Options(
            base_url=f"http://{HOST}:{wire.port}/api/", token=SECRETS["SLACK_TOKEN"], timeout=SECONDS
        )
        yield Faulty(source=await slack.connect(options), wire=wire, ask=Ask(collection="channels", columns=("id",)))


@asynccontextmanager
async def over_rest(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
    async with serving(Api({"thing": ROWS})) as url, wired(HOST, urlsplit(url).port or 0) as wire:
        options = rest.Options(
            base_url=f"http://{HOST}:{wire.port}", private_addresses=True, timeout=SECONDS,
            collections={"thing": {"path": "/thing", "columns": {"id": "integer", "name": "text"}}},
        )  # fmt: skip
        yield Faulty(source=await rest.connect(options), wire=wire, ask=Ask(collection="thing", columns=("id",)))


OPENED: Mapping[str, Open] = {
    "postgresql": in_postgresql,
    "mysql": in_mysql,
    "snowflake": in_snowflake,
    "s3": in_s3,
    "slack": in_slack,
    "rest": over_rest,
}
