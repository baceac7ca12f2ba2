"""Serve the tables of one database: scans as SQL statements, changes through its writer."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from onedoor.connectors.sql.compiler import StatementCache
from onedoor.connectors.value_checks import DisabledWriter
from onedoor.errors import ConnectorError, ErrorCode, SourceChanged
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ChangeRejected, ChangeResult, RowChange, WriteCapabilities
from onedoor.spi.predicates import Exists, Row, iterate_leaves
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
        statement, values = self.statements.prepare(request)
        try:
            rows = await self.runner.run(statement.text, values)
        except ConnectorError as failure:
            if failure.code is ErrorCode.CANNOT_ANSWER:
                await self._check_structure(list_read_collections(request), statement.text)
            raise
        yield statement.decode_rows(rows)

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        """Apply changes as a WritableConnector does. Raises SourceChanged where a table has lost a column."""
        try:
            return await super().apply(changes, dry_run=dry_run)
        except ChangeRejected as rejection:
            if rejection.code is ErrorCode.CANNOT_ANSWER:
                await self._check_structure([change.collection for change in changes])
            raise

    async def _check_structure(self, collections: Iterable[str], statement: str | None = None) -> None:
        """Raise SourceChanged where a table lacks a column that it had, of those in the `statement` if there is one.

        A refused statement seldom says in a form that can be relied on what it lacks, so the database is asked.
        """
        for collection in dict.fromkeys(collections):
            missing = await self._find_missing_columns(collection)
            if missing and len(missing) == len(self.tables[collection].columns):
                raise SourceChanged(collection)
            used = [name for name in missing if statement is None or contains_name(statement, name)]
            if used:
                raise SourceChanged(collection, used)

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
        return [name for name in table.columns if name not in live]

    async def ping(self) -> None:
        await self.runner.run("SELECT 1", ())

    async def close(self) -> None:
        await self.writer.close()
        await self.runner.close()


def list_read_collections(request: ScanRequest) -> Iterator[str]:
    """Yield the collection of a request, and those in which its filter looks for rows."""
    yield request.collection
    filters = [request.filter]
    while filters:
        for leaf in iterate_leaves(filters.pop()):
            if isinstance(leaf, Exists):
                yield leaf.collection
                filters.append(leaf.filter)


def contains_name(statement: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", statement) is not None
