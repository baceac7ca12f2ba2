"""Provide two writable connectors and their faults: one has transactions and marks each change, one has neither."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.mutations import intents
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, WriteCapabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

FREE = 10**6
"""The bank never gives an id from here on."""
VERBS = (ChangeKind.CREATE, ChangeKind.UPDATE, ChangeKind.PUT, ChangeKind.DELETE)
ACCOUNT = {
    "id": ColumnType.INTEGER,
    "name": ColumnType.TEXT,
    "owner_id": ColumnType.INTEGER,
    "kind": ColumnType.TEXT,
    "tags": ColumnType.LIST,
    "version": ColumnType.INTEGER,
}
ENTRY = {
    "account_id": ColumnType.INTEGER,
    "line": ColumnType.INTEGER,
    "text": ColumnType.TEXT,
    "version": ColumnType.INTEGER,
}
TABLES = {"account": (ACCOUNT, ("id",)), "entry": (ENTRY, ("account_id", "line"))}
POST = {"id": ColumnType.TEXT, "text": ColumnType.TEXT}
SCHEMA = """
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, name, owner_id, kind, tags, version, change_id);
CREATE TABLE IF NOT EXISTS entry (account_id, line, text, version, change_id, PRIMARY KEY (account_id, line));
CREATE TABLE IF NOT EXISTS mark (change_id TEXT PRIMARY KEY, before TEXT, after TEXT, fence INTEGER);
"""


class Bank:
    """Accounts and their entries in a SQLite file: transactions, versions, and a mark of each change beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before_commit: Callable[[], None] = lambda: None
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
            self.before_commit()
            connection.execute(end)

    def capabilities(self, collection: str) -> Capabilities:
        return Capabilities(columns={name: Column(kind) for name, kind in TABLES[collection][0].items()})

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        columns, key = TABLES[collection]
        given = frozenset(columns) - {"version", *key}
        return WriteCapabilities(
            settable_columns=dict.fromkeys(VERBS, given), version_column="version", transactional=True, fenced=True
        )

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        yield [tuple(row[column] for column in request.columns) for row in self.all(request.collection)]

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        return await asyncio.to_thread(self._write, changes, "ROLLBACK" if dry_run else "COMMIT")

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        return await asyncio.to_thread(self._find_mark, change.id)

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

    def _write(self, changes: Sequence[RowChange], end: str) -> list[ChangeResult]:
        with self._transaction(end) as connection:
            return [self._apply_change(connection, change) for change in changes]

    def _find_mark(self, change_id: str) -> ChangeResult | None:
        with self._transaction("COMMIT") as connection:
            known = connection.execute("SELECT * FROM mark WHERE change_id = ?", (change_id,)).fetchone()
            if known is None:
                connection.execute("INSERT INTO mark VALUES (?, NULL, NULL, 1)", (change_id,))
            if known is None or known["fence"]:
                return None
            return ChangeResult(before=intents.decode_row(known["before"]), after=intents.decode_row(known["after"]))

    def _apply_change(self, connection: sqlite3.Connection, change: RowChange) -> ChangeResult:
        if connection.execute("SELECT 1 FROM mark WHERE change_id = ?", (change.id,)).fetchone():
            raise ChangeRejected("this change was answered as not made before", ErrorCode.CHANGE_UNSETTLED)
        key = self._key(connection, change)
        before = self._get(connection, change.collection, key)
        _check(change, before)
        after = (
            None
            if change.kind is ChangeKind.DELETE
            else {**_blank(change.collection), **(before or {}), **change.values}
        )
        where = " AND ".join(f"{name} = ?" for name in key)
        connection.execute(f"DELETE FROM {change.collection} WHERE {where}", tuple(key.values()))
        if after is not None:
            after |= {**key, "version": (before or {}).get("version", 0) + 1}
            self._put(connection, change.collection, after, change.id)
        result = ChangeResult(before=before, after=after)
        marked = (change.id, intents.encode_row(before), intents.encode_row(after))
        connection.execute("INSERT INTO mark VALUES (?, ?, ?, 0)", marked)
        return result

    def _key(self, connection: sqlite3.Connection, change: RowChange) -> dict[str, Any]:
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
        values = {name: json.dumps(value) if isinstance(value, tuple) else value for name, value in values.items()}
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {collection} ({names}) VALUES ({marks})", tuple(values.values()))


def _check(change: RowChange, before: Mapping[str, Any] | None) -> None:
    if before is None and change.kind in (ChangeKind.UPDATE, ChangeKind.DELETE):
        raise ChangeRejected(f"there is no such {change.collection}", ErrorCode.NOT_FOUND)
    if before is not None and change.kind is ChangeKind.CREATE:
        raise ChangeRejected(f"there is such an {change.collection} already", ErrorCode.ALREADY_EXISTS)
    if change.version is not None and (before is None or str(before["version"]) != change.version):
        raise ChangeRejected("somebody changed it", ErrorCode.VERSION_CONFLICT)


def _blank(collection: str) -> dict[str, Any]:
    return dict.fromkeys(TABLES[collection][0])


def _row(collection: str, row: sqlite3.Row) -> dict[str, Any]:
    values = {name: row[name] for name in TABLES[collection][0]}
    if isinstance(values.get("tags"), str):
        values["tags"] = tuple(json.loads(values["tags"]))
    return values


class Board:
    """Posts without transactions or versions. Each holds the id of its change, and a late call may still arrive."""

    def __init__(self) -> None:
        self.posts: dict[str, tuple[str, str]] = {}
        """By id, the change that created the post, and its text."""

    def capabilities(self, collection: str) -> Capabilities:
        return Capabilities(columns={name: Column(kind) for name, kind in {"post": POST}[collection].items()})

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return WriteCapabilities(
            settable_columns={ChangeKind.CREATE: frozenset({"text"}), ChangeKind.DELETE: frozenset()}
        )

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        results = [{"id": name, "text": text} for name, (_, text) in self.posts.items()]
        yield [tuple(row[column] for column in request.columns) for row in results]

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        (change,) = changes
        if change.kind is ChangeKind.DELETE:
            name = change.key["id"]
            if name not in self.posts:
                raise ChangeRejected("there is no such post", ErrorCode.NOT_FOUND)
            _, text = self.posts[name] if dry_run else self.posts.pop(name)
            return [ChangeResult(before={"id": name, "text": text}, after=None)]
        row = {"id": f"p{len(self.posts) + 1}", "text": change.values["text"]}
        if not dry_run:
            self.posts[row["id"]] = (change.id, row["text"])
        return [ChangeResult(before=None, after=row)]

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        results = [{"id": name, "text": text} for name, (by, text) in self.posts.items() if by == change.id]
        return ChangeResult(before=None, after=results[0]) if results else None

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


Fault = Callable[[Any, Sequence[RowChange]], Any]


async def refuse(inner: Any, changes: Sequence[RowChange]) -> Sequence[ChangeResult]:
    """Answer that nothing was changed."""
    raise ChangeRejected("it does not want to")


async def drop_call(inner: Any, changes: Sequence[RowChange]) -> Sequence[ChangeResult]:
    """Lose the call before it arrives."""
    raise ConnectorError("the line is cut")


async def lose_reply(inner: Any, changes: Sequence[RowChange]) -> Sequence[ChangeResult]:
    """Apply the changes and lose the reply."""
    await inner.apply(changes)
    raise ConnectorError("the line is cut")


async def crash_after(inner: Any, changes: Sequence[RowChange]) -> Sequence[ChangeResult]:
    """Apply the changes and crash in the client."""
    await inner.apply(changes)
    raise ZeroDivisionError


async def hang_after(inner: Any, changes: Sequence[RowChange]) -> Sequence[ChangeResult]:
    """Apply the changes and never reply."""
    await inner.apply(changes)
    await asyncio.Event().wait()
    raise AssertionError


class Faulty:
    """A connector whose next calls fail as `faults` say, in order. While it is mute it cannot say what it changed."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.faults: list[Fault | None] = []
        self.mute = False
        self.applied: list[str] = []
        """The ids of the changes that it was sent."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        self.applied += [change.id for change in changes]
        fault = self.faults.pop(0) if self.faults else None
        return await (self.inner.apply(changes, dry_run=dry_run) if fault is None else fault(self.inner, changes))

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        if self.mute:
            raise ConnectorError("the line is cut")
        return await self.inner.find_change(change)
