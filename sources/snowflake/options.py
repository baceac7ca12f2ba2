"""What onedoor.toml says of a Snowflake source, and what the connector is told."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SESSION = {"CLIENT_TELEMETRY_ENABLED": False, "TIMEZONE": "UTC", "LOCK_TIMEOUT": 5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
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


def settings(options: Options) -> Mapping[str, Any]:
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
        "session_parameters": SESSION,
        "client_store_temporary_credential": False,
        "client_request_mfa_token": False,
        "platform_detection_timeout_seconds": 0,
    }
