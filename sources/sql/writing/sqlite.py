"""A SQLite file's transactions: one at a time over a connection of their own, beside those that read."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy.dialects.sqlite import insert

from engine.errors import SourceFailed
from sources.sql.compiled import Statements
from sources.sql.dialects.sqlite import COMPILER, DIALECT
from sources.sql.writing.sqlite_checks import Checks
from sources.sql.writing.statements import MARKERS
from sources.sql.writing.targets import facts, targets
from sources.sql.writing.words import MARKER, Objected, Objection, Session, Sort, Told, Ways
from sources.sql.writing.writer import LOCK_SECONDS, Writer
from sources.threads import in_thread, shut, threads

COLUMNS_SQL = (
    "SELECT m.name, c.name, '', c.hidden IN (2, 3), c.pk FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c "
    "WHERE m.type = 'table'"
)
REFERENCES_SQL = (
    'SELECT CAST(f.id AS TEXT), m.name, f."from", f."table", f."to" '
    "FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table' ORDER BY m.name, f.id, f.seq"
)
MARKER_SQL = (
    f"CREATE TABLE IF NOT EXISTS {MARKER} "
    "(id TEXT NOT NULL PRIMARY KEY, outcome TEXT, made_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)"
)
AT_FIRST = ("PRAGMA journal_mode = WAL", "PRAGMA foreign_keys = ON", "PRAGMA synchronous = FULL")
"""Readers go on while a change is made, and who was told that it was made finds it after the power failed."""
SORTS: Mapping[int, Sort] = {
    **dict.fromkeys(
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID),
        Sort.UNIQUE,
    ),
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: Sort.REFERENCE,
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: Sort.EMPTY,
    sqlite3.SQLITE_CONSTRAINT_CHECK: Sort.CHECK,
    3091: Sort.UNFIT,  # SQLITE_CONSTRAINT_DATATYPE, of strict tables
}
PLAIN: Mapping[int, Sort] = {
    **dict.fromkeys((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), Sort.BUSY),
    **dict.fromkeys((sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_PERM), Sort.DENIED),
    **dict.fromkeys((sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH), Sort.UNFIT),
    **dict.fromkeys((sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN), Sort.LOST),
}
"""By the code without what it is extended by."""
NAMED = re.compile(r"(?:UNIQUE|NOT NULL) constraint failed: (.+)")


def writer(path: Path, writable: Sequence[str], versions: Mapping[str, Any], statements: Statements) -> Writer:
    """Makes the marker table if it is missing. Raises SourceFailed and Mistake; runs in a thread."""
    try:
        connection = opened(path)
        connection.execute(MARKER_SQL)
        said = facts(connection.execute(COLUMNS_SQL).fetchall(), connection.execute(REFERENCES_SQL).fetchall())
    except sqlite3.Error:
        raise SourceFailed(f"`{path.name}` cannot be written to, as `writable` wants") from None
    chosen = targets(writable, versions, statements.tables, said)
    sessions = Sessions(path, connection)
    ways = Ways(
        session=sessions.session,
        locked="",
        claim=insert(MARKERS).values(id=bindparam("v0")).on_conflict_do_nothing().returning(MARKERS.c.id),
        returning=True,
        given=lambda slot, stored, _: DIALECT.bound(slot, stored),
        checked=Checks(said, statements.tables).checked,
        close=sessions.close,
    )
    return Writer(chosen, ways, statements, COMPILER)


def opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, check_same_thread=False, isolation_level=None,
        timeout=LOCK_SECONDS,
    )  # fmt: skip
    for each in AT_FIRST:
        connection.execute(each).fetchall()
    return connection


class Sessions:
    """One connection, and the one thread that it is used by."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection: sqlite3.Connection | None = connection
        self.pool = threads(1, "sqlite-writer")
        self.turn = asyncio.Lock()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        async with self.turn:
            try:
                await self.act(self._begin)
                yield Transaction(self)
            finally:
                await in_thread(self.pool, self._end)

    async def act(self, act: Callable[[], Any]) -> Any:
        try:
            return await in_thread(self.pool, act)
        except sqlite3.Error as error:
            raise Objected(objection(error)) from None

    def _begin(self) -> None:
        if self.connection is None:
            self.connection = opened(self.path)
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("PRAGMA defer_foreign_keys = ON")

    def _end(self) -> None:
        """Undoes what was not committed; a connection that cannot do even that is not used again."""
        if self.connection is None or not self.connection.in_transaction:
            return
        try:
            self.connection.execute("ROLLBACK")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self.connection.close()
            self.connection = None

    async def close(self) -> None:
        shut(self.pool)
        if self.connection is not None:
            self.connection.close()


class Transaction:
    """The one that is under way."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    async def run(self, sql: str, values: Sequence[Any]) -> Told:
        told: Told = await self.sessions.act(partial(self._run, sql, values))
        return told

    def _run(self, sql: str, values: Sequence[Any]) -> Told:
        assert self.sessions.connection is not None
        rows = self.sessions.connection.execute(sql, values).fetchall()
        return Told(rows=rows, changed=len(rows))

    async def commit(self) -> None:
        await self.run("COMMIT", ())


def objection(error: sqlite3.Error) -> Objection:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    sort = SORTS.get(code) or PLAIN.get(code & 0xFF, Sort.OTHER)
    found = NAMED.fullmatch(str(error))
    names = found[1].split(", ") if found and not found[1].startswith("index ") else ()
    return Objection(sort=sort, columns=tuple(each.partition(".")[2] for each in names))
