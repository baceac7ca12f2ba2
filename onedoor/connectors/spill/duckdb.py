"""The spill database: lifecycle, tables, sessions."""

import asyncio
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
from onedoor.spi.capabilities import ColumnType
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

DuckDBError = duckdb.Error

DuckDBConfig: TypeAlias = dict[str, str | bool | int | float | list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DuckDBDatabase:
    """`folder` is ours alone, and gone with the database."""

    connection: DuckDBConnection
    folder: LockedFolder

    def close(self) -> None:
        self.connection.close()
        self.folder.close()


def open_duckdb(limits: Limits) -> DuckDBDatabase:
    """Raises SourceFailed."""
    try:
        made = create_locked_folder()
    except OSError:
        raise ConnectorError("there is no room for a scratch database") from None
    try:
        return DuckDBDatabase(connection=_connect_duckdb(made.path, limits), folder=made)
    except DuckDBError as error:
        made.close()
        raise map_duckdb_error(error, limits) from None


def _connect_duckdb(within: Path, limits: Limits) -> DuckDBConnection:
    memory: DuckDBConfig = {"memory_limit": f"{limits.scratch_bytes}B", "threads": "1", "temp_directory": str(within)}
    connection = duckdb.connect(":memory:", config=memory)
    # Given with the others it is not heeded.
    connection.execute(f"SET max_temp_directory_size = '{limits.scratch_disk_bytes}B'")
    for each in ISOLATION_SETTINGS:
        connection.execute(f"SET {each}")
    return connection


def map_duckdb_error(error: Exception, limits: Limits) -> ConnectorError:
    if "max_temp_directory_size" in str(error):
        return _build_limit_error("scratch_disk_bytes", limits.scratch_disk_bytes)
    if isinstance(error, duckdb.OutOfMemoryException):
        return _build_limit_error("scratch_bytes", limits.scratch_bytes)
    if isinstance(error, duckdb.DataError | duckdb.InvalidInputException | ArithmeticError | ValueError):
        return ConnectorError("a number in it is too large to reckon with", ErrorCode.CANNOT_ANSWER)
    return ConnectorError("the scratch database could not answer")


def _build_limit_error(name: str, value: int) -> ConnectorError:
    """Of the whole process: questions beside this one may have taken the most of it."""
    reason = f"more rows outgrow memory than the limit `{name}` of {value} lets, filter it or ask again later"
    return ConnectorError(reason, ErrorCode.LIMIT_EXCEEDED)


Result = TypeVar("Result")

ROWS_PER_CALL = 2000
"""Rows handed over at once: what else there is to do in this process waits a few milliseconds for them."""

ROWS_PER_APPEND = 20_000
"""Rows to a call that appends: it cannot be interrupted, and begins and ends at a cost."""

INTERRUPT_RETRY_SECONDS = 0.02


class DuckDBSession:
    """Its temporary tables end with it."""

    def __init__(self, connection: DuckDBConnection, pool: ThreadPoolExecutor, limits: Limits) -> None:
        self.connection = connection
        self.pool = pool
        self.limits = limits

    async def run(self, call: Callable[[], Result]) -> Result:
        """Raises SourceFailed. A cancelled call has ended, or never began, when this ends."""
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
        """An interrupt is lost on a statement that has not begun, so there may be several."""
        while not running.done():
            self.connection.interrupt()
            await asyncio.sleep(INTERRUPT_RETRY_SECONDS)

    async def execute(self, sql: str, binds: Sequence[Any] = ()) -> None:
        """What it gives is fetched later."""
        await self.run(partial(self.connection.execute, sql, list(binds)))

    async def fetch_chunk(self, count: int = ROWS_PER_CALL) -> list[Row]:
        """The next rows of what was executed; of no more, none."""
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
"""Statements at once; who comes later waits."""

TEXT_PAGE_ROWS = 20_000


class SpillDatabase:
    """The database while it stands, and the threads it works in."""

    def __init__(self, duckdb_database: DuckDBDatabase, limits: Limits) -> None:
        self.database = duckdb_database
        self.limits = limits
        self.pool: ThreadPoolExecutor = build_thread_pool(MAX_CONCURRENT_STATEMENTS, "scratch")
        self.table_numbers = count()

    def open_session(self) -> DuckDBSession:
        return DuckDBSession(self.database.connection.cursor(), self.pool, self.limits)

    async def create_table(self, column_types: Mapping[str, ColumnType]) -> "DuckDBSpillTable":
        made = DuckDBSpillTable(self, f"r{next(self.table_numbers)}", column_types)
        await made.session.execute(f"CREATE TABLE {made.name} ({format_column_definitions([*made.columns.values()])})")
        return made

    def close(self) -> None:
        shut_down_pool(self.pool)
        self.database.close()


def open_spill_database(limits: Limits) -> SpillDatabase:
    """Raises SourceFailed."""
    return SpillDatabase(open_duckdb(limits), limits)


class DuckDBSpillTable:
    """Rows are poured one batch after the other; then it may be read, several times at once."""

    def __init__(self, spill_database: SpillDatabase, name: str, column_types: Mapping[str, ColumnType]) -> None:
        self.database = spill_database
        self.name = name
        self.session = spill_database.open_session()
        self.columns = {
            column: SpillColumn(type=kind, index=at) for at, (column, kind) in enumerate(column_types.items())
        }

    async def append_rows(self, rows: Sequence[Row]) -> None:
        await self._widen_decimals(rows)
        await self.session.append_rows(self.name, rows, [*self.columns.values()])

    async def _widen_decimals(self, rows: Sequence[Row]) -> None:
        """Money is kept in units as small as the smallest seen."""
        money = {column: field for column, field in self.columns.items() if field.type is ColumnType.DECIMAL}
        for column, needed in (
            await self.session.run(partial(_find_required_places, rows, money)) if money else {}
        ).items():
            field = money[column]
            if needed > field.decimal_places:
                await self._rescale_decimal(field, 10 ** (needed - field.decimal_places))
                self.columns[column] = replace(field, decimal_places=needed)

    async def _rescale_decimal(self, column: SpillColumn, by: int) -> None:
        if by >= INTEGER_LIMIT:
            raise map_duckdb_error(OverflowError(), self.database.limits)
        using = f"CAST({column.value_name} * CAST({by} AS HUGEINT) AS HUGEINT)"
        await self.session.execute(f"ALTER TABLE {self.name} ALTER {column.value_name} TYPE HUGEINT USING {using}")

    async def join(self, local_columns: Sequence[str], joined: JoinedColumns) -> None:
        made = await self.session.run(partial(compile_spill_join, self.name, self.columns, local_columns, joined))
        longer = f"r{next(self.database.table_numbers)}"
        await self.session.create_temp_table("k", made.columns)
        await self.session.append_rows("k", made.rows, made.columns)
        await self.session.execute(f"CREATE TABLE {longer} AS {made.sql.text}", made.sql.binds)
        shorter, self.name = self.name, longer
        self.columns |= made.added_columns
        await self.session.execute(f"DROP TABLE {shorter}")
        await self.session.execute("DROP TABLE k")

    async def scan(self, request: ScanRequest) -> AsyncGenerator[Sequence[Row], None]:
        kinds = {column: field.type for column, field in self.columns.items()}
        sums = find_float_sums(request, kinds) if request.aggregates else ()
        async with aclosing(
            self._scan_float_sums(request, sums, kinds) if sums else self._scan_table(request)
        ) as batches:
            async for batch in batches:
                yield batch

    async def _scan_table(self, request: ScanRequest) -> AsyncGenerator[Sequence[Row], None]:
        session = self.database.open_session()
        try:
            asked = await session.run(partial(compile_spill_statement, request, self.name, self.columns))
            for number, each in enumerate(asked.side_tables):
                await self._create_side_table(session, f"k{number}", each)
            await session.execute(asked.sql.text, asked.sql.binds)
            while rows := await session.fetch_chunk():
                yield decode_spill_rows(rows, asked.columns)
        finally:
            session.close()

    async def _create_side_table(self, session: DuckDBSession, name: str, keys: KeyTable | TextMatchTable) -> None:
        await session.create_temp_table(name, keys.columns)
        if isinstance(keys, TextMatchTable):
            await self._fill_text_matches(session, name, keys)
        else:
            await session.append_rows(name, keys.rows, keys.columns)

    async def _fill_text_matches(self, session: DuckDBSession, name: str, matched: TextMatchTable) -> None:
        """Each distinct text is looked at once, by Python's own measure."""
        listed = f"CREATE TEMP TABLE found AS SELECT *, row_number() OVER () AS place FROM ({matched.texts.text})"
        await session.execute(listed, matched.texts.binds)
        meets = compile_predicate(matched.comparison, (matched.comparison.column,))
        for start in count(1, TEXT_PAGE_ROWS):
            page = f"SELECT v FROM found WHERE place BETWEEN {start} AND {start + TEXT_PAGE_ROWS - 1}"
            await session.execute(page)
            texts = decode_spill_rows(await session.run(session.connection.fetchall), matched.columns)
            if not texts:
                break
            await session.append_rows(name, [*filter(meets, texts)], matched.columns)
        await session.execute("DROP TABLE found")

    async def _scan_float_sums(
        self, request: ScanRequest, sums: Sequence[AggregateCall], column_types: Mapping[str, ColumnType]
    ) -> AsyncGenerator[Sequence[Row], None]:
        """What is left to do with the groups is asked of a table of them."""
        names = [*request.columns, *(each.name for each in request.aggregates)]
        held = [
            *(column_types[each] for each in request.columns),
            *(_aggregate_result_type(each, column_types) for each in request.aggregates),
        ]
        groups = await self.database.create_table(dict(zip(names, held, strict=True)))
        try:
            async with aclosing(scan_with_float_sums(self._scan_table, request, sums)) as batches:
                async for batch in batches:
                    await groups.append_rows(batch)
            rest = ScanRequest(collection=request.collection, columns=tuple(names), filter=request.having)
            rest = replace(rest, keys=request.keys, sort=request.sort, limit=request.limit)
            async with aclosing(groups._scan_table(rest)) as answers:
                async for answer in answers:
                    yield answer
        except (ArithmeticError, ValueError) as error:
            raise map_duckdb_error(error, self.database.limits) from None
        finally:
            await groups.close()

    async def close(self) -> None:
        await self.session.execute(f"DROP TABLE {self.name}")
        self.session.close()


def _find_required_places(rows: Sequence[Row], money: Mapping[str, SpillColumn]) -> Mapping[str, int]:
    return {column: count_decimal_places([row[field.index] for row in rows]) for column, field in money.items()}


def _aggregate_result_type(aggregate: AggregateCall, column_types: Mapping[str, ColumnType]) -> ColumnType:
    if aggregate.column is None or aggregate.function in (AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT):
        return ColumnType.INTEGER
    return column_types[aggregate.column]
