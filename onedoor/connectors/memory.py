"""Rows in memory, and changes."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onedoor.errors import ErrorCode
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, RowValues, WriteCapabilities
from onedoor.spi.operators import (
    aggregate_rows,
    arrange_groups,
    compile_key,
    compile_predicate,
    group_rows,
    limit_rows,
    sort_rows,
)
from onedoor.spi.predicates import And, Exists, InKeys, Not, Or, Row
from onedoor.spi.scan import ScanRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryWriteRules:
    """How a collection may be changed: its key, of which one whole number may be given by us, and its version."""

    columns: Mapping[str, ColumnType]
    key: tuple[str, ...] = ("id",)
    version: str | None = "version"
    unique: tuple[tuple[str, ...], ...] = ()
    required: frozenset[str] = frozenset()
    """Columns that always have a value."""

    def write_capabilities(self) -> WriteCapabilities:
        settable = frozenset(self.columns) - {self.version}
        verbs = {
            ChangeKind.CREATE: settable,
            ChangeKind.UPDATE: settable - set(self.key),
            ChangeKind.PUT: settable - set(self.key),
            ChangeKind.DELETE: frozenset[str](),
        }
        return WriteCapabilities(settable_columns=verbs, version_column=self.version, transactional=True, fenced=True)


RowsByKey = dict[tuple[Any, ...], RowValues]


@dataclass(slots=True)
class MemoryWriter:
    """Rows by collection and key, and what came of each change that was told; None: it is not to be made any more."""

    write_rules: Mapping[str, MemoryWriteRules]
    rows: dict[str, RowsByKey]
    results_by_change: dict[str, ChangeResult | None] = field(default_factory=dict)
    highest_keys: dict[str, int] = field(default_factory=dict)

    def apply(self, changes: Sequence[RowChange], *, dry_run: bool) -> Sequence[ChangeResult]:
        rows, markers, highest = (
            {name: dict(each) for name, each in self.rows.items()},
            self.results_by_change,
            self.highest_keys,
        )
        tried = MemoryWriter(self.write_rules, rows, dict(markers), dict(highest))
        made = [tried.apply_one(each) for each in changes]
        if not dry_run:
            self.rows, self.results_by_change, self.highest_keys = (
                tried.rows,
                tried.results_by_change,
                tried.highest_keys,
            )
        return made

    def find_change(self, change: RowChange) -> ChangeResult | None:
        return self.results_by_change.setdefault(change.id, None)

    def apply_one(self, change: RowChange) -> ChangeResult:
        if change.id in self.results_by_change:
            found = self.results_by_change[change.id]
            if found is None:
                raise ChangeRejected(
                    "the change was given up before it was made: tell it anew", ErrorCode.CANNOT_ANSWER
                )
            return found
        if change.collection not in self.write_rules:
            raise ChangeRejected(f"`{change.collection}` is not to be changed", ErrorCode.CANNOT_ANSWER)
        made = self._apply_change(change, self.write_rules[change.collection])
        self.results_by_change[change.id] = made
        return made

    def _apply_change(self, change: RowChange, rules: MemoryWriteRules) -> ChangeResult:
        _check_change_allowed(change, rules)
        rows = self.rows[change.collection]
        given = {**change.key, **change.values}
        if change.kind is ChangeKind.CREATE and change.version is None:
            return self._insert_row(change.collection, self._assign_key(change.collection, rules, given), rules)
        if change.kind is ChangeKind.CREATE:
            raise ChangeRejected("a row that is created has no version yet")
        if set(change.key) != set(rules.key):
            raise _build_wrong_key_error(change.collection, rules)
        key = tuple(change.key[each] for each in rules.key)
        before = rows.get(key)
        if before is None and change.kind is ChangeKind.PUT and change.version is None:
            return self._insert_row(change.collection, given, rules)
        if before is None:
            raise ChangeRejected(f"there is no such row of `{change.collection}`", ErrorCode.NOT_FOUND)
        _check_row_version(change, rules, before)
        if change.kind is ChangeKind.DELETE:
            del rows[key]
            return ChangeResult(before=before, after=None)
        return ChangeResult(before=before, after=self._store_row(change.collection, {**before, **given}, rules, before))

    def _assign_key(self, name: str, rules: MemoryWriteRules, given: RowValues) -> RowValues:
        missing = [each for each in rules.key if each not in given]
        if not missing:
            return given
        if len(missing) > 1 or rules.columns[missing[0]] is not ColumnType.INTEGER:
            raise ChangeRejected(", ".join(f"`{each}`" for each in missing) + " must have a value")
        at = rules.key.index(missing[0])
        highest = max((self.highest_keys.get(name, 0), *(key[at] for key in self.rows[name])))
        return {**given, missing[0]: highest + 1}

    def _insert_row(self, name: str, given: RowValues, rules: MemoryWriteRules) -> ChangeResult:
        if tuple(given[each] for each in rules.key) in self.rows[name]:
            raise _build_duplicate_error(name, rules.key)
        whole = {each: given.get(each) for each in rules.columns}
        return ChangeResult(before=None, after=self._store_row(name, whole, rules, None))

    def _store_row(self, name: str, row: RowValues, rules: MemoryWriteRules, before: RowValues | None) -> RowValues:
        if rules.version is not None:
            row = {**row, rules.version: (before[rules.version] or 0) + 1 if before else 1}
        for each in rules.required:
            if row[each] is None:
                raise ChangeRejected(f"`{each}` must have a value")
        key = tuple(row[each] for each in rules.key)
        others = [other for place, other in self.rows[name].items() if place != key]
        for unique in rules.unique:
            if any(all(row[each] == other[each] is not None for each in unique) for other in others):
                raise _build_duplicate_error(name, unique)
        self.rows[name][key] = row
        if len(key) == 1 and isinstance(key[0], int):
            self.highest_keys[name] = max(key[0], self.highest_keys.get(name, 0))
        return row


def _check_change_allowed(change: RowChange, rules: MemoryWriteRules) -> None:
    settable = rules.write_capabilities().settable_columns[change.kind]
    if not set(change.key) <= set(rules.key):
        raise _build_wrong_key_error(change.collection, rules)
    for name, value in change.values.items():
        if name not in settable:
            raise ChangeRejected(f"`{name}` of `{change.collection}` is not to be set by a change")
        if isinstance(value, str) and any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value):
            raise ChangeRejected(f"`{name}` cannot hold the value given")


def _check_row_version(change: RowChange, rules: MemoryWriteRules, before: RowValues) -> None:
    if change.version is None:
        return
    if rules.version is None:
        raise ChangeRejected(f"rows of `{change.collection}` have no version that a change could name")
    at = before[rules.version] or 0
    if str(at) != change.version:
        told = f"the row of `{change.collection}` has been changed since: it is at version {at}"
        raise ChangeRejected(told, ErrorCode.VERSION_CONFLICT)


def _build_wrong_key_error(name: str, rules: MemoryWriteRules) -> ChangeRejected:
    return ChangeRejected(f"a row of `{name}` is named by " + ", ".join(f"`{each}`" for each in rules.key))


def _build_duplicate_error(name: str, columns: Sequence[str]) -> ChangeRejected:
    named = ", ".join(f"`{each}`" for each in columns)
    return ChangeRejected(f"there already is a row of `{name}` with this {named}", ErrorCode.ALREADY_EXISTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCollection:
    """Rows, their values in the order of `can.columns`."""

    capabilities: Capabilities
    rows: Sequence[Row]


class MemoryConnector:
    """Collections by name; asked for more than it declares, it fails loudly: that is the planner's fault.

    `writable`: those that may be changed; their rows are then ours.
    """

    def __init__(
        self, collections: Mapping[str, MemoryCollection], writable: Mapping[str, MemoryWriteRules] | None = None
    ) -> None:
        self.collections = dict(collections)
        self.writable = writable or {}
        self.writer = MemoryWriter(
            self.writable,
            {name: _index_rows_by_key(self.collections[name], each.key) for name, each in self.writable.items()},
        )

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        of = self.writable.get(collection)
        return of.write_capabilities() if of else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        made = self.writer.apply(changes, dry_run=dry_run)
        for name in {each.collection for each in changes}:
            kept = self.collections[name]
            rows = [tuple(row[each] for each in kept.capabilities.columns) for row in self.writer.rows[name].values()]
            self.collections[name] = replace(kept, rows=rows)
        return made

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        return self.writer.find_change(change)

    def capabilities(self, collection: str) -> Capabilities:
        return self.collections[collection].capabilities

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        yield answer_scan(self.collections, request)

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def answer_scan(collections: Mapping[str, MemoryCollection], request: ScanRequest) -> list[Row]:
    """The rows of one ask, step by step."""
    collection = collections[request.collection]
    columns = tuple(collection.capabilities.columns)
    meets = compile_predicate(resolve_exists(collections, request.filter), columns)
    rows = [row for row in _select_keyed_rows(collection, request, columns) if meets(row)]
    if request.aggregates:
        return arrange_groups(
            aggregate_rows(rows, request.columns, request.aggregates, columns, request.time_buckets), request
        )
    rows = sort_rows(rows, request.sort, columns)
    if request.limit is not None:
        rows = limit_rows(rows, request.limit, compile_key(request.keys.columns if request.keys else (), columns))
    wanted = compile_key(request.columns, columns)
    return [wanted(row) for row in rows]


def resolve_exists(collections: Mapping[str, MemoryCollection], where: Any) -> Any:
    """The filter with each `Exists` replaced by the keys of the rows that meet it."""
    match where:
        case And() | Or():
            return type(where)(tuple(resolve_exists(collections, each) for each in where.parts))
        case Not():
            return Not(resolve_exists(collections, where.part))
        case Exists():
            ask = ScanRequest(collection=where.collection, columns=where.inner_columns, filter=where.filter)
            keys = (row for row in answer_scan(collections, ask) if None not in row)
            return InKeys(where.outer_columns, frozenset(keys))
        case _:
            return where


def _index_rows_by_key(collection: MemoryCollection, key: Sequence[str]) -> dict[Row, RowValues]:
    columns = tuple(collection.capabilities.columns)
    named = compile_key(tuple(key), columns)
    return {named(row): dict(zip(columns, row, strict=True)) for row in collection.rows}


def _select_keyed_rows(collection: MemoryCollection, request: ScanRequest, columns: Sequence[str]) -> Sequence[Row]:
    if request.keys is None:
        return collection.rows
    groups = group_rows(collection.rows, compile_key(request.keys.columns, columns))
    return [row for key in request.keys.values for row in groups.get(key, ())]
