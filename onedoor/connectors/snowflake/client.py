"""Run statements on Snowflake sessions, which are kept between statements, and map their errors."""

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from snowflake.connector import Error, InternalError, OperationalError, ProgrammingError
from snowflake.connector.aio import SnowflakeConnection

from onedoor.connectors.snowflake.options import SnowflakeOptions, build_connection_arguments
from onedoor.connectors.sql.pool import ConnectionPool
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.predicates import Row

RESULT_MAX_BYTES = 64 * 2**20
"""The limit of one result; its parts say how large they are before they are fetched."""

LOGIN_MESSAGES = {
    606: "snowflake has no warehouse to run the statement: name one that the user's role may use",
    390189: "snowflake has no such role, or none that the user may take",
    390201: "snowflake has no such database or warehouse, or none that the user's role may use",
    390422: "snowflake lets nobody in from this address",
    90105: "snowflake has no such database, or none that the user's role may use",
}
"""Messages for what the login did not name, or named in vain, by the number of the error."""

INVALID_AUTHORIZATION_SQLSTATE = "28000"
"""The SQLSTATE for a wrong user, password, key or role."""

REFUSED_LOGIN_ERRORS = frozenset({290401, 390303, 390318})
"""The numbers of errors for credentials that have another SQLSTATE, as those for OAuth tokens."""

NO_PLATFORM_DETECTION = "SNOWFLAKE_DISABLE_PLATFORM_DETECTION"
"""Without it each login asks the metadata services of three clouds where it runs; it has no setting."""

CONNECTION_ERROR = 250001
"""The connector's own number for a login, or the renewal of a session, that failed before Snowflake gave a reason."""

ABORT_SECONDS = 0.5

SESSION_LOST_ERRORS = frozenset({CONNECTION_ERROR, 290401, 390104, 390111, 390112, 390114})
"""The numbers of errors for a session that the server does not know, as after its restart."""

LOST_OBJECT_ERRORS = frozenset({904, 2003, 2043})
"""The numbers of errors for a column or a table that is not there, or not any more."""

CONVERSION_ERROR = 252005
"""The connector's own number for a value that it cannot make one of Python's, as a day past the year 9999."""

HTTP_STATUS = re.compile(r"status:? (\d{3})\b")
"""Where the connector names the status that an answer had: in the text of its error alone."""

UNREADABLE_ANSWER = "Invalid Snowflake response"


class StatementRefused(ConnectorError):
    """Snowflake refused the statement itself, as for a role that may not run it."""


class ResultTooLarge(Exception):
    """The parts of a result are together larger than RESULT_MAX_BYTES."""


def map_snowflake_error(error: Exception, timeout: float) -> ConnectorError:
    """Map an error without its text, which names hosts and SQL. `timeout` is in seconds."""
    match error:
        case TimeoutError():
            return ConnectorError(f"snowflake did not answer within {timeout:g} s")
        case ResultTooLarge():
            message = (
                f"snowflake gave more than {RESULT_MAX_BYTES // 2**20} MB: narrow the filter, or ask for fewer fields"
            )
            return ConnectorError(message, ErrorCode.LIMIT_EXCEEDED)
        case Error(sqlstate=sqlstate) if sqlstate == INVALID_AUTHORIZATION_SQLSTATE:
            return ConnectorError("snowflake refused the login")
        case Error(errno=number) if number in REFUSED_LOGIN_ERRORS:
            return ConnectorError("snowflake refused the login")
        case Error(errno=number) if number == CONVERSION_ERROR:
            return build_unreadable_error()
        case Error(errno=number) if number in LOGIN_MESSAGES:
            return ConnectorError(LOGIN_MESSAGES[number])
        case ProgrammingError(errno=number) if number in LOST_OBJECT_ERRORS:
            return StatementRefused(f"snowflake refused the statement with error {number}", ErrorCode.CANNOT_ANSWER)
        case ProgrammingError(errno=number):
            return StatementRefused(f"snowflake refused the statement with error {number}")
        case OperationalError() | InternalError():
            return _map_call_failure(error)
        case Error(errno=number) if number == CONNECTION_ERROR:
            return _map_call_failure(error)
        case Error(errno=number):
            return ConnectorError(f"snowflake failed with error {number}")
    return build_unreadable_error()


def build_unreadable_error() -> ConnectorError:
    return ConnectorError("snowflake gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)


def _map_call_failure(error: Error) -> ConnectorError:
    """Map a call that Snowflake did not answer, or not as itself."""
    status = HTTP_STATUS.search(error.msg)
    if status is None:
        if UNREADABLE_ANSWER in error.msg or isinstance(error, InternalError):
            return build_unreadable_error()
        return ConnectorError("snowflake could not be reached", retryable=True)
    match int(status[1]):
        case 403:
            return ConnectorError("snowflake refused the login")
        case 429:
            message = "snowflake takes no more statements for now, ask again later"
            return ConnectorError(message, ErrorCode.SOURCE_OVERLOADED)
    return ConnectorError(f"snowflake failed with HTTP status {status[1]}")


@dataclass(frozen=True, slots=True)
class SnowflakeSql:
    """A text, and the values of its question marks in their order."""

    text: str
    binds: tuple[Any, ...] = ()


def wrap_sql(prefix: str, sql: SnowflakeSql, suffix: str = "") -> SnowflakeSql:
    return SnowflakeSql(f"{prefix}{sql.text}{suffix}", sql.binds)


def join_sql(separator: str, parts: Sequence[SnowflakeSql]) -> SnowflakeSql:
    return SnowflakeSql(
        separator.join(part.text for part in parts), tuple(chain.from_iterable(part.binds for part in parts))
    )


def normalize_identifier(name: str) -> str:
    """Spell a name as Snowflake stores it: in capitals, unless it is in double quotes."""
    if len(name) > 2 and name[0] == name[-1] == '"':
        return name[1:-1].replace('""', '"')
    return name.upper()


def quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@dataclass(slots=True)
class SnowflakeDriver:
    """Opens sessions and fetches rows. A statement that is cancelled is aborted in Snowflake by the connector."""

    arguments: Mapping[str, Any] = field(repr=False)
    timeout: float
    errors: tuple[type[Exception], ...] = (Error,)
    goodbyes: set[asyncio.Task[None]] = field(default_factory=set)

    async def open_connection(self) -> SnowflakeConnection:
        connection = SnowflakeConnection(**self.arguments)
        await connection.connect()
        return connection

    async def fetch(self, connection: SnowflakeConnection, sql: str, values: Sequence[Any]) -> list[Row]:
        """Return all rows. Raises ResultTooLarge before a large result is fetched."""
        cursor = connection.cursor()
        await cursor.execute(sql, tuple(values))
        parts = await cursor.get_result_batches() or ()
        if sum(part.uncompressed_size or 0 for part in parts) > RESULT_MAX_BYTES:
            cursor.close()
            raise ResultTooLarge
        rows: list[Row] = await cursor.fetchall()
        cursor.close()
        return rows

    def is_connection_lost(self, error: Exception) -> bool:
        return isinstance(error, Error) and error.errno in SESSION_LOST_ERRORS

    def map_error(self, error: Exception) -> ConnectorError:
        return map_snowflake_error(error, self.timeout)

    def drop(self, connection: SnowflakeConnection) -> None:
        """Close a connection in the background: its goodbye is one call, which nobody waits for but `close`."""
        task = asyncio.ensure_future(self.close_connection(connection))
        self.goodbyes.add(task)
        task.add_done_callback(self.goodbyes.discard)

    async def stop(self, connection: SnowflakeConnection) -> None:
        """Close a connection once the library has had the time to abort its statement.

        It aborts in the background, and not any more once the connection is closed.
        """
        await asyncio.sleep(ABORT_SECONDS)
        await self.close_connection(connection)

    async def close_connection(self, connection: SnowflakeConnection) -> None:
        """Say goodbye and close the sockets, whatever the server answers."""
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(self.timeout):
                await connection.close(retry=False)


class SnowflakeSessions:
    """The connections of one connector. Raises ConfigurationError for credentials that cannot be used."""

    def __init__(self, options: SnowflakeOptions) -> None:
        logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)  # it names hosts and SQL
        os.environ[NO_PLATFORM_DETECTION] = "true"
        self.options = options
        self.driver = SnowflakeDriver(build_connection_arguments(options), options.timeout)
        self.pool = ConnectionPool(self.driver, options.connections)

    async def run(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a statement, which is aborted on timeout or cancellation. Raises ConnectorError."""
        try:
            return list(await self.limit_time(self.pool.run(sql, values)))
        except (TimeoutError, ResultTooLarge) as error:
            raise map_snowflake_error(error, self.options.timeout) from None

    async def limit_time(self, work: Awaitable[Any]) -> Any:
        """Wait for as long as a statement may take. Raises TimeoutError."""
        async with asyncio.timeout(self.options.timeout):
            return await work

    async def close(self) -> None:
        """Say goodbye for all connections and close them."""
        await self.pool.close()
        await asyncio.gather(*self.driver.goodbyes)
