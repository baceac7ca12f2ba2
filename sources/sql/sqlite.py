"""A SQLite file: one connection a thread, read only, stopped in the middle of a statement when nobody waits for it."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import String, and_, bindparam, func, literal_column, select, tuple_
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from engine.errors import Code, SourceFailed
from engine.words import Ask, Can, Kind, Op, Row
from sources.sql.columns import Stock, Stored, stock
from sources.sql.decode import decoded
from sources.sql.statement import Dialect, Expression, statement
from sources.threads import in_thread, shut, threads

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
STEPS = 1_000_000
"""Of SQLite's machine, between two looks at whether anybody still waits; some 20 ms."""
KEYS = 10_000
COMPILED = sqlite_dialect(paramstyle="qmark")
COLUMNS_SQL = (
    'SELECT m.name, c.name, c.type, c."notnull" OR c.pk > 0 FROM sqlite_schema m JOIN pragma_table_info(m.name) c '
    "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`path` of the file, and how many statements may run at once."""

    path: str
    connections: int = 4


class Sqlite:
    """The tables and views of one file."""

    def __init__(self, path: Path, tables: Mapping[str, Stock], connections: int) -> None:
        self.path = path
        self.tables = tables
        self.pool = threads(connections, "sqlite")
        self.idle: list[sqlite3.Connection] = []

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

    async def run(self, sql: str, values: Sequence[Any]) -> list[Sequence[Any]]:
        """The rows of one statement; a cancelled caller stops it, wherever it then is."""
        given_up = threading.Event()
        try:
            connection = self.idle.pop() if self.idle else opened(self.path)
        except sqlite3.Error:
            raise SourceFailed("the database cannot be opened") from None
        try:
            rows = await in_thread(self.pool, partial(fetched, connection, given_up, sql, values))
        except asyncio.CancelledError:
            given_up.set()
            connection.interrupt()
            raise
        except sqlite3.Error as error:
            raise failure(error) from None
        self.idle.append(connection)
        return rows

    async def ping(self) -> None:
        await self.run("SELECT 1", ())

    async def close(self) -> None:
        shut(self.pool)
        while self.idle:
            self.idle.pop().close()


async def connect(options: Options) -> Sqlite:
    """Raises SourceFailed when there is no such file, or it is no database."""
    path = Path(options.path)
    with ThreadPoolExecutor(1) as pool:
        try:
            tables = await in_thread(pool, partial(reflected, path))
        except sqlite3.Error:
            raise SourceFailed(f"there is no SQLite database at `{path.name}`") from None
    return Sqlite(path, tables, options.connections)


def failure(error: sqlite3.Error) -> SourceFailed:
    """Of the database where it is locked or broken; of the question where it is more than SQLite can take."""
    if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG):
        return SourceFailed("the database cannot answer so large a question", Code.CANNOT_ANSWER)
    return SourceFailed("the database could not answer")


def opened(path: Path) -> sqlite3.Connection:
    """Read only, whatever a statement says; case is folded as Python folds it."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
    connection.create_function("lowered", 1, lowered, deterministic=True)
    connection.execute("PRAGMA query_only = 1")
    return connection


def lowered(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else None


def fetched(
    connection: sqlite3.Connection, given_up: threading.Event, sql: str, values: Sequence[Any]
) -> list[Sequence[Any]]:
    """An interrupt is lost on a statement that has not begun, so it looks for itself, too."""
    connection.set_progress_handler(given_up.is_set, STEPS)
    return connection.execute(sql, values).fetchall()


def reflected(path: Path) -> dict[str, Stock]:
    connection = opened(path)
    try:
        found: dict[str, dict[str, Stored]] = {}
        for table, name, declared, filled in connection.execute(COLUMNS_SQL):
            column = stored(name, declared.upper(), nullable=not filled)
            if column is not None:
                found.setdefault(table, {})[name] = column
    finally:
        connection.close()
    return {name: stock(None, name, columns, keys=KEYS, folds=True) for name, columns in found.items()}


def stored(name: str, declared: str, *, nullable: bool) -> Stored | None:
    """What a column of this declared type holds, by SQLite's rules of affinity and two types of our own.

    `MINOR_UNITS_INT` keeps money as whole cents, `UTC_MICROS_INT` times as microseconds since 1970.
    """
    if declared.startswith("MINOR_UNITS"):
        return Stored(
            name=name, kind=Kind.DECIMAL, nullable=nullable, scale=2, minor_units=True, encode=cents, decode=money
        )
    if declared.startswith("UTC_MICROS"):
        return Stored(name=name, kind=Kind.TIME, nullable=nullable, encode=micros, decode=moment)
    kinds = (
        ("INT", Kind.INTEGER),
        ("BOOL", Kind.BOOLEAN),
        ("CHAR", Kind.TEXT),
        ("CLOB", Kind.TEXT),
        ("TEXT", Kind.TEXT),
    )
    kind = next((kind for part, kind in kinds if part in declared), None)
    match kind:
        case Kind.BOOLEAN:
            return Stored(name=name, kind=kind, nullable=nullable, encode=int, decode=bool)
        case Kind.INTEGER | Kind.TEXT:
            return Stored(name=name, kind=kind, nullable=nullable)
    return foreign(name, declared, nullable=nullable)


def foreign(name: str, declared: str, *, nullable: bool) -> Stored | None:
    """Columns of databases that others made: days as ISO text, times without a zone in UTC, money as floats."""
    if declared == "DATE":
        return Stored(name=name, kind=Kind.DATE, nullable=nullable, encode=date.isoformat, decode=date.fromisoformat)
    if declared.startswith(("DATETIME", "TIMESTAMP")):
        return Stored(name=name, kind=Kind.TIME, nullable=nullable, foreign=True, decode=in_utc)
    if declared.startswith(("NUMERIC", "DECIMAL")):
        places = declared.rstrip(")").rpartition(",")[2] if "," in declared else "2"
        quantised = partial(exact, places=int(places))
        return Stored(name=name, kind=Kind.DECIMAL, nullable=nullable, foreign=True, decode=quantised)
    if any(part in declared for part in ("REAL", "FLOA", "DOUB")):
        return Stored(name=name, kind=Kind.FLOAT, nullable=nullable, decode=float)
    return None


def cents(value: Decimal) -> int:
    return int(value.scaleb(2))


def money(value: int) -> Decimal:
    return Decimal(value).scaleb(-2)


def micros(value: datetime) -> int:
    return (value - EPOCH) // MICRO


def moment(value: int) -> datetime:
    return EPOCH + value * MICRO


def in_utc(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def exact(value: Any, places: int) -> Decimal:
    return Decimal(str(value)).quantize(Decimal(1).scaleb(-places))


def among(columns: Sequence[Expression], values: Sequence[Sequence[Any]], stored: Sequence[Stored]) -> Expression:
    """The keys travel as one JSON text, so that the statement is the same for one and for thousands."""
    if len(columns) == 1:
        listed = func.json_each(bindparam(None, json.dumps(values[0]), type_=String())).table_valued("value")
        return columns[0].in_(select(listed.c.value))
    rows = json.dumps(list(zip(*values, strict=True)))
    listed = func.json_each(bindparam(None, rows, type_=String())).table_valued("value")
    parts = [func.json_extract(listed.c.value, literal_column(f"'$[{at}]'")) for at in range(len(columns))]
    return tuple_(*columns).in_(select(*parts))


def starts(column: Expression, value: Any) -> Expression:
    found: Expression = func.substr(column, 1, func.length(value)) == value
    return found


def ends(column: Expression, value: Any) -> Expression:
    longer = func.length(column) >= func.length(value)
    return and_(longer, func.substr(column, func.length(column) - func.length(value) + 1) == value)


def contains(column: Expression, value: Any) -> Expression:
    found: Expression = func.instr(column, value) > 0
    return found


DIALECT = Dialect(
    among=among,
    like={
        Op.CONTAINS: contains,
        Op.STARTS_WITH: starts,
        Op.ENDS_WITH: ends,
        Op.I_CONTAINS: lambda column, value: contains(func.lowered(column), func.lowered(value)),
        Op.I_STARTS_WITH: lambda column, value: starts(func.lowered(column), func.lowered(value)),
        Op.I_ENDS_WITH: lambda column, value: ends(func.lowered(column), func.lowered(value)),
    },
    collated=lambda column: column,
    bound=lambda value, _: bindparam(None, value),
)
