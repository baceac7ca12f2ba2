"""The URL of a Snowflake schema in, the settings of its source out, and the options to describe it with."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from auth.mistake import Mistake, unknown
from introspect.wishes import UNREADABLE
from sources.snowflake.options import Options

HOST = "snowflakecomputing.com"
TAKEN: Mapping[str, Callable[[str], Any]] = {
    "warehouse": str, "role": str, "account": str, "protocol": str, "timeout": float, "connections": int,
}  # fmt: skip
"""What a URL may say behind its question mark."""
PATIENCE = 30.0
"""Seconds for each statement, unless the URL says otherwise: a warehouse may have to wake up first."""
SHAPE = "a Snowflake URL is `snowflake://user:password@account/database/schema?warehouse=...&role=...`"


def settings(url: str) -> Mapping[str, str]:
    """What stands under `[sources.<name>]` in the file of settings. Raises Mistake."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Mistake(UNREADABLE) from None
    database, _, schema = parts.path.strip("/").partition("/")
    if not (parts.username and parts.hostname and database and schema) or "/" in schema:
        raise Mistake(SHAPE)
    host = parts.hostname
    far = host if host.endswith(HOST) or port else f"{host}.{HOST}"
    return {
        "kind": "snowflake",
        "host": far,
        "account": host.partition(".")[0],
        "user": unquote(parts.username),
        "password": unquote(parts.password or ""),
        "database": unquote(database),
        "schema": unquote(schema),
        **({"port": str(port)} if port else {}),
        **_more(parts.query),
    }


def _more(query: str) -> Mapping[str, str]:
    said = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in said.items():
        if name not in TAKEN:
            raise unknown("option of a Snowflake URL", name, TAKEN)
        try:
            TAKEN[name](value)
        except ValueError:
            raise Mistake(f"`{name}` of a Snowflake URL is a number") from None
    return said


def options(said: Mapping[str, str]) -> Options:
    """Of such settings."""
    taken: Mapping[str, Callable[[str], Any]] = {"port": int, **TAKEN}
    given = {name: taken.get(name, str)(value) for name, value in said.items() if name != "kind"}
    return Options(**{"timeout": PATIENCE, **given})
