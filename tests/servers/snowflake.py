"""Stand before a fakesnow, and answer for keys and references, which it lacks, from DuckDB's catalog.

Refusals can be put in the place of statements, so that a far end that lacks one is met over the wire.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
import snowflake.connector
from snowflake.connector import ProgrammingError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

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

CONNECTED: Mapping[str, Any] = {
    "session_parameters": {"CLIENT_TELEMETRY_ENABLED": False},
    "platform_detection_timeout_seconds": 0,
    "login_timeout": 5,
    "network_timeout": 5,
}


class Before:
    """`refusals`: by the beginning of a statement, or LOGIN, the error it is answered with."""

    def __init__(self, place: tuple[str, int]) -> None:
        self.far = "http://{}:{}".format(*place)
        self.refusals: Mapping[str, int] = {}

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
    host, port = place
    account = {"protocol": "http", "account": "acme", "user": "demo", "password": "any"}
    with snowflake.connector.connect(host=host, port=port, **account, **CONNECTED) as connection:
        statements = ("CREATE DATABASE IF NOT EXISTS SHOP", f"CREATE SCHEMA IF NOT EXISTS SHOP.{schema}")
        for item in (*statements, f"USE SCHEMA SHOP.{schema}", *(part for part in script.split(";\n") if part.strip())):
            # fakesnow keeps a column's comment, and then cannot say that it did
            with suppress(*([ProgrammingError] if item.startswith("COMMENT ON COLUMN") else [])):
                connection.cursor().execute(item)
