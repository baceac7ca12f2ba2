"""Serve rows in memory, and change them; the reference for what a connector returns."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onedoor.connectors.value_checks import (
    build_key_mismatch_error,
    build_write_capabilities,
    check_expected_version,
    check_settable,
    check_writable,
    require_result,
)
from onedoor.errors import ErrorCode
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, RowValues, WriteCapabilities
from onedoor.spi.flaws import FlawedRow, check_rows, select_flaws
from onedoor.spi.operators import (
    aggregate_rows,
    arrange_groups,
    compile_key,
    compile_predicate,
    group_rows,
    limit_rows,
    sort_rows,
)
from onedoor.spi.predicates import Exists, InKeys, Row, transform_predicate
from onedoor.spi.scan import Join, ScanRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCollection:
    """The rows of a collection, with values in the order of `capabilities.columns`."""

    capabilities: Capabilities
    rows: Sequence[Row]


class MemoryConnector:
    """Serves collections by name; `writable` names those that may be changed.

    Its answer to a request beyond the capabilities of a collection is undefined.
    """

    def __init__(
        self, collections: Mapping[str, MemoryCollection], writable: "Mapping[str, MemoryWriteRules] | None" = None
    ) -> None:
        self.collections = {name: _check_collection(collection) for name, collection in collections.items()}
        self.writable = writable or {}
        rows = {name: _index_rows_by_key(self.collections[name], rules.key) for name, rules in self.writable.items()}
        self.writer = MemoryWriter(self.writable, rows)

    def capabilities(self, collection: str) -> Capabilities:
        return self.collections[collection].capabilities

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        yield answer_scan(self.collections, request)

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        rules = self.writable.get(collection)
        return rules.write_capabilities() if rules else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        results = self.writer.apply(changes, dry_run=dry_run)
        for name in {change.collection for change in changes}:
            collection = self.collections[name]
            columns = collection.capabilities.columns
            rows = [tuple(row[column] for column in columns) for row in self.writer.rows[name].values()]
            self.collections[name] = replace(collection, rows=rows)
        return results

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        return self.writer.find_change(change)

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def _check_collection(collection: MemoryCollection) -> MemoryCollection:
    capabilities = replace(collection.capabilities, checks_values=True)
    types = [column.type for column in capabilities.columns.values()]
    return replace(collection, capabilities=capabilities, rows=check_rows(collection.rows, types))


def answer_scan(collections: Mapping[str, MemoryCollection], request: ScanRequest) -> list[Row]:
    """Return the rows of a request, computed step by step with the reference operators."""
    collection = collections[request.collection]
    for join in request.joins:
        collection = _join_collection(collections, collection, join)
    columns = tuple(collection.capabilities.columns)
    matches = compile_predicate(resolve_exists(collections, request.filter), columns)
    rows = [row for row in _select_keyed_rows(collection, request, columns) if matches(row)]
    if request.aggregates:
        groups = aggregate_rows(rows, request.columns, request.aggregates, columns, request.time_buckets)
        return arrange_groups(groups, request)
    rows = sort_rows(rows, request.sort, columns)
    if request.limit is not None:
        rows = limit_rows(rows, request.limit, compile_key(request.keys.columns if request.keys else (), columns))
    project, places = compile_key(request.columns, columns), [columns.index(name) for name in request.columns]
    return [select_flaws(row, project(row), places) if isinstance(row, FlawedRow) else project(row) for row in rows]


def _join_collection(
    collections: Mapping[str, MemoryCollection], outer: MemoryCollection, join: Join
) -> MemoryCollection:
    """Return the rows with the columns that a join adds."""
    columns, inner = tuple(outer.capabilities.columns), collections[join.collection]
    inner_columns = tuple(inner.capabilities.columns)
    related_rows = group_rows(inner.rows, compile_key(join.inner_columns, inner_columns))
    get_key, project = compile_key(join.outer_columns, columns), compile_key(join.columns, inner_columns)

    def find_values(row: Row) -> Row:
        key = get_key(row)
        related = () if None in key else related_rows.get(key, ())
        if join.aggregates:
            return aggregate_rows(related, (), join.aggregates, inner_columns)[0]
        return project(related[0]) if related else (None,) * len(join.columns)

    added = {name: Column(ColumnType.TEXT) for name in join.output_columns}
    return MemoryCollection(
        capabilities=replace(outer.capabilities, columns={**outer.capabilities.columns, **added}),
        rows=[row + find_values(row) for row in outer.rows],
    )


def resolve_exists(collections: Mapping[str, MemoryCollection], predicate: Any) -> Any:
    """Replace each Exists of a predicate by the keys of the rows that match it."""
    return transform_predicate(predicate, lambda leaf: _resolve_leaf(collections, leaf))


def _resolve_leaf(collections: Mapping[str, MemoryCollection], leaf: Any) -> Any:
    if not isinstance(leaf, Exists):
        return leaf
    request = ScanRequest(collection=leaf.collection, columns=leaf.inner_columns, filter=leaf.filter)
    keys = (row for row in answer_scan(collections, request) if None not in row)
    return InKeys(leaf.outer_columns, frozenset(keys))


def _index_rows_by_key(collection: MemoryCollection, key: Sequence[str]) -> dict[Row, RowValues]:
    columns = tuple(collection.capabilities.columns)
    get_key = compile_key(tuple(key), columns)
    return {get_key(row): dict(zip(columns, row, strict=True)) for row in collection.rows}


def _select_keyed_rows(collection: MemoryCollection, request: ScanRequest, columns: Sequence[str]) -> Sequence[Row]:
    if request.keys is None:
        return collection.rows
    groups = group_rows(collection.rows, compile_key(request.keys.columns, columns))
    return [row for key in request.keys.values for row in groups.get(key, ())]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryWriteRules:
    """How a collection may be changed. A key that is one whole number may be left for the connector to give."""

    columns: Mapping[str, ColumnType]
    key: tuple[str, ...] = ("id",)
    version: str | None = "version"
    unique: tuple[tuple[str, ...], ...] = ()
    required: frozenset[str] = frozenset()

    def write_capabilities(self) -> WriteCapabilities:
        settable = frozenset(name for name in self.columns if name != self.version)
        return build_write_capabilities(settable, self.key, self.version)


RowsByKey = dict[Row, RowValues]


@dataclass(slots=True)
class MemoryWriter:
    """Rows by collection and key, and the result of each change by its id; None: the change is fenced."""

    write_rules: Mapping[str, MemoryWriteRules]
    rows: dict[str, RowsByKey]
    results_by_change: dict[str, ChangeResult | None] = field(default_factory=dict)
    highest_keys: dict[str, int] = field(default_factory=dict)

    def apply(self, changes: Sequence[RowChange], *, dry_run: bool) -> Sequence[ChangeResult]:
        """Apply all changes to a copy, which replaces this state unless one of them is rejected."""
        copied_rows = {name: dict(rows) for name, rows in self.rows.items()}
        copy = MemoryWriter(self.write_rules, copied_rows, dict(self.results_by_change), dict(self.highest_keys))
        results = [copy.apply_one(change) for change in changes]
        if not dry_run:
            self.rows, self.results_by_change, self.highest_keys = (
                copy.rows,
                copy.results_by_change,
                copy.highest_keys,
            )
        return results

    def find_change(self, change: RowChange) -> ChangeResult | None:
        return self.results_by_change.setdefault(change.id, None)

    def apply_one(self, change: RowChange) -> ChangeResult:
        if change.id in self.results_by_change:
            return require_result(self.results_by_change[change.id])
        check_writable([change], self.write_rules)
        result = self.results_by_change[change.id] = self._apply_change(change, self.write_rules[change.collection])
        return result

    def _apply_change(self, change: RowChange, rules: MemoryWriteRules) -> ChangeResult:
        _check_change_allowed(change, rules)
        rows = self.rows[change.collection]
        values = {**change.key, **change.values}
        if change.kind is ChangeKind.CREATE and change.version is None:
            return self._insert_row(change.collection, self._assign_key(change.collection, rules, values), rules)
        if change.kind is ChangeKind.CREATE:
            raise ChangeRejected("a row that is created has no version yet")
        if set(change.key) != set(rules.key):
            raise build_key_mismatch_error(change.collection, rules.key)
        key = tuple(change.key[name] for name in rules.key)
        before = rows.get(key)
        if before is None and change.kind is ChangeKind.PUT and change.version is None:
            return self._insert_row(change.collection, values, rules)
        if before is None:
            raise ChangeRejected(f"there is no such row of `{change.collection}`", ErrorCode.NOT_FOUND)
        check_expected_version(change, rules.version, before)
        if change.kind is ChangeKind.DELETE:
            del rows[key]
            return ChangeResult(before=before, after=None)
        after = self._store_row(change.collection, {**before, **values}, rules, before)
        return ChangeResult(before=before, after=after)

    def _assign_key(self, collection: str, rules: MemoryWriteRules, values: RowValues) -> RowValues:
        missing = [name for name in rules.key if name not in values]
        if not missing:
            return values
        if len(missing) > 1 or rules.columns[missing[0]] is not ColumnType.INTEGER:
            raise ChangeRejected(", ".join(f"`{name}`" for name in missing) + " must have a value")
        place = rules.key.index(missing[0])
        highest = max((self.highest_keys.get(collection, 0), *(key[place] for key in self.rows[collection])))
        return {**values, missing[0]: highest + 1}

    def _insert_row(self, collection: str, values: RowValues, rules: MemoryWriteRules) -> ChangeResult:
        if tuple(values[name] for name in rules.key) in self.rows[collection]:
            raise _build_duplicate_error(collection, rules.key)
        row = {name: values.get(name) for name in rules.columns}
        return ChangeResult(before=None, after=self._store_row(collection, row, rules, None))

    def _store_row(
        self, collection: str, row: RowValues, rules: MemoryWriteRules, before: RowValues | None
    ) -> RowValues:
        if rules.version is not None:
            row = {**row, rules.version: (before[rules.version] or 0) + 1 if before else 1}
        for name in rules.required:
            if row[name] is None:
                raise ChangeRejected(f"`{name}` must have a value")
        key = tuple(row[name] for name in rules.key)
        others = [other for other_key, other in self.rows[collection].items() if other_key != key]
        for unique_key in rules.unique:
            if any(all(row[name] == other[name] is not None for name in unique_key) for other in others):
                raise _build_duplicate_error(collection, unique_key)
        self.rows[collection][key] = row
        if len(key) == 1 and isinstance(key[0], int):
            self.highest_keys[collection] = max(key[0], self.highest_keys.get(collection, 0))
        return row


def _check_change_allowed(change: RowChange, rules: MemoryWriteRules) -> None:
    if not set(change.key) <= set(rules.key):
        raise build_key_mismatch_error(change.collection, rules.key)
    check_settable(change, rules.write_capabilities())
    for name, value in change.values.items():
        if isinstance(value, str) and any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value):
            raise ChangeRejected(f"`{name}` cannot hold the value given")


def _build_duplicate_error(collection: str, columns: Sequence[str]) -> ChangeRejected:
    key = ", ".join(f"`{name}`" for name in columns)
    return ChangeRejected(f"there already is a row of `{collection}` with this {key}", ErrorCode.ALREADY_EXISTS)
