"""Open the DuckDB database that holds spilled rows, and run its tables and statements."""

import asyncio
import atexit
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import duckdb

from onedoor.connectors.spill.compiler import (
    INTEGER_LIMIT,
    KeyTable,
    SpillColumn,
    TextMatchTable,
    compile_spill_join,
    compile_spill_statement,
    count_decimal_places,
    decode_spill_rows,
    encode_spill_rows,
    find_float_sums,
    format_column_definitions,
    scan_with_float_sums,
)
from onedoor.connectors.spill.folder import LockedFolder, create_locked_folder
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Limits
from onedoor.runtime.concurrency import build_thread_pool, shut_down_pool
from onedoor.spi.capabilities import ColumnType, ValueType
from onedoor.spi.connector import JoinedColumns
from onedoor.spi.operators import compile_predicate
from onedoor.spi.predicates import Row
from onedoor.spi.scan import AggregateCall, AggregateFunction, ScanRequest

ISOLATION_SETTINGS = (
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "preserve_insertion_order = false",
    "enable_external_access = false",
    "lock_configuration = true",
)

DuckDBConnection = duckdb.DuckDBPyConnection


def drop_leak_report() -> None:
    """Close standard error as the process exits: only the report that DuckDB's bindings leak their types would follow.

    The bindings write it once Python has ended, whatever was closed before, and have no switch for it.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


atexit.register(drop_leak_report)


DuckDBError = duckdb.Error

DuckDBConfig: TypeAlias = dict[str, str | bool | int | float | list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DuckDBDatabase:
    """An open database, and the folder that is removed when it is closed."""

    connection: DuckDBConnection
    folder: LockedFolder

    def close(self) -> None:
        self.connection.close()
        self.folder.close()


def open_duckdb(limits: Limits) -> DuckDBDatabase:
    """Open a database in memory that overflows to a folder. Raises ConnectorError."""
    try:
        folder = create_locked_folder()
    except OSError:
        raise ConnectorError("there is no room for a spill database") from None
    try:
        return DuckDBDatabase(connection=_connect_duckdb(folder.path, limits), folder=folder)
    except DuckDBError as error:
        folder.close()
        raise map_duckdb_error(error, limits) from None


def _connect_duckdb(folder: Path, limits: Limits) -> DuckDBConnection:
    config: DuckDBConfig = {"memory_limit": f"{limits.scratch_bytes}B", "threads": "1", "temp_directory": str(folder)}
    connection = duckdb.connect(":memory:", config=config)
    try:
        # DuckDB ignores this setting in `config`.
        connection.execute(f"SET max_temp_directory_size = '{limits.scratch_disk_bytes}B'")
        for setting in ISOLATION_SETTINGS:
            connection.execute(f"SET {setting}")
    except BaseException:
        connection.close()
        raise
    return connection


def map_duckdb_error(error: Exception, limits: Limits) -> ConnectorError:
    if "max_temp_directory_size" in str(error):
        return _build_limit_error("scratch_disk_bytes", limits.scratch_disk_bytes)
    if isinstance(error, duckdb.OutOfMemoryException):
        return _build_limit_error("scratch_bytes", limits.scratch_bytes)
    if isinstance(error, duckdb.DataError | duckdb.InvalidInputException | ArithmeticError | ValueError):
        return ConnectorError("a number in it is too large to compute with", ErrorCode.CANNOT_ANSWER)
    return ConnectorError("the spill database could not answer")


def _build_limit_error(name: str, value: int) -> ConnectorError:
    """Name a limit that all requests of this process share."""
    reason = f"more rows outgrow memory than the limit `{name}` of {value} lets, filter it or ask again later"
    return ConnectorError(reason, ErrorCode.LIMIT_EXCEEDED)


Result = TypeVar("Result")

ROWS_PER_CALL = 2000
"""Rows converted at once: they hold the interpreter's lock for a few milliseconds."""

ROWS_PER_APPEND = 20_000
"""Rows of one append, which cannot be interrupted and has a fixed cost."""

INTERRUPT_RETRY_SECONDS = 0.02


class DuckDBSession:
    """A cursor of the database, with temporary tables of its own that are dropped when it is closed."""

    def __init__(self, connection: DuckDBConnection, pool: ThreadPoolExecutor, limits: Limits) -> None:
        self.connection = connection
        self.pool = pool
        self.limits = limits

    async def run(self, call: Callable[[], Result]) -> Result:
        """Run a call in a thread. Raises ConnectorError; cancelled, it returns once the call does not run any more."""
        running = self.pool.submit(call)
        try:
            return await asyncio.shield(asyncio.wrap_future(running))
        except asyncio.CancelledError:
            if not running.cancel():
                await self._interrupt_until_done(running)
            raise
        except (DuckDBError, ArithmeticError, ValueError) as error:
            raise map_duckdb_error(error, self.limits) from None

    async def _interrupt_until_done(self, running: Future[Any]) -> None:
        """Interrupt again and again: an interrupt is lost before the statement begins."""
        while not running.done():
            self.connection.interrupt()
            await asyncio.sleep(INTERRUPT_RETRY_SECONDS)

    async def execute(self, sql: str, binds: Sequence[Any] = ()) -> None:
        """Execute a statement whose rows are fetched later."""
        await self.run(partial(self.connection.execute, sql, list(binds)))

    async def fetch_chunk(self, count: int = ROWS_PER_CALL) -> list[Row]:
        """Fetch the next rows of the last statement; an empty list after the last one."""
        return await self.run(partial(self.connection.fetchmany, count))

    async def append_rows(self, table: str, rows: Sequence[Row], columns: Sequence[SpillColumn]) -> None:
        for start in range(0, len(rows), ROWS_PER_APPEND):
            await self.run(partial(self._append_chunk, table, rows[start : start + ROWS_PER_APPEND], columns))

    def _append_chunk(self, table: str, rows: Sequence[Row], columns: Sequence[SpillColumn]) -> None:
        appender = self.connection.appender(table)
        try:
            for start in range(0, len(rows), ROWS_PER_CALL):
                appender.append_rows(encode_spill_rows(rows[start : start + ROWS_PER_CALL], columns))
            appender.flush()
        finally:
            appender.clear()

    async def create_temp_table(self, table: str, columns: Sequence[SpillColumn]) -> None:
        await self.execute(f"CREATE TEMP TABLE {table} ({format_column_definitions(columns)})")

    def close(self) -> None:
        self.connection.close()


MAX_CONCURRENT_STATEMENTS = 2

TEXT_PAGE_ROWS = 20_000


class SpillDatabase:
    """An open database, and the threads in which its statements run."""

    def __init__(self, duckdb_database: DuckDBDatabase, limits: Limits) -> None:
        self.database = duckdb_database
        self.limits = limits
        self.pool: ThreadPoolExecutor = build_thread_pool(MAX_CONCURRENT_STATEMENTS, "scratch")
        self.table_numbers = count()

    def open_session(self) -> DuckDBSession:
        return DuckDBSession(self.database.connection.cursor(), self.pool, self.limits)

    async def create_table(self, column_types: Mapping[str, ValueType]) -> "DuckDBSpillTable":
        table = DuckDBSpillTable(self, f"r{next(self.table_numbers)}", column_types)
        definitions = format_column_definitions([*table.columns.values()])
        await table.session.execute(f"CREATE TABLE {table.name} ({definitions})")
        return table

    def close(self) -> None:
        shut_down_pool(self.pool)
        self.database.close()


def open_spill_database(limits: Limits) -> SpillDatabase:
    """Raise ConnectorError where there is no room for it."""
    return SpillDatabase(open_duckdb(limits), limits)


class DuckDBSpillTable:
    """A SpillTable: rows are appended one batch after the other, then scanned, several times at once."""

    def __init__(self, spill_database: SpillDatabase, name: str, column_types: Mapping[str, ValueType]) -> None:
        self.database = spill_database
        self.name = name
        self.session = spill_database.open_session()
        self.columns = {
            name: SpillColumn(type=column_type, index=index)
            for index, (name, column_type) in enumerate(column_types.items())
        }

    async def append_rows(self, rows: Sequence[Row]) -> None:
        await self._widen_decimals(rows)
        await self.session.append_rows(self.name, rows, [*self.columns.values()])

    async def _widen_decimals(self, rows: Sequence[Row]) -> None:
        """Store decimals in smaller units where one has more places than any before."""
        decimals = {name: column for name, column in self.columns.items() if column.type is ColumnType.DECIMAL}
        if not decimals:
            return
        places_by_name = await self.session.run(partial(_find_required_places, rows, decimals))
        for name, places in places_by_name.items():
            column = decimals[name]
            if places > column.decimal_places:
                await self._rescale_decimal(column, 10 ** (places - column.decimal_places))
                self.columns[name] = replace(column, decimal_places=places)

    async def _rescale_decimal(self, column: SpillColumn, factor: int) -> None:
        if factor >= INTEGER_LIMIT:
            raise map_duckdb_error(OverflowError(), self.database.limits)
        using = f"CAST({column.value_name} * CAST({factor} AS HUGEINT) AS HUGEINT)"
        await self.session.execute(f"ALTER TABLE {self.name} ALTER {column.value_name} TYPE HUGEINT USING {using}")

    async def join(self, local_columns: Sequence[str], joined: JoinedColumns) -> None:
        join = await self.session.run(partial(compile_spill_join, self.name, self.columns, local_columns, joined))
        joined_name = f"r{next(self.database.table_numbers)}"
        await self.session.create_temp_table("k", join.columns)
        await self.session.append_rows("k", join.rows, join.columns)
        await self.session.execute(f"CREATE TABLE {joined_name} AS {join.sql.text}", join.sql.binds)
        previous_name, self.name = self.name, joined_name
        self.columns |= join.added_columns
        await self.session.execute(f"DROP TABLE {previous_name}")
        await self.session.execute("DROP TABLE k")

    async def scan(self, request: ScanRequest) -> AsyncGenerator[Sequence[Row], None]:
        column_types = {name: column.type for name, column in self.columns.items()}
        sums = find_float_sums(request, column_types) if request.aggregates else ()
        async with aclosing(
            self._scan_float_sums(request, sums, column_types) if sums else self._scan_table(request)
        ) as batches:
            async for batch in batches:
                yield batch

    async def _scan_table(self, request: ScanRequest) -> AsyncGenerator[Sequence[Row], None]:
        session = self.database.open_session()
        try:
            statement = await session.run(partial(compile_spill_statement, request, self.name, self.columns))
            for number, side_table in enumerate(statement.side_tables):
                await self._create_side_table(session, f"k{number}", side_table)
            await session.execute(statement.sql.text, statement.sql.binds)
            while rows := await session.fetch_chunk():
                yield decode_spill_rows(rows, statement.columns)
        finally:
            session.close()

    async def _create_side_table(
        self, session: DuckDBSession, name: str, side_table: KeyTable | TextMatchTable
    ) -> None:
        await session.create_temp_table(name, side_table.columns)
        if isinstance(side_table, TextMatchTable):
            await self._fill_text_matches(session, name, side_table)
        else:
            await session.append_rows(name, side_table.rows, side_table.columns)

    async def _fill_text_matches(self, session: DuckDBSession, name: str, side_table: TextMatchTable) -> None:
        """Compare each distinct text once, in Python."""
        texts_sql = side_table.texts
        numbered = f"CREATE TEMP TABLE found AS SELECT *, row_number() OVER () AS place FROM ({texts_sql.text})"
        await session.execute(numbered, texts_sql.binds)
        matches = compile_predicate(side_table.comparison, (side_table.comparison.column,))
        for start in count(1, TEXT_PAGE_ROWS):
            page = f"SELECT v FROM found WHERE place BETWEEN {start} AND {start + TEXT_PAGE_ROWS - 1}"
            await session.execute(page)
            texts = decode_spill_rows(await session.run(session.connection.fetchall), side_table.columns)
            if not texts:
                break
            await session.append_rows(name, [*filter(matches, texts)], side_table.columns)
        await session.execute("DROP TABLE found")

    async def _scan_float_sums(
        self, request: ScanRequest, sums: Sequence[AggregateCall], column_types: Mapping[str, ValueType]
    ) -> AsyncGenerator[Sequence[Row], None]:
        """Write the groups to a table, and scan that for the steps after the aggregates."""
        result_types = {name: column_types[name] for name in request.columns}
        result_types |= {call.name: _get_result_type(call, column_types) for call in request.aggregates}
        groups = await self.database.create_table(result_types)
        try:
            async with aclosing(scan_with_float_sums(self._scan_table, request, sums)) as batches:
                async for batch in batches:
                    await groups.append_rows(batch)
            arranged = ScanRequest(
                collection=request.collection,
                columns=tuple(result_types),
                keys=request.keys,
                filter=request.having,
                sort=request.sort,
                limit=request.limit,
            )
            async with aclosing(groups._scan_table(arranged)) as batches:
                async for rows in batches:
                    yield rows
        except (ArithmeticError, ValueError) as error:
            raise map_duckdb_error(error, self.database.limits) from None
        finally:
            await groups.close()

    async def close(self) -> None:
        await self.session.execute(f"DROP TABLE {self.name}")
        self.session.close()


def _find_required_places(rows: Sequence[Row], decimals: Mapping[str, SpillColumn]) -> Mapping[str, int]:
    return {name: count_decimal_places([row[column.index] for row in rows]) for name, column in decimals.items()}


def _get_result_type(aggregate: AggregateCall, column_types: Mapping[str, ValueType]) -> ValueType:
    if aggregate.column is None or aggregate.function in (AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT):
        return ColumnType.INTEGER
    return column_types[aggregate.column]
