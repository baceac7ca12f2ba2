"""One transaction of changes, its statements and markers."""

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
from sqlalchemy import column as column_named
from sqlalchemy.engine.interfaces import Dialect as Compiler

from onedoor.connectors import value_checks
from onedoor.connectors.sql.compiler import ParameterIndex, StatementCache, build_value_order
from onedoor.connectors.sql.introspection import SqlColumn
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
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import ShieldedTasks
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, RowValues, WriteCapabilities
from onedoor.spi.scan import KeyFilter, ScanRequest

MAX_CACHED_WRITES = 1000
"""Statements that are kept; what is over is made anew."""

MARKER_TABLE = Table(
    MARKER_TABLE_NAME,
    MetaData(),
    Column("id", String(190), primary_key=True),
    Column("outcome", Text),
    Column("made_at", DateTime),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledWrite:
    """A statement, and how its values are put in the order of its marks."""

    text: str
    order_values: Callable[[Sequence[Any]], Sequence[Any]]
    returned_columns: tuple[tuple[str, SqlColumn], ...] = ()
    """The columns that it gives back."""


class WriteStatements:
    """The statements of one database."""

    def __init__(self, dialect: WriteDialect, compiler: Compiler) -> None:
        self.dialect = dialect
        self.compiler = compiler
        self.compiled_by_key: dict[Any, CompiledWrite] = {}
        id, outcome = bindparam("v0", type_=String()), bindparam("v1", type_=Text())
        self.claim_marker = self._compile(dialect.claim_marker)
        self.select_outcome = self._compile(select(MARKER_TABLE.c.outcome).where(MARKER_TABLE.c.id == id))
        self.store_outcome = self._compile(update(MARKER_TABLE).values(outcome=outcome).where(MARKER_TABLE.c.id == id))

    def compile_insert(self, target: SqlWriteTarget, columns: tuple[str, ...]) -> CompiledWrite:
        return self._get_or_compile(("insert", target.name, columns), lambda: self._build_insert(target, columns))

    def compile_update(self, target: SqlWriteTarget, columns: tuple[str, ...]) -> CompiledWrite:
        """Its values: those of `names`, then the key."""
        return self._get_or_compile(("update", target.name, columns), lambda: self._build_update(target, columns))

    def compile_delete(self, target: SqlWriteTarget) -> CompiledWrite:
        return self._get_or_compile(("delete", target.name), lambda: self._build_delete(target))

    def _build_insert(self, target: SqlWriteTarget, names: tuple[str, ...]) -> CompiledWrite:
        clause = _build_table_clause(target)
        made = insert(clause).values(self._bind_values(target, names))
        missing = tuple(each for each in target.key if each not in names)
        if not missing or not self.dialect.supports_returning:
            return self._compile(made)
        stored = tuple((each, target.table.columns[each]) for each in missing)
        shown = [cast(clause.c[name], String()) if each.read_as_text else clause.c[name] for name, each in stored]
        return self._compile(made.returning(*shown), stored)

    def _build_update(self, target: SqlWriteTarget, names: tuple[str, ...]) -> CompiledWrite:
        clause = _build_table_clause(target)
        met = self._match_key(target, clause, len(names))
        return self._compile(update(clause).where(met).values(self._bind_values(target, names)))

    def _build_delete(self, target: SqlWriteTarget) -> CompiledWrite:
        clause = _build_table_clause(target)
        return self._compile(delete(clause).where(self._match_key(target, clause, 0)))

    def _bind_values(self, target: SqlWriteTarget, names: Sequence[str]) -> Mapping[str, Any]:
        return {name: self._bind_value(target, name, at) for at, name in enumerate(names)}

    def _match_key(self, target: SqlWriteTarget, clause: Any, first: int) -> Any:
        return and_(
            *(clause.c[name] == self._bind_value(target, name, first + at) for at, name in enumerate(target.key))
        )

    def _bind_value(self, target: SqlWriteTarget, name: str, at: int) -> Any:
        return self.dialect.bind_stored_value(
            ParameterIndex(at), target.table.columns[name], target.column_types.get(name, "")
        )

    def _get_or_compile(self, key: Any, make: Callable[[], CompiledWrite]) -> CompiledWrite:
        found = self.compiled_by_key.get(key)
        if found is None:
            found = make()
            if len(self.compiled_by_key) < MAX_CACHED_WRITES:
                self.compiled_by_key[key] = found
        return found

    def _compile(self, statement: Any, read: tuple[tuple[str, SqlColumn], ...] = ()) -> CompiledWrite:
        made = statement.compile(dialect=self.compiler)
        return CompiledWrite(text=str(made), order_values=build_value_order(made), returned_columns=read)


def _build_table_clause(target: SqlWriteTarget) -> Any:
    columns: Any = (column_named(each.name) for each in target.table.columns.values())
    return table(target.table.name, *columns, schema=target.table.schema)


def encode_sql_values(names: Sequence[str], values: Mapping[str, Any], target: SqlWriteTarget) -> list[Any]:
    """The values as the driver takes them, in the order of `names`."""
    return [encode_sql_value(values[name], target.table.columns[name]) for name in names]


def encode_sql_value(value: Any, column: SqlColumn) -> Any:
    return value if value is None or column.encode is None else column.encode(value)


class ChangeExecutor:
    """How rows of one database are changed. Its methods raise Unmade and Objected."""

    def __init__(self, dialect: WriteDialect, statements: StatementCache, write_statements: WriteStatements) -> None:
        self.dialect = dialect
        self.statements = statements
        self.write_statements = write_statements

    async def execute_change(self, session: SqlTransaction, change: RowChange, target: SqlWriteTarget) -> ChangeResult:
        try:
            return await self._execute_change(session, change, target)
        except WriteFailed as reason:
            if not reason.failure.key:
                raise
            columns = self.dialect.unique_keys.get((target.name, reason.failure.key), ())
            raise WriteFailed(replace(reason.failure, columns=columns)) from None

    async def _execute_change(self, session: SqlTransaction, change: RowChange, target: SqlWriteTarget) -> ChangeResult:
        given = collect_change_values(change, target)
        if change.kind is ChangeKind.CREATE:
            return await self._create_row(session, change, target, given)
        key = get_change_key(change, target)
        before = await self._read_row(session, target, key, self.dialect.lock_clause)
        if before is None and change.kind is ChangeKind.PUT and change.version is None:
            return await self._insert_missing_row(session, target, given)
        if before is None:
            raise ChangeRejected(f"there is no such row of `{target.name}`", ErrorCode.NOT_FOUND)
        check_expected_version(change, target, before)
        if change.kind is ChangeKind.DELETE:
            await self._run_statement(
                session, self.write_statements.compile_delete(target), encode_sql_values(target.key, before, target)
            )
            return ChangeResult(before=before, after=None)
        return await self._update_row(session, target, before, {n: v for n, v in given.items() if n not in target.key})

    async def _insert_missing_row(
        self, session: SqlTransaction, target: SqlWriteTarget, given_values: dict[str, Any]
    ) -> ChangeResult:
        """Of a row that was not there; one that came meanwhile is found when all is tried again."""
        try:
            return await self._insert_row(session, target, given_values)
        except WriteFailed as reason:
            found = reason.failure
            columns = found.columns or self.dialect.unique_keys.get((target.name, found.key), ())
            if found.kind is WriteFailureKind.UNIQUE and set(columns) == set(target.key):
                raise WriteFailed(WriteFailure(kind=WriteFailureKind.LOCK_CONFLICT)) from None
            raise

    async def _create_row(
        self, session: SqlTransaction, change: RowChange, target: SqlWriteTarget, given_values: dict[str, Any]
    ) -> ChangeResult:
        if change.version is not None:
            raise ChangeRejected("a row that is created has no version yet")
        return await self._insert_row(session, target, given_values)

    async def _insert_row(
        self, session: SqlTransaction, target: SqlWriteTarget, given_values: dict[str, Any]
    ) -> ChangeResult:
        values = given_values if target.version is None else {**given_values, target.version: 1}
        names = tuple(sorted(values))
        made = self.write_statements.compile_insert(target, names)
        told = await session.run(made.text, made.order_values(encode_sql_values(names, values, target)))
        found = {name: given_values[name] for name in target.key if name in given_values}
        missing = [each for each in target.key if each not in found]
        if made.returned_columns:
            found |= {
                name: decode_sql_value(value, each)
                for (name, each), value in zip(made.returned_columns, told.rows[0], strict=True)
            }
        elif missing and (len(missing) > 1 or not told.inserted_id):
            raise ChangeRejected(", ".join(f"`{each}`" for each in missing) + " must have a value")
        elif missing:
            found[missing[0]] = told.inserted_id
        after = await self._read_row(session, target, tuple(found[each] for each in target.key))
        return ChangeResult(before=None, after=check_row_after(given_values, after, target))

    async def _update_row(
        self, session: SqlTransaction, target: SqlWriteTarget, before: RowValues, given_values: Mapping[str, Any]
    ) -> ChangeResult:
        values = dict(given_values)
        if target.version is not None:
            values[target.version] = (before[target.version] or 0) + 1
        if not values:
            return ChangeResult(before=before, after=before)
        names = tuple(sorted(values))
        await self._run_statement(
            session, self.write_statements.compile_update(target, names),
            [*encode_sql_values(names, values, target), *encode_sql_values(target.key, before, target)],
        )  # fmt: skip
        after = await self._read_row(session, target, tuple(before[each] for each in target.key))
        return ChangeResult(before=before, after=check_row_after(given_values, after, target))

    async def _read_row(
        self, session: SqlTransaction, target: SqlWriteTarget, key: tuple[Any, ...], locked: str = ""
    ) -> RowValues | None:
        columns = tuple(target.table.columns)
        made, values = self.statements.prepare(
            ScanRequest(collection=target.name, columns=columns, keys=KeyFilter(target.key, (key,)))
        )
        rows = made.decode_rows((await session.run(made.text + locked, values)).rows)
        return dict(zip(columns, rows[0], strict=True)) if rows else None

    async def _run_statement(self, session: SqlTransaction, write: CompiledWrite, values: list[Any]) -> None:
        await session.run(write.text, write.order_values(values))


def check_row_after(values: Mapping[str, Any], after: RowValues | None, target: SqlWriteTarget) -> RowValues:
    if after is None:
        raise ChangeRejected(f"the database keeps no such row of `{target.name}`", ErrorCode.CANNOT_ANSWER)
    check_stored_values(values, after, target)
    return after


def check_expected_version(change: RowChange, target: SqlWriteTarget, before: RowValues) -> None:
    """Raises Unmade unless the row is at the version that the change was told for."""
    if change.version is None:
        return
    if target.version is None:
        raise ChangeRejected(f"rows of `{target.name}` have no version that a change could name")
    if str(before[target.version] or 0) != change.version:
        raise ChangeRejected(
            f"the row of `{target.name}` has been changed since: it is at version {before[target.version] or 0}",
            ErrorCode.VERSION_CONFLICT,
        )


def decode_sql_value(value: Any, column: Any) -> Any:
    decode: Callable[[Any], Any] | None = column.decode
    return value if value is None or decode is None else decode(value)


TRANSACTION_SECONDS = 10.0
"""Until a transaction that was not committed is undone."""

LOCK_SECONDS = 2.0
"""How long a statement waits for what another transaction holds."""

MAX_ATTEMPTS = 2


class SqlWriter:
    """The changes of one database."""

    def __init__(
        self,
        targets: Mapping[str, SqlWriteTarget],
        dialect: WriteDialect,
        statements: StatementCache,
        compiler: Compiler,
    ) -> None:
        self.targets = targets
        self.dialect = dialect
        self.write_statements = WriteStatements(dialect, compiler)
        self.executor = ChangeExecutor(dialect, statements, self.write_statements)
        self.shielded = ShieldedTasks()

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        target = self.targets.get(collection)
        return target.capabilities if target else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        """As `Writable.write`. Who leaves meanwhile is let go when the transaction has ended, one way or the other."""
        for each in changes:
            if each.collection not in self.targets:
                raise ChangeRejected(f"`{each.collection}` is not to be changed", ErrorCode.CANNOT_ANSWER)
        return await self.shielded.run(self._apply_with_retry(changes, dry_run=dry_run))

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        """As `Writable.made`: where there is no marker, one that stands in its way is left."""
        try:
            return await self.shielded.run(self._find_or_fence(change))
        except WriteFailed as reason:
            raise map_lookup_failure(reason.failure) from None
        except TimeoutError:
            raise ConnectorError("the database does not answer") from None

    async def close(self) -> None:
        await self.shielded.close()
        await self.dialect.close()

    async def _apply_with_retry(self, changes: Sequence[RowChange], *, dry_run: bool) -> Sequence[ChangeResult]:
        """What another's transaction stood in the way of is tried once more."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return await self._apply_in_transaction(changes, dry_run=dry_run)
            except WriteFailed as reason:
                if reason.failure.kind is not WriteFailureKind.LOCK_CONFLICT or attempt == MAX_ATTEMPTS:
                    raise build_change_rejection(reason.failure, None) from None
        raise AssertionError

    async def _apply_in_transaction(self, changes: Sequence[RowChange], *, dry_run: bool) -> Sequence[ChangeResult]:
        """Raises Objected where a transaction did not even begin, or is to be tried again."""
        try:
            async with asyncio.timeout(TRANSACTION_SECONDS) as clock, self.dialect.begin_transaction() as session:
                made = [await self._apply_marked(session, each, dry_run=dry_run) for each in changes]
                await self._check_constraints(session, changes, made)
                if not dry_run:
                    clock.reschedule(None)
                    await _commit_or_unknown(session)
                return made
        except TimeoutError:
            raise ChangeRejected(
                "the database did not make the change in time, ask again", ErrorCode.SOURCE_OVERLOADED
            ) from None

    async def _apply_marked(self, session: SqlTransaction, change: RowChange, *, dry_run: bool) -> ChangeResult:
        claimed = await session.run(
            self.write_statements.claim_marker.text, self.write_statements.claim_marker.order_values((change.id,))
        )
        if not claimed.row_count:
            return _require_result(await self._read_outcome(session, change))
        try:
            made = await self.executor.execute_change(session, change, self.targets[change.collection])
        except WriteFailed as reason:
            raise self._map_failure(reason, change) from None
        if not dry_run:
            values = (change.id, value_checks.encode_outcome(made))
            await session.run(
                self.write_statements.store_outcome.text, self.write_statements.store_outcome.order_values(values)
            )
        return made

    async def _check_constraints(
        self, session: SqlTransaction, changes: Sequence[RowChange], results: Sequence[ChangeResult]
    ) -> None:
        try:
            await self.dialect.check_constraints(session, changes, results)
        except WriteFailed as reason:
            raise self._map_failure(reason, _find_concerned_change(reason.failure.reference, changes)) from None

    def _map_failure(self, error: WriteFailed, change: RowChange) -> Exception:
        return (
            error
            if error.failure.kind is WriteFailureKind.LOCK_CONFLICT
            else build_change_rejection(error.failure, change)
        )

    async def _find_or_fence(self, change: RowChange) -> ChangeResult | None:
        async with asyncio.timeout(TRANSACTION_SECONDS), self.dialect.begin_transaction() as session:
            claimed = await session.run(
                self.write_statements.claim_marker.text, self.write_statements.claim_marker.order_values((change.id,))
            )
            if claimed.row_count:
                await session.commit()
                return None
            return await self._read_outcome(session, change)

    async def _read_outcome(self, session: SqlTransaction, change: RowChange) -> ChangeResult | None:
        """None: what stands there says that it is not to be made any more."""
        told = await session.run(
            self.write_statements.select_outcome.text, self.write_statements.select_outcome.order_values((change.id,))
        )
        return value_checks.decode_outcome(told.rows[0][0]) if told.rows and told.rows[0][0] is not None else None


def _require_result(result: ChangeResult | None) -> ChangeResult:
    if result is None:
        raise ChangeRejected("the change was given up before it was made: tell it anew", ErrorCode.CANNOT_ANSWER)
    return result


def _find_concerned_change(reference: ForeignKey | None, changes: Sequence[RowChange]) -> RowChange:
    """The last change of a table that the reference leads from or to; of none, the last."""
    tables = (reference.table, reference.referenced_table) if reference else ()
    return next((each for each in reversed(changes) if each.collection in tables), changes[-1])


async def _commit_or_unknown(session: SqlTransaction) -> None:
    """Raises SourceFailed where nobody can say whether it was."""
    try:
        async with asyncio.timeout(TRANSACTION_SECONDS):
            await session.commit()
    except TimeoutError:
        raise ConnectorError(UNKNOWN_OUTCOME_MESSAGE) from None
    except WriteFailed as reason:
        if reason.failure.kind is WriteFailureKind.CONNECTION_LOST:
            raise ConnectorError(UNKNOWN_OUTCOME_MESSAGE) from None
        raise
