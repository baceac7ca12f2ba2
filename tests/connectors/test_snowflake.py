"""Snowflake requests compile to SQL, run against fakesnow, and fail with messages that can be shown."""

import asyncio
import gzip
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, closing
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from demo.servers.run import HOST, RunningServers, address
from demo.servers.snowflake.account import DATABASE
from onedoor.connectors.snowflake.connector import connect
from onedoor.connectors.snowflake.dialect import SNOWFLAKE_DIALECT
from onedoor.connectors.snowflake.options import SnowflakeOptions
from onedoor.connectors.snowflake.tables import build_snowflake_tables
from onedoor.connectors.sql.compiler import StatementCache
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.errors import ConnectorError, ErrorCode, SourceChanged
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind, RowChange
from onedoor.spi.predicates import (
    And,
    Comparison,
    Exists,
    InKeys,
    Not,
    Op,
    Or,
    Row,
)
from onedoor.spi.scan import (
    COUNT_ROWS,
    AggregateCall,
    AggregateFunction,
    Join,
    KeyFilter,
    ScanRequest,
    SortKey,
    TimeBucket,
    TimeUnit,
)
from tests.servers.serving import answer_in_thread, open_listener
from tests.servers.snowflake import LOGGED_IN, Before, open_session

Serve = Callable[[ASGIApp], AbstractContextManager[int]]

PATIENCE = 30.0
"""What must come may take this long on a busy machine."""
ESTABLISHED = "01"
"""The state of a connected socket in the kernel's table."""
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
AT_TEXT = "2026-01-02 03:04:05.678901+00:00"
REFLECTED = [
    ("INVOICE", "ID", "NUMBER", 38, 0),
    ("INVOICE", "NAME", "TEXT", None, None),
    ("INVOICE", "TOTAL", "NUMBER", 12, 2),
    ("INVOICE", "RATE", "FLOAT", None, None),
    ("INVOICE", "PAID", "BOOLEAN", None, None),
    ("INVOICE", "DAY", "DATE", None, None),
    ("INVOICE", "AT_TZ", "TIMESTAMP_TZ", None, None),
    ("INVOICE", "AT_NTZ", "TIMESTAMP_NTZ", None, None),
    ("INVOICE", "RAW", "VARIANT", None, None),
    ("INVOICE", "CODE", "TEXT", None, None, "en-ci"),
    ("Line", "INVOICE_ID", "NUMBER", 38, 0),
    ("Line", 'od"d', "TEXT", None, None),
]
TABLES = build_snowflake_tables(REFLECTED)
TO_LINES: Any = {"collection": "line", "outer_columns": ("id",), "inner_columns": ("invoice_id",)}
SHOWN_DAY = """CASE WHEN (t0."DAY" BETWEEN DATE '0001-01-01' AND DATE '9999-12-31') THEN t0."DAY" END"""
WEEK = f"CAST(DATEADD(DAY, 1 - DAYOFWEEKISO({SHOWN_DAY}), {SHOWN_DAY}) AS DATE)"
IN_CALENDAR = 'DATE_PART(EPOCH_MICROSECOND, t0."AT_TZ") BETWEEN -62135596800000000 AND 253402300799999999'
SHOWN_TIME = f'CASE WHEN ({IN_CALENDAR}) THEN DATE_PART(EPOCH_MICROSECOND, t0."AT_TZ") END'


def golden(id: str, sql: str, binds: Sequence[Any] = (), **ask: Any) -> Any:
    return pytest.param(ScanRequest(**({"collection": "invoice", "columns": ("id",)} | ask)), sql, tuple(binds), id=id)


def where(id: str, where: Any, sql: str, *binds: Any) -> Any:
    return golden(id, f'SELECT t0."ID" AS c0 FROM "INVOICE" AS t0 WHERE {sql}', binds, filter=where)


@pytest.mark.parametrize(
    ("ask", "sql", "binds"),
    [
        golden(
            "columns",
            'SELECT t0."NAME" AS c0, DATE_PART(EPOCH_MICROSECOND, t0."AT_TZ") AS c1 FROM "INVOICE" AS t0',
            columns=("name", "at_tz"),
        ),
        golden(
            "real names are quoted", 'SELECT t0."od""d" AS c0 FROM "Line" AS t0', collection="line", columns=('od"d',)
        ),
        golden("no columns", 'SELECT 1 AS c FROM "INVOICE" AS t0', columns=()),
        golden(
            "order and limit",
            'SELECT t0."ID" AS c0 FROM "INVOICE" AS t0 '
            'ORDER BY t0."NAME" DESC NULLS LAST, t0."ID" ASC NULLS LAST LIMIT ?',
            [10],
            sort=(SortKey("name", descending=True), SortKey("id")),
            limit=10,
        ),
        golden("a count", 'SELECT count(*) AS m0 FROM "INVOICE" AS t0', columns=(), aggregates=(COUNT_ROWS,)),
        golden(
            "measures by week, picked, ordered, the first of them",
            f"SELECT g.c0, g.m0, g.m1 FROM (SELECT {WEEK} AS c0, "
            'sum(CAST(t0."TOTAL" AS DECIMAL(38, 2))) AS m0, '
            f'max({SHOWN_TIME}) AS m1 FROM "INVOICE" AS t0 WHERE t0."ID" > ? GROUP BY {WEEK}) AS g '
            "WHERE g.m0 > CAST(? AS DECIMAL(38, 2)) AND "
            "g.m1 < DATE_PART(EPOCH_MICROSECOND, CAST(? AS TIMESTAMP_TZ)) ORDER BY g.m1 DESC NULLS LAST LIMIT ?",
            [5, "1", AT_TEXT, 3],
            columns=("day",),
            filter=Comparison("id", Op.GT, 5),
            aggregates=(AggregateCall(AggregateFunction.SUM, "total"), AggregateCall(AggregateFunction.MAX, "at_tz")),
            time_buckets=(TimeBucket("day", TimeUnit.WEEK),),
            having=And((Comparison("sum(total)", Op.GT, Decimal(1)), Comparison("max(at_tz)", Op.LT, AT))),
            sort=(SortKey("max(at_tz)", descending=True),),
            limit=3,
        ),
        golden(
            "keys",
            'SELECT t0."ID" AS c0 FROM "INVOICE" AS t0 WHERE (t0."ID", t0."NAME") IN (SELECT '
            "TRY_CAST(f.VALUE[0]::TEXT AS NUMBER(38, 0)), f.VALUE[1]::TEXT FROM TABLE(FLATTEN(PARSE_JSON(?))) AS f "
            "WHERE TRY_CAST(f.VALUE[0]::TEXT AS NUMBER(38, 0)) IS NOT NULL)",
            ['[["7","a"],["8","\\u00e9"]]'],
            keys=KeyFilter(("id", "name"), ((7, "a"), (8, "é"), (10**38, "a"), (9, "\ud800"))),
        ),
        golden(
            "a limit per key",
            'SELECT ranked.c0 FROM (SELECT t0."ID" AS c0, row_number() OVER (PARTITION BY t0."NAME" '
            'ORDER BY t0."ID" ASC NULLS LAST) AS number FROM "INVOICE" AS t0 WHERE t0."NAME" IN '
            '(SELECT f.VALUE[0]::TEXT FROM TABLE(FLATTEN(PARSE_JSON(?))) AS f) AND t0."PAID" = ?) AS ranked '
            "WHERE ranked.number <= ? ORDER BY ranked.number",
            ['[["a"],["b"]]', True, 3],
            keys=KeyFilter(("name",), (("a",), ("b",))),
            filter=Comparison("paid", Op.EQ, True),
            sort=(SortKey("id"),),
            limit=3,
        ),
        golden(
            "an order by a joined row and a count of joined rows",
            'SELECT t0."ID" AS c0 FROM "INVOICE" AS t0 LEFT OUTER JOIN "Line" AS j0 ON j0."INVOICE_ID" = t0."ID" '
            'LEFT OUTER JOIN (SELECT j1."INVOICE_ID" AS k0, count(*) AS m0 FROM "Line" AS j1 GROUP BY j1."INVOICE_ID") '
            'AS g1 ON g1.k0 = t0."ID" ORDER BY j0."od""d" ASC NULLS LAST, coalesce(g1.m0, 0) ASC',
            joins=(
                Join(**TO_LINES, columns=('od"d',), output_columns=("one",)),
                Join(**TO_LINES, aggregates=(COUNT_ROWS,), output_columns=("many",)),
            ),
            sort=(SortKey("one"), SortKey("many")),
        ),
        where("another collation", Comparison("code", Op.EQ, "a"), "COLLATE(t0.\"CODE\", 'utf8') = ?", "a"),
        where("eq", Comparison("name", Op.EQ, "x'; --"), 't0."NAME" = ?', "x'; --"),
        where("isNull", Comparison("name", Op.IS_NULL, True), 't0."NAME" IS NULL'),
        where("in nothing", Comparison("id", Op.IN, ()), "false"),
        where("notIn nothing", Comparison("id", Op.NOT_IN, ()), 't0."ID" IS NOT NULL'),
        where(
            "none of many keys",
            Not(InKeys(("name",), frozenset({("a",)}))),
            't0."NAME" IS NULL OR (t0."NAME" NOT IN (SELECT f.VALUE[0]::TEXT FROM TABLE(FLATTEN(PARSE_JSON(?))) AS f))',
            '[["a"]]',
        ),
        where("contains", Comparison("name", Op.CONTAINS, "%"), 'CONTAINS(t0."NAME", ?)', "%"),
        where("a NUL is a part like any other", Comparison("name", Op.CONTAINS, "\0"), 'CONTAINS(t0."NAME", ?)', "\0"),
        where("no text has a lone surrogate", Comparison("name", Op.CONTAINS, "\ud800"), "false"),
        where("startsWith", Comparison("name", Op.STARTS_WITH, "a"), 'STARTSWITH(t0."NAME", ?)', "a"),
        where("endsWith", Comparison("name", Op.ENDS_WITH, "a"), 'ENDSWITH(t0."NAME", ?)', "a"),
        where(
            "money goes as text",
            Comparison("total", Op.GTE, Decimal("1.1")),
            't0."TOTAL" >= CAST(? AS DECIMAL(12, 2))',
            "1.1",
        ),
        where("a date", Comparison("day", Op.EQ, date(2026, 1, 2)), 't0."DAY" = ?', date(2026, 1, 2)),
        where(
            "a date that can be shown",
            Comparison("day", Op.LT, date(2026, 1, 2)),
            "t0.\"DAY\" < ? AND t0.\"DAY\" BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'",
            date(2026, 1, 2),
        ),
        where(
            "a float that can be shown",
            Comparison("rate", Op.IS_NULL, False),
            't0."RATE" BETWEEN -1.7976931348623157e+308::FLOAT AND 1.7976931348623157e+308::FLOAT',
        ),
        where(
            "a time is compared as it is stored",
            Comparison("at_tz", Op.LT, AT),
            f't0."AT_TZ" < CAST(? AS TIMESTAMP_TZ) AND {IN_CALENDAR}',
            AT_TEXT,
        ),
        where(
            "a time is all instants of its microsecond",
            Comparison("at_ntz", Op.EQ, AT),
            't0."AT_NTZ" >= CAST(? AS TIMESTAMP_NTZ) AND '
            't0."AT_NTZ" < DATEADD(MICROSECOND, 1, CAST(? AS TIMESTAMP_NTZ))',
            AT_TEXT,
            AT_TEXT,
        ),
        where(
            "all",
            And((Comparison("id", Op.GT, 1), Comparison("id", Op.LT, 5))),
            't0."ID" > ? AND t0."ID" < ?',
            1,
            5,
        ),
        where("some of none", Or(()), "false"),
        where(
            "not of a test is its complement",
            Not(Comparison("name", Op.EQ, "a")),
            'NOT coalesce(t0."NAME" = ?, false)',
            "a",
        ),
        where(
            "not comes to stand before tests",
            Not(And((Comparison("id", Op.EQ, 1), Or((Not(Comparison("id", Op.EQ, 2)),))))),
            'NOT coalesce(t0."ID" = ?, false) OR t0."ID" = ?',
            1,
            2,
        ),
        where(
            "exists",
            Not(Exists("line", ("id",), ("invoice_id",), Comparison('od"d', Op.EQ, "x"))),
            'NOT (EXISTS (SELECT 1 FROM "Line" AS t1 WHERE t1."INVOICE_ID" = t0."ID" AND t1."od""d" = ?))',
            "x",
        ),
        where("a number between two that fit", Comparison("id", Op.LT, Decimal("1.5")), 't0."ID" <= ?', 1),
        where(
            "a number between two, from above",
            Comparison("total", Op.GTE, Decimal("-1.005")),
            't0."TOTAL" > CAST(? AS DECIMAL(12, 2))',
            "-1.01",
        ),
        where("a number that does not fit equals nothing", Comparison("total", Op.EQ, Decimal("1.005")), "false"),
        where("nor does one that is too large", Comparison("id", Op.EQ, 10**38), "false"),
        where("all are less than it", Comparison("id", Op.LT, 10**38), 't0."ID" IS NOT NULL'),
        where("none is less than its opposite", Comparison("id", Op.LT, -(10**38)), "false"),
        where("a lone surrogate equals nothing", Comparison("name", Op.EQ, "a\ud800"), "false"),
        where("all are unequal to it", Comparison("name", Op.NE, "a\ud800"), 't0."NAME" IS NOT NULL'),
        where("it stands below U+E000", Comparison("name", Op.LTE, "a\ud800b"), 't0."NAME" < ?', "a\ue000"),
    ],
)
def test_a_request_is_one_statement(ask: ScanRequest, sql: str, binds: tuple[Any, ...]) -> None:
    statement, values = StatementCache(TABLES, SNOWFLAKE_DIALECT).prepare(ask)
    assert (" ".join(statement.text.split()), tuple(values)) == (sql, binds)


DDL = (
    "create schema if not exists acme.finance",
    """create or replace table acme.finance.invoice (id number(38, 0) not null, name text, total number(12, 2),
       rate float, paid boolean, day date, at_tz timestamp_tz, at_ntz timestamp_ntz, raw variant)""",
    """insert into acme.finance.invoice (id, name, total, rate, paid, day, at_tz, at_ntz) select 1, 'é', 1.10, 0.5,
       true, '2026-01-02', '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05.678901'""",
    "insert into acme.finance.invoice (id) select 2",
)
WHOLE = (1, "é", Decimal("1.10"), 0.5, True, date(2026, 1, 2), AT, AT)
COLUMNS = ("id", "name", "total", "rate", "paid", "day", "at_tz", "at_ntz")


def options(port: int, **more: Any) -> SnowflakeOptions:
    given = {**LOGGED_IN, "host": HOST, "port": port, "database": DATABASE, "schema": "FINANCE", "timeout": PATIENCE}
    return SnowflakeOptions(**(given | more))


@pytest.fixture(scope="module")
def port(acme_servers: RunningServers) -> int:
    place = address(acme_servers, "snowflake")
    with open_session(place) as connection:
        for statement in DDL:
            connection.cursor().execute(statement)
    return place[1]


@pytest.fixture
async def invoices(port: int) -> AsyncIterator[SqlConnector]:
    source = await connect(options(port))
    yield source
    await source.close()


async def rows(source: SqlConnector, *columns: str, **more: Any) -> list[Row]:
    ask = ScanRequest(collection="invoice", columns=columns, **more)
    return [row async for batch in source.scan(ask) for row in batch]


async def test_columns_of_unknown_types_are_left_out(invoices: SqlConnector) -> None:
    assert {name: column.type for name, column in invoices.capabilities("invoice").columns.items()} == {
        "id": ColumnType.INTEGER,
        "name": ColumnType.TEXT,
        "total": ColumnType.DECIMAL,
        "rate": ColumnType.FLOAT,
        "paid": ColumnType.BOOLEAN,
        "day": ColumnType.DATE,
        "at_tz": ColumnType.TIME,
        "at_ntz": ColumnType.TIME,
    }


async def test_no_login_asks_a_cloud_where_it_runs(invoices: SqlConnector) -> None:
    await invoices.ping()
    assert os.environ["SNOWFLAKE_DISABLE_PLATFORM_DETECTION"] == "true"


async def test_a_missing_table_raises_key_error(invoices: SqlConnector) -> None:
    with pytest.raises(KeyError):
        invoices.capabilities("nothing")


async def test_values_have_the_types_of_the_spi(invoices: SqlConnector) -> None:
    result = await rows(invoices, *COLUMNS, sort=(SortKey("id"),))
    assert [list(map(repr, row)) for row in result] == [list(map(repr, row)) for row in (WHOLE, (2, *[None] * 7))]


@pytest.mark.parametrize("column", COLUMNS)
async def test_a_row_is_found_by_its_own_value(invoices: SqlConnector, column: str) -> None:
    value = WHOLE[COLUMNS.index(column)]
    assert await rows(invoices, "id", filter=Comparison(column, Op.EQ, value)) == [(1,)]
    assert await rows(invoices, "id", filter=Not(Comparison(column, Op.IN, (value,)))) == [(2,)]
    assert await rows(invoices, "id", keys=KeyFilter((column,), ((value,),))) == [(1,)]


async def test_keys_that_no_row_can_hold_find_nothing(invoices: SqlConnector) -> None:
    values = ((2**70, "é"), (10**40, "é"), (1, "\ud800"), (1, "\0"))
    assert await rows(invoices, "id", keys=KeyFilter(("id", "name"), values)) == []


async def test_a_thousand_keys_are_one_statement(invoices: SqlConnector) -> None:
    keys = KeyFilter(("id", "day"), tuple((number, date(2026, 1, 2)) for number in range(1000)))
    assert await rows(invoices, "id", keys=keys, limit=1) == [(1,)]


async def test_statements_run_beside_each_other_keep_their_own_rows(invoices: SqlConnector) -> None:
    ids = [1, 2] * 10
    results = await asyncio.gather(*(rows(invoices, "id", filter=Comparison("id", Op.EQ, id)) for id in ids))
    assert results == [[(id,)] for id in ids]
    assert len(list_idle(invoices)) <= 4


async def test_a_server_that_was_restarted_is_connected_to_again(port: int) -> None:
    before = Before((HOST, port))
    with closing(open_listener()) as ear:
        with answer_in_thread(before, ear):
            source = await connect(options(ear.getsockname()[1]))
        await before.end_sessions()
        with answer_in_thread(before, ear):
            assert await rows(source, "id", sort=(SortKey("id"),)) == [(1,), (2,)]
            await source.close()


async def test_a_lost_column_is_named_and_the_connection_kept(port: int, unfinished: str) -> None:
    source = await connect(options(port, schema=unfinished))
    ask = ScanRequest(collection="line", columns=("id",), filter=Comparison("note", Op.EQ, "x"))
    assert [row async for batch in source.scan(ask) for row in batch] == [(1,)]
    before = list_idle(source)
    with open_session((HOST, port), database=DATABASE, schema=unfinished) as connection:
        connection.cursor().execute("ALTER TABLE LINE RENAME COLUMN NOTE TO REMARK")
    with pytest.raises(SourceChanged) as caught:
        await read(source, ask)
    assert (caught.value.collection, caught.value.columns) == ("line", ("note",))
    assert await read(source, ScanRequest(collection="line", columns=("id",))) == [(1,)]
    assert list_idle(source) == before
    await source.close()


async def test_a_lost_table_is_named(port: int, unfinished: str) -> None:
    source = await connect(options(port, schema=unfinished))
    with open_session((HOST, port), database=DATABASE, schema=unfinished) as connection:
        connection.cursor().execute("DROP TABLE LINE")
    with pytest.raises(SourceChanged) as caught:
        await read(source, ScanRequest(collection="line", columns=("id",)))
    assert (caught.value.collection, caught.value.columns) == ("line", ())
    await source.close()


async def test_a_change_of_a_table_with_a_lost_column_is_refused_by_its_name(port: int, unfinished: str) -> None:
    source = await connect(options(port, schema=unfinished, writable={"line": ["id"]}))
    with open_session((HOST, port), database=DATABASE, schema=unfinished) as connection:
        connection.cursor().execute("ALTER TABLE LINE RENAME COLUMN NOTE TO REMARK")
    change = RowChange(id="c1", kind=ChangeKind.CREATE, collection="line", key={"id": 2}, values={"note": "y"})
    with pytest.raises(SourceChanged) as caught:
        await source.apply([change])
    assert (caught.value.collection, caught.value.columns) == ("line", ("note",))
    await source.close()


def list_idle(source: SqlConnector) -> list[Any]:
    sessions: Any = source.runner
    return list(sessions.pool.idle)


async def read(source: SqlConnector, ask: ScanRequest) -> list[Row]:
    return [row async for batch in source.scan(ask) for row in batch]


NUMBERS = count()


@pytest.fixture
def unfinished(port: int) -> str:
    """The name of a schema whose one table is about to change."""
    schema = f"UNFINISHED_{next(NUMBERS)}"
    with open_session((HOST, port), database=DATABASE) as connection:
        for statement in (
            f"CREATE SCHEMA {schema}",
            f"CREATE TABLE {schema}.LINE (ID NUMBER(38, 0), NOTE TEXT)",
            f"INSERT INTO {schema}.LINE VALUES (1, 'x')",
        ):
            connection.cursor().execute(statement)
    return schema


LOGIN = {
    "success": True,
    "data": {
        "token": "t",
        "masterToken": "m",
        "sessionId": 1,
        "validityInSeconds": 3600,
        "masterValidityInSeconds": 14_400,
        "parameters": [],
        "sessionInfo": {},
    },
}


def server(login: Any = LOGIN, query: Any = None, abort: Any = None, goodbye: Any = None) -> Starlette:
    """Serve responses, each a value or a function of the request."""

    def route(path: str, answer: Any) -> Route:
        async def answered(request: Request) -> Response:
            response = await answer(request) if callable(answer) and not isinstance(answer, Response) else answer
            return response if isinstance(response, Response) else JSONResponse(response)

        return Route(path, answered, methods=["POST"])

    return Starlette(
        routes=[
            route("/session/v1/login-request", login),
            route("/queries/v1/query-request", query),
            route("/queries/v1/abort-request", abort or {"success": True}),
            route("/session", goodbye or {"success": True}),
        ]
    )


async def failure(port: int, **more: Any) -> tuple[str, ErrorCode]:
    with pytest.raises(ConnectorError) as caught:
        await connect(options(port, **more))
    return caught.value.reason, caught.value.code


@pytest.mark.parametrize(
    ("far_end", "expected"),
    [
        pytest.param(
            server(login={"success": False, "code": "390100", "message": "secret", "data": {}}),
            ("snowflake refused the login", ErrorCode.SOURCE_UNAVAILABLE),
            id="a wrong password",
        ),
        pytest.param(
            server(login=Response("", 403)),
            ("snowflake refused the login", ErrorCode.SOURCE_UNAVAILABLE),
            id="a wrong account",
        ),
        pytest.param(
            server(login={}),
            ("snowflake gave an answer that cannot be read", ErrorCode.SOURCE_INVALID),
            id="no login at all",
        ),
        pytest.param(
            server(query={}),
            ("snowflake gave an answer that cannot be read", ErrorCode.SOURCE_INVALID),
            id="no answer at all",
        ),
        pytest.param(
            server(query={"success": False, "code": "002003", "message": "SQL", "data": {"sqlState": "02000"}}),
            ("snowflake refused the statement with error 2003", ErrorCode.CANNOT_ANSWER),
            id="no such table",
        ),
        pytest.param(
            server(query=Response("", 500)),
            ("snowflake failed with HTTP status 500", ErrorCode.SOURCE_UNAVAILABLE),
            id="failing over and over",
        ),
        pytest.param(
            server(query=Response("", 429)),
            ("snowflake takes no more statements for now, ask again later", ErrorCode.SOURCE_OVERLOADED),
            id="too many statements",
        ),
        pytest.param(
            server(login={"success": False, "code": "390318", "message": "secret", "data": {}}),
            ("snowflake refused the login", ErrorCode.SOURCE_UNAVAILABLE),
            id="an expired token",
        ),
        pytest.param(
            server(query=Response("<html>")),
            ("snowflake gave an answer that cannot be read", ErrorCode.SOURCE_INVALID),
            id="garbage over and over",
        ),
    ],
)
async def test_a_failure_has_a_reason_that_can_be_shown(
    serve: Serve, far_end: ASGIApp, expected: tuple[str, ErrorCode]
) -> None:
    with serve(far_end) as port:
        assert await failure(port) == expected


async def test_a_far_end_that_is_silent_is_waited_for_as_long_as_the_settings_say(silent_port: int) -> None:
    expected = ("snowflake did not answer within 0.3 s", ErrorCode.SOURCE_UNAVAILABLE)
    async with asyncio.timeout(PATIENCE):
        assert await failure(silent_port, timeout=0.3) == expected


async def test_a_far_end_that_is_down_is_not_waited_for(closed_port: int) -> None:
    assert await failure(closed_port) == ("snowflake could not be reached", ErrorCode.SOURCE_UNAVAILABLE)


REFUSED_STATEMENT = {"success": False, "code": "002003", "message": "SQL", "data": {"sqlState": "02000"}}


@pytest.mark.parametrize(
    "far_end",
    [
        pytest.param(server(login={"success": False, "code": "390100", "message": "no", "data": {}}), id="the login"),
        pytest.param(server(login={}), id="reading the login"),
        pytest.param(server(query=REFUSED_STATEMENT, goodbye=Response("", 500)), id="the goodbye"),
        pytest.param(server(query=REFUSED_STATEMENT, goodbye=Response("<html>")), id="reading the goodbye"),
        pytest.param(server(query=Response("<html>"), goodbye=Response("", 500)), id="a statement and the goodbye"),
    ],
)
async def test_no_socket_stays_open_whatever_fails(serve: Serve, far_end: ASGIApp) -> None:
    with serve(far_end) as port:
        await failure(port)
        assert await asyncio.to_thread(is_closed_before_long, port)


def is_closed_before_long(port: int) -> bool:
    """Whether no socket of this process is connected to a port any more; the connector closes them in its threads."""
    deadline = time.monotonic() + PATIENCE
    while (is_open := is_connected_to(port)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_open


def is_connected_to(port: int) -> bool:
    """Look at the kernel's table, as the connector's sockets are not Python's."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(line[2].endswith(f":{port:04X}") and line[3] == ESTABLISHED for line in lines)


async def test_a_result_that_is_too_large_is_refused_before_its_parts_are_fetched(serve: Serve) -> None:
    calls: list[str] = []

    async def query(request: Request) -> Response:
        part = {"url": f"{request.base_url}part", "rowCount": 9, "compressedSize": 10**6, "uncompressedSize": 2**30}
        column = {"name": "A", "type": "text", "nullable": True, "length": 9, "byteLength": 36}
        data = {
            "rowtype": [column] * 5,
            "rowset": [],
            "chunks": [part],
            "total": 9,
            "queryId": "01",
            "queryResultFormat": "json",
        }
        return JSONResponse({"success": True, "data": data})

    async def fetch_part(request: Request) -> Response:
        calls.append(request.url.path)
        return Response("[]")

    far_end = server(query=query)
    far_end.routes.append(Route("/part", fetch_part))
    with serve(far_end) as port:
        assert await failure(port) == (
            "snowflake gave more than 64 MB: narrow the filter, or ask for fewer fields",
            ErrorCode.LIMIT_EXCEEDED,
        )
    assert calls == []


async def test_a_cancelled_statement_is_aborted_by_its_own_request(serve: Serve) -> None:
    begun, aborted, named = threading.Event(), threading.Event(), []

    async def query(request: Request) -> Response:
        named.append(request.query_params["requestId"])
        begun.set()
        await asyncio.to_thread(aborted.wait, PATIENCE)
        return JSONResponse({"success": False, "code": "000604", "message": "cancelled", "data": {"sqlState": "57014"}})

    async def abort(request: Request) -> Response:
        named.append(json.loads(await body(request))["requestId"])
        aborted.set()
        return JSONResponse({"success": True})

    with serve(server(query=query, abort=abort)) as port:
        reading = asyncio.create_task(connect(options(port)))
        await asyncio.to_thread(begun.wait, PATIENCE)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.to_thread(aborted.wait, PATIENCE)
    assert named == [named[0]] * 2


async def body(request: Request) -> bytes:
    sent = await request.body()
    return gzip.decompress(sent) if request.headers.get("content-encoding") == "gzip" else sent
