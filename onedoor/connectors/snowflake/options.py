"""Read the settings of a Snowflake schema, from a settings file or a URL."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from onedoor.codegen.apply import UNREADABLE_URL
from onedoor.errors import ConfigurationError, build_unknown_name_error

SESSION_PARAMETERS = {"CLIENT_TELEMETRY_ENABLED": False, "TIMEZONE": "UTC", "LOCK_TIMEOUT": 5}

DEFAULT_DOMAIN = "snowflakecomputing.com"

URL_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "warehouse": str, "role": str, "account": str, "protocol": str, "timeout": float, "connections": int,
}  # fmt: skip
"""The options in the query of a URL, and how each is parsed."""

INTROSPECTION_TIMEOUT = 30.0
"""The timeout of each statement where the URL names none: a suspended warehouse takes long to resume."""

URL_FORMAT_MESSAGE = "a Snowflake URL is `snowflake://user:password@account/database/schema?warehouse=...&role=...`"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeOptions:
    """The settings of one schema.

    `timeout`: how many seconds a statement may take, its login included. `connections`: how many statements may run at
    once. `writable`: by table that may be changed, the columns that name a row. `versions`: by table, the column that
    counts its changes.
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
    """Build the arguments of a connection without telemetry, credentials on disk or detection of the cloud."""
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


def parse_source_settings(url: str) -> Mapping[str, str]:
    """Return the settings of `[sources.<name>]` that open this URL. Raises ConfigurationError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError(UNREADABLE_URL) from None
    database, _, schema = parts.path.strip("/").partition("/")
    if not (parts.username and parts.hostname and database and schema) or "/" in schema:
        raise ConfigurationError(URL_FORMAT_MESSAGE)
    host = parts.hostname
    is_full_host = host.endswith(DEFAULT_DOMAIN) or port is not None
    return {
        "kind": "snowflake",
        "host": host if is_full_host else f"{host}.{DEFAULT_DOMAIN}",
        "account": host.partition(".")[0],
        "user": unquote(parts.username),
        "password": unquote(parts.password or ""),
        "database": unquote(database),
        "schema": unquote(schema),
        **({"port": str(port)} if port else {}),
        **_parse_url_options(parts.query),
    }


def _parse_url_options(query: str) -> Mapping[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in URL_OPTIONS:
            raise build_unknown_name_error("option of a Snowflake URL", name, URL_OPTIONS)
        try:
            URL_OPTIONS[name](value)
        except ValueError:
            raise ConfigurationError(f"`{name}` of a Snowflake URL is a number") from None
    return options


def build_introspection_options(settings: Mapping[str, str]) -> SnowflakeOptions:
    """Build options from what `parse_source_settings` returns."""
    parsers: Mapping[str, Callable[[str], Any]] = {"port": int, **URL_OPTIONS}
    options = {name: parsers.get(name, str)(value) for name, value in settings.items() if name != "kind"}
    return SnowflakeOptions(**{"timeout": INTROSPECTION_TIMEOUT, **options})
