"""Databases that others designed, each in a server of its kind: their urls, and the source that reads them."""

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.postgresql import PostgresqlServer
from engine.names import snake
from engine.words import Source
from sources.sql import mysql, postgresql, sqlite
from tests.servers.mariadb import MariadbServer

HERE = Path(__file__).parent
NAME = re.compile(r"\b[A-Z][a-z]\w*")


def script(name: str) -> str:
    return (HERE / f"{name}.sql").read_text(encoding="utf-8")


def in_snake_case(text: str) -> str:
    """Names outside of quotes, as Chinook itself has them in PostgreSQL."""
    parts = text.split("'")
    return "'".join(
        NAME.sub(lambda found: snake(found[0]), each) if not at % 2 else each for at, each in enumerate(parts)
    )


@pytest.fixture(scope="session")
def chinook_in_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("chinook") / "chinook.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script("chinook").replace("TIMESTAMP", "DATETIME"))
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def chinook_in_postgresql(postgresql_started: PostgresqlServer) -> str:
    return filled(postgresql_started.emptied("chinook"), in_snake_case(script("chinook")))


@pytest.fixture(scope="session")
def chinook_in_mysql(mariadb_started: MariadbServer) -> str:
    url = mariadb_started.emptied("chinook")
    text = script("chinook").replace("TIMESTAMP", "DATETIME")
    lines = (line for line in text.splitlines() if not line.startswith("--"))
    mariadb_started.run(*(each for each in "\n".join(lines).split(";\n") if each.strip()), database="chinook")
    return url


@pytest.fixture(scope="session")
def adventure(postgresql_started: PostgresqlServer) -> str:
    return filled(postgresql_started.emptied("adventure"), script("adventure"))


@pytest.fixture
def odd(postgresql_started: PostgresqlServer) -> str:
    return filled(postgresql_started.emptied("odd"), script("odd"))


def filled(url: str, text: str) -> str:
    with psycopg.connect(url) as connection:
        connection.execute(text)
    return url


async def source_of(url: str) -> Source:
    kind, _, rest = url.partition("://")
    if kind == "sqlite":
        return await sqlite.connect(sqlite.Options(path=rest.removeprefix("/")))
    module: Mapping[str, Any] = {"postgresql": postgresql, "mysql": mysql}
    made: Source = await module[kind].connect(module[kind].Options(url=url))
    return made
