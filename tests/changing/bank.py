"""Two sources that can be changed, one with transactions and a mark per change, one with neither; and their faults."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from engine.change import kept
from engine.change.words import Change, Made, Unmade, Verb, Writes
from engine.errors import Code, SourceFailed
from engine.words import Ask, Can, Column, Kind, Row

FREE = 10**6
"""Numbers from here on are never given by the bank."""
VERBS = (Verb.CREATE, Verb.UPDATE, Verb.PUT, Verb.DELETE)
ACCOUNT = {
    "id": Kind.INTEGER, "name": Kind.TEXT, "owner_id": Kind.INTEGER, "kind": Kind.TEXT, "tags": Kind.LIST,
    "version": Kind.INTEGER,
}  # fmt: skip
ENTRY = {"account_id": Kind.INTEGER, "line": Kind.INTEGER, "text": Kind.TEXT, "version": Kind.INTEGER}
TABLES = {"account": (ACCOUNT, ("id",)), "entry": (ENTRY, ("account_id", "line"))}
POST = {"id": Kind.TEXT, "text": Kind.TEXT}
SCHEMA = """
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, name, owner_id, kind, tags, version, change_id);
CREATE TABLE IF NOT EXISTS entry (account_id, line, text, version, change_id, PRIMARY KEY (account_id, line));
CREATE TABLE IF NOT EXISTS mark (change_id TEXT PRIMARY KEY, before TEXT, after TEXT, fence INTEGER);
"""


class Bank:
    """Accounts and their entries in a SQLite file: transactions, versions, and a mark of each change beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(self._open()) as connection:
            connection.executescript(SCHEMA)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=5, isolation_level=None)
        connection.row_factory = sqlite3.Row
        return connection

    @contextmanager
    def _transaction(self, end: str) -> Any:
        with closing(self._open()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute(end)

    def can(self, collection: str) -> Can:
        return Can(columns={name: Column(kind) for name, kind in TABLES[collection][0].items()})

    def writes(self, collection: str) -> Writes | None:
        columns, key = TABLES[collection]
        given = frozenset(columns) - {"version", *key}
        return Writes(verbs=dict.fromkeys(VERBS, given), version="version", together=True, fenced=True)

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        yield [tuple(row[each] for each in ask.columns) for row in self.all(ask.collection)]

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        return await asyncio.to_thread(self._write, changes, "ROLLBACK" if dry else "COMMIT")

    async def made(self, change: Change) -> Made | None:
        return await asyncio.to_thread(self._made, change.id)

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None

    def all(self, collection: str) -> list[dict[str, Any]]:
        with closing(self._open()) as connection:
            return [_row(collection, row) for row in connection.execute(f"SELECT * FROM {collection}")]

    def seed(self, collection: str, **values: Any) -> None:
        with self._transaction("COMMIT") as connection:
            self._put(connection, collection, values)

    def _write(self, changes: Sequence[Change], end: str) -> list[Made]:
        with self._transaction(end) as connection:
            return [self._one(connection, each) for each in changes]

    def _made(self, change_id: str) -> Made | None:
        with self._transaction("COMMIT") as connection:
            known = connection.execute("SELECT * FROM mark WHERE change_id = ?", (change_id,)).fetchone()
            if known is None:
                connection.execute("INSERT INTO mark VALUES (?, NULL, NULL, 1)", (change_id,))
            if known is None or known["fence"]:
                return None
            return Made(before=kept.row(known["before"]), after=kept.row(known["after"]))

    def _one(self, connection: sqlite3.Connection, change: Change) -> Made:
        if connection.execute("SELECT 1 FROM mark WHERE change_id = ?", (change.id,)).fetchone():
            raise Unmade("it was said before that this was not made", Code.CHANGE_UNSETTLED)
        key = self._key(connection, change)
        before = self._get(connection, change.collection, key)
        _check(change, before)
        after = None if change.verb is Verb.DELETE else {**_blank(change.collection), **(before or {}), **change.values}
        where = " AND ".join(f"{name} = ?" for name in key)
        connection.execute(f"DELETE FROM {change.collection} WHERE {where}", tuple(key.values()))
        if after is not None:
            after |= {**key, "version": (before or {}).get("version", 0) + 1}
            self._put(connection, change.collection, after, change.id)
        made = Made(before=before, after=after)
        marked = (change.id, kept.row_text(before), kept.row_text(after))
        connection.execute("INSERT INTO mark VALUES (?, ?, ?, 0)", marked)
        return made

    def _key(self, connection: sqlite3.Connection, change: Change) -> dict[str, Any]:
        if change.key:
            return dict(change.key)
        given = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM account WHERE id < ?", (FREE,)).fetchone()[0]
        return {"id": given}

    def _get(self, connection: sqlite3.Connection, collection: str, key: Mapping[str, Any]) -> dict[str, Any] | None:
        where = " AND ".join(f"{name} = ?" for name in key)
        row = connection.execute(f"SELECT * FROM {collection} WHERE {where}", tuple(key.values())).fetchone()
        return None if row is None else _row(collection, row)

    def _put(self, connection: sqlite3.Connection, collection: str, row: Mapping[str, Any], change: str = "") -> None:
        values = {**_blank(collection), "version": 1, **row, "change_id": change}
        values = {name: json.dumps(each) if isinstance(each, tuple) else each for name, each in values.items()}
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {collection} ({names}) VALUES ({marks})", tuple(values.values()))


def _check(change: Change, before: Mapping[str, Any] | None) -> None:
    if before is None and change.verb in (Verb.UPDATE, Verb.DELETE):
        raise Unmade(f"there is no such {change.collection}", Code.NOT_FOUND)
    if before is not None and change.verb is Verb.CREATE:
        raise Unmade(f"there is such an {change.collection} already", Code.ALREADY_EXISTS)
    if change.version is not None and (before is None or str(before["version"]) != change.version):
        raise Unmade("somebody changed it", Code.VERSION_CONFLICT)


def _blank(collection: str) -> dict[str, Any]:
    return dict.fromkeys(TABLES[collection][0])


def _row(collection: str, row: sqlite3.Row) -> dict[str, Any]:
    values = {name: row[name] for name in TABLES[collection][0]}
    if isinstance(values.get("tags"), str):
        values["tags"] = tuple(json.loads(values["tags"]))
    return values


class Board:
    """Posts without transactions or versions: each carries the id of its change, and one told late may come late."""

    def __init__(self) -> None:
        self.posts: dict[str, tuple[str, str]] = {}
        """By id: the change that made it, and its text."""

    def can(self, collection: str) -> Can:
        return Can(columns={name: Column(kind) for name, kind in {"post": POST}[collection].items()})

    def writes(self, collection: str) -> Writes | None:
        return Writes(verbs={Verb.CREATE: frozenset({"text"}), Verb.DELETE: frozenset()})

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        found = [{"id": name, "text": text} for name, (_, text) in self.posts.items()]
        yield [tuple(row[each] for each in ask.columns) for row in found]

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        (change,) = changes
        if change.verb is Verb.DELETE:
            name = change.key["id"]
            if name not in self.posts:
                raise Unmade("there is no such post", Code.NOT_FOUND)
            _, text = self.posts[name] if dry else self.posts.pop(name)
            return [Made(before={"id": name, "text": text}, after=None)]
        row = {"id": f"p{len(self.posts) + 1}", "text": change.values["text"]}
        if not dry:
            self.posts[row["id"]] = (change.id, row["text"])
        return [Made(before=None, after=row)]

    async def made(self, change: Change) -> Made | None:
        found = [{"id": name, "text": text} for name, (by, text) in self.posts.items() if by == change.id]
        return Made(before=None, after=found[0]) if found else None

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


Fault = Callable[[Any, Sequence[Change]], Any]


async def refused(inner: Any, changes: Sequence[Change]) -> Sequence[Made]:
    """It says that it made nothing."""
    raise Unmade("it does not want to")


async def dropped(inner: Any, changes: Sequence[Change]) -> Sequence[Made]:
    """The call never comes to it."""
    raise SourceFailed("the line is cut")


async def lost(inner: Any, changes: Sequence[Change]) -> Sequence[Made]:
    """The call comes to it, and its answer to nobody."""
    await inner.write(changes)
    raise SourceFailed("the line is cut")


async def crashed(inner: Any, changes: Sequence[Change]) -> Sequence[Made]:
    """Our own client has a bug, after the call."""
    await inner.write(changes)
    raise ZeroDivisionError


async def hanging(inner: Any, changes: Sequence[Change]) -> Sequence[Made]:
    """Made, and then never answered."""
    await inner.write(changes)
    await asyncio.Event().wait()
    raise AssertionError


class Faulty:
    """A source whose calls go wrong as `faults` say, one after the other; then all is well. `mute`: it cannot say."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.faults: list[Fault | None] = []
        self.mute = False
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        self.told += [each.id for each in changes]
        fault = self.faults.pop(0) if self.faults else None
        return await (self.inner.write(changes, dry=dry) if fault is None else fault(self.inner, changes))

    async def made(self, change: Change) -> Made | None:
        if self.mute:
            raise SourceFailed("the line is cut")
        return await self.inner.made(change)
