"""PostgreSQL, a real one, reflects its tables, reads their values, stops statements and is reconnected to."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from demo.servers.postgresql import PostgresqlServer, postgresql_server
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.connectors.sql.postgresql import PostgresqlOptions, connect
from onedoor.connectors.sql.tables import EQUALITY_OPS, ORDERED_OPS, TEXT_OPS
from onedoor.errors import ConnectorError, ErrorCode, SourceChanged
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind, Connector, RowChange
from onedoor.spi.flaws import FlawedRow
from onedoor.spi.predicates import (
    Comparison,
    Op,
    Row,
)
from onedoor.spi.scan import KeyFilter, ScanRequest

NO_PLAIN_FORM = {
    "time": ("time", "'08:30'", "08:30:00"),
    "timetz": ("timetz", "'08:30+02'", "08:30:00+02"),
    "money": ("money", "12.5", "$12.50"),
    "xml": ("xml", "NULL", None),
    "bit": ("bit(4)", "B'0101'", "0101"),
    "varbit": ("varbit", "B'01'", "01"),
    "cidr": ("cidr", "'10.0.0.0/8'", "10.0.0.0/8"),
    "macaddr": ("macaddr", "'08:00:2b:01:02:03'", "08:00:2b:01:02:03"),
    "range": ("int4range", "'[1,3)'", "[1,3)"),
    "multirange": ("int4multirange", "'{[1,3),[5,6)}'", "{[1,3),[5,6)}"),
    "point": ("point", "'(1,2)'", "(1,2)"),
    "oid": ("oid", "42", "42"),
    "tsvector": ("tsvector", "'a:1 b'", "'a':1 'b'"),
    "lsn": ("pg_lsn", "'16/B374D848'", "16/B374D848"),
    "composite": ("pair", "ROW(1, 'x')::pair", "(1,x)"),
    "domain of a domain": ("short_code", "'abc'", "abc"),
    "text[]": ("text[]", "ARRAY['a', NULL]", ("a", None)),
    "int[]": ("int[]", "'{1,NULL,3}'", (1, None, 3)),
    "bigint[]": ("bigint[]", "'{9223372036854775807}'", (2**63 - 1,)),
    "boolean[]": ("boolean[]", "'{t,f}'", (True, False)),
    "real[]": ("real[]", "'{0.1,1.5}'", (0.1, 1.5)),
    "numeric[]": ("numeric[]", "'{1.50}'", (Decimal("1.50"),)),
    "uuid[]": ("uuid[]", "'{0188b5f4-0000-7000-8000-000000000001}'", ("0188b5f4-0000-7000-8000-000000000001",)),
    "enum[]": ("mood[]", "'{sad}'", ("sad",)),
    "date[]": ("date[]", "'{2026-01-02}'", (date(2026, 1, 2),)),
    "timestamptz[]": ("timestamptz[]", "'{2026-01-02 03:04:05+02}'", (datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC),)),
    "timestamp[]": ("timestamp[]", "'{2026-01-02 03:04:05}'", (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),)),
    "domain[]": ("short_code[]", "'{abc}'", ("abc",)),
    "int[][]": ("int[][]", "'{{1,2},{3,NULL}}'", "[[1,2],[3,null]]"),
    "an empty list": ("text[]", "'{}'", ()),
    "no list": ("text[]", "NULL", None),
    "bytea": ("bytea", "'\\x00ff'", "AP8="),
}  # fmt: skip
"""Types that no kind of column stands for: by name the type, a value in SQL, and as it is read."""

UUID = "0188b5f4-0000-7000-8000-000000000001"
DDL = f"""
    CREATE TYPE mood AS ENUM ('glad', 'sad');
    CREATE TABLE kinds (
        small smallint, whole integer, large bigint PRIMARY KEY, money numeric(12, 2), single real,
        ratio double precision, yes boolean, day date, moment timestamptz, local timestamp, name text, code varchar(9),
        letters char(3), id uuid, mood mood, doc jsonb, raw bytea, list text[]
    );
    INSERT INTO kinds VALUES (1, 2, 3, 4.50, 0.5, 0.1, true, '2026-01-02', '2026-01-02 03:04:05.678901+02',
        '2026-01-02 03:04:05', 'é', 'x', 'ab', '{UUID}', 'sad', '{{"a": 1}}', '\\x00', '{{a}}');
    INSERT INTO kinds (large) VALUES (-1);
    CREATE SCHEMA finance;
    CREATE TABLE finance.invoice (id bigint PRIMARY KEY, "Odd "" name" text);
    INSERT INTO finance.invoice VALUES (1, 'odd');
    CREATE VIEW slow AS SELECT 1 AS id FROM pg_sleep(60);
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN code AS text;
    CREATE DOMAIN short_code AS code CHECK (length(VALUE) < 9);
    CREATE TABLE no_plain_form ({", ".join(f'"{name}" {type}' for name, (type, *_) in NO_PLAIN_FORM.items())});
    INSERT INTO no_plain_form VALUES ({", ".join(value for _, value, _ in NO_PLAIN_FORM.values())});
    CREATE MATERIALIZED VIEW large_kind AS SELECT large, name FROM kinds;
    CREATE TABLE worked_out (
        id int PRIMARY KEY, price int, double int GENERATED ALWAYS AS (price * 2) STORED, seals bytea[]
    );
    INSERT INTO worked_out VALUES (1, 4);
    CREATE TABLE bad (day date, moment timestamptz);
    INSERT INTO bad VALUES ('0044-03-15 BC', '20000-01-01 00:00:00+00');
"""
ACTIVE = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'onedoor' AND state = 'active'"
PATIENCE = 30.0


@pytest.fixture(scope="module")
def url(postgresql_started: PostgresqlServer) -> str:
    result = postgresql_started.emptied("kinds")
    with psycopg.connect(result) as connection:
        connection.execute(DDL)
    return result


@pytest.fixture
async def source(url: str) -> AsyncIterator[SqlConnector]:
    connector = await connect(PostgresqlOptions(url=url))
    yield connector
    await connector.close()


@pytest.fixture(scope="module")
def fragile() -> Iterator[PostgresqlServer]:
    """Start a server that the tests kill."""
    with postgresql_server() as server:
        with psycopg.connect(server.url()) as connection:
            connection.execute(DDL)
        yield server


async def rows(source: Connector, collection: str, *columns: str, **more: Any) -> list[Row]:
    async with aclosing(source.scan(ScanRequest(collection=collection, columns=columns, **more))) as batches:  # type: ignore[type-var]
        return [row for batch in [item async for item in batches] for row in batch]


async def test_each_column_type_is_mapped(source: SqlConnector) -> None:
    columns = source.capabilities("kinds").columns
    assert {name: (column.type, column.filters, column.sortable) for name, column in columns.items()} == {
        **dict.fromkeys(("small", "whole", "large"), (ColumnType.INTEGER, ORDERED_OPS, True)),
        "money": (ColumnType.DECIMAL, ORDERED_OPS, True),
        **dict.fromkeys(("single", "ratio"), (ColumnType.FLOAT, ORDERED_OPS, True)),
        "yes": (ColumnType.BOOLEAN, ORDERED_OPS, True),
        "day": (ColumnType.DATE, ORDERED_OPS, True),
        **dict.fromkeys(("moment", "local"), (ColumnType.TIME, ORDERED_OPS, True)),
        **dict.fromkeys(("name", "code"), (ColumnType.TEXT, TEXT_OPS, True)),
        **dict.fromkeys(("letters", "id"), (ColumnType.TEXT, TEXT_OPS, True)),
        "mood": (ColumnType.TEXT, ORDERED_OPS, True),
        "doc": (ColumnType.TEXT, EQUALITY_OPS, False),
        "raw": (ColumnType.TEXT, frozenset({Op.IS_NULL}), False),
        "list": (ColumnType.LIST, frozenset({Op.IS_NULL}), False),
    }


async def test_values_have_the_types_of_the_spi(source: SqlConnector) -> None:
    columns = tuple(source.capabilities("kinds").columns)
    results = dict(zip(columns, (await rows(source, "kinds", *columns))[0], strict=True))
    assert {name: repr(value) for name, value in results.items()} == {
        "small": "1", "whole": "2", "large": "3", "money": repr(Decimal("4.50")), "single": "0.5", "ratio": "0.1",
        "yes": "True", "day": repr(date(2026, 1, 2)),
        "moment": repr(datetime(2026, 1, 2, 1, 4, 5, 678901, tzinfo=UTC)),
        "local": repr(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)), "name": "'é'", "code": "'x'", "letters": "'ab'",
        "id": repr(UUID), "mood": "'sad'", "doc": repr('{"a": 1}'), "raw": "'AA=='", "list": "('a',)",
    }  # fmt: skip


async def test_each_type_of_the_server_is_read(source: SqlConnector) -> None:
    [row] = await rows(source, "no_plain_form", *NO_PLAIN_FORM)
    assert dict(zip(NO_PLAIN_FORM, row, strict=True)) == {name: read for name, (*_, read) in NO_PLAIN_FORM.items()}


async def test_a_materialized_view_and_a_generated_column_are_read(source: SqlConnector) -> None:
    assert await rows(source, "large_kind", "large") == [(3,), (-1,)]
    assert await rows(source, "worked_out", "double") == [(8,)]


async def test_a_column_that_is_not_read_is_named_with_its_type(source: SqlConnector) -> None:
    table = source.tables["worked_out"]
    assert ("seals" in table.columns, table.declared_types["seals"]) == (False, "bytea[]")


@pytest.mark.parametrize("column", [
    "small", "whole", "large", "money", "single", "ratio", "yes", "day", "moment", "local", "name", "code", "letters",
    "id", "mood", "doc",
])  # fmt: skip
async def test_a_row_is_found_by_its_own_value(source: SqlConnector, column: str) -> None:
    [(value,)] = await rows(source, "kinds", column, filter=Comparison("large", Op.EQ, 3))
    for way in (
        {"filter": Comparison(column, Op.EQ, value)},
        {"filter": Comparison(column, Op.IN, (value,))},
        {"keys": KeyFilter((column,), ((value,),))},
        {"keys": KeyFilter(("large", column), ((3, value),))},
    ):
        assert await rows(source, "kinds", "large", **way) == [(3,)]


async def test_a_table_outside_public_is_named_with_its_schema(source: SqlConnector) -> None:
    assert await rows(source, "finance.invoice", 'Odd " name') == [("odd",)]


@pytest.mark.parametrize("column", ["day", "moment"])
async def test_a_value_that_python_cannot_hold_is_null_and_flawed(source: SqlConnector, column: str) -> None:
    (row,) = await rows(source, "bad", column)
    assert (row, isinstance(row, FlawedRow)) == ((None,), True)


@pytest.mark.parametrize("sql", ["DELETE FROM kinds", "CREATE TABLE made (id int)", "SELECT nextval('finance.number')"])
async def test_nothing_can_be_written(source: SqlConnector, url: str, sql: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS finance.number")
    with pytest.raises(ConnectorError, match="the database could not answer"):
        await source.runner.run(sql, ())


async def test_a_refused_statement_keeps_its_connection(source: SqlConnector) -> None:
    await source.ping()
    before = list(source.runner.idle)  # type: ignore[attr-defined]
    with pytest.raises(ConnectorError):
        await source.runner.run("SELECT 1 / 0", ())
    assert source.runner.idle == before  # type: ignore[attr-defined]


async def test_a_value_that_cannot_be_sent_keeps_its_connection(source: SqlConnector) -> None:
    await source.ping()
    before = list(source.runner.idle)  # type: ignore[attr-defined]
    with pytest.raises(ConnectorError) as caught:
        await source.runner.run("SELECT $1::bigint", ("no number",))
    assert (caught.value.retryable, source.runner.idle) == (False, before)  # type: ignore[attr-defined]


async def test_a_cancelled_statement_stops_on_the_server(source: SqlConnector, url: str) -> None:
    reading = [asyncio.create_task(rows(source, "slow", "id")) for _ in range(3)]
    await wait_until(lambda: active(url) == 3)
    for item in reading:
        item.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    await wait_until(lambda: active(url) == 0)


async def test_no_more_statements_run_than_there_may_be_connections(url: str) -> None:
    source = await connect(PostgresqlOptions(url=url, connections=2))
    await asyncio.gather(*(rows(source, "kinds", "large") for _ in range(20)))
    assert len(source.runner.idle) == 2  # type: ignore[attr-defined]
    await source.close()


async def test_connections_cut_by_the_server_are_replaced(source: SqlConnector, url: str) -> None:
    await asyncio.gather(*(source.ping() for _ in range(4)))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'onedoor'")
    assert await rows(source, "kinds", "large", filter=Comparison("large", Op.EQ, 3)) == [(3,)]


async def test_a_server_that_was_killed_is_connected_to_again(fragile: PostgresqlServer) -> None:
    source = await connect(PostgresqlOptions(url=fragile.url()))
    await asyncio.gather(*(source.ping() for _ in range(3)))
    fragile.stop()
    with pytest.raises(ConnectorError, match="the database does not answer") as caught:
        await rows(source, "kinds", "large")
    fragile.start()

    assert caught.value.retryable
    assert await rows(source, "kinds", "large", filter=Comparison("large", Op.EQ, 3)) == [(3,)]
    await source.close()


async def test_a_server_killed_in_the_middle_of_a_statement(fragile: PostgresqlServer) -> None:
    source = await connect(PostgresqlOptions(url=fragile.url()))
    reading = asyncio.create_task(rows(source, "slow", "id"))
    await wait_until(lambda: active(fragile.url()) == 1)
    fragile.stop()
    with pytest.raises(ConnectorError, match="the database does not answer") as caught:
        await reading
    fragile.start()

    assert (caught.value.retryable, source.runner.idle) == (True, [])  # type: ignore[attr-defined]
    await source.close()


async def test_a_server_that_hangs_does_not_hold_up_the_closing(fragile: PostgresqlServer) -> None:
    source = await connect(PostgresqlOptions(url=fragile.url()))
    await source.ping()
    assert fragile.process is not None
    os.killpg(fragile.process.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(PATIENCE):
            await source.close()
    finally:
        os.killpg(fragile.process.pid, signal.SIGCONT)


async def test_no_server_is_a_failure(fragile: PostgresqlServer) -> None:
    fragile.stop()
    with pytest.raises(ConnectorError, match="the database does not answer"):
        await connect(PostgresqlOptions(url=fragile.url()))
    fragile.start()


def active(url: str) -> int:
    with psycopg.connect(url) as connection:
        result = connection.execute(ACTIVE).fetchone()
    assert result is not None
    return int(result[0])


async def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, f"it did not come to hold within {PATIENCE:g} s"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("ALTER TABLE finance.lost RENAME note TO remark", "`finance.lost` no longer has the column `note`"),
        ("ALTER TABLE finance.lost DROP note", "`finance.lost` no longer has the column `note`"),
        ("DROP TABLE finance.lost", "`finance.lost` is no longer there"),
    ],
    ids=["renamed", "dropped", "table-dropped"],
)
async def test_a_lost_column_is_named(url: str, sql: str, reason: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS finance.lost")
        connection.execute("CREATE TABLE finance.lost (id bigint PRIMARY KEY, note text)")
        source = await connect(PostgresqlOptions(url=url, writable=("finance.lost",)))
        connection.execute(sql)
    with pytest.raises(SourceChanged) as caught:
        await rows(source, "finance.lost", "id", "note")
    change = RowChange(id=sql, collection="finance.lost", kind=ChangeKind.CREATE, key={"id": 3}, values={"note": "new"})
    with pytest.raises(SourceChanged) as refused:
        await source.apply([change])
    await source.close()
    expected = (f"{reason}; correct the mapping and restart", ErrorCode.CANNOT_ANSWER)
    assert [(error.value.reason, error.value.code) for error in (caught, refused)] == [expected, expected]
