"""Options to a server that speaks Snowflake's protocol: database ACME, schema ANALYTICS, any login."""

import logging
import time
import warnings
from collections import Counter
from collections.abc import MutableMapping
from fractions import Fraction
from typing import Any

import duckdb

from demo.data.business import statements
from demo.data.random import size
from demo.servers.run import follow, options, serve

DATABASE = "ACME"

SCHEMA = "ANALYTICS"

SILENT_SECONDS = 3.0

TOKEN = 'Snowflake Token="'


def main() -> None:
    chosen = options("snowflake").parse_args()
    follow(chosen.parent)
    warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")
    # imports for most of a second, so only in a process that serves
    from fakesnow.server import app, sessions

    logging.getLogger("fakesnow.server").setLevel(logging.WARNING)
    seed(chosen.scale)
    serve(Detached(app, sessions), chosen.port)


class Detached:
    """Before the server: it ends sessions that are silent in the middle of a transaction, as their clients may be dead.

    Snowflake does so after five minutes, where others wait for what such a transaction holds.
    """

    def __init__(self, app: Any, sessions: MutableMapping[str, Any]) -> None:
        self.app = app
        self.sessions = sessions
        self.busy: Counter[str] = Counter()
        self.heard: dict[str, float] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        token = headers.get(b"authorization", b"").decode("latin-1")[len(TOKEN) : -1]
        self.end_silent(time.monotonic())
        self.busy[token] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.busy[token] -= 1
            self.heard[token] = time.monotonic()

    def end_silent(self, now: float) -> None:
        for token in [each for each, at in self.heard.items() if now - at > SILENT_SECONDS and not self.busy[each]]:
            del self.heard[token]
            session = self.sessions.get(token)
            if session is not None and undone(session):
                del self.sessions[token]


def undone(session: Any) -> bool:
    """Whether there was a transaction to undo."""
    try:
        session._duck_conn.rollback()
    except duckdb.TransactionException:
        return False
    return True


def seed(scale: Fraction | float) -> None:
    """Into the server's own memory, before it listens."""
    from fakesnow.server import shared_fs

    with shared_fs.connect(DATABASE, SCHEMA) as connection:
        for statement in statements(size("customer", scale)):
            connection.cursor().execute(statement)


if __name__ == "__main__":
    main()
