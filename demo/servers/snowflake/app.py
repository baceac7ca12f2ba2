"""Add to fakesnow what the connector needs of Snowflake: log-ins, their sessions' ends, and locks that are named."""

import gzip
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from typing import Any

import duckdb
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.server import login_request, query_request, routes, sessions
from snowflake.connector.errors import ProgrammingError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from demo.servers.snowflake.account import LoginRefused, SnowflakeAccount, build_account

SILENT_SECONDS = 3.0

TOKEN_PREFIX = 'Snowflake Token="'

SESSION_SECONDS = 3600

MASTER_SECONDS = 14_400

ALTERED_SQL = "SELECT 'Statement executed successfully.' AS \"status\""

LOCK_TIMEOUT = (625, "57014", "Statement was aborted because the number of waiters for this lock exceeds the limit.")
"""What Snowflake says where others hold a lock; DuckDB refuses the change as a conflict at once."""


def create_app() -> ASGIApp:
    """Build the app for the user whose credentials are in the environment."""
    return build_app(build_account(os.environ, time.time))


def build_app(account: SnowflakeAccount) -> ASGIApp:
    report_conflicts()
    session_ids = itertools.count(1)

    async def log_in(request: Request) -> Response:
        body = await read_json(request)
        try:
            account.check_login(body["data"])
        except LoginRefused as refusal:
            return JSONResponse({"success": False, "code": refusal.code, "message": str(refusal), "data": {}})
        answer = json.loads((await login_request(request)).body)
        answer["data"] |= {
            "masterToken": f"master-{answer['data']['token']}",
            "sessionId": next(session_ids),
            "validityInSeconds": SESSION_SECONDS,
            "masterValidityInSeconds": MASTER_SECONDS,
        }
        return JSONResponse(answer)

    async def query(request: Request) -> Response:
        body = await read_json(request)
        if account.alter_user(body["sqlText"]):
            request = replace_body(request, {**body, "sqlText": ALTERED_SQL})
        answer: Response = await query_request(request)
        return answer

    own = [
        Route("/session/v1/login-request", log_in, methods=["POST"]),
        Route("/queries/v1/query-request", query, methods=["POST"]),
    ]
    return SessionReaper(Starlette(routes=[*own, *routes]), sessions)


async def read_json(request: Request) -> dict[str, Any]:
    body = await request.body()
    result: dict[str, Any] = json.loads(gzip.decompress(body) if is_gzipped(request) else body)
    return result


def is_gzipped(request: Request) -> bool:
    return request.headers.get("content-encoding") == "gzip"


def replace_body(request: Request, body: dict[str, Any]) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    headers = [(name, value) for name, value in request.scope["headers"] if name != b"content-encoding"]
    return Request({**request.scope, "headers": headers}, receive)


def report_conflicts() -> None:
    """Have fakesnow answer a conflict of transactions by Snowflake's error for a lock, not as a fault of its own."""
    execute: Callable[..., Any] = FakeSnowflakeCursor.execute

    def execute_or_report(self: FakeSnowflakeCursor, *arguments: Any, **options: Any) -> Any:
        try:
            return execute(self, *arguments, **options)
        except duckdb.TransactionException as error:
            number, state, message = LOCK_TIMEOUT
            raise ProgrammingError(msg=message, errno=number, sqlstate=state) from error

    FakeSnowflakeCursor.execute = execute_or_report


class SessionReaper:
    """End sessions that are silent in the middle of a transaction, as their clients may be dead.

    Snowflake does so after five minutes, while others wait for what the transaction locks.
    """

    def __init__(self, app: ASGIApp, sessions: MutableMapping[str, Any]) -> None:
        self.app = app
        self.sessions = sessions
        self.busy: Counter[str] = Counter()
        self.heard: dict[str, float] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        token = headers.get(b"authorization", b"").decode("latin-1")[len(TOKEN_PREFIX) : -1]
        self.end_silent(time.monotonic())
        self.busy[token] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.busy[token] -= 1
            self.heard[token] = time.monotonic()

    def end_silent(self, now: float) -> None:
        for token in [name for name, at in self.heard.items() if now - at > SILENT_SECONDS and not self.busy[name]]:
            del self.heard[token]
            session = self.sessions.get(token)
            if session is not None and roll_back(session):
                del self.sessions[token]


def roll_back(session: Any) -> bool:
    """Roll back, and return whether there was a transaction."""
    try:
        session._duck_conn.rollback()
    except duckdb.TransactionException:
        return False
    return True
