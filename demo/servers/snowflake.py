"""Run Snowflake with Acme's warehouse, which takes any login."""

import atexit
import logging
import time
import warnings
from collections import Counter
from collections.abc import MutableMapping
from fractions import Fraction
from typing import Any

import duckdb

from demo.data.business import build_seed_statements
from demo.data.random import size
from demo.servers.run import build_parser, end_with_parent, serve
from onedoor.connectors.spill.duckdb import drop_leak_report

DATABASE = "ACME"

SCHEMA = "ANALYTICS"

SILENT_SECONDS = 3.0

TOKEN = 'Snowflake Token="'


def main() -> None:
    chosen = build_parser("snowflake").parse_args()
    atexit.register(drop_leak_report)
    end_with_parent(chosen.parent)
    warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")
    # imports for most of a second, so only in a process that serves
    from fakesnow.server import app, sessions

    logging.getLogger("fakesnow.server").setLevel(logging.WARNING)
    seed(chosen.scale)
    serve(SessionReaper(app, sessions), chosen.port)


class SessionReaper:
    """End sessions that are silent in the middle of a transaction, as their clients may be dead.

    Snowflake does so after five minutes, while others wait for what the transaction locks.
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


def seed(scale: Fraction | float) -> None:
    """Fill the server's own memory before it listens."""
    from fakesnow.server import shared_fs

    with shared_fs.connect(DATABASE, SCHEMA) as connection:
        for statement in build_seed_statements(size("customer", scale)):
            connection.cursor().execute(statement)


if __name__ == "__main__":
    main()
