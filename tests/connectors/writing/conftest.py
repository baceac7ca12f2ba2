"""Open the connectors that can be written to, each a line in OPENERS, over empty tables."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from urllib.parse import urlsplit

import pytest

from demo.servers.postgresql import PostgresqlServer
from demo.servers.run import RunningServers, address
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.connectors.registry import load_kind
from onedoor.connectors.snowflake.options import SnowflakeOptions
from onedoor.connectors.sql import mysql, postgresql, sqlite
from onedoor.spi.connector import WritableConnector
from tests import acme
from tests.connectors.writing import mutations
from tests.connectors.writing.mutations import Hub
from tests.connectors.writing.tables import (
    EMPTYING,
    IN_MEMORY,
    KEYS,
    KINDS,
    MYSQL,
    POSTGRESQL,
    into_postgresql,
    into_snowflake,
    into_sqlite,
)
from tests.runtime.failures.conftest import RunningServer
from tests.servers.mariadb import MariadbServer
from tests.servers.snowflake import LOGGED_IN

WRITABLE = ("thing", "part")
SCHEMAS = count(1)
MARKERS = "DELETE FROM onedoor_change"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorUnderTest:
    """A source under test. `constrains`: its database sees to what was declared, and gives keys."""

    name: str
    source: WritableConnector
    another: Callable[[], Awaitable[WritableConnector]]
    """The same tables once more, as another process would open them."""
    place: str
    constrains: bool = True


@asynccontextmanager
async def open_memory(_: pytest.FixtureRequest) -> AsyncIterator[ConnectorUnderTest]:
    collections = {
        name: MemoryCollection(capabilities=acme.sql(kinds, acme.FOLDED, 1000), rows=())
        for name, kinds in KINDS.items()
    }
    connector = MemoryConnector(collections, IN_MEMORY)

    async def another() -> WritableConnector:
        return connector

    yield ConnectorUnderTest(name="memory", source=connector, another=another, place="", constrains=True)


@asynccontextmanager
async def open_sqlite(request: pytest.FixtureRequest) -> AsyncIterator[ConnectorUnderTest]:
    path = request.getfixturevalue("tmp_path") / "tables.sqlite"
    into_sqlite(path)
    async with open_connector("sqlite", str(path)) as under_test:
        yield under_test


@asynccontextmanager
async def open_postgresql(request: pytest.FixtureRequest) -> AsyncIterator[ConnectorUnderTest]:
    url = request.getfixturevalue("postgresql_written")
    async with open_connector("postgresql", url) as under_test:
        into_postgresql(url, *EMPTYING, MARKERS)
        yield under_test


@asynccontextmanager
async def open_mysql(request: pytest.FixtureRequest) -> AsyncIterator[ConnectorUnderTest]:
    url = request.getfixturevalue("mysql_written")
    async with open_connector("mysql", url) as under_test:
        request.getfixturevalue("mariadb_started").run(*EMPTYING, MARKERS, database="writing")
        yield under_test


@asynccontextmanager
async def open_snowflake(request: pytest.FixtureRequest) -> AsyncIterator[ConnectorUnderTest]:
    host, port = address(request.getfixturevalue("acme_servers"), "snowflake")
    schema = f"WRITING_{next(SCHEMAS)}"
    into_snowflake(host, port, schema)
    async with open_connector("snowflake", f"{host}:{port}/{schema}") as under_test:
        yield under_test


async def connect_to(name: str, place: str) -> WritableConnector:
    """As a process of its own does."""
    match name:
        case "sqlite":
            return await sqlite.connect(sqlite.SqliteOptions(path=place, writable=WRITABLE))
        case "postgresql":
            return await postgresql.connect(postgresql.PostgresqlOptions(url=place, writable=WRITABLE))
        case "mysql":
            return await mysql.connect(mysql.MysqlOptions(url=place, writable=WRITABLE))
    parts = urlsplit(f"//{place}")
    return await load_kind("snowflake").connect(
        SnowflakeOptions(
            host=str(parts.hostname), port=int(parts.port or 0), **LOGGED_IN, database="ACME",
            schema=parts.path.strip("/"),
            writable={item: list(key) for item, key in KEYS.items()},
        )
    )  # fmt: skip


@asynccontextmanager
async def open_connector(name: str, place: str) -> AsyncIterator[ConnectorUnderTest]:
    async with AsyncExitStack() as stack:

        async def another() -> WritableConnector:
            result = await connect_to(name, place)
            stack.push_async_callback(result.close)
            return result

        source = await another()
        yield ConnectorUnderTest(name=name, source=source, another=another, place=place, constrains=name != "snowflake")


OPENERS: Mapping[str, Callable[[pytest.FixtureRequest], object]] = {
    "memory": open_memory,
    "sqlite": open_sqlite,
    "postgresql": open_postgresql,
    "mysql": open_mysql,
    "snowflake": open_snowflake,
}


@pytest.fixture(scope="session")
def postgresql_written(postgresql_started: PostgresqlServer) -> str:
    url = postgresql_started.emptied("writing")
    into_postgresql(url, *POSTGRESQL)
    return url


@pytest.fixture(scope="session")
def mysql_written(mariadb_started: MariadbServer) -> str:
    url = mariadb_started.emptied("writing")
    mariadb_started.run(*MYSQL, database="writing")
    return url


@pytest.fixture(params=OPENERS)
async def under_test(request: pytest.FixtureRequest) -> AsyncIterator[ConnectorUnderTest]:
    async with OPENERS[request.param](request) as opened:  # type: ignore[attr-defined]
        yield opened


@pytest.fixture(scope="module")
def both_servers(
    acme_servers: RunningServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningServer, Hub]]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            patch.delenv(name)
        with mutations.open_server_with_hub(acme_servers, tmp_path_factory.mktemp("company")) as both:
            yield both


@pytest.fixture
def server(both_servers: tuple[RunningServer, Hub]) -> RunningServer:
    return both_servers[0]


@pytest.fixture
def hub(both_servers: tuple[RunningServer, Hub]) -> Iterator[Hub]:
    yield both_servers[1]
    both_servers[1].refuses.clear()
