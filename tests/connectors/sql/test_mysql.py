"""A real MariaDB reflects its tables, reads their values, stops statements and is reconnected to."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from onedoor.connectors.sql.connector import SqlConnector
from onedoor.connectors.sql.dialects.mysql import lets_zero_dates_in
from onedoor.connectors.sql.mysql import MysqlOptions, connect
from onedoor.connectors.sql.tables import EQUALITY_OPS, ORDERED_OPS, TEXT_OPS
from onedoor.errors import ConnectorError, ErrorCode, SourceChanged
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind, Connector, RowChange
from onedoor.spi.predicates import (
    Comparison,
    Exists,
    Op,
    Row,
)
from onedoor.spi.scan import KeyFilter, ScanRequest, SortKey
from tests.servers import mariadb
from tests.servers.mariadb import MariadbServer

UUID = "0188b5f4-0000-7000-8000-000000000001"
DDL = (
    """CREATE TABLE kinds (
        tiny tinyint, small smallint unsigned, medium mediumint, whole int, large bigint PRIMARY KEY, born year,
        money decimal(12, 2), single float, ratio double, yes boolean, flag bit(1), day date, moment timestamp(6) NULL,
        local datetime(6), name varchar(20) COLLATE utf8mb4_general_ci, latin varchar(20) CHARACTER SET latin1,
        plain varchar(20) COLLATE utf8mb4_nopad_bin, long_text longtext, letters char(3), mood enum('glad', 'sad'),
        several set('a', 'b'), id uuid, at time, raw blob
    )""",
    "SET time_zone = '+02:00'",
    f"""INSERT INTO kinds VALUES (1, 65535, -8, 2, 3, 2026, 4.50, 0.5, 0.1, true, b'1', '2026-01-02',
        '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05', 'é', 'ü', 'p', 'long', 'ab', 'sad', 'a,b', '{UUID}',
        '10:00', x'00')""",
    "INSERT INTO kinds (large, name, latin, mood, yes) VALUES (-1, 'E', 'U', 'glad', 2)",
    """CREATE TABLE no_plain_form (
        id int PRIMARY KEY, long_ago time, bits bit(8), many_bits bit(64), place point, shape geometry, doc json,
        packed binary(3), more varbinary(9), day date NOT NULL, moment datetime NOT NULL DEFAULT '0000-00-00 00:00:00'
    )""",
    """INSERT INTO no_plain_form (id, long_ago, bits, many_bits, place, shape, doc, packed, more, day) VALUES (
        1, '-838:59:59', b'101', ~0, POINT(1, 2), ST_GeomFromText('LINESTRING(0 0, 1 1)'), '{"a": 1}', x'000102',
        x'00ff', '0000-00-00')""",
    "CREATE TABLE `Odd `` name` (`a ``b%s` int PRIMARY KEY)",
    "INSERT INTO `Odd `` name` VALUES (1)",
    "CREATE VIEW slow AS SELECT 1 AS id FROM (SELECT SLEEP(60) AS s) AS t WHERE s IS NOT NULL",
)  # fmt: skip
PATIENCE = 30.0


@pytest.fixture(scope="module")
def url(mariadb_started: MariadbServer) -> str:
    result = mariadb_started.emptied("kinds")
    mariadb_started.run(*DDL, database="kinds")
    return result


@pytest.fixture
async def source(url: str) -> AsyncIterator[SqlConnector]:
    connector = await connect(MysqlOptions(url=url))
    yield connector
    await connector.close()


@pytest.fixture(scope="module")
def fragile(mariadb_started: MariadbServer) -> Iterator[MariadbServer]:
    """Start a server that the tests kill."""
    with mariadb.mariadb_server() as server:
        server.emptied("kinds")
        server.run(*DDL, database="kinds")
        yield server


async def rows(source: Connector, collection: str, *columns: str, **more: Any) -> list[Row]:
    async with aclosing(source.scan(ScanRequest(collection=collection, columns=columns, **more))) as batches:  # type: ignore[type-var]
        return [row for batch in [item async for item in batches] for row in batch]


async def test_each_column_type_is_mapped(source: SqlConnector) -> None:
    columns = source.capabilities("kinds").columns
    assert {name: (column.type, column.filters, column.sortable) for name, column in columns.items()} == {
        **dict.fromkeys(("tiny", "small", "medium", "whole", "large", "born"), (ColumnType.INTEGER, ORDERED_OPS, True)),
        "money": (ColumnType.DECIMAL, ORDERED_OPS, True),
        **dict.fromkeys(("single", "ratio"), (ColumnType.FLOAT, ORDERED_OPS, True)),
        **dict.fromkeys(("yes", "flag"), (ColumnType.BOOLEAN, ORDERED_OPS, True)),
        "day": (ColumnType.DATE, ORDERED_OPS, True),
        **dict.fromkeys(("moment", "local"), (ColumnType.TIME, ORDERED_OPS, True)),
        **dict.fromkeys(
            ("name", "latin", "plain", "long_text", "letters", "several"), (ColumnType.TEXT, TEXT_OPS, True)
        ),
        "mood": (ColumnType.TEXT, ORDERED_OPS, True),
        "id": (ColumnType.TEXT, TEXT_OPS, True),
        "at": (ColumnType.TEXT, EQUALITY_OPS, False),
        "raw": (ColumnType.TEXT, frozenset({Op.IS_NULL}), False),
    }


async def test_values_have_the_types_of_the_spi(source: SqlConnector) -> None:
    columns = tuple(source.capabilities("kinds").columns)
    [row] = await rows(source, "kinds", *columns, filter=Comparison("large", Op.EQ, 3))
    assert {name: repr(value) for name, value in zip(columns, row, strict=True)} == {
        "tiny": "1", "small": "65535", "medium": "-8", "whole": "2", "large": "3", "born": "2026",
        "money": repr(Decimal("4.50")), "single": "0.5", "ratio": "0.1", "yes": "True", "flag": "True",
        "day": repr(date(2026, 1, 2)), "moment": repr(datetime(2026, 1, 2, 1, 4, 5, 678901, tzinfo=UTC)),
        "local": repr(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)), "name": "'é'", "latin": "'ü'", "plain": "'p'",
        "long_text": "'long'", "letters": "'ab'", "mood": "'sad'", "several": "'a,b'", "id": repr(UUID),
        "at": "'10:00:00'", "raw": "'AA=='",
    }  # fmt: skip


async def test_types_without_a_kind_of_column_are_read_as_text(source: SqlConnector) -> None:
    columns = ("long_ago", "bits", "many_bits", "place", "shape", "doc", "packed", "more")
    [row] = await rows(source, "no_plain_form", *columns)
    assert row == (
        "-838:59:59", "00000101", "1" * 64, "POINT(1 2)", "LINESTRING(0 0,1 1)", '{"a": 1}', "AAEC", "AP8=",
    )  # fmt: skip


async def test_dates_may_be_null_where_the_server_lets_zero_in(source: SqlConnector) -> None:
    columns = source.tables["no_plain_form"].columns
    assert {name: columns[name].nullable for name in ("id", "day", "moment")} == {
        "id": False, "day": True, "moment": True,
    }  # fmt: skip
    assert await rows(source, "no_plain_form", "day", "moment") == [(None, None)]


@pytest.mark.parametrize(("sql_mode", "lets_in"), [
    ("", True),
    ("STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION", True),
    ("ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,NO_ENGINE_SUBSTITUTION", False),
    ("STRICT_ALL_TABLES,NO_ZERO_DATE", True),
    ("NO_ZERO_IN_DATE,NO_ZERO_DATE", True),
    ("STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ALLOW_INVALID_DATES", True),
])  # fmt: skip
def test_a_mode_says_whether_zero_dates_are_let_in(sql_mode: str, lets_in: bool) -> None:
    assert lets_zero_dates_in(sql_mode) is lets_in


@pytest.mark.parametrize("column", [
    "tiny", "small", "medium", "whole", "large", "born", "money", "single", "ratio", "yes", "flag", "day", "moment",
    "local", "name", "latin", "plain", "long_text", "letters", "mood", "several", "id",
])  # fmt: skip
async def test_a_row_is_found_by_its_own_value(source: SqlConnector, column: str) -> None:
    [(value,)] = await rows(source, "kinds", column, filter=Comparison("large", Op.EQ, 3))
    for way in (
        {"filter": Comparison(column, Op.EQ, value)},
        {"filter": Comparison(column, Op.IN, (value,))},
        {"keys": KeyFilter((column,), ((value,),))},
        {"keys": KeyFilter(("large", column), ((3, value), (4, value)))},
    ):
        assert (3,) in await rows(source, "kinds", "large", **way)


@pytest.mark.parametrize(("column", "other"), [("name", "e"), ("latin", "u"), ("mood", "GLAD"), ("name", "E ")])
async def test_letters_that_a_collation_takes_for_one_are_two(source: SqlConnector, column: str, other: str) -> None:
    assert await rows(source, "kinds", "large", filter=Comparison(column, Op.EQ, other)) == []
    assert await rows(source, "kinds", "large", keys=KeyFilter((column,), ((other,), ("none",)))) == []


async def test_what_a_subquery_found_for_one_spelling_is_not_taken_for_another(source: SqlConnector, url: str) -> None:
    there = Exists("kinds", ("name",), ("name",), Comparison("large", Op.LT, 0))
    assert await rows(source, "kinds", "large", filter=there) == [(-1,)]


async def test_any_number_but_0_is_true(source: SqlConnector) -> None:
    assert await rows(source, "kinds", "large", filter=Comparison("yes", Op.EQ, True), sort=(SortKey("large"),)) == [
        (-1,),
        (3,),
    ]


async def test_an_odd_name_is_quoted(source: SqlConnector) -> None:
    assert await rows(source, "Odd ` name", "a `b%s", filter=Comparison("a `b%s", Op.EQ, 1)) == [(1,)]


@pytest.mark.parametrize("sql", ["DELETE FROM kinds", "CREATE TABLE made (id int)"])
async def test_nothing_can_be_written(source: SqlConnector, sql: str) -> None:
    with pytest.raises(ConnectorError, match="the database could not answer"):
        await source.runner.run(sql, ())


async def test_a_refused_statement_keeps_its_connection(source: SqlConnector) -> None:
    await source.ping()
    before = list(source.runner.idle)  # type: ignore[attr-defined]
    with pytest.raises(ConnectorError) as caught:
        await source.runner.run("SELECT no_such_column FROM kinds", ())
    assert (caught.value.retryable, source.runner.idle) == (False, before)  # type: ignore[attr-defined]


async def test_a_question_it_cannot_take_is_the_askers(source: SqlConnector) -> None:
    with pytest.raises(ConnectorError) as caught:
        await source.runner.run("SELECT FROM", ())
    assert caught.value.code is ErrorCode.CANNOT_ANSWER


async def test_a_cancelled_statement_stops_on_the_server(source: SqlConnector, mariadb_started: MariadbServer) -> None:
    reading = [asyncio.create_task(rows(source, "slow", "id")) for _ in range(3)]
    await wait_until(lambda: count_running_statements(mariadb_started) == 3)
    for item in reading:
        item.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    await wait_until(lambda: count_running_statements(mariadb_started) == 0)


async def test_no_more_statements_run_than_there_may_be_connections(url: str) -> None:
    source = await connect(MysqlOptions(url=url, connections=2))
    await asyncio.gather(*(rows(source, "kinds", "large") for _ in range(20)))
    assert len(source.runner.idle) == 2  # type: ignore[attr-defined]
    await source.close()


async def test_a_server_that_was_killed_is_connected_to_again(fragile: MariadbServer) -> None:
    source = await connect(MysqlOptions(url=fragile.url("kinds")))
    await asyncio.gather(*(source.ping() for _ in range(3)))
    fragile.stop()
    with pytest.raises(ConnectorError, match="the database does not answer") as caught:
        await rows(source, "kinds", "large")
    fragile.start()

    assert caught.value.retryable
    assert await rows(source, "kinds", "large", filter=Comparison("large", Op.EQ, 3)) == [(3,)]
    await source.close()


async def test_a_server_killed_in_the_middle_of_a_statement(fragile: MariadbServer) -> None:
    source = await connect(MysqlOptions(url=fragile.url("kinds")))
    reading = asyncio.create_task(rows(source, "slow", "id"))
    await wait_until(lambda: count_running_statements(fragile) == 1)
    fragile.stop()
    with pytest.raises(ConnectorError, match="the database does not answer") as caught:
        await reading
    fragile.start()

    assert (caught.value.retryable, source.runner.idle) == (True, [])  # type: ignore[attr-defined]
    await source.close()


async def test_no_server_is_a_failure(fragile: MariadbServer) -> None:
    fragile.stop()
    with pytest.raises(ConnectorError, match="the database does not answer"):
        await connect(MysqlOptions(url=fragile.url("kinds")))
    fragile.start()


def count_running_statements(server: MariadbServer) -> int:
    """How many of our statements run."""
    result = server.run(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'acme' AND command <> 'Sleep'"
    )
    return int(str(result[0][0]))


async def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, f"it did not come to hold within {PATIENCE:g} s"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("ALTER TABLE lost CHANGE note remark varchar(9)", "`lost` no longer has the column `note`"),
        ("ALTER TABLE lost DROP note", "`lost` no longer has the column `note`"),
        ("DROP TABLE lost", "`lost` is no longer there"),
    ],
    ids=["renamed", "dropped", "table-dropped"],
)
async def test_a_lost_column_is_named(mariadb_started: MariadbServer, url: str, sql: str, reason: str) -> None:
    create = "CREATE TABLE lost (id bigint PRIMARY KEY, note varchar(9))"
    mariadb_started.run("DROP TABLE IF EXISTS lost", create, database="kinds")
    source = await connect(MysqlOptions(url=url, writable=("lost",)))
    mariadb_started.run(sql, database="kinds")
    with pytest.raises(SourceChanged) as caught:
        await rows(source, "lost", "id", "note")
    change = RowChange(id=sql, collection="lost", kind=ChangeKind.CREATE, key={"id": 3}, values={"note": "new"})
    with pytest.raises(SourceChanged) as refused:
        await source.apply([change])
    await source.close()
    expected = (f"{reason}; correct the mapping and restart", ErrorCode.CANNOT_ANSWER)
    assert [(error.value.reason, error.value.code) for error in (caught, refused)] == [expected, expected]
