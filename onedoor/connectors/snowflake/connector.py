"""The connector, reads and writes."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from onedoor.connectors import value_checks
from onedoor.connectors.snowflake.client import (
    SnowflakeOptions,
    SnowflakeSessions,
    SnowflakeSql,
    join_sql,
    normalize_identifier,
    wrap_sql,
)
from onedoor.connectors.snowflake.compiler import compile_snowflake_query, decode_snowflake_rows, list_decoders
from onedoor.connectors.snowflake.introspection import (
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
    build_snowflake_targets,
    check_required_values,
    check_stored_values,
    collect_change_values,
    compile_row_delete,
    compile_row_insert,
    compile_row_read,
    compile_row_update,
    group_into_batches,
    open_transaction,
)
from onedoor.connectors.value_checks import DisabledWriter
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import ShieldedTasks
from onedoor.spi.capabilities import Capabilities
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
from onedoor.spi.scan import ScanRequest

CREATE_MARKER_TABLE_SQL = (
    f"CREATE TABLE IF NOT EXISTS {MARKER_TABLE_NAME} (ID TEXT NOT NULL, OUTCOME TEXT, MADE_AT TIMESTAMP_TZ)"
)

MARKER_TABLE_EXISTS_SQL = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?"

LOCK_ROW_ID = ""
"""The id of the row that is held."""

LOCK_ROW_SQL = f"UPDATE {MARKER_TABLE_NAME} SET MADE_AT = CURRENT_TIMESTAMP() WHERE ID = ?"

SELECT_MARKERS_SQL = f"SELECT ID, OUTCOME FROM {MARKER_TABLE_NAME} WHERE ID IN "

INSERT_MARKERS_SQL = f"INSERT INTO {MARKER_TABLE_NAME} (ID, OUTCOME, MADE_AT) VALUES "

MARKER_VALUES_SQL = "(?, ?, CURRENT_TIMESTAMP())"

LOCK_WAIT_SECONDS = 10.0
"""How long a turn is waited for."""

LOCK_RETRY_SECONDS = 0.05

BUSY_MESSAGE = "snowflake is busy with other changes, ask again"

UNKNOWN_OUTCOME_MESSAGE = "whether the change was made is not known: snowflake left before it could say so"


async def create_snowflake_writer(
    sessions: SnowflakeSessions, options: SnowflakeOptions, tables: Mapping[str, SnowflakeTable]
) -> "SnowflakeWriter":
    """Makes the marker table if it is missing. Raises SourceFailed and Mistake."""
    schema = normalize_identifier(options.schema)
    [(there,)] = await sessions.run(SnowflakeSql(MARKER_TABLE_EXISTS_SQL, (schema, MARKER_TABLE_NAME)))
    if not there:
        await sessions.run(SnowflakeSql(CREATE_MARKER_TABLE_SQL))
    [(locks,)] = await sessions.run(
        SnowflakeSql(f"SELECT COUNT(*) FROM {MARKER_TABLE_NAME} WHERE ID = ?", (LOCK_ROW_ID,))
    )
    if not locks:
        await sessions.run(wrap_sql(INSERT_MARKERS_SQL, SnowflakeSql(MARKER_VALUES_SQL, (LOCK_ROW_ID, None))))
    columns = await sessions.run(SnowflakeSql(WRITE_COLUMNS_SQL, (schema,)))
    return SnowflakeWriter(build_snowflake_targets(options.writable, options.versions, tables, columns), sessions)


class SnowflakeWriter:
    """The changes of one schema."""

    def __init__(self, targets: Mapping[str, SnowflakeWriteTarget], sessions: SnowflakeSessions) -> None:
        self.targets = targets
        self.sessions = sessions
        self.shielded = ShieldedTasks()

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        target = self.targets.get(collection)
        return target.capabilities if target else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        for each in changes:
            if each.collection not in self.targets:
                raise ChangeRejected(f"`{each.collection}` is not to be changed", ErrorCode.CANNOT_ANSWER)
        try:
            return await self.shielded.run(self._apply_in_transaction(changes, dry_run=dry_run))
        except TransactionBusy:
            raise ChangeRejected(BUSY_MESSAGE, ErrorCode.SOURCE_OVERLOADED) from None
        except TransactionFailed as reason:
            raise ChangeRejected(reason.error.reason, reason.error.code) from None

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        try:
            return await self.shielded.run(self._find_or_fence(change))
        except TransactionBusy:
            raise ConnectorError(BUSY_MESSAGE, ErrorCode.SOURCE_OVERLOADED) from None
        except TransactionFailed as reason:
            raise reason.error from None

    async def close(self) -> None:
        await self.shielded.close()

    async def _apply_in_transaction(self, changes: Sequence[RowChange], *, dry_run: bool) -> Sequence[ChangeResult]:
        async with open_transaction(self.sessions, self._acquire_write_lock) as transaction:
            made = await self._find_applied(transaction, changes)
            fresh = {each.id: each for each in changes if each.id not in made}
            steps = [self._build_row_write(each) for each in fresh.values()]
            for run in group_into_batches(steps):
                made |= await self._apply_batch(transaction, run)
            if not dry_run:
                await self._store_outcomes(transaction, {id: value_checks.encode_outcome(made[id]) for id in fresh})
                await _commit_or_unknown(transaction)
            return [made[each.id] for each in changes]

    async def _acquire_write_lock(self, transaction: SnowflakeTransaction) -> None:
        """Raises Busy where others hold the row, and do not let go of it in time."""
        until = asyncio.get_running_loop().time() + LOCK_WAIT_SECONDS
        while True:
            try:
                await transaction.begin()
                await transaction.run(SnowflakeSql(LOCK_ROW_SQL, (LOCK_ROW_ID,)))
            except TransactionBusy:
                await transaction.rollback()
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(random.uniform(LOCK_RETRY_SECONDS / 2, LOCK_RETRY_SECONDS))
            else:
                return

    async def _find_applied(
        self, transaction: SnowflakeTransaction, changes: Sequence[RowChange]
    ) -> dict[str, ChangeResult]:
        found = await self._read_markers(transaction, [each.id for each in changes])
        if None in found.values():
            raise ChangeRejected("the change was given up before it was made: tell it anew", ErrorCode.CANNOT_ANSWER)
        return {id: value_checks.decode_outcome(text) for id, text in found.items() if text is not None}

    async def _read_markers(self, transaction: SnowflakeTransaction, ids: Sequence[str]) -> dict[str, str | None]:
        marks = ", ".join("?" * len(ids))
        return dict(await transaction.run(SnowflakeSql(f"{SELECT_MARKERS_SQL}({marks})", tuple(ids))))

    async def _store_outcomes(self, transaction: SnowflakeTransaction, outcomes: Mapping[str, str | None]) -> None:
        if outcomes:
            rows = [SnowflakeSql(MARKER_VALUES_SQL, (id, text)) for id, text in outcomes.items()]
            await transaction.run(wrap_sql(INSERT_MARKERS_SQL, join_sql(", ", rows)))

    def _build_row_write(self, change: RowChange) -> RowWrite:
        target = self.targets[change.collection]
        return RowWrite(change=change, target=target, values=collect_change_values(change, target))

    async def _apply_batch(self, transaction: SnowflakeTransaction, run: Sequence[RowWrite]) -> dict[str, ChangeResult]:
        befores = await self._read_rows(transaction, run)
        for each in run:
            check_expected_row(each, befores.get(each.key))
        for statement in compile_batch(run, befores):
            await transaction.run(statement)
        afters = await self._read_rows(transaction, run)
        for each in run:
            if each.change.kind is not ChangeKind.DELETE:
                check_stored_values(each.values, afters[each.key], each.target)
        return {
            each.change.id: ChangeResult(before=befores.get(each.key), after=afters.get(each.key)) for each in run
        }  # fmt: skip

    async def _read_rows(self, transaction: SnowflakeTransaction, run: Sequence[RowWrite]) -> dict[Row, RowValues]:
        target = run[0].target
        ask, sql = compile_row_read(target, [each.key for each in run])
        found: dict[Row, RowValues] = {}
        for row in decode_snowflake_rows(await transaction.run(sql), list_decoders(ask, {target.name: target.table})):
            values = dict(zip(ask.columns, row, strict=True))
            key = tuple(values[each] for each in target.key)
            if key in found:
                raise ChangeRejected(f"several rows of `{target.name}` have this key", ErrorCode.CANNOT_ANSWER)
            found[key] = values
        return found

    async def _find_or_fence(self, change: RowChange) -> ChangeResult | None:
        async with open_transaction(self.sessions, self._acquire_write_lock) as transaction:
            found = await self._read_markers(transaction, [change.id])
            if change.id in found:
                text = found[change.id]
                return None if text is None else value_checks.decode_outcome(text)
            await self._store_outcomes(transaction, {change.id: None})
            await _commit_or_unknown(transaction)
            return None


def check_expected_row(row_write: RowWrite, before: RowValues | None) -> None:
    """Raises Unmade unless the row is as the change needs it to be."""
    change, target = row_write.change, row_write.target
    if change.kind is ChangeKind.CREATE and before is not None:
        named = ", ".join(f"`{each}`" for each in target.key)
        raise ChangeRejected(f"there already is a row of `{target.name}` with this {named}", ErrorCode.ALREADY_EXISTS)
    if change.kind is ChangeKind.CREATE and change.version is not None:
        raise ChangeRejected("a row that is created has no version yet")
    if before is None and (change.kind in (ChangeKind.UPDATE, ChangeKind.DELETE) or change.version is not None):
        raise ChangeRejected(f"there is no such row of `{target.name}`", ErrorCode.NOT_FOUND)
    if before is None:
        check_required_values(row_write.values, target)
    elif change.version is not None:
        _check_snowflake_version(change, target, before)


def _check_snowflake_version(change: RowChange, target: SnowflakeWriteTarget, before: RowValues) -> None:
    version = target.capabilities.version_column
    if version is None:
        raise ChangeRejected(f"rows of `{target.name}` have no version that a change could name")
    at = before[version] or 0
    if str(at) != change.version:
        told = f"the row of `{target.name}` has been changed since: it is at version {at}"
        raise ChangeRejected(told, ErrorCode.VERSION_CONFLICT)


def compile_batch(batch: Sequence[RowWrite], rows_before: Mapping[Row, RowValues]) -> Iterator[SnowflakeSql]:
    """Rows that are new are inserted by one statement."""
    target, version = batch[0].target, batch[0].target.capabilities.version_column
    new = [
        each.values if version is None else {**each.values, version: 1} for each in batch if each.key not in rows_before
    ]
    if new:
        yield compile_row_insert(target, new)
    for each in batch:
        before = rows_before.get(each.key)
        if before is not None and each.change.kind is ChangeKind.DELETE:
            yield compile_row_delete(target, before)
        elif before is not None:
            given = {name: value for name, value in each.values.items() if name not in target.key}
            values = given if version is None else {**given, version: (before[version] or 0) + 1}
            if values:
                yield compile_row_update(target, before, values)


async def _commit_or_unknown(transaction: SnowflakeTransaction) -> None:
    """Raises SourceFailed where nobody can say whether it was."""
    try:
        await transaction.commit()
    except TransactionFailed:
        raise ConnectorError(UNKNOWN_OUTCOME_MESSAGE) from None


BATCH_ROWS = 5000


async def connect(options: SnowflakeOptions) -> "SnowflakeConnector":
    """Reads the schema's tables once; what is added later is seen after a restart. Raises SourceFailed."""
    sessions = SnowflakeSessions(options)
    try:
        columns, sizes = [
            await sessions.run(SnowflakeSql(each, (normalize_identifier(options.schema),)))
            for each in (COLUMNS_SQL, ROW_COUNTS_SQL)
        ]
    except BaseException:
        await sessions.close()
        raise
    source = SnowflakeConnector(sessions, build_snowflake_tables(columns, sizes))
    if options.writable:
        try:
            source.writer = await create_snowflake_writer(sessions, options, source.tables)
        except BaseException:
            await sessions.close()
            raise
    return source


class SnowflakeConnector:
    """The tables of one schema, by lower-case name."""

    def __init__(self, sessions: SnowflakeSessions, tables: Mapping[str, SnowflakeTable]) -> None:
        self.sessions = sessions
        self.tables = tables
        self.writer: SnowflakeWriter | DisabledWriter = DisabledWriter()

    def capabilities(self, collection: str) -> Capabilities:
        return self.tables[collection].capabilities

    def statement_text(self, request: ScanRequest) -> str:
        return compile_snowflake_query(request, self.tables).text

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        if request.keys is not None and not request.keys.values:
            return
        rows = await self.sessions.run(compile_snowflake_query(request, self.tables))
        shows = list_decoders(request, self.tables)
        for start in range(0, len(rows), BATCH_ROWS):
            yield decode_snowflake_rows(rows[start : start + BATCH_ROWS], shows)

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return self.writer.write_capabilities(collection)

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        return await self.writer.apply(changes, dry_run=dry_run)

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        return await self.writer.find_change(change)

    async def ping(self) -> None:
        await self.sessions.run(SnowflakeSql("SELECT 1"))

    async def close(self) -> None:
        await self.writer.close()
        await self.sessions.close()


KIND = ConnectorKind(options=SnowflakeOptions, connect=connect)
