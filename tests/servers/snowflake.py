"""Stand before a fakesnow, and answer for keys and references, which it lacks, from DuckDB's catalog.

Refusals can be put in the place of statements, so that a far end that lacks one is met over the wire.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from demo.run import SECRETS
from demo.servers.snowflake.account import ACCOUNT, USER
from tests.servers.serving import serve_in_thread

LOGIN = "/session/v1/login-request"
IMPORTED = """
    SELECT NULL, database_name, schema_name, referenced_table, unnest(referenced_column_names), database_name,
        schema_name, table_name, unnest(constraint_column_names), generate_subscripts(constraint_column_names, 1),
        '', '', constraint_name || constraint_index, '', '', 'false', NULL
    FROM duckdb_constraints() WHERE constraint_type = 'FOREIGN KEY' AND {}
"""
UNIQUE = """
    SELECT NULL, database_name, schema_name, table_name, unnest(constraint_column_names),
        generate_subscripts(constraint_column_names, 1), constraint_name || constraint_index, 'false', NULL
    FROM duckdb_constraints() WHERE constraint_type = 'UNIQUE' AND {}
"""
TOLD = {"SHOW IMPORTED KEYS IN SCHEMA ": IMPORTED, "SHOW UNIQUE KEYS IN SCHEMA ": UNIQUE}

LOGGED_IN: Mapping[str, Any] = {
    "protocol": "http",
    "account": ACCOUNT,
    "user": USER,
    "password": SECRETS["SNOWFLAKE_PASSWORD"],
}
"""What the demo's Snowflake takes, as arguments of the connector and as settings of a source alike."""


def open_session(place: tuple[str, int], **more: Any) -> Any:
    """Open a connection; only here is the connector imported, as it starts threads that no fork survives."""
    import snowflake.connector

    host, port = place
    return snowflake.connector.connect(
        host=host,
        port=port,
        paramstyle="qmark",
        session_parameters={"CLIENT_TELEMETRY_ENABLED": False},
        client_store_temporary_credential=False,
        enable_server_session_keep_alive_auto_detection=False,
        login_timeout=60,
        **{**LOGGED_IN, **more},
    )


class Before:
    """`refusals`: by the beginning of a statement, or LOGIN, the error it is answered with."""

    def __init__(self, place: tuple[str, int]) -> None:
        self.far = "http://{}:{}".format(*place)
        self.refusals: Mapping[str, int] = {}
        self.authorizations: set[str] = set()

    async def end_sessions(self) -> None:
        """Have the far end forget all sessions that were seen, as a server does that is started again."""
        async with aiohttp.ClientSession() as session:
            for authorization in self.authorizations:
                async with session.post(f"{self.far}/session?delete=true", headers={"Authorization": authorization}):
                    pass
        self.authorizations.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        sent = await request.body()
        packed = request.headers.get("content-encoding") == "gzip"
        body = json.loads(gzip.decompress(sent) if packed else sent or b"{}")
        answer = self.refused(body.get("sqlText", request.url.path)) or await self.passed_on(request, body)
        await answer(scope, receive, send)

    def refused(self, text: str) -> Response | None:
        result = next((code for start, code in self.refusals.items() if text.startswith(start)), None)
        if result is None:
            return None
        more = {"message": "secret", "data": {"sqlState": "42501"}}
        return JSONResponse({"success": False, "code": f"{result:06}", **more})

    async def passed_on(self, request: Request, body: dict[str, Any]) -> Response:
        if "sqlText" in body:
            body["sqlText"] = translate_show(body["sqlText"])
        kept = {name: value for name, value in request.headers.items() if name in ("authorization", "accept")}
        if "authorization" in kept:
            self.authorizations.add(kept["authorization"])
        async with aiohttp.ClientSession() as session:
            url = f"{self.far}{request.url.path}?{request.url.query}"
            async with session.request(request.method, url, json=body, headers=kept) as answer:
                return Response(await answer.read(), answer.status, media_type=answer.content_type)


def translate_show(text: str) -> str:
    for start, sql in TOLD.items():
        if text.startswith(start):
            database, schema = text.removeprefix(start).replace('"', "").split(".")
            return sql.format(f"database_name = '{database}' AND schema_name = '{schema}'")
    return text


@contextmanager
def run_front(before: Before) -> Iterator[int]:
    """Its port, for as long as the context lasts."""
    with serve_in_thread(before) as port:
        yield port


def run_script(place: tuple[str, int], schema: str, script: str) -> None:
    """A schema of the database SHOP, by statements that end in `;` and a new line."""
    with open_session(place) as connection:
        from snowflake.connector import ProgrammingError

        statements = ("CREATE DATABASE IF NOT EXISTS SHOP", f"CREATE SCHEMA IF NOT EXISTS SHOP.{schema}")
        for item in (*statements, f"USE SCHEMA SHOP.{schema}", *(part for part in script.split(";\n") if part.strip())):
            # fakesnow keeps a column's comment, and then cannot say that it did
            with suppress(*([ProgrammingError] if item.startswith("COMMENT ON COLUMN") else [])):
                connection.cursor().execute(item)
