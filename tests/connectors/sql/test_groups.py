"""Scan groups beyond the contract: sums past 64 bits, types of a database's own, row counts."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.servers.postgresql import PostgresqlServer
from onedoor.connectors.sql import postgresql, sqlite
from onedoor.connectors.sql.tables import EXTREME_FUNCTIONS
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import (
    Comparison,
    Op,
    Row,
)
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, AggregateFunction, ScanRequest, SortKey, TimeBucket, TimeUnit

UUIDS = ("0188b5f4-0000-7000-8000-00000000000a", "F188b5f4-0000-7000-8000-00000000000b")
MOST = 2**63 - 1
IN_POSTGRESQL = f"""
    CREATE TABLE wide (id bigint PRIMARY KEY, large bigint, small smallint, money numeric, local timestamp, uuid uuid);
    INSERT INTO wide SELECT i, {MOST}, i, 0.1 * i, '2026-05-17 23:59:59.999999', '{UUIDS[0]}'
        FROM generate_series(1, 4) i;
    INSERT INTO wide VALUES (5, NULL, NULL, NULL, '1969-12-31 23:00:00', '{UUIDS[1]}');
    CREATE TABLE none (id bigint PRIMARY KEY);
    CREATE VIEW seen AS SELECT id FROM wide;
"""
IN_SQLITE = f"""
    CREATE TABLE wide (id INTEGER PRIMARY KEY, large BIGINT, cents MINOR_UNITS_INT, paid NUMERIC(12, 2), at TIMESTAMP);
    INSERT INTO wide VALUES (11, {MOST}, {-MOST}, 0.1, '2026-01-02 03:04:05'), (12, {MOST}, {-MOST}, NULL, NULL),
        (13, -1, -1, 0.2, NULL);
    CREATE TABLE none (id INTEGER PRIMARY KEY);
    CREATE VIEW seen AS SELECT id FROM wide;
"""
SUMS = AggregateCall(AggregateFunction.SUM, "large")


@pytest.fixture(scope="module")
def url(postgresql_started: PostgresqlServer) -> str:
    result = postgresql_started.emptied("groups")
    with psycopg.connect(result) as connection:
        connection.execute(IN_POSTGRESQL)
    return result


@pytest.fixture
async def wide(url: str) -> AsyncIterator[Connector]:
    connector = await postgresql.connect(postgresql.PostgresqlOptions(url=url))
    yield connector
    await connector.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    database_path = tmp_path / "wide.sqlite"
    with closing(sqlite3.connect(database_path)) as connection:
        connection.executescript(IN_SQLITE)
    return database_path


@pytest.fixture
async def light(path: Path) -> AsyncIterator[Connector]:
    connector = await sqlite.connect(sqlite.SqliteOptions(path=str(path)))
    yield connector
    await connector.close()


@pytest.fixture(params=["postgresql", "sqlite"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[Connector]:
    connector: Connector
    if request.param == "postgresql":
        connector = await postgresql.connect(postgresql.PostgresqlOptions(url=request.getfixturevalue("url")))
    else:
        connector = await sqlite.connect(sqlite.SqliteOptions(path=str(request.getfixturevalue("path"))))
    yield connector
    await connector.close()


async def rows(source: Connector, *columns: str, **more: Any) -> list[Row]:
    ask = ScanRequest(collection="wide", columns=columns, **more)
    async with aclosing(source.scan(ask)) as batches:  # type: ignore[type-var]
        return [row for batch in [item async for item in batches] for row in batch]


async def test_a_sum_past_64_bits_is_exact_in_postgresql(wide: Connector) -> None:
    assert await rows(wide, aggregates=(SUMS, AggregateCall(AggregateFunction.SUM, "money"))) == [
        (4 * MOST, Decimal("1.0"))
    ]


async def test_a_sum_past_64_bits_is_exact_in_sqlite(light: Connector) -> None:
    [(large, cents)] = await rows(light, aggregates=(SUMS, AggregateCall(AggregateFunction.SUM, "cents")))
    assert (large, cents) == (2 * MOST - 1, Decimal(-2 * MOST - 1).scaleb(-2))


@pytest.mark.parametrize(("op", "value", "expected"), [
    pytest.param(Op.GT, 2**70, False, id="greater"),
    pytest.param(Op.LT, 2**200, True, id="less than what no sum can be"),
    pytest.param(Op.GT, -(2**70), True, id="greater than a negative"),
])  # fmt: skip
async def test_sums_are_compared_past_64_bits(either: Connector, op: Op, value: int, expected: bool) -> None:
    result = await rows(either, aggregates=(SUMS,), having=Comparison(SUMS.name, op, value))
    assert bool(result) is expected


async def test_sums_are_sorted_as_numbers(light: Connector) -> None:
    by_row = await rows(light, "id", aggregates=(SUMS,), sort=(SortKey(SUMS.name), SortKey("id", descending=True)))
    assert by_row == [(13, -1), (12, MOST), (11, MOST)]


async def test_a_time_without_a_zone_is_bucketed_in_utc(wide: Connector) -> None:
    least = AggregateCall(AggregateFunction.MIN, "local")
    result = await rows(
        wide,
        "local",
        aggregates=(COUNT_ROWS, least),
        time_buckets=(TimeBucket("local", TimeUnit.WEEK),),
        sort=(SortKey("local"),),
    )
    assert result == [
        (datetime(1969, 12, 29, tzinfo=UTC), 1, datetime(1969, 12, 31, 23, tzinfo=UTC)),
        (datetime(2026, 5, 11, tzinfo=UTC), 4, datetime(2026, 5, 17, 23, 59, 59, 999999, tzinfo=UTC)),
    ]


async def test_a_column_read_as_text_is_grouped_and_sorted_as_text(wide: Connector) -> None:
    distinct = AggregateCall(AggregateFunction.COUNT_DISTINCT, "uuid")
    assert await rows(wide, aggregates=(distinct,)) == [(2,)]
    result = await rows(wide, "uuid", aggregates=(COUNT_ROWS,), sort=(SortKey("uuid", descending=True),), limit=1)
    assert result == [(UUIDS[1].lower(), 1)]


async def test_sqlite_sums_no_floats_whatever_their_type_is_called(light: Connector) -> None:
    columns = light.capabilities("wide").columns
    assert {columns[name].aggregates for name in ("paid", "at")} == {EXTREME_FUNCTIONS}
    counts = tuple(AggregateCall(AggregateFunction.COUNT, name) for name in ("paid", "at"))
    assert await rows(light, aggregates=counts) == [(2, 1)]


async def test_postgresql_knows_the_row_count_after_analyze(wide: Connector, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    again = await postgresql.connect(postgresql.PostgresqlOptions(url=url))
    assert [again.capabilities(name).row_count for name in ("wide", "none", "seen")] == [5, 0, None]
    await again.close()


async def test_sqlite_estimates_the_row_count_by_row_ids(light: Connector) -> None:
    assert [light.capabilities(name).row_count for name in ("wide", "none", "seen")] == [3, 0, None]


async def test_sqlite_knows_the_row_count_of_the_last_analyze(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO wide (id) VALUES (1000000)")
        connection.execute("ANALYZE")
        connection.execute("CREATE TABLE odd (id INTEGER PRIMARY KEY) WITHOUT ROWID")
    source = await sqlite.connect(sqlite.SqliteOptions(path=str(path)))
    assert [source.capabilities(name).row_count for name in ("wide", "odd")] == [4, None]
    await source.close()
