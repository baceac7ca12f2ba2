"""Serve the tables of one database: scans as SQL statements, changes through its writer."""

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from typing import Any, Protocol

from onedoor.connectors.sql.compiler import StatementCache
from onedoor.connectors.sql.decoding import DecodedRows
from onedoor.connectors.value_checks import DisabledWriter
from onedoor.errors import ConnectorError, ErrorCode, SourceChanged
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ChangeRejected, ChangeResult, RowChange, WriteCapabilities
from onedoor.spi.predicates import Comparison, Exists, InKeys, Row, iterate_leaves
from onedoor.spi.scan import ScanRequest


class Table(Protocol):
    """What is asked of a table of any database."""

    @property
    def capabilities(self) -> Capabilities: ...


class TableWriter(Protocol):
    """Changes rows of the tables that may be changed, as a WritableConnector does."""

    def write_capabilities(self, collection: str) -> WriteCapabilities | None: ...

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]: ...

    async def find_change(self, change: RowChange) -> ChangeResult | None: ...

    async def close(self) -> None: ...


class TableConnector:
    """The part of a WritableConnector that is the same for every database. `writer` is set where tables may change."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables
        self.writer: TableWriter = DisabledWriter()

    def capabilities(self, collection: str) -> Capabilities:
        return self._tables[collection].capabilities

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return self.writer.write_capabilities(collection)

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        return await self.writer.apply(changes, dry_run=dry_run)

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        return await self.writer.find_change(change)


class StatementRunner(Protocol):
    """Runs statements on connections that only read. Raises ConnectorError."""

    async def run(self, sql: str, values: Sequence[Any]) -> Sequence[Any]: ...

    async def close(self) -> None: ...


class SqlConnector(TableConnector):
    """The tables and views of one SQLite, PostgreSQL, MySQL or MariaDB database."""

    def __init__(self, statements: StatementCache, runner: StatementRunner) -> None:
        super().__init__(statements.tables)
        self.tables = statements.tables
        self.statements = statements
        self.runner = runner

    def statement_text(self, request: ScanRequest) -> str:
        return self.statements.prepare(request)[0].text

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Yield the rows at once, read again where invalid values are found that may have changed their order."""
        try:
            decoded = await self._read(request)
            if self.statements.guard(request, decoded.flawed_columns):
                decoded = await self._read(request)
        except ConnectorError as failure:
            if failure.code is ErrorCode.CANNOT_ANSWER:
                await self._check_structure(list_read_columns(request))
            if failure.code is not ErrorCode.SOURCE_INVALID or not self.statements.guard_all(request):
                raise
            decoded = await self._read(request)
        yield decoded.rows

    async def _read(self, request: ScanRequest) -> DecodedRows:
        statement, values = self.statements.prepare(request)
        return statement.row_decoder.decode(await self.runner.run(statement.text, values))

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        """Apply changes as a WritableConnector does. Raises SourceChanged where a table has lost a column."""
        try:
            return await super().apply(changes, dry_run=dry_run)
        except ChangeRejected as rejection:
            if rejection.code is ErrorCode.CANNOT_ANSWER:
                await self._check_structure({change.collection: None for change in changes})
            raise

    async def _check_structure(self, read_columns: Mapping[str, Set[str] | None]) -> None:
        """Raise SourceChanged where a table lacks columns that it had, of those that are read; None: of all.

        A refused statement seldom says in a form that can be relied on what it lacks, so the database is asked.
        """
        for collection, read in read_columns.items():
            missing = await self._find_missing_columns(collection)
            if missing and len(missing) == len(self.tables[collection].columns):
                raise SourceChanged(collection)
            needed = [name for name in missing if read is None or name in read]
            if needed:
                raise SourceChanged(collection, needed)

    async def _find_missing_columns(self, collection: str) -> Sequence[str]:
        """Return the columns that the table had; none where the database does not say which it has."""
        table = self.tables.get(collection)
        if table is None:
            return ()
        try:
            rows = await self.runner.run(self.statements.dialect.live_columns_sql, (table.schema, table.name))
        except ConnectorError:
            return ()
        live = {str(name) for (name,) in rows}
        return [name for name, column in table.columns.items() if column.name not in live]

    async def ping(self) -> None:
        await self.runner.run("SELECT 1", ())

    async def close(self) -> None:
        await self.writer.close()
        await self.runner.close()


def list_read_columns(request: ScanRequest) -> Mapping[str, frozenset[str]]:
    """Return the columns that a request reads, by collection: its own, and those it joins or filters by."""
    named = {*request.columns, *(sort_key.column for sort_key in request.sort)}
    named |= {aggregate.column for aggregate in request.aggregates if aggregate.column is not None}
    named |= set(request.keys.columns if request.keys else ())
    columns = {request.collection: named}
    for join in request.joins:
        read = columns.setdefault(join.collection, set())
        read |= {*join.inner_columns, *join.columns, *(call.column for call in join.aggregates if call.column)}
    pending = [(request.collection, request.filter), (request.collection, request.having)]
    while pending:
        collection, predicate = pending.pop()
        for leaf in iterate_leaves(predicate):
            match leaf:
                case Exists():
                    columns[collection] |= {*leaf.outer_columns}
                    columns[leaf.collection] = columns.get(leaf.collection, set()) | {*leaf.inner_columns}
                    pending.append((leaf.collection, leaf.filter))
                case InKeys():
                    columns[collection] |= {*leaf.columns}
                case Comparison():
                    columns[collection].add(leaf.column)
    joined = {column for join in request.joins for column in join.output_columns}
    columns[request.collection] |= {column for join in request.joins for column in join.outer_columns}
    columns[request.collection] -= joined
    return {collection: frozenset(names) for collection, names in columns.items()}
