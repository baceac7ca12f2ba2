"""Serve the tables of one Snowflake schema: scans as statements, changes in batches under one write lock."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence

from onedoor.connectors.snowflake.client import (
    SnowflakeSessions,
    SnowflakeSql,
    join_sql,
    normalize_identifier,
    wrap_sql,
)
from onedoor.connectors.snowflake.dialect import SNOWFLAKE_DIALECT
from onedoor.connectors.snowflake.options import SnowflakeOptions
from onedoor.connectors.snowflake.tables import (
    COLUMNS_SQL,
    MARKER_TABLE_NAME,
    ROW_COUNTS_SQL,
    SnowflakeTable,
    build_snowflake_tables,
)
from onedoor.connectors.snowflake.writes import (
    WRITE_COLUMNS_SQL,
    RowWrite,
    SnowflakeTransaction,
    SnowflakeWriteTarget,
    TransactionBusy,
    TransactionFailed,
    build_row_request,
    build_snowflake_targets,
    check_required_values,
    check_stored_values,
    collect_change_values,
    compile_row_delete,
    compile_row_insert,
    compile_row_update,
    group_into_batches,
    open_transaction,
)
from onedoor.connectors.sql.compiler import StatementCache
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.connectors.value_checks import (
    check_expected_version,
    check_writable,
    decode_outcome,
    encode_outcome,
    require_result,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import ShieldedTasks
from onedoor.spi.connector import (
    ChangeKind,
    ChangeRejected,
    ChangeResult,
    ConnectorKind,
    RowChange,
    RowValues,
    WriteCapabilities,
)
from onedoor.spi.predicates import Row

CREATE_MARKER_TABLE_SQL = (
    f"CREATE TABLE IF NOT EXISTS {MARKER_TABLE_NAME} (ID TEXT NOT NULL, OUTCOME TEXT, MADE_AT TIMESTAMP_TZ)"
)

MARKER_TABLE_EXISTS_SQL = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?"

LOCK_ROW_ID = ""
"""The id of the marker row that a transaction locks, so that only one at a time changes rows."""

LOCK_ROW_SQL = f"UPDATE {MARKER_TABLE_NAME} SET MADE_AT = CURRENT_TIMESTAMP() WHERE ID = ?"

LOCK_ROW_EXISTS_SQL = f"SELECT COUNT(*) FROM {MARKER_TABLE_NAME} WHERE ID = ?"

SELECT_MARKERS_SQL = f"SELECT ID, OUTCOME FROM {MARKER_TABLE_NAME} WHERE ID IN "

INSERT_MARKERS_SQL = f"INSERT INTO {MARKER_TABLE_NAME} (ID, OUTCOME, MADE_AT) VALUES "

MARKER_VALUES_SQL = "(?, ?, CURRENT_TIMESTAMP())"

LOCK_WAIT_SECONDS = 10.0
"""How long a transaction waits for the lock."""

LOCK_RETRY_SECONDS = 0.05

BUSY_MESSAGE = "snowflake is busy with other changes, ask again"

UNKNOWN_OUTCOME_MESSAGE = "whether the change was made is not known: snowflake left before it could say so"


async def connect(options: SnowflakeOptions) -> SqlConnector:
    """Reflect the tables of one schema; a table that is added later is seen after a restart. Raises ConnectorError."""
    sessions = SnowflakeSessions(options)
    try:
        schema = normalize_identifier(options.schema)
        columns = await sessions.run(COLUMNS_SQL, (schema,))
        row_counts = await sessions.run(ROW_COUNTS_SQL, (schema,))
        tables = build_snowflake_tables(columns, row_counts, schema)
        connector = SqlConnector(StatementCache(tables, SNOWFLAKE_DIALECT), sessions)
        if options.writable:
            connector.writer = await create_snowflake_writer(sessions, options, tables)
    except BaseException:
        await sessions.close()
        raise
    return connector


KIND = ConnectorKind(options=SnowflakeOptions, connect=connect)


async def create_snowflake_writer(
    sessions: SnowflakeSessions, options: SnowflakeOptions, tables: Mapping[str, SnowflakeTable]
) -> "SnowflakeWriter":
    """Create the marker table and its lock row if they are missing. Raises ConnectorError and ConfigurationError."""
    schema = normalize_identifier(options.schema)
    [(has_table,)] = await sessions.run(MARKER_TABLE_EXISTS_SQL, (schema, MARKER_TABLE_NAME))
    if not has_table:
        await sessions.run(CREATE_MARKER_TABLE_SQL)
    [(has_lock_row,)] = await sessions.run(LOCK_ROW_EXISTS_SQL, (LOCK_ROW_ID,))
    if not has_lock_row:
        await sessions.run(f"{INSERT_MARKERS_SQL}{MARKER_VALUES_SQL}", (LOCK_ROW_ID, None))
    columns = await sessions.run(WRITE_COLUMNS_SQL, (schema,))
    targets = build_snowflake_targets(options.writable, options.versions, tables, columns)
    return SnowflakeWriter(targets, sessions, StatementCache(tables, SNOWFLAKE_DIALECT))


class SnowflakeWriter:
    """Changes the tables of one schema that may be changed."""

    def __init__(
        self, targets: Mapping[str, SnowflakeWriteTarget], sessions: SnowflakeSessions, statements: StatementCache
    ) -> None:
        self.targets = targets
        self.sessions = sessions
        self.statements = statements
        self.shielded = ShieldedTasks()

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        target = self.targets.get(collection)
        return target.capabilities if target else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        check_writable(changes, self.targets)
        try:
            return await self.shielded.run(self._apply_in_transaction(changes, dry_run=dry_run))
        except TransactionBusy:
            raise ChangeRejected(BUSY_MESSAGE, ErrorCode.SOURCE_OVERLOADED) from None
        except TransactionFailed as failure:
            raise ChangeRejected(failure.error.reason, failure.error.code) from None

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        try:
            return await self.shielded.run(self._find_or_fence(change))
        except TransactionBusy:
            raise ConnectorError(BUSY_MESSAGE, ErrorCode.SOURCE_OVERLOADED) from None
        except TransactionFailed as failure:
            raise failure.error from None

    async def close(self) -> None:
        await self.shielded.close()

    async def _apply_in_transaction(self, changes: Sequence[RowChange], *, dry_run: bool) -> Sequence[ChangeResult]:
        async with open_transaction(self.sessions, self._acquire_write_lock) as transaction:
            results = await self._find_applied(transaction, changes)
            new_changes = {change.id: change for change in changes if change.id not in results}
            writes = [self._build_row_write(change) for change in new_changes.values()]
            for batch in group_into_batches(writes):
                results |= await self._apply_batch(transaction, batch)
            if not dry_run:
                await self._store_outcomes(transaction, {id: encode_outcome(results[id]) for id in new_changes})
                await _commit_or_unknown(transaction)
            return [results[change.id] for change in changes]

    async def _acquire_write_lock(self, transaction: SnowflakeTransaction) -> None:
        """Begin the transaction and lock the lock row. Raises TransactionBusy where others hold it for too long."""
        deadline = asyncio.get_running_loop().time() + LOCK_WAIT_SECONDS
        while True:
            try:
                await transaction.begin()
                await transaction.run(SnowflakeSql(LOCK_ROW_SQL, (LOCK_ROW_ID,)))
            except TransactionBusy:
                await transaction.rollback()
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(random.uniform(LOCK_RETRY_SECONDS / 2, LOCK_RETRY_SECONDS))
            else:
                return

    async def _find_applied(
        self, transaction: SnowflakeTransaction, changes: Sequence[RowChange]
    ) -> dict[str, ChangeResult]:
        """Return the results of changes that have a marker, by id."""
        outcomes = await self._read_markers(transaction, [change.id for change in changes])
        return {id: require_result(_decode_marker(text)) for id, text in outcomes.items()}

    async def _read_markers(self, transaction: SnowflakeTransaction, ids: Sequence[str]) -> dict[str, str | None]:
        placeholders = ", ".join("?" * len(ids))
        return dict(await transaction.run(SnowflakeSql(f"{SELECT_MARKERS_SQL}({placeholders})", tuple(ids))))

    async def _store_outcomes(self, transaction: SnowflakeTransaction, outcomes: Mapping[str, str | None]) -> None:
        if outcomes:
            rows = [SnowflakeSql(MARKER_VALUES_SQL, (id, text)) for id, text in outcomes.items()]
            await transaction.run(wrap_sql(INSERT_MARKERS_SQL, join_sql(", ", rows)))

    def _build_row_write(self, change: RowChange) -> RowWrite:
        target = self.targets[change.collection]
        return RowWrite(change=change, target=target, values=collect_change_values(change, target))

    async def _apply_batch(
        self, transaction: SnowflakeTransaction, batch: Sequence[RowWrite]
    ) -> dict[str, ChangeResult]:
        """Apply changes that share statements, and return their results by id."""
        rows_before = await self._read_rows(transaction, batch)
        for write in batch:
            check_expected_row(write, rows_before.get(write.key))
        for statement in compile_batch(batch, rows_before):
            await transaction.run(statement)
        rows_after = await self._read_rows(transaction, batch)
        for write in batch:
            if write.change.kind is not ChangeKind.DELETE:
                check_stored_values(write.values, rows_after[write.key], write.target)
        return {
            write.change.id: ChangeResult(before=rows_before.get(write.key), after=rows_after.get(write.key))
            for write in batch
        }

    async def _read_rows(self, transaction: SnowflakeTransaction, batch: Sequence[RowWrite]) -> dict[Row, RowValues]:
        """Read the rows of a batch by key. Raises ChangeRejected where several have the same."""
        target = batch[0].target
        request = build_row_request(target, [write.key for write in batch])
        statement, values = self.statements.prepare(request)
        stored = await transaction.run(SnowflakeSql(statement.text, tuple(values)))
        rows: dict[Row, RowValues] = {}
        for row in statement.decode_rows(stored):
            row_values = dict(zip(request.columns, row, strict=True))
            key = tuple(row_values[name] for name in target.key)
            if key in rows:
                raise ChangeRejected(f"several rows of `{target.name}` have this key", ErrorCode.CANNOT_ANSWER)
            rows[key] = row_values
        return rows

    async def _find_or_fence(self, change: RowChange) -> ChangeResult | None:
        async with open_transaction(self.sessions, self._acquire_write_lock) as transaction:
            outcomes = await self._read_markers(transaction, [change.id])
            if change.id in outcomes:
                return _decode_marker(outcomes[change.id])
            await self._store_outcomes(transaction, {change.id: None})
            await _commit_or_unknown(transaction)
            return None


def _decode_marker(outcome: str | None) -> ChangeResult | None:
    """Return None where the marker says that the change must not be made any more."""
    return None if outcome is None else decode_outcome(outcome)


def check_expected_row(write: RowWrite, before: RowValues | None) -> None:
    """Raise ChangeRejected unless the row is as the change needs it to be."""
    change, target = write.change, write.target
    if change.kind is ChangeKind.CREATE and before is not None:
        key = ", ".join(f"`{name}`" for name in target.key)
        raise ChangeRejected(f"there already is a row of `{target.name}` with this {key}", ErrorCode.ALREADY_EXISTS)
    if change.kind is ChangeKind.CREATE and change.version is not None:
        raise ChangeRejected("a row that is created has no version yet")
    if before is None and (change.kind in (ChangeKind.UPDATE, ChangeKind.DELETE) or change.version is not None):
        raise ChangeRejected(f"there is no such row of `{target.name}`", ErrorCode.NOT_FOUND)
    if before is None:
        check_required_values(write.values, target)
    else:
        check_expected_version(change, target.capabilities.version_column, before)


def compile_batch(batch: Sequence[RowWrite], rows_before: Mapping[Row, RowValues]) -> Iterator[SnowflakeSql]:
    """Compile one insert of all new rows, then an update or delete of each other row."""
    target, version = batch[0].target, batch[0].target.capabilities.version_column
    new_rows = [
        write.values if version is None else {**write.values, version: 1}
        for write in batch
        if write.key not in rows_before
    ]
    if new_rows:
        yield compile_row_insert(target, new_rows)
    for write in batch:
        before = rows_before.get(write.key)
        if before is None:
            continue
        if write.change.kind is ChangeKind.DELETE:
            yield compile_row_delete(target, before)
            continue
        values = {name: value for name, value in write.values.items() if name not in target.key}
        if version is not None:
            values[version] = (before[version] or 0) + 1
        if values:
            yield compile_row_update(target, before, values)


async def _commit_or_unknown(transaction: SnowflakeTransaction) -> None:
    """Raise ConnectorError where it is not known whether the transaction was committed."""
    try:
        await transaction.commit()
    except TransactionFailed:
        raise ConnectorError(UNKNOWN_OUTCOME_MESSAGE) from None
