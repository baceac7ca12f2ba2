"""Serve the history of changes as a connector, and map each changed type to its history.

The history of the type `Customer` has two collections: `Customer`, one row a change, and `Customer.values`, the row as
it was before and after each change.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from onedoor.errors import ConnectorError
from onedoor.model.constant_columns import add_constant_columns
from onedoor.model.mapping import CHANGE_SIDES, Relationship, TypeMapping, name_side_column, name_side_id
from onedoor.model.names import ID_FIELD, NoSuchId, build_id_parser, format_id, map_field_to_columns
from onedoor.mutations import intents
from onedoor.mutations.intents import HistoryRow
from onedoor.mutations.ledger import Ledger, LedgerUnavailable
from onedoor.mutations.ledger_sql import FILTERABLE_COLUMNS, HistoryQuery
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import ALWAYS_TRUE, Comparison, Op, Row, split_conjuncts
from onedoor.spi.scan import ScanRequest, SortKey

HISTORY_CONNECTOR = "changes"

ROW_KEY_PREFIX = "row_"
"""Begins the names that the key columns of a changed row have in the history, such as `row_id`."""

VALUES_SUFFIX = ".values"

VALUES_ID_COLUMN = "values_id"
"""The id of a row of values; the changed type may have a column `id` of its own."""

MAX_KEYS = 1000

BATCH_ROWS = 1000

VALUES_ID = Column(ColumnType.TEXT, filters=frozenset({Op.EQ, Op.IN}))

FILTERABLE_COLUMN = Column(ColumnType.TEXT, filters=frozenset({Op.EQ, Op.IN, Op.LT, Op.GT, Op.IS_NULL}), sortable=True)

UNREADABLE_MESSAGE = "the history of changes cannot be read"

ROW_SIDES: Mapping[str, Callable[[HistoryRow], str | None]] = {
    "before": lambda row: row.before,
    "after": lambda row: row.after,
}


def format_side_id(row: HistoryRow, side: str) -> str | None:
    """Return the id of the row's values before or after the change; None where there was no such row."""
    return None if ROW_SIDES[side](row) is None else f"{row.id}.{side}"


COLUMN_READERS: Mapping[str, Callable[[HistoryRow], Any]] = {
    "id": lambda row: row.id,
    "at": lambda row: row.at,
    "person": lambda row: row.person,
    "verb": lambda row: row.verb,
    "mutation": lambda row: row.mutation,
    "state": lambda row: str(row.state),
    "reason": lambda row: row.reason,
    "record": lambda row: row.record,
    "version_before": lambda row: row.version_before,
    "version_after": lambda row: row.version_after,
    "row": lambda row: row.row,
    "before_id": lambda row: format_side_id(row, "before"),
    "after_id": lambda row: format_side_id(row, "after"),
}


def add_history_mappings(mappings: Mapping[str, TypeMapping], type_names: Iterable[str]) -> dict[str, TypeMapping]:
    """Link each of these types to its history and add the mappings of the history's types."""
    changed = [mappings[name] for name in dict.fromkeys(type_names) if name in mappings]
    linked = {mapping.type: _link_history(mapping) for mapping in changed}
    history = {built.type: built for mapping in changed for built in _build_history_mappings(mapping)}
    return {**mappings, **linked, **history}


def list_changed_types(mappings: Mapping[str, TypeMapping]) -> tuple[str, ...]:
    """Return the types whose mappings `add_history_mappings` linked to a history."""
    return tuple(
        mapping.collection
        for mapping in mappings.values()
        if mapping.source == HISTORY_CONNECTOR and mapping.key == ("id",)
    )


def list_linked_columns(mapping: TypeMapping) -> tuple[str, ...]:
    """Return the columns that link a row to its history: those of its id which differ between rows."""
    return tuple(column for column in map_field_to_columns(mapping, ID_FIELD) if column not in mapping.constants)


def _link_history(mapping: TypeMapping) -> TypeMapping:
    local = list_linked_columns(mapping)
    remote = tuple(ROW_KEY_PREFIX + column for column in local)
    history = Relationship(to=f"{mapping.type}Change", local=local, remote=remote)
    return replace(mapping, relationships={**mapping.relationships, "history": history})


def _build_history_mappings(mapping: TypeMapping) -> Iterator[TypeMapping]:
    """Yield the mappings of a type's changes and of their values, which are reached through the changes alone."""
    values_type, row_columns = f"{mapping.type}Values", list_linked_columns(mapping)
    row_field = f"{mapping.type[0].lower()}{mapping.type[1:]}"
    row = Relationship(
        to=mapping.type, local=tuple(ROW_KEY_PREFIX + column for column in row_columns), remote=row_columns
    )
    yield TypeMapping(
        type=f"{mapping.type}Change",
        source=HISTORY_CONNECTOR,
        collection=mapping.type,
        relationships={
            row_field: row,
            **{
                side: Relationship(to=values_type, local=name_side_id(side), remote=VALUES_ID_COLUMN)
                for side in CHANGE_SIDES
            },
        },
        rows=mapping.rows,
        change_of=mapping.type,
    )
    yield TypeMapping(
        type=values_type,
        source=HISTORY_CONNECTOR,
        collection=mapping.type + VALUES_SUFFIX,
        key=(VALUES_ID_COLUMN,),
        columns={name: column for name, column in mapping.columns.items() if name != "id"},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKey:
    """How the rows of one changed type are named."""

    capabilities: Capabilities
    id_columns: tuple[str, ...]
    constants: Mapping[str, Any]

    @property
    def linked_columns(self) -> Mapping[str, ColumnType]:
        """The columns of the history that relationships compare, by their names there."""
        return {
            ROW_KEY_PREFIX + column: self.capabilities.columns[column].type
            for column in self.id_columns
            if column not in self.constants
        }

    def parse_id(self, text: str) -> Mapping[str, Any]:
        """Return the values of `linked_columns`; each is None where the text is the id of no row."""
        try:
            values = dict(zip(self.id_columns, build_id_parser(self.capabilities, self.id_columns)(text), strict=True))
        except NoSuchId:
            return dict.fromkeys(self.linked_columns)
        return {name: values[name.removeprefix(ROW_KEY_PREFIX)] for name in self.linked_columns}

    def format_id(self, key: Row) -> str:
        """Return the id of the row whose `linked_columns` have these values."""
        linked = dict(zip(self.linked_columns, key, strict=True))
        return format_id(
            tuple(
                self.constants[column] if column in self.constants else linked[ROW_KEY_PREFIX + column]
                for column in self.id_columns
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedType:
    """One changed type: how its rows are named, and what they hold."""

    row_key: RowKey
    column_types: Mapping[str, ColumnType]

    @property
    def change_capabilities(self) -> Capabilities:
        linked = {name: Column(column_type) for name, column_type in self.row_key.linked_columns.items()}
        columns = {
            name: FILTERABLE_COLUMN if name in FILTERABLE_COLUMNS else Column(ColumnType.TEXT)
            for name in COLUMN_READERS
        }
        sides = {
            name_side_column(side, name): Column(column_type)
            for side in CHANGE_SIDES
            for name, column_type in self.column_types.items()
        }
        return Capabilities(
            columns={**columns, **sides, "at": replace(FILTERABLE_COLUMN, type=ColumnType.TIME), **linked},
            max_keys=MAX_KEYS,
            key_columns=frozenset({("id",), ("row",), tuple(linked)}),
            boolean_filters=True,
            limit=True,
            aggregates=True,
        )

    @property
    def value_capabilities(self) -> Capabilities:
        columns = {name: Column(column_type) for name, column_type in self.column_types.items()}
        return Capabilities(
            columns={**columns, VALUES_ID_COLUMN: VALUES_ID},
            max_keys=MAX_KEYS,
            key_columns=frozenset({(VALUES_ID_COLUMN,)}),
        )


def build_tracked_types(
    mappings: Mapping[str, TypeMapping], connectors: Mapping[str, Connector]
) -> Mapping[str, TrackedType]:
    """Return the changed types whose connector is configured, by name."""
    with_constants = add_constant_columns(connectors, mappings)
    return {
        name: _build_tracked_type(mappings[name], with_constants)
        for name in list_changed_types(mappings)
        if mappings[name].source in with_constants
    }


def _build_tracked_type(mapping: TypeMapping, connectors: Mapping[str, Connector]) -> TrackedType:
    capabilities = connectors[mapping.source].capabilities(mapping.collection)
    id_columns = map_field_to_columns(mapping, ID_FIELD)
    return TrackedType(
        row_key=RowKey(capabilities=capabilities, id_columns=id_columns, constants=mapping.constants),
        column_types={name: column.type for name, column in capabilities.columns.items()},
    )


class HistoryConnector:
    """The connector `changes`, which reads the ledger."""

    def __init__(self, ledger: Ledger, tracked_types: Mapping[str, TrackedType]) -> None:
        self.tracked_types = tracked_types
        self._ledger = ledger
        self._capabilities = {
            **{name: tracked.change_capabilities for name, tracked in tracked_types.items()},
            **{name + VALUES_SUFFIX: tracked.value_capabilities for name, tracked in tracked_types.items()},
        }

    def capabilities(self, collection: str) -> Capabilities:
        return self._capabilities[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        type_name = _parse_type_name(request)
        tracked_type = self.tracked_types[type_name]
        required_values = _collect_required_values(request, tracked_type)
        query = HistoryQuery(
            type=type_name,
            required_values=_map_to_changes(required_values),
            filter=ALWAYS_TRUE if request.collection.endswith(VALUES_SUFFIX) else request.filter,
            sort=_map_sort(request),
        )
        if request.aggregates:
            yield await self._count(request, query)
            return
        missing = request.limit
        while missing is None or missing > 0:
            query = replace(query, limit=BATCH_ROWS if missing is None else min(BATCH_ROWS, missing))
            history = await self._read(query)
            yield build_history_rows(request, required_values, history, tracked_type)
            if len(history) < query.limit:
                return
            missing = None if missing is None else missing - query.limit
            last = tuple(COLUMN_READERS[sort_key.column](history[-1]) for sort_key in query.sort)
            query = replace(query, after=last)

    async def _read(self, query: HistoryQuery) -> Sequence[HistoryRow]:
        try:
            return await self._ledger.read_history(query)
        except LedgerUnavailable:
            raise ConnectorError(UNREADABLE_MESSAGE) from None

    async def _count(self, request: ScanRequest, query: HistoryQuery) -> Sequence[Row]:
        """Count the rows by `request.columns`; columns that the database does not hold are counted in memory."""
        if not FILTERABLE_COLUMNS.issuperset(request.columns):
            counts = Counter[Row]()
            async for batch in self.scan(replace(request, aggregates=())):
                counts.update(batch)
            return [(*group, *[count] * len(request.aggregates)) for group, count in counts.items()]
        try:
            counted = await self._ledger.count_history(query, request.columns)
        except LedgerUnavailable:
            raise ConnectorError(UNREADABLE_MESSAGE) from None
        return [(*group, *[count] * len(request.aggregates)) for *group, count in counted]

    async def ping(self) -> None:
        try:
            await self._ledger.ping()
        except LedgerUnavailable:
            raise ConnectorError(UNREADABLE_MESSAGE) from None

    async def close(self) -> None:
        return None


class DryRunHistory:
    """The history with the rows of a dry run on top, which are read by their ids alone: no list ever shows them."""

    def __init__(self, base: HistoryConnector, rows_by_id: Mapping[str, HistoryRow]) -> None:
        self._base, self._rows_by_id = base, rows_by_id

    def capabilities(self, collection: str) -> Capabilities:
        return self._base.capabilities(collection)

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        type_name = _parse_type_name(request)
        tracked_type = self._base.tracked_types[type_name]
        required_values = _collect_required_values(request, tracked_type)
        required_of_changes = _map_to_changes(required_values)
        if "id" in required_of_changes:
            matching = [
                row
                for row in self._rows_by_id.values()
                if row.type == type_name and _has_required_values(row, required_of_changes)
            ]
            yield build_history_rows(request, required_values, matching, tracked_type)
        async for batch in self._base.scan(request):
            yield batch

    async def ping(self) -> None:
        await self._base.ping()

    async def close(self) -> None:
        return None


def build_history_rows(
    request: ScanRequest,
    required_values: Mapping[str, frozenset[Any]],
    history: Sequence[HistoryRow],
    tracked_type: TrackedType,
) -> list[Row]:
    """Return the requested columns of changes, or of the rows before and after them."""
    if not request.collection.endswith(VALUES_SUFFIX):
        readers = [_find_column_reader(tracked_type, column) for column in request.columns]
        return [tuple(read(row) for read in readers) for row in history]
    sides = [(format_side_id(row, side), read_side(row)) for row in history for side, read_side in ROW_SIDES.items()]
    requested_ids = required_values.get(VALUES_ID_COLUMN)
    decoded = [
        {**(intents.decode_row(text) or {}), VALUES_ID_COLUMN: side_id}
        for side_id, text in sides
        if side_id and (requested_ids is None or side_id in requested_ids)
    ]
    return [tuple(values.get(column) for column in request.columns) for values in decoded]


def _find_column_reader(tracked_type: TrackedType, column: str) -> Callable[[HistoryRow], Any]:
    side, _, name = column.partition(".")
    if side in ROW_SIDES and name in tracked_type.column_types:
        return partial(_read_side_column, side, name)
    return COLUMN_READERS.get(column) or partial(_read_key_column, tracked_type.row_key, column)


def _read_side_column(side: str, name: str, row: HistoryRow) -> Any:
    return (intents.decode_row(ROW_SIDES[side](row)) or {}).get(name)


def _read_key_column(key: RowKey, column: str, row: HistoryRow) -> Any:
    return key.parse_id(row.row)[column]


def _parse_type_name(request: ScanRequest) -> str:
    return request.collection.removesuffix(VALUES_SUFFIX)


def _map_sort(request: ScanRequest) -> tuple[SortKey, ...]:
    """Return the requested order up to `id`, which no two changes share and which ends every order."""
    columns = [sort_key.column for sort_key in request.sort]
    return request.sort[: columns.index("id") + 1] if "id" in columns else (*request.sort, SortKey("id"))


def _collect_required_values(request: ScanRequest, tracked_type: TrackedType) -> Mapping[str, frozenset[Any]]:
    """Return, by column, the values of which every matching row must have one, by the request's keys and filter."""
    required = [
        (comparison.column, comparison.value if comparison.op is Op.IN else (comparison.value,))
        for comparison in split_conjuncts(request.filter)
        if isinstance(comparison, Comparison) and comparison.op in (Op.EQ, Op.IN)
    ]
    keys, row_key = request.keys, tracked_type.row_key
    if keys is not None and keys.columns == tuple(row_key.linked_columns):
        required.append(("row", tuple(row_key.format_id(key) for key in keys.values)))
    elif keys is not None:
        required.append((keys.columns[0], tuple(key[0] for key in keys.values)))
    merged: dict[str, frozenset[Any]] = {}
    for column, values in required:
        merged[column] = merged.get(column, frozenset(values)) & frozenset(values)
    return merged


def _map_to_changes(required_values: Mapping[str, frozenset[Any]]) -> Mapping[str, Sequence[str]]:
    """Return the values that are required of the changes to which the rows belong."""
    required = {name: tuple(values) for name, values in required_values.items() if name in FILTERABLE_COLUMNS}
    if VALUES_ID_COLUMN in required_values:
        required["id"] = tuple({side_id.rpartition(".")[0] for side_id in required_values[VALUES_ID_COLUMN]})
    return required


def _has_required_values(row: HistoryRow, required_values: Mapping[str, Sequence[str]]) -> bool:
    return all(COLUMN_READERS[name](row) in values for name, values in required_values.items())
