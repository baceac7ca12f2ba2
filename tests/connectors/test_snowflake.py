"""Snowflake requests compile to SQL, run against fakesnow, and fail with messages that can be shown."""

import asyncio
import gc
import gzip
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import snowflake.connector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from onedoor.connectors.snowflake.client import TrackedConnection
from onedoor.connectors.snowflake.compiler import compile_snowflake_query
from onedoor.connectors.snowflake.connector import SnowflakeConnector, connect
from onedoor.connectors.snowflake.options import SnowflakeOptions
from onedoor.connectors.snowflake.tables import build_snowflake_tables
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import ColumnType
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
    KeyFilter,
    ScanRequest,
    SortKey,
    TimeBucket,
    TimeUnit,
)

Serve = Callable[[ASGIApp], AbstractContextManager[int]]

PATIENCE = 30.0
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
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
    ("Line", "INVOICE_ID", "NUMBER", 38, 0),
    ("Line", 'od"d', "TEXT", None, None),
]
TABLES = build_snowflake_tables(REFLECTED)


def golden(id: str, sql: str, binds: Sequence[Any] = (), **ask: Any) -> Any:
    return pytest.param(ScanRequest(**({"collection": "invoice", "columns": ("id",)} | ask)), sql, tuple(binds), id=id)


def where(id: str, where: Any, sql: str, *binds: Any) -> Any:
    return golden(id, f'SELECT "t0"."ID" FROM "INVOICE" AS "t0" WHERE {sql}', binds, filter=where)


@pytest.mark.parametrize(
    ("ask", "sql", "binds"),
    [
        golden(
            "columns",
            'SELECT "t0"."NAME", DATE_PART(EPOCH_MICROSECOND, "t0"."AT_TZ") FROM "INVOICE" AS "t0"',
            columns=("name", "at_tz"),
        ),
        golden(
            "real names are quoted", 'SELECT "t0"."od""d" FROM "Line" AS "t0"', collection="line", columns=('od"d',)
        ),
        golden("no columns", 'SELECT 1 FROM "INVOICE" AS "t0"', columns=()),
        golden(
            "order and limit",
            'SELECT "t0"."ID" FROM "INVOICE" AS "t0" '
            'ORDER BY "t0"."NAME" DESC NULLS LAST, "t0"."ID" ASC NULLS LAST LIMIT ?',
            [10],
            sort=(SortKey("name", descending=True), SortKey("id")),
            limit=10,
        ),
        golden("a count", 'SELECT COUNT(*) FROM "INVOICE" AS "t0"', columns=(), aggregates=(COUNT_ROWS,)),
        golden(
            "counts by group",
            'SELECT "t0"."NAME", COUNT(*) FROM "INVOICE" AS "t0" GROUP BY "t0"."NAME"',
            columns=("name",),
            aggregates=(COUNT_ROWS,),
        ),
        golden(
            "measures by week, picked, ordered, the first of them",
            'SELECT * FROM (SELECT CAST(DATEADD(DAY, 1 - DAYOFWEEKISO("t0"."DAY"), "t0"."DAY") AS DATE) AS "c0", '
            'SUM(CAST("t0"."TOTAL" AS NUMBER(38, 2))) AS "m0", '
            'MAX(DATE_PART(EPOCH_MICROSECOND, "t0"."AT_TZ")) AS "m1" FROM "INVOICE" AS "t0" WHERE "t0"."ID" > ? '
            'GROUP BY CAST(DATEADD(DAY, 1 - DAYOFWEEKISO("t0"."DAY"), "t0"."DAY") AS DATE)) AS "t0" '
            'WHERE ("t0"."m0" > CAST(? AS NUMBER(38, 2)) AND "t0"."m1" < ?) '
            'ORDER BY "t0"."m1" DESC NULLS LAST LIMIT ?',
            [5, "1.00", 1767323045678901, 3],
            columns=("day",),
            filter=Comparison("id", Op.GT, 5),
            aggregates=(AggregateCall(AggregateFunction.SUM, "total"), AggregateCall(AggregateFunction.MAX, "at_tz")),
            time_buckets=(TimeBucket("day", TimeUnit.WEEK),),
            having=And((Comparison("sum(total)", Op.GT, Decimal(1)), Comparison("max(at_tz)", Op.LT, AT))),
            sort=(SortKey("max(at_tz)", descending=True),),
            limit=3,
        ),
        golden(
            "times by month",
            "SELECT (DATEDIFF(DAY, DATE '1970-01-01', CAST(DATE_TRUNC('MONTH', DATEADD(DAY, CAST(("
            'DATE_PART(EPOCH_MICROSECOND, "t0"."AT_TZ") - MOD(MOD(DATE_PART(EPOCH_MICROSECOND, "t0"."AT_TZ") + 0, '
            "86400000000) + 86400000000, 86400000000)) / 86400000000 AS NUMBER(38, 0)), DATE '1970-01-01')) AS DATE)) "
            '* 86400000000), COUNT(*) FROM "INVOICE" AS "t0" GROUP BY (DATEDIFF(DAY, DATE \'1970-01-01\', '
            "CAST(DATE_TRUNC('MONTH', DATEADD(DAY, CAST((DATE_PART(EPOCH_MICROSECOND, "
            '"t0"."AT_TZ") - MOD(MOD(DATE_PART(EPOCH_MICROSECOND, "t0"."AT_TZ") + 0, 86400000000) + 86400000000, '
            "86400000000)) / 86400000000 AS NUMBER(38, 0)), DATE '1970-01-01')) AS DATE)) * 86400000000)",
            columns=("at_tz",),
            aggregates=(COUNT_ROWS,),
            time_buckets=(TimeBucket("at_tz", TimeUnit.MONTH),),
        ),
        golden(
            "keys",
            'SELECT "t0"."ID" FROM "INVOICE" AS "t0" JOIN (SELECT '
            'TRY_CAST("f".VALUE[0]::TEXT AS NUMBER(38, 0)) AS "k0", "f".VALUE[1]::TEXT AS "k1" '
            'FROM TABLE(FLATTEN(PARSE_JSON(?))) AS "f") AS "k" ON "t0"."ID" = "k"."k0" AND "t0"."NAME" = "k"."k1"',
            ['[["7","a"],["8","\\u00e9"]]'],
            keys=KeyFilter(("id", "name"), ((7, "a"), (8, "é"), (10**38, "a"), (9, "\ud800"))),
        ),
        golden(
            "a limit per key",
            'SELECT "t0"."ID" FROM "INVOICE" AS "t0" JOIN (SELECT "f".VALUE[0]::TEXT AS "k0" '
            'FROM TABLE(FLATTEN(PARSE_JSON(?))) AS "f") AS "k" ON "t0"."NAME" = "k"."k0" WHERE "t0"."PAID" = ? '
            'QUALIFY ROW_NUMBER() OVER (PARTITION BY "t0"."NAME" ORDER BY "t0"."ID" ASC NULLS LAST) <= ? '
            'ORDER BY "t0"."ID" ASC NULLS LAST',
            ['[["a"]]', True, 3],
            keys=KeyFilter(("name",), (("a",),)),
            filter=Comparison("paid", Op.EQ, True),
            sort=(SortKey("id"),),
            limit=3,
        ),
        where("eq", Comparison("name", Op.EQ, "x'; --"), '"t0"."NAME" = ?', "x'; --"),
        where("isNull", Comparison("name", Op.IS_NULL, True), '"t0"."NAME" IS NULL'),
        where("is not null", Comparison("name", Op.IS_NULL, False), '"t0"."NAME" IS NOT NULL'),
        where("in", Comparison("id", Op.IN, (1, 2)), '"t0"."ID" IN (?, ?)', 1, 2),
        where("in nothing", Comparison("id", Op.IN, ()), "FALSE"),
        where("notIn nothing", Comparison("id", Op.NOT_IN, ()), '"t0"."ID" IS NOT NULL'),
        where(
            "many keys at once",
            InKeys(("id",), frozenset({(7,)})),
            '"t0"."ID" IN (SELECT TRY_CAST("f".VALUE[0]::TEXT AS NUMBER(38, 0)) AS "k0" '
            'FROM TABLE(FLATTEN(PARSE_JSON(?))) AS "f")',
            '[["7"]]',
        ),
        where(
            "none of many keys",
            Not(InKeys(("name",), frozenset({("a",)}))),
            '("t0"."NAME" IS NULL OR "t0"."NAME" NOT IN (SELECT "f".VALUE[0]::TEXT AS "k0" '
            'FROM TABLE(FLATTEN(PARSE_JSON(?))) AS "f" WHERE "f".VALUE[0]::TEXT IS NOT NULL))',
            '[["a"]]',
        ),
        where("contains", Comparison("name", Op.CONTAINS, "%"), 'CONTAINS("t0"."NAME", ?)', "%"),
        where("startsWith", Comparison("name", Op.STARTS_WITH, "a"), 'STARTSWITH("t0"."NAME", ?)', "a"),
        where("endsWith", Comparison("name", Op.ENDS_WITH, "a"), 'ENDSWITH("t0"."NAME", ?)', "a"),
        where(
            "money goes as text",
            Comparison("total", Op.GTE, Decimal("1.1")),
            '"t0"."TOTAL" >= CAST(? AS NUMBER(12, 2))',
            "1.10",
        ),
        where("a date", Comparison("day", Op.LT, date(2026, 1, 2)), '"t0"."DAY" < ?', date(2026, 1, 2)),
        where("a time with a zone", Comparison("at_tz", Op.LT, AT), '"t0"."AT_TZ" < ?', ("TIMESTAMP_TZ", AT)),
        where(
            "a time without",
            Comparison("at_ntz", Op.LT, AT),
            '"t0"."AT_NTZ" < ?',
            ("TIMESTAMP_NTZ", AT.replace(tzinfo=None)),
        ),
        where(
            "all",
            And((Comparison("id", Op.GT, 1), Comparison("id", Op.LT, 5))),
            '("t0"."ID" > ? AND "t0"."ID" < ?)',
            1,
            5,
        ),
        where("some of none", Or(()), "FALSE"),
        where(
            "not of a test is its complement",
            Not(Comparison("name", Op.EQ, "a")),
            'NOT COALESCE("t0"."NAME" = ?, FALSE)',
            "a",
        ),
        where(
            "not comes to stand before tests",
            Not(And((Comparison("id", Op.EQ, 1), Or((Not(Comparison("id", Op.EQ, 2)),))))),
            '(NOT COALESCE("t0"."ID" = ?, FALSE) OR "t0"."ID" = ?)',
            1,
            2,
        ),
        where(
            "exists",
            Not(Exists("line", ("id",), ("invoice_id",), Comparison('od"d', Op.EQ, "x"))),
            'NOT EXISTS (SELECT 1 FROM "Line" AS "t1" WHERE ("t1"."INVOICE_ID" = "t0"."ID" AND "t1"."od""d" = ?))',
            "x",
        ),
        where("a number between two that fit", Comparison("id", Op.LT, Decimal("1.5")), '"t0"."ID" <= ?', 1),
        where(
            "a number between two, from above",
            Comparison("total", Op.GTE, Decimal("-1.005")),
            '"t0"."TOTAL" > CAST(? AS NUMBER(12, 2))',
            "-1.01",
        ),
        where("a number that does not fit equals nothing", Comparison("total", Op.EQ, Decimal("1.005")), "FALSE"),
        where("nor does one that is too large", Comparison("id", Op.EQ, 10**38), "FALSE"),
        where("all are less than it", Comparison("id", Op.LT, 10**38), '"t0"."ID" IS NOT NULL'),
        where("none is less than its opposite", Comparison("id", Op.LT, -(10**38)), "FALSE"),
        where("a lone surrogate equals nothing", Comparison("name", Op.EQ, "a\ud800"), "FALSE"),
        where("all are unequal to it", Comparison("name", Op.NE, "a\ud800"), '"t0"."NAME" IS NOT NULL'),
        where("it is dropped from a list", Comparison("name", Op.IN, ("a", "\udfff")), '"t0"."NAME" IN (?)', "a"),
        where("it stands below U+E000", Comparison("name", Op.LTE, "a\ud800b"), '"t0"."NAME" < ?', "a\ue000"),
    ],
)
def test_a_request_is_one_statement(ask: ScanRequest, sql: str, binds: tuple[Any, ...]) -> None:
    rendered = compile_snowflake_query(ask, TABLES)
    assert (rendered.text, rendered.binds) == (sql, binds)


DDL = (
    "create database if not exists acme",
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
    given = {
        "host": "127.0.0.1",
        "port": port,
        "protocol": "http",
        "account": "acme",
        "user": "onedoor",
        "password": "secret",
        "database": "ACME",
        "schema": "FINANCE",
    }
    return SnowflakeOptions(**(given | more))


def seed(port: int) -> None:
    connection = snowflake.connector.connect(
        host="127.0.0.1",
        port=port,
        protocol="http",
        account="acme",
        user="u",
        password="p",
        session_parameters={"CLIENT_TELEMETRY_ENABLED": False},
        platform_detection_timeout_seconds=0,
    )
    with connection:
        for statement in DDL:
            connection.cursor().execute(statement)


@pytest.fixture(scope="module")
def port(fakesnow: Any) -> int:
    seed(fakesnow.port)
    return int(fakesnow.port)


@pytest.fixture
async def invoices(port: int) -> AsyncIterator[SnowflakeConnector]:
    source = await connect(options(port))
    yield source
    await source.close()


async def rows(source: SnowflakeConnector, *columns: str, **more: Any) -> list[Row]:
    ask = ScanRequest(collection="invoice", columns=columns, **more)
    return [row async for batch in source.scan(ask) for row in batch]


async def test_columns_of_unknown_types_are_left_out(invoices: SnowflakeConnector) -> None:
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


async def test_a_missing_table_raises_key_error(invoices: SnowflakeConnector) -> None:
    with pytest.raises(KeyError):
        invoices.capabilities("nothing")


async def test_values_have_the_types_of_the_spi(invoices: SnowflakeConnector) -> None:
    result = await rows(invoices, *COLUMNS, sort=(SortKey("id"),))
    assert [list(map(repr, row)) for row in result] == [list(map(repr, row)) for row in (WHOLE, (2, *[None] * 7))]


@pytest.mark.parametrize("column", COLUMNS)
async def test_a_row_is_found_by_its_own_value(invoices: SnowflakeConnector, column: str) -> None:
    value = WHOLE[COLUMNS.index(column)]
    assert await rows(invoices, "id", filter=Comparison(column, Op.EQ, value)) == [(1,)]
    assert await rows(invoices, "id", filter=Not(Comparison(column, Op.IN, (value,)))) == [(2,)]
    assert await rows(invoices, "id", keys=KeyFilter((column,), ((value,),))) == [(1,)]


async def test_keys_that_no_row_can_hold_find_nothing(invoices: SnowflakeConnector) -> None:
    values = ((2**70, "é"), (10**40, "é"), (1, "\ud800"), (1, "\0"))
    assert await rows(invoices, "id", keys=KeyFilter(("id", "name"), values)) == []


async def test_a_thousand_keys_are_one_statement(invoices: SnowflakeConnector) -> None:
    keys = KeyFilter(("id", "day"), tuple((number, date(2026, 1, 2)) for number in range(1000)))
    assert await rows(invoices, "id", keys=keys, limit=1) == [(1,)]


async def test_statements_run_beside_each_other_keep_their_own_rows(invoices: SnowflakeConnector) -> None:
    ids = [1, 2] * 10
    results = await asyncio.gather(*(rows(invoices, "id", filter=Comparison("id", Op.EQ, id)) for id in ids))
    assert results == [[(id,)] for id in ids]
    assert len(invoices.sessions.idle) <= 4


async def test_a_server_that_was_restarted_is_connected_to_again(invoices: SnowflakeConnector, fakesnow: Any) -> None:
    await invoices.ping()
    fakesnow.restart()
    seed(fakesnow.port)
    assert await rows(invoices, "id", sort=(SortKey("id"),)) == [(1,), (2,)]


async def test_a_refused_statement_keeps_its_connection(invoices: SnowflakeConnector, fakesnow: Any) -> None:
    seed_more = ScanRequest(collection="invoice", columns=("id",), filter=Comparison("id", Op.EQ, 1))
    before = list(invoices.sessions.idle)
    invoices.tables["invoice"].columns["gone"] = build_snowflake_tables([("I", "GONE", "TEXT", None, None)])[
        "i"
    ].columns["gone"]  # type: ignore[index]
    with pytest.raises(ConnectorError, match="snowflake refused the statement with error 2043"):
        await rows(invoices, "gone")
    assert list(invoices.sessions.idle) == before
    assert [row async for batch in invoices.scan(seed_more) for row in batch] == [(1,)]


LOGIN = {"success": True, "data": {"token": "t", "masterToken": "m", "parameters": [], "sessionInfo": {}}}


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
            ("snowflake refused the statement with error 2003", ErrorCode.SOURCE_UNAVAILABLE),
            id="no such table",
        ),
        pytest.param(
            server(query=Response("", 500)),
            ("snowflake failed with HTTP status 500", ErrorCode.SOURCE_UNAVAILABLE),
            id="failing over and over",
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
        assert await failure(port, timeout=30.0) == expected


@pytest.mark.parametrize(
    ("which", "reason"),
    [("silent_port", "snowflake did not answer within 0.3 s"), ("closed_port", "snowflake could not be reached")],
)
async def test_a_far_end_that_is_down_is_not_waited_for(
    request: pytest.FixtureRequest, which: str, reason: str
) -> None:
    begun = time.monotonic()
    assert await failure(request.getfixturevalue(which), timeout=0.3) == (reason, ErrorCode.SOURCE_UNAVAILABLE)
    assert time.monotonic() - begun < 10.0


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
        for thread in threading.enumerate():
            if thread.name.startswith("onedoor-snowflake"):
                await asyncio.to_thread(thread.join, PATIENCE)
        assert open_sockets(port) == []


def open_sockets(port: int) -> list[socket.socket]:
    """Return the sockets of this process that are connected to a port of its own."""
    sockets = [value for value in gc.get_objects() if type(value) is socket.socket and value.fileno() != -1]
    return [socket_ for socket_ in sockets if is_connected_to(socket_, port)]


def is_connected_to(socket_: socket.socket, port: int) -> bool:
    try:
        return bool(socket_.getpeername()[1] == port)
    except (OSError, IndexError):
        return False


async def test_a_cancelled_statement_is_aborted_by_its_own_request(serve: Serve) -> None:
    begun, aborted, named = threading.Event(), threading.Event(), []

    async def query(request: Request) -> Response:
        named.append(request.query_params["requestId"])
        begun.set()
        await asyncio.to_thread(aborted.wait, 5)
        return JSONResponse({"success": False, "code": "000604", "message": "cancelled", "data": {"sqlState": "57014"}})

    async def abort(request: Request) -> Response:
        named.append(json.loads(await body(request))["requestId"])
        aborted.set()
        return JSONResponse({"success": True})

    with serve(server(query=query, abort=abort)) as port:
        reading = asyncio.create_task(connect(options(port, timeout=5)))
        await asyncio.to_thread(begun.wait, 5)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.to_thread(aborted.wait, 2)
    assert named == [named[0]] * 2


async def body(request: Request) -> bytes:
    sent = await request.body()
    return gzip.decompress(sent) if request.headers.get("content-encoding") == "gzip" else sent


class BusySessions:
    """Sessions to which another thread adds one while they are closed."""

    def __init__(self) -> None:
        self.outcomes = iter([RuntimeError("Set changed size during iteration"), None])
        self.closed = False

    def close(self) -> None:
        if error := next(self.outcomes):
            raise error
        self.closed = True


def test_sockets_are_closed_though_a_request_begins_meanwhile() -> None:
    sessions = BusySessions()
    connection = TrackedConnection.__new__(TrackedConnection)
    connection._session_manager = sessions
    connection.close_sockets()
    assert sessions.closed
