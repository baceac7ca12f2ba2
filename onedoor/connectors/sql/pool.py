"""Keep connections of an asynchronous driver open between statements, and drop those that failed or were left."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from onedoor.connectors.sql.write_model import SqlTransaction, WriteFailed, WriteFailure
from onedoor.errors import ConnectorError
from onedoor.runtime.fair_slots import FairSlots

MAX_WRITE_CONNECTIONS = 4


class ReadDriver(Protocol):
    """How one driver opens and uses connections that only read."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the driver raises; anything else leaves a connection in an unknown state."""
        ...

    async def open_connection(self) -> Any: ...

    async def fetch(self, connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Any]: ...

    def is_connection_lost(self, error: Exception) -> bool: ...

    def map_error(self, error: Exception) -> ConnectorError: ...

    def drop(self, connection: Any) -> None:
        """Close a connection at once, without a goodbye."""
        ...

    def stop(self, connection: Any) -> Coroutine[Any, Any, None]:
        """Have the server stop the running statement, and close the connection; never raises."""
        ...

    async def close_connection(self, connection: Any) -> None:
        """Close an idle connection; never raises."""
        ...


class ConnectionPool:
    """Runs statements on at most `size` connections at a time."""

    def __init__(self, driver: ReadDriver, size: int) -> None:
        self.driver = driver
        self.mapped_errors: tuple[type[Exception], ...] = (*driver.errors, ValueError, ArithmeticError)
        self.slots = FairSlots(size)
        self.idle: list[Any] = []
        self.stopping: set[asyncio.Task[None]] = set()

    async def run(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """Return the rows of one statement. Raises ConnectorError; a cancelled statement is stopped on the server."""
        async with self.slots.hold():
            try:
                return await self._run_on_any(sql, values)
            except self.mapped_errors as error:
                raise self.driver.map_error(error) from None

    def stop(self, connection: Any) -> None:
        """Stop a connection's statement in the background: nobody waits for it but `close`."""
        task = asyncio.ensure_future(self.driver.stop(connection))
        self.stopping.add(task)
        task.add_done_callback(self.stopping.discard)

    async def close(self) -> None:
        idle, self.idle = self.idle, []
        await asyncio.gather(*map(self.driver.close_connection, idle), *self.stopping)

    async def _run_on_any(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """Try idle connections until one is not lost, then a new one."""
        while self.idle:
            try:
                return await self._run_on(self.idle.pop(), sql, values)
            except self.driver.errors as error:
                if not self.driver.is_connection_lost(error):
                    raise
        return await self._run_on(await self.driver.open_connection(), sql, values)

    async def _run_on(self, connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """Keep the connection only if its statement has ended."""
        try:
            rows = await self.driver.fetch(connection, sql, values)
        except self.driver.errors as error:
            if self.driver.is_connection_lost(error):
                self.driver.drop(connection)
            else:
                self.idle.append(connection)
            raise
        except BaseException:
            self.stop(connection)
            raise
        self.idle.append(connection)
        return rows


class PooledTransaction(SqlTransaction, Protocol):
    """A transaction on a connection that is used again."""

    async def end(self) -> bool:
        """Roll back what was not committed, and return whether the connection can be used again."""
        ...


class WriteDriver(Protocol):
    """How one driver opens connections that write, and begins transactions on them."""

    @property
    def errors(self) -> tuple[type[Exception], ...]: ...

    async def open_connection(self) -> Any: ...

    async def begin(self, connection: Any) -> PooledTransaction: ...

    def map_failure(self, error: Exception) -> WriteFailure: ...

    def drop(self, connection: Any) -> None: ...


class TransactionPool:
    """Runs at most MAX_WRITE_CONNECTIONS transactions at a time."""

    def __init__(self, driver: WriteDriver) -> None:
        self.driver = driver
        self.slots = FairSlots(MAX_WRITE_CONNECTIONS)
        self.idle: list[Any] = []

    @asynccontextmanager
    async def begin_transaction(self) -> AsyncIterator[SqlTransaction]:
        """Begin a transaction, which is rolled back at the end unless it was committed. Raises WriteFailed."""
        async with self.slots.hold():
            connection, transaction = await self._begin_on_any()
            try:
                yield transaction
            finally:
                await self._end(connection, transaction)

    async def close(self) -> None:
        while self.idle:
            self.driver.drop(self.idle.pop())

    async def _begin_on_any(self) -> tuple[Any, PooledTransaction]:
        while self.idle:
            with suppress(*self.driver.errors):
                return await self._begin_on(self.idle.pop())
        try:
            return await self._begin_on(await self.driver.open_connection())
        except self.driver.errors as error:
            raise WriteFailed(self.driver.map_failure(error)) from None

    async def _begin_on(self, connection: Any) -> tuple[Any, PooledTransaction]:
        try:
            return connection, await self.driver.begin(connection)
        except BaseException:
            self.driver.drop(connection)
            raise

    async def _end(self, connection: Any, transaction: PooledTransaction) -> None:
        """Keep the connection if it ended well; where it did not, the server rolls back once the connection is gone."""
        try:
            is_reusable = await transaction.end()
        except self.driver.errors:
            self.driver.drop(connection)
        except BaseException:
            self.driver.drop(connection)
            raise
        else:
            if is_reusable:
                self.idle.append(connection)
