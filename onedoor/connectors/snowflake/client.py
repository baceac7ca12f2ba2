"""Run statements on Snowflake connections, which close their sockets whatever fails, and map their errors."""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from snowflake.connector import Error, OperationalError, ProgrammingError, SnowflakeConnection, connection
from snowflake.connector.cursor import SnowflakeCursor
from snowflake.connector.errors import DatabaseError, ForbiddenError
from snowflake.connector.session_manager import ProxySupportAdapter
from snowflake.connector.vendored.requests.exceptions import RequestException
from snowflake.connector.vendored.urllib3 import Retry
from snowflake.connector.vendored.urllib3.exceptions import HTTPError

from onedoor.connectors.http_client import RESPONSE_MAX_BYTES, ResponseTooLong, read_bounded
from onedoor.connectors.snowflake.options import SnowflakeOptions, build_connection_arguments
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import build_thread_pool, run_in_thread, shut_down_pool
from onedoor.spi.predicates import Row

RESPONSE_SECONDS = 60.0
"""The limit for one whole response; each read of a part has the timeout of the statement."""

READ_CHUNK_BYTES = 65_536

CLOSE_TRIES = 10

NO_RETRIES = Retry(0, read=False)

JSON_PATHS = re.compile(r"/(session|queries)\b")
"""Paths whose responses are JSON objects; other paths return parts of results."""

JSON_OBJECT_START = re.compile(rb"\s*\{")

HTTP_OK, HTTP_REDIRECT, HTTP_CLIENT_ERROR, HTTP_TOO_MANY_REQUESTS, HTTP_SERVER_ERROR = 200, 300, 400, 429, 500


class SnowflakeUnreachable(DatabaseError):  # type: ignore[misc]
    """No response came, or only a part of one."""


class SnowflakeStatusError(DatabaseError):  # type: ignore[misc]
    """The response has a status for which the library would retry; `errno` is that status."""


class SnowflakeResponseInvalid(DatabaseError):  # type: ignore[misc]
    """The response is too long, or is not JSON."""


class SingleAttemptAdapter(ProxySupportAdapter):  # type: ignore[misc]
    """Sends each request once: the library retries for the errors of its own adapter, and not for those raised here."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "max_retries": NO_RETRIES})
        self.closed = False

    def close(self) -> None:
        """Close every pool: urllib3 leaves that to the garbage collector, and the traceback of an error holds pools."""
        self.closed = True
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in tuple(manager.pools.keys()):
                with suppress(KeyError):
                    manager.pools[key].close()
        super().close()

    def send(self, request: Any, **kwargs: Any) -> Any:
        """Send a request; one under way while another thread closes the adapter leaves no socket behind."""
        try:
            return self._send(request, **kwargs)
        finally:
            if self.closed:
                self.close()

    def _send(self, request: Any, **kwargs: Any) -> Any:
        try:
            response = super().send(request, **{**kwargs, "stream": True})
        except (RequestException, HTTPError, OSError) as error:
            raise SnowflakeUnreachable("no response") from error
        try:
            self._read(response)
        finally:
            # Read to its end, the response has given its connection back, which this does not close.
            response.close()
        _check_response(request, response)
        return response

    def _read(self, response: Any) -> None:
        try:
            response._content = read_bounded(
                response.raw.stream(READ_CHUNK_BYTES, decode_content=True),
                max_bytes=RESPONSE_MAX_BYTES,
                seconds=RESPONSE_SECONDS,
            )
        except (RequestException, HTTPError, OSError) as error:
            raise SnowflakeUnreachable("no whole response") from error
        except ResponseTooLong as error:
            raise SnowflakeResponseInvalid("too long") from error
        response._content_consumed = True


def _check_response(request: Any, response: Any) -> None:
    status = response.status_code
    if status == HTTP_TOO_MANY_REQUESTS or status >= HTTP_SERVER_ERROR or HTTP_REDIRECT <= status < HTTP_CLIENT_ERROR:
        raise SnowflakeStatusError("a status to retry", errno=status)
    is_json_expected = status == HTTP_OK and JSON_PATHS.match(request.path_url)
    if is_json_expected and not JSON_OBJECT_START.match(response._content):
        raise SnowflakeResponseInvalid("not JSON")


def install_adapter() -> None:
    """Replace the adapter of all connections of this process, and silence the log, which names hosts and SQL."""
    logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)
    connection.ProxySupportAdapterFactory = lambda: SingleAttemptAdapter


UNAUTHORIZED_ERROR = 290401

LOGIN_ERRORS = {
    606: "snowflake has no warehouse to run the statement: name one that the user's role may use",
    390189: "snowflake has no such role, or none that the user may take",
    390201: "snowflake has no such database or warehouse, or none that the user's role may use",
    390422: "snowflake lets nobody in from this address",
    90105: "snowflake has no such database, or none that the user's role may use",
}
"""Messages for what the login did not name, or named in vain, by the number of the error."""

INVALID_AUTHORIZATION_SQLSTATE = "28000"
"""The SQLSTATE for a wrong user, password or role."""


def map_snowflake_error(error: Exception, timeout: float) -> ConnectorError:
    """Map an error without its text, which names hosts and SQL. `timeout` is in seconds."""
    match error:
        case TimeoutError():
            return ConnectorError(f"snowflake did not answer within {timeout:g} s")
        case SnowflakeUnreachable():
            return ConnectorError("snowflake could not be reached", retryable=True)
        case SnowflakeStatusError(errno=429):
            return ConnectorError(
                "snowflake takes no more statements for now, ask again later", ErrorCode.SOURCE_OVERLOADED
            )
        case SnowflakeStatusError(errno=status):
            return ConnectorError(f"snowflake failed with HTTP status {status}")
        case SnowflakeResponseInvalid():
            return ConnectorError("snowflake gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)
        case ForbiddenError():
            return ConnectorError("snowflake refused the login")
        case Error(sqlstate=sqlstate) if sqlstate == INVALID_AUTHORIZATION_SQLSTATE:
            return ConnectorError("snowflake refused the login")
        case Error(errno=number) if number == UNAUTHORIZED_ERROR:
            return ConnectorError("snowflake refused the login")
        case OperationalError():
            return ConnectorError("snowflake could not be reached")
        case Error(errno=number) if number in LOGIN_ERRORS:
            return ConnectorError(LOGIN_ERRORS[number])
        case ProgrammingError(errno=number):
            return ConnectorError(f"snowflake refused the statement with error {number}")
        case Error(errno=number):
            return ConnectorError(f"snowflake failed with error {number}")
    return ConnectorError("snowflake gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)


@dataclass(frozen=True, slots=True)
class SnowflakeSql:
    """A text, and the values of its question marks in their order."""

    text: str
    binds: tuple[Any, ...] = ()


def join_bracketed_sql(separator: str, empty: str, parts: Sequence[SnowflakeSql]) -> SnowflakeSql:
    if not parts:
        return SnowflakeSql(empty)
    return parts[0] if len(parts) == 1 else wrap_sql("(", join_sql(separator, parts), ")")


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


SESSION_LOST_ERRORS = frozenset({290401, 390104, 390111, 390112, 390114})
"""The numbers of errors for a session that the server does not know, as after its restart."""


class TrackedConnection(SnowflakeConnection):  # type: ignore[misc]
    """A connection that closes its sockets whatever fails.

    The library's own does not where the login fails, nor in `close` where the server does not take the goodbye.
    """

    def __init__(self, options: SnowflakeOptions) -> None:
        try:
            super().__init__(**build_connection_arguments(options))
        except BaseException:
            self.close_sockets()
            raise
        # The library's timer sends aborts too; one that fails would end as a traceback in a thread.
        self._cancel_query: Callable[..., Any] = partial(call_suppressing_errors, super()._cancel_query)

    def close(self, retry: bool = False) -> None:
        """Say goodbye to the server and close the sockets; never raises."""
        try:
            super().close(retry)
        finally:
            self.close_sockets()

    def close_sockets(self) -> None:
        """Close the sockets at once; a request that is under way closes its own when it ends."""
        self._rest = None
        if (session_manager := getattr(self, "_session_manager", None)) is not None:
            _close_sessions(session_manager)


def _close_sessions(session_manager: Any) -> None:
    """Close all sessions; another thread may add one meanwhile, at which the library fails."""
    for _ in range(CLOSE_TRIES):
        with suppress(RuntimeError):
            session_manager.close()
            return


def call_suppressing_errors(call: Callable[..., Any], *arguments: Any) -> None:
    with suppress(Exception):
        call(*arguments)


@dataclass(slots=True)
class RunningStatement:
    """A statement under way, so that a caller who gives up can have the server stop it."""

    sql: SnowflakeSql
    cursor: SnowflakeCursor | None = None
    abandoned: bool = False

    def execute(self, connection: SnowflakeConnection) -> list[Row]:
        self.cursor = connection.cursor()
        if self.abandoned:
            return []
        self.cursor.execute(self.sql.text, self.sql.binds)
        rows: list[Row] = self.cursor.fetchall()
        return rows

    def abort(self) -> None:
        """Name the statement by its request, so that no later one of the same connection is stopped."""
        cursor = self.cursor
        if cursor is not None and cursor._request_id is not None:
            cursor.connection._cancel_query(self.sql.text, cursor._request_id)
            if cursor.connection.is_closed():  # meanwhile, by another thread
                cursor.connection.close_sockets()


class SnowflakeSessions:
    """The connections of one connector. Aborts and goodbyes run in a background thread that nobody waits for."""

    def __init__(self, options: SnowflakeOptions) -> None:
        install_adapter()
        self.options = options
        self.idle: deque[TrackedConnection] = deque()
        self.closing: set[TrackedConnection] = set()
        self.closed = False
        self.executor = build_thread_pool(options.connections, "snowflake")
        self.background_executor = build_thread_pool(1, "snowflake-aside")

    async def run(self, sql: SnowflakeSql) -> list[Row]:
        """Return all rows of a statement, which is aborted on timeout or cancellation. Raises ConnectorError."""
        running = RunningStatement(sql)
        try:
            async with asyncio.timeout(self.options.timeout):
                return await run_in_thread(self.executor, partial(self._execute_on_any, running))
        except asyncio.CancelledError:
            self.abandon(running)
            raise
        except Exception as error:
            self.abandon(running)
            raise map_snowflake_error(error, self.options.timeout) from error

    def abandon(self, running: RunningStatement) -> None:
        running.abandoned = True
        self._run_in_background(running.abort)

    def pop_idle_connection(self) -> TrackedConnection | None:
        with suppress(IndexError):
            return self.idle.pop()
        return None

    async def open_connection(self) -> TrackedConnection:
        """Open a connection; one that is there only when the caller has left is closed again."""
        opening = self.executor.submit(self._open_connection)
        try:
            return await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._release_opened)
            raise

    def release(self, connection: TrackedConnection, *, reusable: bool) -> None:
        """Take back a connection: it is used again, or closed."""
        if reusable and not self.closed:
            self.idle.append(connection)
        elif not self.closed:
            self.closing.add(connection)
            self._run_in_background(partial(self._close_connection, connection))
        if self.closed:  # since before, or only now
            connection.close_sockets()

    async def close(self) -> None:
        """Say goodbye for idle connections and close them; one whose statement still runs is closed when that ends."""
        self.closed = True
        shut_down_pool(self.executor)
        try:
            while (connection := self.pop_idle_connection()) is not None:
                self.closing.add(connection)
                await run_in_thread(self.background_executor, partial(self._close_connection, connection))
        finally:
            shut_down_pool(self.background_executor)
            for connection in (*self.idle, *self.closing):  # whose goodbye is not said, or takes too long
                connection.close_sockets()

    def _execute_on_any(self, running: RunningStatement) -> list[Row]:
        """Try an idle connection, and a new one where the server has forgotten the idle ones. Runs in a thread."""
        connection = self.pop_idle_connection()
        try:
            return self._execute_on(running, connection or self._open_connection())
        except Error as error:
            if connection is None or error.errno not in SESSION_LOST_ERRORS:
                raise
        while (stale := self.pop_idle_connection()) is not None:
            self.release(stale, reusable=False)
        return self._execute_on(running, self._open_connection())

    def _execute_on(self, running: RunningStatement, connection: TrackedConnection) -> list[Row]:
        """Use the connection again after rows or a refused statement, and after nothing else."""
        reusable = False
        try:
            rows = running.execute(connection)
            reusable = not running.abandoned
            return rows
        except ProgrammingError as error:
            reusable = error.errno not in SESSION_LOST_ERRORS and not running.abandoned
            raise
        finally:
            self.release(connection, reusable=reusable)

    def _open_connection(self) -> TrackedConnection:
        connection = TrackedConnection(self.options)
        if self.closed:
            connection.close_sockets()
            raise SnowflakeUnreachable("the connector was closed")
        return connection

    def _release_opened(self, opening: "Future[TrackedConnection]") -> None:
        if not opening.cancelled() and opening.exception() is None:
            self.release(opening.result(), reusable=False)

    def _close_connection(self, connection: TrackedConnection) -> None:
        connection.close()
        self.closing.discard(connection)

    def _run_in_background(self, call: Callable[[], None]) -> None:
        """Run in the background thread, as long as the connector is open."""
        with suppress(RuntimeError):
            self.background_executor.submit(call)
