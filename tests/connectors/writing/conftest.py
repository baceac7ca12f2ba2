"""Open the connectors that can be written to, each a line in OPENERS, over empty tables."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from urllib.parse import urlsplit

import pytest

from demo.servers.postgresql import PostgresqlServer
from demo.servers.run import Running, address
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.connectors.snowflake import connector
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
from tests.runtime.failures.conftest import Door
from tests.servers.mariadb import MariadbServer

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
    made = MemoryConnector(collections, IN_MEMORY)

    async def another() -> WritableConnector:
        return made

    yield ConnectorUnderTest(name="memory", source=made, another=another, place="", constrains=True)


@asynccontextmanager
async def open_sqlite(request: pytest.FixtureRequest) -> AsyncIterator[ConnectorUnderTest]:
    path = request.getfixturevalue("tmp_path") / "tables.sqlite"
    into_sqlite(path)
    async with open_connector("sqlite", str(path)) as under:
        yield under


@asynccontextmanager
async def open_postgresql(request: pytest.FixtureRequest) -> AsyncIterator[ConnectorUnderTest]:
    url = request.getfixturevalue("postgresql_written")
    async with open_connector("postgresql", url) as under:
        into_postgresql(url, *EMPTYING, MARKERS)
        yield under


@asynccontextmanager
async def open_mysql(request: pytest.FixtureRequest) -> AsyncIterator[ConnectorUnderTest]:
    url = request.getfixturevalue("mysql_written")
    async with open_connector("mysql", url) as under:
        request.getfixturevalue("mariadb_started").run(*EMPTYING, MARKERS, database="writing")
        yield under


@asynccontextmanager
async def open_snowflake(request: pytest.FixtureRequest) -> AsyncIterator[ConnectorUnderTest]:
    host, port = address(request.getfixturevalue("acme_servers"), "snowflake")
    schema = f"WRITING_{next(SCHEMAS)}"
    into_snowflake(host, port, schema)
    async with open_connector("snowflake", f"{host}:{port}/{schema}") as under:
        yield under


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
    return await connector.connect(
        SnowflakeOptions(
            host=str(parts.hostname), port=int(parts.port or 0), protocol="http", account="acme", user="demo",
            password="any", database="ACME", schema=parts.path.strip("/"),
            writable={each: list(key) for each, key in KEYS.items()},
        )
    )  # fmt: skip


@asynccontextmanager
async def open_connector(name: str, place: str) -> AsyncIterator[ConnectorUnderTest]:
    async with AsyncExitStack() as stack:

        async def another() -> WritableConnector:
            made = await connect_to(name, place)
            stack.push_async_callback(made.close)
            return made

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
async def under(request: pytest.FixtureRequest) -> AsyncIterator[ConnectorUnderTest]:
    async with OPENERS[request.param](request) as made:  # type: ignore[attr-defined]
        yield made


@pytest.fixture(scope="module")
def house(acme_servers: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Door, Hub]]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            patch.delenv(name)
        with mutations.opened(acme_servers, tmp_path_factory.mktemp("house")) as both:
            yield both


@pytest.fixture
def door(house: tuple[Door, Hub]) -> Door:
    return house[0]


@pytest.fixture
def hub(house: tuple[Door, Hub]) -> Iterator[Hub]:
    yield house[1]
    house[1].refuses.clear()
