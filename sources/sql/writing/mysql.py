"""A MySQL or MariaDB database's transactions: over connections that may write, each kept when it has ended."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from asyncmy import errors
from sqlalchemy import bindparam
from sqlalchemy.dialects.mysql import insert

from auth.mistake import Mistake
from engine.change.words import Change, Made
from engine.errors import SourceFailed
from sources.sql.compiled import Statements
from sources.sql.dialects.mysql import COMPILER, DIALECT
from sources.sql.writing.statements import MARKERS
from sources.sql.writing.targets import facts, targets
from sources.sql.writing.words import MARKER, Facts, Objected, Objection, Session, Sort, Told, Ways
from sources.sql.writing.writer import LOCK_SECONDS, Writer

CONNECTIONS = 4
"""Transactions at once."""
AT_FIRST = (
    "SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = {seconds:.0f}, "
    "sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)
"""Strict, so that nothing is cut or rounded to fit; what else was committed is seen at once."""
COLUMNS_SQL = """
    SELECT c.table_name, c.column_name, c.column_type, c.extra REGEXP '(VIRTUAL|STORED|PERSISTENT) GENERATED',
        COALESCE(s.seq_in_index, 0)
    FROM information_schema.columns c LEFT JOIN information_schema.statistics s
        ON s.table_schema = c.table_schema AND s.table_name = c.table_name AND s.column_name = c.column_name
        AND s.index_name = 'PRIMARY'
    WHERE c.table_schema = DATABASE() ORDER BY c.table_name, c.ordinal_position
"""
REFERENCES_SQL = """
    SELECT constraint_name, table_name, column_name, referenced_table_name, referenced_column_name
    FROM information_schema.key_column_usage
    WHERE table_schema = DATABASE() AND referenced_table_schema = DATABASE() AND referenced_table_name IS NOT NULL
    ORDER BY table_name, constraint_name, ordinal_position
"""
UNIQUE_SQL = """
    SELECT table_name, index_name, column_name FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND non_unique = 0 AND column_name IS NOT NULL
    ORDER BY table_name, index_name, seq_in_index
"""
ENGINES_SQL = """
    SELECT table_name, engine FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'
"""
THERE_SQL = f"""
    SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '{MARKER}'
"""
MARKER_SQL = (
    f"CREATE TABLE IF NOT EXISTS {MARKER} (id varchar(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, "
    "outcome longtext CHARACTER SET utf8mb4, made_at datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) ENGINE=InnoDB"
)
SORTS: Mapping[int, Sort] = {
    **dict.fromkeys((1062, 1586), Sort.UNIQUE),
    **dict.fromkeys((1216, 1217, 1451, 1452), Sort.REFERENCE),
    **dict.fromkeys((1048, 1364), Sort.EMPTY),
    **dict.fromkeys((3819, 4025), Sort.CHECK),
    **dict.fromkeys((1264, 1265, 1292, 1366, 1406, 1411, 3140), Sort.UNFIT),
    **dict.fromkeys((1044, 1045, 1142, 1143, 1227, 1290, 1792), Sort.DENIED),
    **dict.fromkeys((1020, 1205, 1213), Sort.BUSY),
}
CONSTRAINT = re.compile(r"CONSTRAINT `((?:[^`]|``)+)` FOREIGN KEY")
COLUMN = re.compile(r"(?:Column|column|Field) '([^']+)'|for column [^ ]*?`?([^`' .]+)`? at row|for column '([^']+)'")
KEY = re.compile(r"for key '(?:[^']*\.)?([^'.]+)'$")
FAILURES = (errors.MySQLError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """How a connection is opened, whether an error tells that one is lost, and how one is left in the middle."""

    opened: Callable[[Sequence[str]], Awaitable[Any]]
    gone: Callable[[Exception], bool]
    leave: Callable[[Any], None]


async def writer(links: Links, writable: Sequence[str], versions: Mapping[str, Any], statements: Statements) -> Writer:
    """Makes the marker table if it is missing. Raises SourceFailed and Mistake."""
    sessions = Sessions(links)
    try:
        connection = await sessions.taken()
        try:
            [(there,)] = (await _asked(connection, THERE_SQL, ())).rows
            if not there:
                await _asked(connection, MARKER_SQL, ())
            asked = (COLUMNS_SQL, REFERENCES_SQL, UNIQUE_SQL, ENGINES_SQL)
            columns, references, unique, engines = [(await _asked(connection, each, ())).rows for each in asked]
        finally:
            connection.close()
    except FAILURES as error:
        raise sessions.unwritable(error) from None
    sessions.facts = facts(columns, references, unique)
    _undoing(writable, dict(engines))  # type: ignore[arg-type]
    ways = Ways(
        session=sessions.session,
        locked=" FOR UPDATE",
        claim=insert(MARKERS).values(id=bindparam("v0")).on_duplicate_key_update(id=MARKERS.c.id),
        returning=False,
        given=lambda slot, stored, _: DIALECT.bound(slot, stored),
        checked=checked,
        unique=sessions.facts.unique,
        close=sessions.close,
    )
    return Writer(targets(writable, versions, statements.tables, sessions.facts), ways, statements, COMPILER)


def _undoing(writable: Sequence[str], engines: Mapping[str, str]) -> None:
    for each in writable:
        if each in engines and engines[each].upper() != "INNODB":
            raise Mistake(f"`{each}` cannot be written to: its engine undoes nothing, make it InnoDB")


async def checked(_: Session, *__: Sequence[Change] | Sequence[Made]) -> None:
    """InnoDB sees to everything at once."""


class Sessions:
    """Connections that may write."""

    def __init__(self, links: Links) -> None:
        self.links = links
        self.facts: Facts | None = None
        self.slots = asyncio.Semaphore(CONNECTIONS)
        self.idle: list[Any] = []

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        async with self.slots:
            connection = await self._begun()
            transaction = Transaction(connection, self)
            try:
                yield transaction
            except BaseException:
                await self._undone(connection, transaction)
                raise
            await self._undone(connection, transaction)

    async def taken(self) -> Any:
        return await self.links.opened([each.format(seconds=LOCK_SECONDS) for each in AT_FIRST])

    async def _begun(self) -> Any:
        while self.idle:
            with suppress(*FAILURES):
                return await _begin(self.idle.pop())
        try:
            return await _begin(await self.taken())
        except FAILURES as error:
            raise Objected(self.objection(error)) from None

    async def _undone(self, connection: Any, transaction: "Transaction") -> None:
        """What was not committed; a connection in the middle of a statement is left, and the server undoes it."""
        if transaction.busy:
            self.links.leave(connection)
            return
        try:
            if not transaction.ended:
                async with asyncio.timeout(LOCK_SECONDS):
                    await connection.rollback()
        except FAILURES:
            connection.close()
        else:
            self.idle.append(connection)

    def unwritable(self, error: Exception) -> SourceFailed:
        if self.objection(error).sort is Sort.DENIED:
            return SourceFailed(f"the database does not let its user make the table `{MARKER}`, which `writable` needs")
        return SourceFailed("the database does not answer", again=True)

    def objection(self, error: Exception) -> Objection:
        if self.links.gone(error):
            return Objection(sort=Sort.LOST)
        number, text = (*error.args, 0, "")[0], str(error.args[-1]) if error.args else ""
        sort = SORTS.get(number, Sort.OTHER)
        if sort is Sort.REFERENCE:
            named = CONSTRAINT.search(text)
            name = named[1].replace("``", "`") if named else None
            found = self.facts.references if self.facts else ()
            return Objection(sort=sort, reference=next((each for each in found if each.name == name), None))
        if sort is Sort.UNIQUE:
            named = KEY.search(text)
            return Objection(sort=sort, key=named[1] if named else "")
        column = COLUMN.search(text)
        return Objection(sort=sort, columns=(next(filter(None, column.groups())),) if column else ())

    async def close(self) -> None:
        while self.idle:
            with suppress(*FAILURES):
                self.idle.pop().close()


async def _begin(connection: Any) -> Any:
    try:
        await connection.begin()
    except BaseException:
        connection.close()
        raise
    return connection


class Transaction:
    """One that is under way. `busy`: in the middle of a statement, or lost in it."""

    def __init__(self, connection: Any, sessions: Sessions) -> None:
        self.connection = connection
        self.sessions = sessions
        self.busy = False
        self.ended = False

    async def run(self, sql: str, values: Sequence[Any]) -> Told:
        told: Told = await self._act(lambda: _asked(self.connection, sql, values))
        return told

    async def commit(self) -> None:
        await self._act(self.connection.commit)
        self.ended = True

    async def _act(self, act: Callable[[], Awaitable[Any]]) -> Any:
        self.busy = True
        try:
            found = await act()
        except FAILURES as error:
            self.busy = self.sessions.links.gone(error)
            raise Objected(self.sessions.objection(error)) from None
        except (ValueError, ArithmeticError, TypeError):
            raise Objected(Objection(sort=Sort.UNFIT)) from None
        self.busy = False
        return found


async def _asked(connection: Any, sql: str, values: Sequence[Any]) -> Told:
    cursor = connection.cursor()
    await cursor.execute(sql, tuple(values))
    rows = await cursor.fetchall() if cursor.description else ()
    return Told(rows=rows, changed=cursor.rowcount, number=cursor.lastrowid or 0)
