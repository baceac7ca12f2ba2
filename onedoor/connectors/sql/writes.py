"""Change rows of a SQL database in one transaction, with a marker that stores the outcome of each change."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    MetaData,
    String,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    insert,
    select,
    table,
    update,
)
from sqlalchemy import column as sql_column

from onedoor.connectors.sql.compiler import StatementCache, build_value_order
from onedoor.connectors.sql.decoding import DecodedRows
from onedoor.connectors.sql.shape import ParameterIndex
from onedoor.connectors.sql.tables import SqlColumn
from onedoor.connectors.sql.write_model import (
    MARKER_TABLE_NAME,
    UNKNOWN_OUTCOME_MESSAGE,
    ForeignKey,
    SqlTransaction,
    SqlWriteTarget,
    WriteDialect,
    WriteFailed,
    WriteFailure,
    WriteFailureKind,
    build_change_rejection,
    check_stored_values,
    collect_change_values,
    get_change_key,
    map_lookup_failure,
)
from onedoor.connectors.value_checks import (
    check_expected_version,
    check_writable,
    decode_outcome,
    encode_outcome,
    require_result,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import ShieldedTasks
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, RowValues, WriteCapabilities
from onedoor.spi.scan import KeyFilter, ScanRequest

TRANSACTION_SECONDS = 10.0
"""After it, a transaction that was not committed is rolled back."""

LOCK_SECONDS = 2.0
"""How long a statement waits for a lock that another transaction holds."""

MAX_ATTEMPTS = 2

MAX_CACHED_WRITES = 1000
"""Past it, a statement is compiled each time."""

MARKER_TABLE = Table(
    MARKER_TABLE_NAME,
    MetaData(),
    Column("id", String(190), primary_key=True),
    Column("outcome", Text),
    Column("made_at", DateTime),
)


class SqlWriter:
    """Changes the tables of one database that may be changed."""

    def __init__(
        self, targets: Mapping[str, SqlWriteTarget], dialect: WriteDialect, statements: StatementCache
    ) -> None:
        self.targets = targets
        self.dialect = dialect
        self.write_statements = WriteStatements(dialect, statements)
        self.executor = ChangeExecutor(dialect, statements, self.write_statements)
        self.shielded = ShieldedTasks()

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        target = self.targets.get(collection)
        return target.capabilities if target else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        """Apply changes as a WritableConnector does; a cancelled caller leaves once the transaction has ended."""
        check_writable(changes, self.targets)
        return await self.shielded.run(self._apply_with_retry(changes, dry_run=dry_run))

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        """Find a change as a WritableConnector does; where it left no marker, a new one fences it."""
        try:
            return await self.shielded.run(self._find_or_fence(change))
        except WriteFailed as error:
            raise map_lookup_failure(error.failure) from None
        except TimeoutError:
            raise ConnectorError("the database does not answer") from None

    async def close(self) -> None:
        await self.shielded.close()
        await self.dialect.close()

    async def _apply_with_retry(self, changes: Sequence[RowChange], *, dry_run: bool) -> Sequence[ChangeResult]:
        """Try again once where another transaction was in the way."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return await self._apply_in_transaction(changes, dry_run=dry_run)
            except WriteFailed as error:
                if error.failure.kind is not WriteFailureKind.LOCK_CONFLICT or attempt == MAX_ATTEMPTS:
                    raise build_change_rejection(error.failure, None) from None
        raise AssertionError

    async def _apply_in_transaction(self, changes: Sequence[RowChange], *, dry_run: bool) -> Sequence[ChangeResult]:
        """Raise WriteFailed where the transaction did not begin, or may be tried again."""
        try:
            async with asyncio.timeout(TRANSACTION_SECONDS) as timeout, self.dialect.begin_transaction() as transaction:
                results = [await self._apply_marked(transaction, change, dry_run=dry_run) for change in changes]
                await self._check_constraints(transaction, changes, results)
                if not dry_run:
                    timeout.reschedule(None)
                    await _commit_or_unknown(transaction)
                return results
        except TimeoutError:
            raise ChangeRejected(
                "the database did not make the change in time, ask again", ErrorCode.SOURCE_OVERLOADED
            ) from None

    async def _apply_marked(self, transaction: SqlTransaction, change: RowChange, *, dry_run: bool) -> ChangeResult:
        """Apply a change, or return the outcome that its marker stores."""
        if not await self._claim_marker(transaction, change):
            return require_result(await self._read_outcome(transaction, change))
        try:
            result = await self.executor.execute_change(transaction, change, self.targets[change.collection])
        except WriteFailed as error:
            raise _map_failure(error, change) from None
        if not dry_run:
            store = self.write_statements.store_outcome
            await transaction.run(store.text, store.order_values((change.id, encode_outcome(result))))
        return result

    async def _check_constraints(
        self, transaction: SqlTransaction, changes: Sequence[RowChange], results: Sequence[ChangeResult]
    ) -> None:
        try:
            await self.dialect.check_constraints(transaction, changes, results)
        except WriteFailed as error:
            raise _map_failure(error, _find_concerned_change(error.failure.reference, changes)) from None

    async def _find_or_fence(self, change: RowChange) -> ChangeResult | None:
        async with asyncio.timeout(TRANSACTION_SECONDS), self.dialect.begin_transaction() as transaction:
            if await self._claim_marker(transaction, change):
                await transaction.commit()
                return None
            return await self._read_outcome(transaction, change)

    async def _claim_marker(self, transaction: SqlTransaction, change: RowChange) -> bool:
        """Return whether the change had no marker until now."""
        claim = self.write_statements.claim_marker
        return bool((await transaction.run(claim.text, claim.order_values((change.id,)))).row_count)

    async def _read_outcome(self, transaction: SqlTransaction, change: RowChange) -> ChangeResult | None:
        """Return None where the marker says that the change must not be made any more."""
        read = self.write_statements.select_outcome
        result = await transaction.run(read.text, read.order_values((change.id,)))
        return decode_outcome(result.rows[0][0]) if result.rows and result.rows[0][0] is not None else None


def _map_failure(error: WriteFailed, change: RowChange) -> Exception:
    is_conflict = error.failure.kind is WriteFailureKind.LOCK_CONFLICT
    return error if is_conflict else build_change_rejection(error.failure, change)


def _find_concerned_change(reference: ForeignKey | None, changes: Sequence[RowChange]) -> RowChange:
    """Return the last change of a table that the reference joins, or else the last change."""
    tables = (reference.table, reference.referenced_table) if reference else ()
    return next((change for change in reversed(changes) if change.collection in tables), changes[-1])


async def _commit_or_unknown(transaction: SqlTransaction) -> None:
    """Raise ConnectorError where it is not known whether the transaction was committed."""
    try:
        async with asyncio.timeout(TRANSACTION_SECONDS):
            await transaction.commit()
    except TimeoutError:
        raise ConnectorError(UNKNOWN_OUTCOME_MESSAGE) from None
    except WriteFailed as error:
        if error.failure.kind is WriteFailureKind.CONNECTION_LOST:
            raise ConnectorError(UNKNOWN_OUTCOME_MESSAGE) from None
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledWrite:
    """The text of a statement that changes rows, and how its values are arranged."""

    text: str
    order_values: Callable[[Sequence[Any]], Sequence[Any]]
    """Arranges values in the order of the statement's placeholders."""
    returned_columns: tuple[tuple[str, SqlColumn], ...] = ()


class WriteStatements:
    """Compiles the statements that change rows of one database."""

    def __init__(self, dialect: WriteDialect, statements: StatementCache) -> None:
        self.dialect = dialect
        self.compiler = statements.dialect.compiler
        self.compiled_by_key: dict[Any, CompiledWrite] = {}
        id, outcome = bindparam("v0", type_=String()), bindparam("v1", type_=Text())
        self.claim_marker = self._compile(dialect.claim_marker)
        self.select_outcome = self._compile(select(MARKER_TABLE.c.outcome).where(MARKER_TABLE.c.id == id))
        self.store_outcome = self._compile(update(MARKER_TABLE).values(outcome=outcome).where(MARKER_TABLE.c.id == id))

    def compile_insert(self, target: SqlWriteTarget, columns: tuple[str, ...]) -> CompiledWrite:
        return self._get_or_compile(("insert", target.name, columns), lambda: self._build_insert(target, columns))

    def compile_update(self, target: SqlWriteTarget, columns: tuple[str, ...]) -> CompiledWrite:
        """Compile an update whose values are those of `columns`, then those of the key."""
        return self._get_or_compile(("update", target.name, columns), lambda: self._build_update(target, columns))

    def compile_delete(self, target: SqlWriteTarget) -> CompiledWrite:
        return self._get_or_compile(("delete", target.name), lambda: self._build_delete(target))

    def _build_insert(self, target: SqlWriteTarget, names: tuple[str, ...]) -> CompiledWrite:
        clause = _build_table_clause(target)
        statement = insert(clause).values(self._bind_values(target, names))
        generated = tuple((name, target.table.columns[name]) for name in target.key if name not in names)
        if not generated or not self.dialect.supports_returning:
            return self._compile(statement)
        returned = [
            cast(clause.c[name], String()) if column.read_as_text or column.text_type else clause.c[name]
            for name, column in generated
        ]
        return self._compile(statement.returning(*returned), generated)

    def _build_update(self, target: SqlWriteTarget, names: tuple[str, ...]) -> CompiledWrite:
        clause = _build_table_clause(target)
        matches = self._match_key(target, clause, len(names))
        return self._compile(update(clause).where(matches).values(self._bind_values(target, names)))

    def _build_delete(self, target: SqlWriteTarget) -> CompiledWrite:
        clause = _build_table_clause(target)
        return self._compile(delete(clause).where(self._match_key(target, clause, 0)))

    def _bind_values(self, target: SqlWriteTarget, names: Sequence[str]) -> Mapping[str, Any]:
        return {name: self._bind_value(target, name, index) for index, name in enumerate(names)}

    def _match_key(self, target: SqlWriteTarget, clause: Any, first: int) -> Any:
        return and_(
            *(clause.c[name] == self._bind_value(target, name, first + index) for index, name in enumerate(target.key))
        )

    def _bind_value(self, target: SqlWriteTarget, name: str, index: int) -> Any:
        return self.dialect.bind_stored_value(
            ParameterIndex(index), target.table.columns[name], target.column_types.get(name, "")
        )

    def _get_or_compile(self, key: Any, build: Callable[[], CompiledWrite]) -> CompiledWrite:
        compiled = self.compiled_by_key.get(key)
        if compiled is None:
            compiled = build()
            if len(self.compiled_by_key) < MAX_CACHED_WRITES:
                self.compiled_by_key[key] = compiled
        return compiled

    def _compile(self, statement: Any, returned: tuple[tuple[str, SqlColumn], ...] = ()) -> CompiledWrite:
        compiled = statement.compile(dialect=self.compiler)
        return CompiledWrite(text=str(compiled), order_values=build_value_order(compiled), returned_columns=returned)


def _build_table_clause(target: SqlWriteTarget) -> Any:
    columns: Any = map(sql_column, target.table.columns)
    return table(target.table.name, *columns, schema=target.table.schema)


class ChangeExecutor:
    """Makes one change within a transaction. Raises ChangeRejected and WriteFailed."""

    def __init__(self, dialect: WriteDialect, statements: StatementCache, write_statements: WriteStatements) -> None:
        self.dialect = dialect
        self.statements = statements
        self.write_statements = write_statements

    async def execute_change(
        self, transaction: SqlTransaction, change: RowChange, target: SqlWriteTarget
    ) -> ChangeResult:
        try:
            return await self._execute_change(transaction, change, target)
        except WriteFailed as error:
            if not error.failure.key:
                raise
            columns = self.dialect.unique_keys.get((target.name, error.failure.key), ())
            raise WriteFailed(replace(error.failure, columns=columns)) from None

    async def _execute_change(
        self, transaction: SqlTransaction, change: RowChange, target: SqlWriteTarget
    ) -> ChangeResult:
        values = collect_change_values(change, target)
        if change.kind is ChangeKind.CREATE:
            if change.version is not None:
                raise ChangeRejected("a row that is created has no version yet")
            return await self._insert_row(transaction, target, values)
        key = get_change_key(change, target)
        before = await self._read_row(transaction, target, key, self.dialect.lock_clause)
        if before is None and change.kind is ChangeKind.PUT and change.version is None:
            return await self._insert_missing_row(transaction, target, values)
        if before is None:
            raise ChangeRejected(f"there is no such row of `{target.name}`", ErrorCode.NOT_FOUND)
        check_expected_version(change, target.version, before)
        if change.kind is ChangeKind.DELETE:
            statement = self.write_statements.compile_delete(target)
            await _run_statement(transaction, statement, encode_sql_values(target.key, before, target))
            return ChangeResult(before=before, after=None)
        updated = {name: value for name, value in values.items() if name not in target.key}
        return await self._update_row(transaction, target, before, updated)

    async def _insert_missing_row(
        self, transaction: SqlTransaction, target: SqlWriteTarget, given_values: dict[str, Any]
    ) -> ChangeResult:
        """Insert a row that was not there; the retry after a lock conflict finds one that came meanwhile."""
        try:
            return await self._insert_row(transaction, target, given_values)
        except WriteFailed as error:
            failure = error.failure
            columns = failure.columns or self.dialect.unique_keys.get((target.name, failure.key), ())
            if failure.kind is WriteFailureKind.UNIQUE and set(columns) == set(target.key):
                raise WriteFailed(WriteFailure(kind=WriteFailureKind.LOCK_CONFLICT)) from None
            raise

    async def _insert_row(
        self, transaction: SqlTransaction, target: SqlWriteTarget, given_values: dict[str, Any]
    ) -> ChangeResult:
        values = given_values if target.version is None else {**given_values, target.version: 1}
        names = tuple(sorted(values))
        statement = self.write_statements.compile_insert(target, names)
        result = await transaction.run(statement.text, statement.order_values(encode_sql_values(names, values, target)))
        key = {name: given_values[name] for name in target.key if name in given_values}
        missing = [name for name in target.key if name not in key]
        if statement.returned_columns:
            returned = zip(statement.returned_columns, result.rows[0], strict=True)
            key |= {name: _decode_sql_value(value, column) for (name, column), value in returned}
        elif missing and (len(missing) > 1 or not result.inserted_id):
            raise ChangeRejected(", ".join(f"`{name}`" for name in missing) + " must have a value")
        elif missing:
            key[missing[0]] = result.inserted_id
        after = await self._read_row(transaction, target, tuple(key[name] for name in target.key))
        return ChangeResult(before=None, after=_check_row_after(given_values, after, target))

    async def _update_row(
        self, transaction: SqlTransaction, target: SqlWriteTarget, before: RowValues, given_values: Mapping[str, Any]
    ) -> ChangeResult:
        values = dict(given_values)
        if target.version is not None:
            values[target.version] = (before[target.version] or 0) + 1
        if not values:
            return ChangeResult(before=before, after=before)
        names = tuple(sorted(values))
        encoded = [*encode_sql_values(names, values, target), *encode_sql_values(target.key, before, target)]
        await _run_statement(transaction, self.write_statements.compile_update(target, names), encoded)
        after = await self._read_row(transaction, target, tuple(before[name] for name in target.key))
        return ChangeResult(before=before, after=_check_row_after(given_values, after, target))

    async def _read_row(
        self, transaction: SqlTransaction, target: SqlWriteTarget, key: tuple[Any, ...], lock_clause: str = ""
    ) -> RowValues | None:
        """Return the row of a key, read again where it seems to have invalid values; None: there is none."""
        columns = tuple(target.table.columns)
        request = ScanRequest(collection=target.name, columns=columns, keys=KeyFilter(target.key, (key,)))
        decoded = await self._read_rows(transaction, request, lock_clause)
        if self.statements.guard(request, decoded.flawed_columns):
            decoded = await self._read_rows(transaction, request, lock_clause)
        return dict(zip(columns, decoded.rows[0], strict=True)) if decoded.rows else None

    async def _read_rows(self, transaction: SqlTransaction, request: ScanRequest, lock_clause: str) -> DecodedRows:
        statement, values = self.statements.prepare(request)
        result = await transaction.run(statement.text + lock_clause, values)
        return statement.row_decoder.decode(result.rows)


async def _run_statement(transaction: SqlTransaction, write: CompiledWrite, values: list[Any]) -> None:
    await transaction.run(write.text, write.order_values(values))


def _check_row_after(values: Mapping[str, Any], after: RowValues | None, target: SqlWriteTarget) -> RowValues:
    if after is None:
        raise ChangeRejected(f"the database keeps no such row of `{target.name}`", ErrorCode.CANNOT_ANSWER)
    check_stored_values(values, after, target)
    return after


def encode_sql_values(names: Sequence[str], values: Mapping[str, Any], target: SqlWriteTarget) -> list[Any]:
    """Encode the values of `names`, in their order, as the driver takes them."""
    return [encode_sql_value(values[name], target.table.columns[name]) for name in names]


def encode_sql_value(value: Any, column: SqlColumn) -> Any:
    return value if value is None or column.encode is None else column.encode(value)


def _decode_sql_value(value: Any, column: SqlColumn) -> Any:
    return value if value is None or column.decode is None else column.decode(value)
