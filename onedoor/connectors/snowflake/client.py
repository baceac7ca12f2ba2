"""Options, sessions, transport, errors."""

import asyncio
import logging
import math
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from snowflake.connector import Error, OperationalError, ProgrammingError, SnowflakeConnection, connection
from snowflake.connector import connect as open_connection
from snowflake.connector.cursor import SnowflakeCursor
from snowflake.connector.errors import DatabaseError, ForbiddenError
from snowflake.connector.session_manager import ProxySupportAdapter
from snowflake.connector.vendored.requests.exceptions import RequestException
from snowflake.connector.vendored.urllib3 import Retry
from snowflake.connector.vendored.urllib3.exceptions import HTTPError

from onedoor.codegen.apply import UNREADABLE_URL
from onedoor.connectors.http_client import RESPONSE_MAX_BYTES, ResponseTooLong, read_bounded
from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode, build_unknown_name_error
from onedoor.runtime.concurrency import build_thread_pool, run_in_thread, shut_down_pool
from onedoor.spi.predicates import Row

SESSION_PARAMETERS = {"CLIENT_TELEMETRY_ENABLED": False, "TIMEZONE": "UTC", "LOCK_TIMEOUT": 5}


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeOptions:
    """`timeout`: seconds until a statement, its login included, is given up. `connections`: statements at once.

    `writable`: by table that may be changed, the columns that name a row. `versions`: by table, the column that counts
    its changes.
    """

    host: str
    account: str
    user: str
    password: str = field(repr=False)
    database: str
    schema: str
    port: int = 443
    protocol: str = "https"
    warehouse: str | None = None
    role: str | None = None
    timeout: float = 10.0
    connections: int = 4
    writable: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)


def build_connection_arguments(options: SnowflakeOptions) -> Mapping[str, Any]:
    """The connector's arguments: no telemetry, no credential kept on disk, no look-up of which cloud this runs in."""
    seconds = math.ceil(options.timeout)
    return {
        "host": options.host,
        "port": options.port,
        "protocol": options.protocol,
        "account": options.account,
        "user": options.user,
        "password": options.password,
        "database": options.database,
        "schema": options.schema,
        "warehouse": options.warehouse,
        "role": options.role,
        "login_timeout": seconds,
        "network_timeout": seconds,
        "socket_timeout": seconds,
        "paramstyle": "qmark",
        "session_parameters": SESSION_PARAMETERS,
        "client_store_temporary_credential": False,
        "client_request_mfa_token": False,
        "platform_detection_timeout_seconds": 0,
    }


RESPONSE_SECONDS = 60.0
"""Of one answer, beside the timeout for each part of it; who waits for it gives up long before."""

READ_CHUNK_BYTES = 65_536

NO_RETRIES = Retry(0, read=False)

JSON_PATHS = re.compile("/(session|queries)/")
"""Paths whose answers are JSON objects; others are parts of results."""

JSON_OBJECT_START = re.compile(rb"\s*\{")

HTTP_OK, HTTP_REDIRECT, HTTP_TOO_MANY_REQUESTS, HTTP_SERVER_ERROR = 200, 300, 429, 500


class SnowflakeUnreachable(DatabaseError):  # type: ignore[misc]
    """No answer came, or not a whole one."""


class SnowflakeStatusError(DatabaseError):  # type: ignore[misc]
    """The answer was a status by which the connector would ask again; `errno` is that status."""


class SnowflakeResponseInvalid(DatabaseError):  # type: ignore[misc]
    """The answer is too long, or not in the language of the service."""


class SingleAttemptAdapter(ProxySupportAdapter):  # type: ignore[misc]
    """In place of the connector's own, whose errors of a kind that it knows would make it ask again."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "max_retries": NO_RETRIES})

    def send(self, request: Any, **kwargs: Any) -> Any:
        try:
            answer = super().send(request, **{**kwargs, "stream": True})
            answer._content = read_bounded(
                answer.raw.stream(READ_CHUNK_BYTES, decode_content=True),
                max_bytes=RESPONSE_MAX_BYTES,
                seconds=RESPONSE_SECONDS,
            )
        except (RequestException, HTTPError, OSError) as error:
            raise SnowflakeUnreachable("no answer") from error
        except ResponseTooLong as error:
            raise SnowflakeResponseInvalid("too long") from error
        answer._content_consumed = True
        answer.close()
        if (
            answer.status_code == HTTP_TOO_MANY_REQUESTS
            or answer.status_code >= HTTP_SERVER_ERROR
            or HTTP_REDIRECT <= answer.status_code < 400
        ):
            raise SnowflakeStatusError("not well", errno=answer.status_code)
        if (
            answer.status_code == HTTP_OK
            and JSON_PATHS.match(request.path_url)
            and not JSON_OBJECT_START.match(answer._content)
        ):
            raise SnowflakeResponseInvalid("not JSON")
        return answer


def install_adapter() -> None:
    """For all connections of this process from now on; without its log of failures, which has hosts and SQL in it."""
    logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)
    connection.ProxySupportAdapterFactory = lambda: SingleAttemptAdapter


DEFAULT_DOMAIN = "snowflakecomputing.com"

URL_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "warehouse": str, "role": str, "account": str, "protocol": str, "timeout": float, "connections": int,
}  # fmt: skip
"""What a URL may say behind its question mark."""

INTROSPECTION_TIMEOUT = 30.0
"""Seconds for each statement, unless the URL says otherwise: a warehouse may have to wake up first."""

URL_FORMAT_MESSAGE = "a Snowflake URL is `snowflake://user:password@account/database/schema?warehouse=...&role=...`"


def parse_source_settings(url: str) -> Mapping[str, str]:
    """What stands under `[sources.<name>]` in the file of settings. Raises Mistake."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError(UNREADABLE_URL) from None
    database, _, schema = parts.path.strip("/").partition("/")
    if not (parts.username and parts.hostname and database and schema) or "/" in schema:
        raise ConfigurationError(URL_FORMAT_MESSAGE)
    host = parts.hostname
    far = host if host.endswith(DEFAULT_DOMAIN) or port else f"{host}.{DEFAULT_DOMAIN}"
    return {
        "kind": "snowflake",
        "host": far,
        "account": host.partition(".")[0],
        "user": unquote(parts.username),
        "password": unquote(parts.password or ""),
        "database": unquote(database),
        "schema": unquote(schema),
        **({"port": str(port)} if port else {}),
        **_parse_url_options(parts.query),
    }


def _parse_url_options(query: str) -> Mapping[str, str]:
    said = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in said.items():
        if name not in URL_OPTIONS:
            raise build_unknown_name_error("option of a Snowflake URL", name, URL_OPTIONS)
        try:
            URL_OPTIONS[name](value)
        except ValueError:
            raise ConfigurationError(f"`{name}` of a Snowflake URL is a number") from None
    return said


def build_introspection_options(settings: Mapping[str, str]) -> SnowflakeOptions:
    """Of such settings."""
    taken: Mapping[str, Callable[[str], Any]] = {"port": int, **URL_OPTIONS}
    given = {name: taken.get(name, str)(value) for name, value in settings.items() if name != "kind"}
    return SnowflakeOptions(**{"timeout": INTROSPECTION_TIMEOUT, **given})


UNAUTHORIZED_ERROR = 290401

LOGIN_ERRORS = {
    606: "snowflake has no warehouse to run the statement: name one that the user's role may use",
    390189: "snowflake has no such role, or none that the user may take",
    390201: "snowflake has no such database or warehouse, or none that the user's role may use",
    390422: "snowflake lets nobody in from this address",
    90105: "snowflake has no such database, or none that the user's role may use",
}
"""By error, what the login named, or did not name, and the session lacks."""

INVALID_AUTHORIZATION_SQLSTATE = "28000"
"""The SQLSTATE of a login with a wrong user, password or role."""


def map_snowflake_error(error: Exception, timeout: float) -> ConnectorError:
    """`timeout` in seconds. The connector's own texts name hosts and SQL, so none of them is passed on."""
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
    """Text, and the values of its question marks in their order."""

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
    """As Snowflake keeps a name that was typed: in capitals, unless it stands in double quotes."""
    if len(name) > 2 and name[0] == name[-1] == '"':
        return name[1:-1].replace('""', '"')
    return name.upper()


def quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


SESSION_LOST_ERRORS = frozenset({290401, 390104, 390111, 390112, 390114})
"""Errors of a session that the server does not know, as after its restart."""


@dataclass(slots=True)
class RunningStatement:
    """A statement under way, so that whoever gives up on it can have the server stop it."""

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
        """Names the statement by its request: a later one of the same connection is never hit."""
        cursor = self.cursor
        if cursor is not None and cursor._request_id is not None:
            cursor.connection._cancel_query(self.sql.text, cursor._request_id)


class SnowflakeSessions:
    """The connections of one source. What need not be waited for, aborts and closings, is done by a thread aside."""

    def __init__(self, options: SnowflakeOptions) -> None:
        install_adapter()
        self.options = options
        self.idle: deque[SnowflakeConnection] = deque()
        self.executor = build_thread_pool(options.connections, "snowflake")
        self.background_executor = build_thread_pool(1, "snowflake-aside")

    async def run(self, sql: SnowflakeSql) -> list[Row]:
        """All rows of the statement; raises SourceFailed. Given up on, by timeout or cancelling, it is aborted."""
        running = RunningStatement(sql)
        try:
            async with asyncio.timeout(self.options.timeout):
                return await run_in_thread(self.executor, partial(self.execute_on_any, running))
        except asyncio.CancelledError:
            self.abandon(running)
            raise
        except Exception as error:
            self.abandon(running)
            raise map_snowflake_error(error, self.options.timeout) from error

    def abandon(self, running: RunningStatement) -> None:
        running.abandoned = True
        self.background_executor.submit(running.abort)

    def execute_on_any(self, running: RunningStatement) -> list[Row]:
        """Runs in a thread of `calls`, as do the methods it calls."""
        kept = self.pop_idle_connection()
        try:
            return self.execute_on(running, kept or self.open_new_connection())
        except Error as error:
            if kept is None or error.errno not in SESSION_LOST_ERRORS:
                raise
        while (stale := self.pop_idle_connection()) is not None:
            self.background_executor.submit(stale.close, False)
        return self.execute_on(running, self.open_new_connection())

    def execute_on(self, running: RunningStatement, connection: SnowflakeConnection) -> list[Row]:
        """A connection is used again after rows or a refused statement, and closed after anything else."""
        keep = False
        try:
            rows = running.execute(connection)
            keep = not running.abandoned
            return rows
        except ProgrammingError as error:
            keep = error.errno not in SESSION_LOST_ERRORS and not running.abandoned
            raise
        finally:
            if keep:
                self.idle.append(connection)
            else:
                self.background_executor.submit(connection.close, False)

    def pop_idle_connection(self) -> SnowflakeConnection | None:
        with suppress(IndexError):
            return self.idle.pop()
        return None

    def open_new_connection(self) -> SnowflakeConnection:
        connection = open_connection(**build_connection_arguments(self.options))
        # The connector's own timer sends aborts too; one that fails would end as a traceback of a thread.
        connection._cancel_query = partial(call_suppressing_errors, connection._cancel_query)
        return connection

    async def close(self) -> None:
        shut_down_pool(self.executor)
        while (connection := self.pop_idle_connection()) is not None:
            await run_in_thread(self.background_executor, partial(connection.close, False))
        shut_down_pool(self.background_executor)


def call_suppressing_errors(act: Callable[..., Any], *arguments: Any) -> None:
    with suppress(Exception):
        act(*arguments)
