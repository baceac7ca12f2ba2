"""Serve the tables of one database: scans as SQL statements, changes through its writer."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from onedoor.connectors.sql.compiler import StatementCache
from onedoor.connectors.value_checks import DisabledWriter
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ChangeResult, RowChange, WriteCapabilities
from onedoor.spi.predicates import Row
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
        yield statement.decode_rows(await self.runner.run(statement.text, values))

    async def ping(self) -> None:
        await self.runner.run("SELECT 1", ())

    async def close(self) -> None:
        await self.writer.close()
        await self.runner.close()
