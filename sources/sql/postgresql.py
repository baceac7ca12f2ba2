"""A PostgreSQL database over asyncpg: connections are kept, statements prepared; a cancelled request stops its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
from sqlalchemy import ARRAY, BigInteger, Date, DateTime, Float, Numeric, String, bindparam, cast, func, select, tuple_
from sqlalchemy import Boolean as Bool
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from engine.errors import Code, SourceFailed
from engine.words import Ask, Can, Kind, Op, Row
from sources.sql.columns import Stock, Stored, stock
from sources.sql.decode import decoded, unreadable
from sources.sql.statement import Dialect, Expression, statement

KEYS = 10_000
COMPILED = asyncpg_dialect()  # type: ignore[no-untyped-call]
COLUMNS_SQL = """
    SELECT table_schema, table_name, column_name, data_type, is_nullable = 'YES'
    FROM information_schema.columns
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_schema NOT LIKE 'pg\\_%'
    ORDER BY table_schema, table_name, ordinal_position
"""
KINDS = {
    "smallint": Kind.INTEGER,
    "integer": Kind.INTEGER,
    "bigint": Kind.INTEGER,
    "numeric": Kind.DECIMAL,
    "real": Kind.FLOAT,
    "double precision": Kind.FLOAT,
    "boolean": Kind.BOOLEAN,
    "date": Kind.DATE,
    "timestamp with time zone": Kind.TIME,
    "timestamp without time zone": Kind.TIME,
    "text": Kind.TEXT,
    "character varying": Kind.TEXT,
}
AS_TEXT = frozenset({"uuid", "USER-DEFINED", "json", "jsonb", "character", "name", "inet", "interval"})
SQL_TYPES: Mapping[Kind, Any] = {
    Kind.INTEGER: BigInteger(),
    Kind.DECIMAL: Numeric(),
    Kind.FLOAT: Float(),
    Kind.BOOLEAN: Bool(),
    Kind.DATE: Date(),
    Kind.TIME: DateTime(timezone=True),
    Kind.TEXT: String(),
}
WRITTEN_OUT = frozenset({Kind.DATE, Kind.TIME})
"""Bound as ISO text: asyncpg sends the first and the last day and moment that Python knows as infinities."""
ENCODE: Mapping[Kind, Any] = {Kind.DATE: date.isoformat, Kind.TIME: datetime.isoformat}
HOME = "public"
TROUBLED = frozenset({"08", "25", "53", "57", "58", "XX"})
"""Classes of SQLSTATE that tell of the server's state, not of the statement."""
GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
LEAVE_SECONDS = 2.0
"""How long a connection may take to stop its statement and say goodbye."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`url` as libpq reads it, and how many statements may run at once."""

    url: str
    connections: int = 8
    connect_seconds: float = 2.0


class Postgresql:
    """The tables and views of one database; those outside `public` are named with their schema."""

    def __init__(self, options: Options, tables: Mapping[str, Stock]) -> None:
        self.options = options
        self.tables = tables
        self.slots = asyncio.Semaphore(options.connections)
        self.idle: list[Any] = []
        self.leaving: set[asyncio.Task[None]] = set()

    def can(self, collection: str) -> Can:
        return self.tables[collection].can

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        compiled = statement(ask, self.tables, DIALECT).compile(
            dialect=COMPILED, compile_kwargs={"render_postcompile": True}
        )
        given = compiled.construct_params()
        values = [given[each] for each in compiled.positiontup or ()]
        rows = await self.run(str(compiled), values)
        yield decoded(rows, ask, self.tables[ask.collection])

    async def run(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """The rows of one statement. Raises SourceFailed; a cancelled caller stops it on the server."""
        async with self.slots:
            try:
                return await self._answered(sql, values)
            except asyncpg.DataError:
                raise unreadable() from None
            except GONE:
                raise SourceFailed("the database does not answer", again=True) from None
            except asyncpg.PostgresError as error:
                raise failure(error) from None
            except (ValueError, ArithmeticError):
                raise unreadable() from None

    async def _answered(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """Over a kept connection, if one lives, or else over a new one."""
        while self.idle:
            with suppress(*GONE):
                return await self._over(self.idle.pop(), sql, values)
        return await self._over(await opened(self.options), sql, values)

    async def _over(self, connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """A connection goes back only when its statement has ended."""
        try:
            rows: Sequence[Any] = await connection.fetch(sql, *values)
        except GONE:
            connection.terminate()
            raise
        except asyncpg.PostgresError:
            self.idle.append(connection)
            raise
        except BaseException:
            self._leave(connection)
            raise
        self.idle.append(connection)
        return rows

    def _leave(self, connection: Any) -> None:
        """Has the server stop what runs there, and closes it; nobody waits for that."""
        task = asyncio.ensure_future(left(connection))
        self.leaving.add(task)
        task.add_done_callback(self.leaving.discard)

    async def ping(self) -> None:
        await self.run("SELECT 1", ())

    async def close(self) -> None:
        while self.idle:
            self._leave(self.idle.pop())
        await asyncio.gather(*self.leaving)


async def left(connection: Any) -> None:
    with suppress(*GONE):
        await connection.close(timeout=LEAVE_SECONDS)


def failure(error: asyncpg.PostgresError) -> SourceFailed:
    """Of the database where it lacks means or is being stopped; of the question where it cannot be asked so."""
    if (error.sqlstate or "")[:2] in TROUBLED:
        return SourceFailed("the database could not answer")
    return SourceFailed("the database cannot answer this question", Code.CANNOT_ANSWER)


async def connect(options: Options) -> Postgresql:
    """Raises SourceFailed when the database does not answer."""
    try:
        connection = await opened(options)
    except (*GONE, asyncpg.PostgresError, ValueError):
        raise SourceFailed("the database does not answer") from None
    try:
        rows = await connection.fetch(COLUMNS_SQL)
    finally:
        await connection.close()
    return Postgresql(options, reflected(rows))


async def opened(options: Options) -> Any:
    """Read only, in UTC."""
    return await asyncpg.connect(
        options.url,
        timeout=options.connect_seconds,
        server_settings={"default_transaction_read_only": "on", "timezone": "UTC", "application_name": "onedoor"},
    )


def reflected(rows: Sequence[Sequence[Any]]) -> dict[str, Stock]:
    found: dict[tuple[str, str], dict[str, Stored]] = {}
    for schema, table, name, declared, nullable in rows:
        column = stored(name, declared, nullable=nullable)
        if column is not None:
            found.setdefault((schema, table), {})[name] = column
    return {
        table if schema == HOME else f"{schema}.{table}": stock(schema, table, columns, keys=KEYS, folds=False)
        for (schema, table), columns in found.items()
    }


def stored(name: str, declared: str, *, nullable: bool) -> Stored | None:
    if declared in AS_TEXT:
        return Stored(name=name, kind=Kind.TEXT, nullable=nullable, as_text=True)
    kind = KINDS.get(declared)
    if kind is None:
        return None
    if declared == "timestamp without time zone":
        return Stored(name=name, kind=kind, nullable=nullable, encode=without_zone, decode=in_utc)
    return Stored(name=name, kind=kind, nullable=nullable, encode=ENCODE.get(kind))


def without_zone(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat()


def in_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


def among(columns: Sequence[Expression], values: Sequence[Sequence[Any]], stored: Sequence[Stored]) -> Expression:
    """The keys travel as arrays, so that the statement is the same for one and for thousands."""
    arrays = [_array(list(each), column) for each, column in zip(values, stored, strict=True)]
    if len(columns) == 1:
        return columns[0] == func.any(arrays[0])
    names = [f"k{at}" for at in range(len(columns))]
    listed = func.unnest(*arrays).table_valued(*names).render_derived()
    return tuple_(*columns).in_(select(*(listed.c[each] for each in names)))


def bound(value: Any, stored: Stored) -> Expression:
    if stored.kind in WRITTEN_OUT:
        return cast(bindparam(None, value, type_=String()), _sql_type(stored))
    return bindparam(None, value, type_=_sql_type(stored))


def _array(values: list[Any], stored: Stored) -> Expression:
    if stored.kind in WRITTEN_OUT:
        return cast(bindparam(None, values, type_=ARRAY(String())), ARRAY(_sql_type(stored)))
    return bindparam(None, values, type_=ARRAY(_sql_type(stored)))


def _sql_type(stored: Stored) -> Any:
    if stored.decode is in_utc:
        return DateTime(timezone=False)
    return SQL_TYPES[stored.kind]


DIALECT = Dialect(
    among=among,
    like={
        Op.CONTAINS: lambda column, value: func.strpos(column, value) > 0,
        Op.STARTS_WITH: lambda column, value: func.starts_with(column, value),
        Op.ENDS_WITH: lambda column, value: func.right(column, func.length(value)) == value,
    },
    collated=lambda column: column.collate("C"),
    bound=bound,
)
