"""Read the settings of a Snowflake schema, from a settings file or a URL."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from onedoor.codegen.apply import UNREADABLE_URL
from onedoor.errors import ConfigurationError, build_unknown_name_error

SESSION_PARAMETERS = {
    "CLIENT_TELEMETRY_ENABLED": False,
    "TIMEZONE": "UTC",
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    "DATE_INPUT_FORMAT": "AUTO",
    "LOCK_TIMEOUT": 5,
}

DEFAULT_DOMAIN = "snowflakecomputing.com"

URL_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "warehouse": str, "role": str, "account": str, "protocol": str, "timeout": float, "connections": int,
}  # fmt: skip
"""The options in the query of a URL, and how each is parsed."""

PREFETCH_MEGABYTES = 64
"""How much of a result one connection fetches ahead."""

INTROSPECTION_TIMEOUT = 30.0
"""The timeout of each statement where the URL names none: a suspended warehouse takes long to resume."""

URL_FORMAT_MESSAGE = "a Snowflake URL is `snowflake://user:password@account/database/schema?warehouse=...&role=...`"


PASSWORD_AUTHENTICATOR, KEY_AUTHENTICATOR, OAUTH_AUTHENTICATOR = "SNOWFLAKE", "SNOWFLAKE_JWT", "OAUTH"

PRIVATE_KEY_MESSAGE = "`private_key` of a Snowflake source must be an RSA key in PEM; `private_key_passphrase` opens it"

CREDENTIALS_MESSAGE = "a Snowflake source takes one of `password`, `private_key`, `token` and `token_file`"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeOptions:
    """The settings of one schema.

    It logs in by one of `password`, `private_key` (PEM, with `private_key_passphrase` if it is encrypted), `token` (of
    OAuth) and `token_file`, which is read at each login. `timeout`: how many seconds a statement may take, its login
    included. `connections`: how many statements may run at once. `writable`: by table that may be changed, the columns
    that name a row. `versions`: by table, the column that counts its changes.
    """

    host: str
    account: str
    user: str
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    private_key_passphrase: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
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
    """Build the arguments of a connection that tries each call once, and keeps no credentials on disk.

    Raises ConfigurationError.
    """
    seconds = math.ceil(options.timeout)
    return {
        "host": options.host,
        "port": options.port,
        "protocol": options.protocol,
        "account": options.account,
        "user": options.user,
        **build_credentials(options),
        "database": options.database,
        "schema": options.schema,
        "warehouse": options.warehouse,
        "role": options.role,
        "connect_timeout": seconds,
        "login_timeout": seconds,
        "query_timeout": seconds,
        "request_timeout": seconds,
        "retry_timeout": seconds,
        "retry_max_attempts": 1,
        "client_memory_limit": PREFETCH_MEGABYTES,
        "paramstyle": "qmark",
        "session_parameters": SESSION_PARAMETERS,
        "client_store_temporary_credential": False,
        # each connection says goodbye; none leaves a statement behind that runs on its own
        "enable_server_session_keep_alive_auto_detection": False,
    }


def build_credentials(options: SnowflakeOptions) -> Mapping[str, str]:
    """Build the arguments by which a connection logs in. Raises ConfigurationError unless there is one way."""
    ways = (options.password, options.private_key, options.token, options.token_file)
    if len(ways) - ways.count(None) != 1:
        raise ConfigurationError(CREDENTIALS_MESSAGE)
    if options.private_key is not None:
        key = load_private_key(options.private_key, options.private_key_passphrase)
        return {"authenticator": KEY_AUTHENTICATOR, "private_key": key}
    if options.token is not None:
        return {"authenticator": OAUTH_AUTHENTICATOR, "token": options.token}
    if options.token_file is not None:
        return {"authenticator": OAUTH_AUTHENTICATOR, "token_file_path": str(options.token_file)}
    return {"authenticator": PASSWORD_AUTHENTICATOR, "password": str(options.password)}


def load_private_key(pem: str, passphrase: str | None) -> str:
    """Return the key without its passphrase. Raises ConfigurationError where it cannot be read."""
    try:
        key = load_pem_private_key(pem.encode(), None if passphrase is None else passphrase.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(PRIVATE_KEY_MESSAGE) from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(PRIVATE_KEY_MESSAGE)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


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
