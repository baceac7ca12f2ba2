"""Open connectors over a wire that injects faults; each is a line in OPENED."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias
from urllib.parse import urlsplit

import pytest

from demo import run
from demo.run import SECRETS
from demo.servers.postgresql import PostgresqlServer
from demo.servers.run import NAMES, address
from demo.servers.s3 import BUCKET
from onedoor import config
from onedoor.connectors.files import s3
from onedoor.connectors.registry import load_kind
from onedoor.connectors.rest import connector as rest_connector
from onedoor.connectors.slack import connector as slack_connector
from onedoor.connectors.snowflake import connector
from onedoor.connectors.snowflake.options import SnowflakeOptions
from onedoor.connectors.sql import mysql, postgresql
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import And, Comparison, Op
from onedoor.spi.scan import ScanRequest
from tests.audit.sealed_logs import PRIVATE_KEY
from tests.connectors.faults.wire import HOST, Wire, open_wire
from tests.contract.tables import into_mysql, into_postgresql
from tests.servers.mariadb import MariadbServer
from tests.servers.rest import Api, serve_app
from tests.servers.snowflake import LOGGED_IN

SECONDS = 0.4
CONNECT_SECONDS = 5.0
"""For databases, which are connected to before a test begins, on a busy machine too."""
"""The timeout of one call, where a connector has its own."""
ROWS = tuple({"id": number, "name": f"row {number}"} for number in range(3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulty:
    """A connector over a faulty wire, and a request that it answers without a fault."""

    source: Connector
    wire: Wire
    ask: ScanRequest
    http: bool = True
    """It can be sent a status."""
    goodbyes: int = 0
    """How many further requests it may send: to stop a statement, to say goodbye, or for a token."""
    bounds_bytes: bool = True
    """It bounds the bytes of one response; Snowflake's library bounds its seconds alone."""


Open: TypeAlias = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Faulty]]


@asynccontextmanager
async def in_postgresql(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
    server: PostgresqlServer = request.getfixturevalue("postgresql_started")
    url = server.emptied("faults")
    into_postgresql(url)
    parts = urlsplit(url)
    async with open_wire(str(parts.hostname), parts.port or 0) as wire:
        options = postgresql.PostgresqlOptions(url=route_through(url, wire), connect_seconds=CONNECT_SECONDS)
        ask = ScanRequest(collection="thing", columns=("id", "name"))
        yield Faulty(source=await postgresql.connect(options), wire=wire, ask=ask, http=False)


@asynccontextmanager
async def in_mysql(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
    server: MariadbServer = request.getfixturevalue("mariadb_started")
    url = server.emptied("faults")
    into_mysql(url)
    parts = urlsplit(url)
    async with open_wire(str(parts.hostname), parts.port or 0) as wire:
        options = mysql.MysqlOptions(url=route_through(url, wire), connect_seconds=CONNECT_SECONDS)
        ask = ScanRequest(collection="thing", columns=("id", "name"))
        yield Faulty(source=await mysql.connect(options), wire=wire, ask=ask, http=False)


def route_through(url: str, wire: Wire) -> str:
    return url.replace(f":{urlsplit(url).port}", f":{wire.port}")


@asynccontextmanager
async def in_snowflake(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
    async with open_wire(*address(request.getfixturevalue("acme_servers"), "snowflake")) as wire:
        options = SnowflakeOptions(
            host=HOST, port=wire.port, **LOGGED_IN, database="ACME", schema="ANALYTICS", timeout=CONNECT_SECONDS
        )
        ask = ScanRequest(collection="revenue_month", columns=("customer_id", "month"))
        yield Faulty(source=await connector.connect(options), wire=wire, ask=ask, goodbyes=3, bounds_bytes=False)


@asynccontextmanager
async def in_s3(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
    async with open_wire(*address(request.getfixturevalue("acme_servers"), "s3")) as wire:
        options = s3.S3Options(
            endpoint=f"http://{HOST}:{wire.port}", bucket=BUCKET, pattern="customers/{customer_id:int}/{kind}/{name}",
            access_key=SECRETS["S3_ACCESS_KEY"], secret_key=SECRETS["S3_SECRET_KEY"], timeout=SECONDS,
        )  # fmt: skip
        yield Faulty(
            source=await s3.connect(options), wire=wire, ask=ScanRequest(collection="files", columns=("name",))
        )


@asynccontextmanager
async def in_slack(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
    async with open_wire(*address(request.getfixturevalue("acme_servers"), "slack")) as wire:
        options = slack_connector.SlackOptions(
            base_url=f"http://{HOST}:{wire.port}/api/", token=SECRETS["SLACK_TOKEN"], timeout=SECONDS
        )
        yield Faulty(
            source=await slack_connector.connect(options),
            wire=wire,
            ask=ScanRequest(collection="channels", columns=("id",)),
        )


@asynccontextmanager
async def over_rest(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
    async with serve_app(Api({"thing": ROWS})) as url, open_wire(HOST, urlsplit(url).port or 0) as wire:
        options = rest_connector.RestOptions(
            base_url=f"http://{HOST}:{wire.port}", private_addresses=True, timeout=SECONDS,
            collections={"thing": {"path": "/thing", "columns": {"id": "integer", "name": "text"}}},
        )  # fmt: skip
        yield Faulty(
            source=await rest_connector.connect(options),
            wire=wire,
            ask=ScanRequest(collection="thing", columns=("id",)),
        )


def of_the_demo(name: str, server: str, ask: ScanRequest, goodbyes: int = 0) -> Open:
    """Open a connector with the demo's settings and a short timeout."""

    @asynccontextmanager
    async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Faulty]:
        running, folder = request.getfixturevalue("acme_servers"), request.getfixturevalue("tmp_path")
        async with open_wire(*address(running, server)) as wire:
            places = {item: address(running, item) for item in NAMES} | {server: (HOST, wire.port)}
            (folder / "onedoor.toml").write_text(run.settings(folder=folder, port=0, addresses=places))
            environment = {**SECRETS, "ONEDOOR_PEPPER": "p" * 64, "ONEDOOR_CHECKPOINT_KEY": PRIVATE_KEY}
            read = config.load_settings(folder / "onedoor.toml", environment).sources[name]
            kind = load_kind(read.kind)
            options = config.parse_options(kind.options, read.options, f"sources.{name}", read.folder)
            source = await kind.connect(replace(options, timeout=SECONDS))
            yield Faulty(source=source, wire=wire, ask=ask, goodbyes=goodbyes)

    return opened


def all_of(collection: str, column: str, *tests: Comparison) -> ScanRequest:
    return ScanRequest(collection=collection, columns=(column,), filter=And(tests))


OPENERS: Mapping[str, Open] = {
    "postgresql": in_postgresql,
    "mysql": in_mysql,
    "snowflake": in_snowflake,
    "s3": in_s3,
    "slack": in_slack,
    "rest": over_rest,
    "drive": of_the_demo("drive", "drive", all_of("files", "id"), goodbyes=2),
    "azure_files": of_the_demo("azure_files", "azure", all_of("files", "id")),
    "azure_blob": of_the_demo("azure_blob", "azure", all_of("files", "id")),
    "prometheus": of_the_demo(
        "prometheus", "prometheus", all_of("error_rate", "value", Comparison("window", Op.EQ, "1d"))
    ),
    "datadog": of_the_demo("datadog", "datadog", all_of("monitors", "id")),
    "github": of_the_demo("github", "github", all_of("repos", "name")),
    "directory": of_the_demo("directory", "directory", all_of("office", "id")),
}
