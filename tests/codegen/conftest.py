"""Fill databases that others designed, each on a real server of its kind, and connect to them."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import count
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from demo.run import SECRETS
from demo.servers.postgresql import PostgresqlServer
from demo.servers.run import RunningServers, address
from demo.servers.snowflake.account import USER
from onedoor.connectors.snowflake import connector
from onedoor.connectors.snowflake.options import build_introspection_options, parse_source_settings
from onedoor.connectors.sql import mysql, postgresql, sqlite
from onedoor.model.names import to_snake_case
from onedoor.spi.connector import Connector
from tests.servers.mariadb import MariadbServer
from tests.servers.snowflake import Before, run_front
from tests.servers.snowflake import run_script as into_snowflake

HERE = Path(__file__).parent
NAME = re.compile(r"\b[A-Z][a-z]\w*")


def script(name: str) -> str:
    return (HERE / f"{name}.sql").read_text(encoding="utf-8")


def in_snake_case(text: str) -> str:
    """Names outside of quotes, as Chinook itself has them in PostgreSQL."""
    parts = text.split("'")
    return "'".join(
        NAME.sub(lambda match: to_snake_case(match[0]), part) if not index % 2 else part
        for index, part in enumerate(parts)
    )


@pytest.fixture(scope="session")
def chinook_in_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("chinook") / "chinook.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script("chinook").replace("TIMESTAMP", "DATETIME"))
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def chinook_in_postgresql(postgresql_started: PostgresqlServer) -> str:
    return run_script(postgresql_started.emptied("chinook"), in_snake_case(script("chinook")))


@pytest.fixture(scope="session")
def chinook_in_mysql(mariadb_started: MariadbServer) -> str:
    url = mariadb_started.emptied("chinook")
    text = script("chinook").replace("TIMESTAMP", "DATETIME")
    lines = (line for line in text.splitlines() if not line.startswith("--"))
    mariadb_started.run(*(part for part in "\n".join(lines).split(";\n") if part.strip()), database="chinook")
    return url


@pytest.fixture(scope="session")
def snowflake_place(acme_servers: RunningServers) -> tuple[str, int]:
    return address(acme_servers, "snowflake")


@pytest.fixture(scope="session")
def snowflake_stood(snowflake_place: tuple[str, int]) -> Iterator[tuple[Before, int]]:
    before = Before(snowflake_place)
    with run_front(before) as port:
        yield before, port


@pytest.fixture
def before_snowflake(snowflake_stood: tuple[Before, int]) -> Iterator[tuple[Before, int]]:
    yield snowflake_stood
    snowflake_stood[0].refusals = {}


@pytest.fixture(scope="session")
def chinook_in_snowflake(snowflake_place: tuple[str, int], snowflake_stood: tuple[Before, int]) -> str:
    text = re.sub(r"\bINT\b", "NUMBER(9, 0)", in_snake_case(script("chinook")))
    lines = (line for line in text.splitlines() if not line.startswith("--"))
    into_snowflake(snowflake_place, "chinook", "\n".join(lines) + "\n")
    return snowflake_url(snowflake_stood[1], "chinook")


@pytest.fixture(scope="session")
def schemas() -> Iterator[int]:
    return count()


@pytest.fixture
def warehouse(snowflake_place: tuple[str, int], before_snowflake: tuple[Before, int], schemas: Iterator[int]) -> str:
    schema = f"shop_{next(schemas)}"
    into_snowflake(snowflake_place, schema, script("warehouse"))
    return snowflake_url(before_snowflake[1], schema)


@pytest.fixture
def alter_warehouse(snowflake_place: tuple[str, int]) -> Callable[[str, str], None]:
    """By the URL of a warehouse, with statements."""
    return lambda url, text: into_snowflake(snowflake_place, PurePath(urlsplit(url).path).name, text)


def snowflake_url(port: int, schema: str) -> str:
    return (
        f"snowflake://{USER}:{SECRETS['SNOWFLAKE_PASSWORD']}@127.0.0.1:{port}/SHOP/{schema}?protocol=http&account=acme"
    )


@pytest.fixture(scope="session")
def adventure(postgresql_started: PostgresqlServer) -> str:
    return run_script(postgresql_started.emptied("adventure"), script("adventure"))


@pytest.fixture
def odd(postgresql_started: PostgresqlServer) -> str:
    return run_script(postgresql_started.emptied("odd"), script("odd"))


def run_script(url: str, text: str) -> str:
    with psycopg.connect(url) as connection:
        connection.execute(text)
    return url


async def source_of(url: str) -> Connector:
    kind, _, rest = url.partition("://")
    if kind == "snowflake":
        return await connector.connect(build_introspection_options(parse_source_settings(url)))
    if kind == "sqlite":
        return await sqlite.connect(sqlite.SqliteOptions(path=rest.removeprefix("/")))
    module: Mapping[str, Any] = {"postgresql": postgresql, "mysql": mysql}
    result: Connector = await module[kind].KIND.connect(module[kind].KIND.options(url=url))
    return result
