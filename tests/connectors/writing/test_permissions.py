"""Change only what settings and rights allow, and name what is missing to an operator."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.servers.postgresql import PostgresqlServer
from onedoor.connectors.sql import mysql, postgresql, sqlite
from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode
from onedoor.spi.connector import ChangeKind
from tests.connectors.writing.changes import apply_changes, build_change, build_creation, build_row, get_refusal
from tests.connectors.writing.conftest import WRITABLE, connect_to
from tests.connectors.writing.tables import into_sqlite
from tests.servers.mariadb import MariadbServer


async def test_the_error_names_a_user_who_may_only_read(postgresql_written: str) -> None:
    owner = await postgresql.connect(postgresql.PostgresqlOptions(url=postgresql_written, writable=WRITABLE))
    await owner.close()  # it has created the marker table
    with psycopg.connect(postgresql_written) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    owner = await connect_to("postgresql", postgresql_written)  # makes the table of markers
    await owner.close()
    reading = postgresql_written.replace("acme@", "reader@")
    source = await postgresql.connect(postgresql.PostgresqlOptions(url=reading, writable=WRITABLE))
    try:
        assert await get_refusal(source, build_creation(1)) == (
            ErrorCode.CANNOT_ANSWER,
            "the database does not let its user change a table: grant it, or take it out of `writable`",
        )
    finally:
        await source.close()


async def test_the_error_names_a_user_who_may_create_no_table(postgresql_started: PostgresqlServer) -> None:
    url = postgresql_started.emptied("reading")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE thing (id int PRIMARY KEY)")
        connection.execute("DROP ROLE IF EXISTS looker")
        connection.execute("CREATE ROLE looker LOGIN")
        connection.execute("GRANT SELECT ON thing TO looker")
    with pytest.raises(ConnectorError) as raised:
        await postgresql.connect(postgresql.PostgresqlOptions(url=url.replace("acme@", "looker@"), writable=("thing",)))
    assert raised.value.reason == (
        "the database does not let its user make the table `onedoor_change`, which `writable` needs"
    )


async def test_the_error_names_a_mariadb_user_who_may_create_no_table(mariadb_started: MariadbServer) -> None:
    url = mariadb_started.emptied("reading")
    mariadb_started.run("CREATE TABLE thing (id int PRIMARY KEY)", database="reading")
    mariadb_started.run(
        "CREATE OR REPLACE USER looker@'%' IDENTIFIED BY 'looker'", "GRANT SELECT ON reading.* TO looker@'%'"
    )
    with pytest.raises(ConnectorError) as raised:
        await mysql.connect(mysql.MysqlOptions(url=url.replace("acme:acme", "looker:looker"), writable=("thing",)))
    assert raised.value.reason == (
        "the database does not let its user make the table `onedoor_change`, which `writable` needs"
    )


async def test_the_error_names_a_file_that_may_only_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError):
        await sqlite.connect(sqlite.SqliteOptions(path=str(tmp_path / "none"), writable=WRITABLE))


@pytest.mark.parametrize(("options", "message"), [
    ({"writable": ("thin",)}, "there is no collection `thin`: did you mean `thing`"),
    ({"writable": ("keyless",)}, "`keyless` cannot be written to: it has no primary key"),
    ({"writable": ("thing",), "versions": {"thing": "code"}},
     "`versions.thing` must be a column of whole numbers of `thing`"),
    ({"writable": ("thing",), "versions": {"part": "line"}}, "`versions.part` needs `part` in `writable`"),
])  # fmt: skip
async def test_the_error_names_settings_that_cannot_be(tmp_path: Path, options: Any, message: str) -> None:
    path = tmp_path / "tables.sqlite"
    into_sqlite(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE keyless (a INTEGER)")
    with pytest.raises(ConfigurationError) as raised:
        await sqlite.connect(sqlite.SqliteOptions(path=str(path), **options))
    assert str(raised.value) == message


async def test_nothing_is_changed_where_the_settings_do_not_say_so(tmp_path: Path) -> None:
    path = tmp_path / "tables.sqlite"
    into_sqlite(path)
    source = await sqlite.connect(sqlite.SqliteOptions(path=str(path)))
    assert source.write_capabilities("thing") is None
    assert (await get_refusal(source, build_creation(1)))[0] is ErrorCode.CANNOT_ANSWER
    await source.close()
    with closing(sqlite3.connect(path)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert "onedoor_change" not in names


async def test_another_column_may_count_the_changes(tmp_path: Path) -> None:
    path = tmp_path / "tables.sqlite"
    into_sqlite(path)
    source = await sqlite.connect(sqlite.SqliteOptions(path=str(path), writable=("thing",), versions={"thing": "big"}))
    [result] = await apply_changes(source, build_change(ChangeKind.CREATE, code="a"))
    assert result.after == build_row(1, code="a", big=1)
    await source.close()
