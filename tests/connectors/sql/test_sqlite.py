"""SQLite reflects its tables, reads their values, and stops cancelled statements."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from onedoor.connectors.sql import sqlite as sqlite_connector
from onedoor.connectors.sql.connector import SqlConnector, list_read_columns
from onedoor.connectors.sql.sqlite import SqliteOptions, SqliteReaders, connect, open_read_connection
from onedoor.connectors.sql.tables import CASE_INSENSITIVE_OPS, EQUALITY_OPS, ORDERED_OPS
from onedoor.errors import ConnectorError, ErrorCode, SourceChanged
from onedoor.model.catalog import Limits
from onedoor.runtime.resilience import apply_to_connector, wrap_connector
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind, ChangeRejected, Connector, RowChange
from onedoor.spi.flaws import FlawedRow
from onedoor.spi.predicates import Comparison, Exists, InKeys, Not, Op, Or, Row
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, AggregateFunction, KeyFilter, ScanRequest

DDL = """
    CREATE TABLE kinds (
        whole INTEGER PRIMARY KEY, money MINOR_UNITS_INT, moment UTC_MICROS_INT, day DATE, yes BOOLEAN, name VARCHAR(9),
        note CLOB, ratio DOUBLE, foreign_money NUMERIC(12, 3), foreign_moment TIMESTAMP, raw BLOB, untyped
    );
    INSERT INTO kinds VALUES (1, -1, 1, '2026-01-02', 1, 'é', '', 1, 0.1, '2026-01-02 03:04:05', x'00', 1);
    INSERT INTO kinds (whole) VALUES (2);
    CREATE TABLE odd (
        price INTEGER, total GENERATED ALWAYS AS (price * 2) STORED, twice INTEGER GENERATED ALWAYS AS (price * 2),
        doc JSON, id UUID, start TIME, any_of_them
    );
    INSERT INTO odd (price, doc, id, start, any_of_them) VALUES (3, '{"a": 1}', '0188b5f4', '08:30', 2.5);
    CREATE VIEW team_size AS SELECT name, count(*) AS members FROM kinds GROUP BY name ORDER BY name DESC;
    CREATE VIRTUAL TABLE note USING fts5 (body);
    CREATE VIEW seen AS SELECT whole, name FROM kinds;
    CREATE TABLE bad (day DATE, moment TIMESTAMP);
    INSERT INTO bad VALUES ('someday', 'then');
"""
ENDLESS = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT n FROM n WHERE n < 0"
PATIENCE = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    database_path = tmp_path / "here & there?.sqlite"
    with closing(sqlite3.connect(database_path)) as connection:
        connection.executescript(DDL)
    return database_path


@pytest.fixture
async def source(path: Path) -> AsyncIterator[SqlConnector]:
    """Open a connector that runs one statement at a time."""
    connector = await connect(SqliteOptions(path=str(path), connections=1))
    yield connector
    await connector.close()


async def rows(source: Connector, collection: str, *columns: str, **more: Any) -> list[Row]:
    async with aclosing(source.scan(ScanRequest(collection=collection, columns=columns, **more))) as batches:  # type: ignore[type-var]
        return [row for batch in [item async for item in batches] for row in batch]


async def test_each_declared_type_is_mapped(source: SqlConnector) -> None:
    columns = source.capabilities("kinds").columns
    assert {name: (column.type, column.filters, column.sortable) for name, column in columns.items()} == {
        "whole": (ColumnType.INTEGER, ORDERED_OPS, True),
        "money": (ColumnType.DECIMAL, ORDERED_OPS, True),
        "moment": (ColumnType.TIME, ORDERED_OPS, True),
        "day": (ColumnType.DATE, ORDERED_OPS, True),
        "yes": (ColumnType.BOOLEAN, ORDERED_OPS, True),
        "name": (ColumnType.TEXT, CASE_INSENSITIVE_OPS, True),
        "note": (ColumnType.TEXT, CASE_INSENSITIVE_OPS, True),
        "ratio": (ColumnType.FLOAT, ORDERED_OPS, True),
        "foreign_money": (ColumnType.DECIMAL, ORDERED_OPS, True),
        "foreign_moment": (ColumnType.TIME, ORDERED_OPS, True),
        "raw": (ColumnType.TEXT, frozenset({Op.IS_NULL}), False),
        "untyped": (ColumnType.TEXT, CASE_INSENSITIVE_OPS, True),
    }
    assert EQUALITY_OPS < ORDERED_OPS < CASE_INSENSITIVE_OPS


async def test_values_have_the_types_of_the_spi(source: SqlConnector) -> None:
    result = await rows(source, "kinds", *source.capabilities("kinds").columns)
    whole = (
        1, Decimal("-0.01"), datetime(1970, 1, 1, microsecond=1, tzinfo=UTC), date(2026, 1, 2), True, "é", "", 1.0,
        Decimal("0.100"), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "AA==", "1",
    )  # fmt: skip
    assert [list(map(repr, row)) for row in result] == [list(map(repr, row)) for row in (whole, (2, *[None] * 11))]


async def test_columns_of_any_declared_type_generated_or_hidden_are_read(source: SqlConnector) -> None:
    [row] = await rows(source, "odd", "total", "twice", "doc", "id", "start", "any_of_them")
    assert row == ("6", 6, '{"a": 1}', "0188b5f4", "08:30", "2.5")
    assert await rows(source, "team_size", "name", "members") == [("é", "1"), (None, "1")]
    assert [name for name in source.tables["note"].columns if name in ("body", "note", "rank")] == ["body"]


async def test_a_view_that_cannot_be_read_costs_no_other_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE gone (id); CREATE VIEW orphan AS SELECT id FROM gone; DROP TABLE gone;")
    source = await connect(SqliteOptions(path=str(path)))
    assert await rows(source, "seen", "whole") == [(1,), (2,)]
    assert dict(source.tables["orphan"].columns) == {}
    await source.close()


async def test_a_view_is_read_as_a_table_is(source: SqlConnector) -> None:
    assert await rows(source, "seen", "name", "whole") == [("é", 1), (None, 2)]


@pytest.mark.parametrize("column", ["day", "moment"])
async def test_a_value_that_cannot_be_decoded_is_null_and_flawed(source: SqlConnector, column: str) -> None:
    (row,) = await rows(source, "bad", column)
    assert (row, isinstance(row, FlawedRow)) == ((None,), True)


async def test_no_file_is_made_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match=r"there is no SQLite database at `none\.sqlite`"):
        await connect(SqliteOptions(path=str(tmp_path / "none.sqlite")))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("sql", ["DELETE FROM kinds", "PRAGMA user_version = 7", "CREATE TABLE made (id)"])
async def test_nothing_can_be_written(source: SqlConnector, path: Path, sql: str) -> None:
    await source.runner.run("PRAGMA query_only = 0", ())
    with pytest.raises(ConnectorError, match="the database could not answer"):
        await source.runner.run(sql, ())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM kinds").fetchone() == (2,)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 100])
async def test_a_cancelled_statement_stops_wherever_it_is(source: SqlConnector, turns: int) -> None:
    """It may be waiting for the one thread, or running in it."""
    running = [asyncio.create_task(source.runner.run(ENDLESS, ())) for _ in range(3)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in reversed(running):
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    async with asyncio.timeout(PATIENCE):
        assert await rows(source, "seen", "whole") == [(1,), (2,)]


async def test_a_running_statement_is_stopped(source: SqlConnector) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await source.runner.run(ENDLESS, ())
    async with asyncio.timeout(PATIENCE):
        await source.ping()


async def test_every_connection_is_closed_in_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[sqlite3.Connection] = []

    def open_and_note(path: Path) -> sqlite3.Connection:
        opened.append(open_read_connection(path))
        return opened[-1]

    monkeypatch.setattr(sqlite_connector, "open_read_connection", open_and_note)
    source = await connect(SqliteOptions(path=str(path)))
    assert isinstance(source.runner, SqliteReaders)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await source.runner.run(ENDLESS, ())
    with pytest.raises(ConnectorError):
        await source.runner.run("SELECT nothing", ())
    await source.ping()
    await source.close()
    source.runner.pool.shutdown(wait=True)
    assert [is_closed(connection) for connection in opened] == [True] * 4


def is_closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("ALTER TABLE kinds RENAME COLUMN note TO remark", "`kinds` no longer has the column `note`"),
        ("ALTER TABLE kinds DROP COLUMN note", "`kinds` no longer has the column `note`"),
        ("DROP TABLE kinds", "`kinds` is no longer there"),
    ],
    ids=["renamed", "dropped", "table-dropped"],
)
async def test_a_lost_column_is_named(tmp_path: Path, sql: str, reason: str) -> None:
    path = tmp_path / "lost.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE kinds (whole INTEGER PRIMARY KEY, note TEXT)")
        source = await connect(SqliteOptions(path=str(path), writable=("kinds",)))
        connection.execute(sql)
    with pytest.raises(SourceChanged) as caught:
        await rows(source, "kinds", "whole", "note")
    change = RowChange(id="1", collection="kinds", kind=ChangeKind.CREATE, key={"whole": 3}, values={"note": "new"})
    with pytest.raises(SourceChanged) as refused:
        await source.apply([change])
    await source.close()
    expected = (f"{reason}; correct the mapping and restart", ErrorCode.CANNOT_ANSWER)
    assert [(error.value.reason, error.value.code) for error in (caught, refused)] == [expected, expected]


async def test_the_other_columns_of_a_changed_table_are_read(path: Path, source: SqlConnector) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE kinds DROP COLUMN note")
    assert await rows(source, "kinds", "whole") == [(1,), (2,)]


@pytest.mark.parametrize(
    ("values", "lost"),
    [({"note": "new"}, "the column `note`"), ({"name": "new"}, "every column that is mapped")],
    ids=["one that it sets", "one that its caller may not know"],
)
async def test_a_change_of_a_table_that_lost_a_column_is_rejected(
    path: Path, caplog: pytest.LogCaptureFixture, values: dict[str, str], lost: str
) -> None:
    source = await connect(SqliteOptions(path=str(path), writable=("kinds",)))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE kinds DROP COLUMN note")
    change = RowChange(id="1", collection="kinds", kind=ChangeKind.UPDATE, key={"whole": 1}, values=values)
    with caplog.at_level(logging.ERROR, "onedoor.sources"), pytest.raises(ChangeRejected) as caught:
        await apply_to_connector(wrap_connector("shop", source, Limits(), lambda: 0.0), [change])
    await source.close()
    assert caught.value.reason == f"`shop.kinds` no longer has {lost}; correct the mapping and restart"
    assert "`shop.kinds` no longer has the column `note`" in caplog.text


def test_the_columns_that_a_request_reads_are_those_of_each_collection() -> None:
    inner = Exists("owner", ("owner_id",), ("id",), Comparison("name", Op.EQ, "Ada"))
    request = ScanRequest(
        collection="kinds",
        columns=("whole",),
        keys=KeyFilter(("part",), ((1,),)),
        filter=Or((inner, Not(InKeys(("day",), frozenset({(1,)}))))),
        aggregates=(COUNT_ROWS, AggregateCall(AggregateFunction.SUM, "total")),
    )
    assert list_read_columns(request) == {
        "kinds": {"whole", "part", "owner_id", "day", "total"},
        "owner": {"id", "name"},
    }
