"""Change history as a connector, and its mappings."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from onedoor.errors import ConnectorError
from onedoor.model.constant_columns import add_constant_columns
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.model.names import ID_FIELD, NoSuchId, build_id_parser, format_id, map_field_to_columns
from onedoor.mutations import intents
from onedoor.mutations.intents import HistoryRow
from onedoor.mutations.ledger import Ledger, LedgerUnavailable
from onedoor.mutations.ledger_sql import FILTERABLE_COLUMNS, HistoryQuery
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import And, Comparison, Not, Op, Or, Row
from onedoor.spi.scan import ScanRequest

ROW_KEY_PREFIX = "row_"
"""What the columns of a changed row's key are called in the history: `row_id`."""


def list_linked_columns(mapping: TypeMapping) -> tuple[str, ...]:
    """The columns that a row is linked by: those of its id, without what is the same in all rows."""
    return tuple(each for each in map_field_to_columns(mapping, ID_FIELD) if each not in mapping.constants)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKey:
    """Of one type."""

    capabilities: Capabilities
    id_columns: tuple[str, ...]
    """What an id is written from."""
    constants: Mapping[str, Any]

    @property
    def linked_columns(self) -> Mapping[str, ColumnType]:
        """The columns of the history that links compare, by the names they have there."""
        return {
            ROW_KEY_PREFIX + each: self.capabilities.columns[each].type
            for each in self.id_columns
            if each not in self.constants
        }

    def parse_id(self, text: str) -> Mapping[str, Any]:
        """None of each, where the text is the id of no row."""
        try:
            found = dict(zip(self.id_columns, build_id_parser(self.capabilities, self.id_columns)(text), strict=True))
        except NoSuchId:
            return dict.fromkeys(self.linked_columns)
        return {name: found[name.removeprefix(ROW_KEY_PREFIX)] for name in self.linked_columns}

    def format_id(self, key: Row) -> str:
        """Of the values of `linked`, in that order."""
        given = dict(zip(self.linked_columns, key, strict=True))
        return format_id(
            tuple(
                self.constants[each] if each in self.constants else given[ROW_KEY_PREFIX + each]
                for each in self.id_columns
            )
        )


HISTORY_CONNECTOR = "changes"

VALUES_SUFFIX = ".values"

VALUES_ID_COLUMN = "values_id"
"""The column that names a row of values; the type's own columns may have an `id` among them."""


def add_history_mappings(mappings: Mapping[str, TypeMapping], type_names: Iterable[str]) -> dict[str, TypeMapping]:
    """All of them, and of each of these types, which are changed, those of its changes and their values."""
    changed = [mappings[each] for each in dict.fromkeys(type_names) if each in mappings]
    made = [one for each in changed for one in _build_history_mappings(each)]
    return {**mappings, **{each.type: _link_history(each) for each in changed}, **{each.type: each for each in made}}


def list_changed_types(mappings: Mapping[str, TypeMapping]) -> tuple[str, ...]:
    """The types whose changes are kept, as `with_history` found them."""
    return tuple(
        each.collection for each in mappings.values() if each.source == HISTORY_CONNECTOR and each.key == ("id",)
    )


def _link_history(of: TypeMapping) -> TypeMapping:
    here = list_linked_columns(of)
    there = tuple(ROW_KEY_PREFIX + each for each in here)
    return replace(
        of, relationships={**of.relationships, "history": Relationship(to=f"{of.type}Change", local=here, remote=there)}
    )


def _build_history_mappings(of: TypeMapping) -> Iterator[TypeMapping]:
    values, there = f"{of.type}Values", list_linked_columns(of)
    yield TypeMapping(
        type=f"{of.type}Change",
        source=HISTORY_CONNECTOR,
        collection=of.type,
        relationships={
            f"{of.type[0].lower()}{of.type[1:]}": Relationship(
                to=of.type, local=tuple(ROW_KEY_PREFIX + c for c in there), remote=there
            ),
            "before": Relationship(to=values, local="before_id", remote=VALUES_ID_COLUMN),
            "after": Relationship(to=values, local="after_id", remote=VALUES_ID_COLUMN),
        },
    )
    columns = {name: column for name, column in of.columns.items() if name != "id"}
    yield TypeMapping(
        type=values,
        source=HISTORY_CONNECTOR,
        collection=of.type + VALUES_SUFFIX,
        key=(VALUES_ID_COLUMN,),
        columns=columns,
    )


ROW_SIDES: Mapping[str, Callable[[HistoryRow], str | None]] = {
    "before": lambda left: left.before,
    "after": lambda left: left.after,
}

MAX_KEYS = 1000

BATCH_ROWS = 1000

KEY_COLUMN = Column(ColumnType.TEXT, filters=frozenset({Op.EQ, Op.IN}))

TEXT_FILTERS = frozenset({Op.EQ, Op.IN, Op.LT, Op.GT, Op.IS_NULL})

TEXT_COLUMN = Column(ColumnType.TEXT)

CONNECTIVE_NAMES: Mapping[type, str] = {And: "all", Or: "some"}


def format_side_id(row: HistoryRow, side: str) -> str | None:
    return None if ROW_SIDES[side](row) is None else f"{row.id}.{side}"


COLUMN_READERS: Mapping[str, Any] = {
    "id": lambda left: left.id,
    "at": lambda left: left.at,
    "person": lambda left: left.person,
    "verb": lambda left: left.verb,
    "mutation": lambda left: left.mutation,
    "state": lambda left: str(left.state),
    "reason": lambda left: left.reason,
    "record": lambda left: left.record,
    "version_before": lambda left: left.version_before,
    "version_after": lambda left: left.version_after,
    "row": lambda left: left.row,
    "before_id": lambda left: format_side_id(left, "before"),
    "after_id": lambda left: format_side_id(left, "after"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedType:
    """What is kept of one type: how its rows are named, and what they hold."""

    row_key: RowKey
    column_types: Mapping[str, ColumnType]

    @property
    def change_capabilities(self) -> Capabilities:
        linked = {name: Column(kind) for name, kind in self.row_key.linked_columns.items()}
        sought = Column(ColumnType.TEXT, filters=TEXT_FILTERS, sortable=True)
        columns = {name: sought if name in FILTERABLE_COLUMNS else TEXT_COLUMN for name in COLUMN_READERS} | {
            "at": replace(sought, type=ColumnType.TIME)
        }
        by = frozenset({("id",), ("row",), tuple(linked)})
        return Capabilities(
            columns=columns | linked,
            max_keys=MAX_KEYS,
            key_columns=by,
            boolean_filters=True,
            limit=True,
            aggregates=True,
        )

    @property
    def value_capabilities(self) -> Capabilities:
        columns = {name: Column(kind) for name, kind in self.column_types.items()}
        return Capabilities(
            columns={**columns, VALUES_ID_COLUMN: KEY_COLUMN},
            max_keys=MAX_KEYS,
            key_columns=frozenset({(VALUES_ID_COLUMN,)}),
        )


def build_tracked_types(
    mappings: Mapping[str, TypeMapping], connectors: Mapping[str, Connector]
) -> Mapping[str, TrackedType]:
    """By type whose changes are kept; `bindings` as a house has them."""
    seen = add_constant_columns(connectors, mappings)
    return {
        each: _build_tracked_type(mappings[each], seen)
        for each in list_changed_types(mappings)
        if mappings[each].source in seen
    }


def _build_tracked_type(binding: TypeMapping, sources: Mapping[str, Connector]) -> TrackedType:
    can = sources[binding.source].capabilities(binding.collection)
    key = RowKey(capabilities=can, id_columns=map_field_to_columns(binding, ID_FIELD), constants=binding.constants)
    return TrackedType(row_key=key, column_types={name: of.type for name, of in can.columns.items()})


class HistoryConnector:
    """The source `changes`. Of each type, the collections `<Type>` and `<Type>.values`; read by ids or by their row."""

    def __init__(self, ledger: Ledger, tracked_types: Mapping[str, TrackedType]) -> None:
        self.ledger, self.types = ledger, tracked_types
        self.cans = {name: of.change_capabilities for name, of in tracked_types.items()}
        self.cans |= {name + VALUES_SUFFIX: of.value_capabilities for name, of in tracked_types.items()}

    def capabilities(self, collection: str) -> Capabilities:
        return self.cans[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        of, left = self.types[_parse_type_name(request)], request.limit
        among = _collect_required_values(request, of)
        wanted = HistoryQuery(
            type=_parse_type_name(request),
            required_values=_map_to_changes(among),
            filter=_map_filter(request),
            sort=_map_sort(request),
        )
        if request.aggregates:
            yield await self._count(request, wanted)
            return
        while left is None or left > 0:
            most = BATCH_ROWS if left is None else min(BATCH_ROWS, left)
            try:
                found = await self.ledger.read_history(replace(wanted, limit=most))
            except LedgerUnavailable:
                raise ConnectorError("the history of changes cannot be read") from None
            yield build_history_rows(request, among, found, of)
            if len(found) < most:
                return
            left = None if left is None else left - most
            wanted = replace(wanted, after=tuple(COLUMN_READERS[name](found[-1]) for name, _ in wanted.sort))

    async def _count(self, ask: ScanRequest, wanted: HistoryQuery) -> Sequence[Row]:
        """All that is promised to be measured is how many there are; by columns that are worked out, we count."""
        if not FILTERABLE_COLUMNS.issuperset(ask.columns):
            many = Counter[Row]()
            async for batch in self.scan(replace(ask, aggregates=())):
                many.update(batch)
            return [(*by, *[count] * len(ask.aggregates)) for by, count in many.items()]
        try:
            found = await self.ledger.count_history(wanted, ask.columns)
        except LedgerUnavailable:
            raise ConnectorError("the history of changes cannot be read") from None
        return [(*by, *[count] * len(ask.aggregates)) for *by, count in found]

    async def ping(self) -> None:
        try:
            await self.ledger.ping()
        except LedgerUnavailable:
            raise ConnectorError("the history of changes cannot be read") from None

    async def close(self) -> None:
        return None


class DryRunHistory:
    """The history, and rows of it that are nowhere else: read by their id alone, so that no list ever shows them."""

    def __init__(self, base: HistoryConnector, rows_by_id: Mapping[str, HistoryRow]) -> None:
        """`left` by id."""
        self.base, self.left = base, rows_by_id

    def capabilities(self, collection: str) -> Capabilities:
        return self.base.capabilities(collection)

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        of = self.base.types[_parse_type_name(request)]
        among = _collect_required_values(request, of)
        asked = _map_to_changes(among)
        if "id" in asked:
            yield build_history_rows(
                request,
                among,
                [each for each in self.left.values() if _has_required_values(each, _parse_type_name(request), asked)],
                of,
            )
        async for batch in self.base.scan(request):
            yield batch

    async def ping(self) -> None:
        await self.base.ping()

    async def close(self) -> None:
        return None


def build_history_rows(
    request: ScanRequest,
    required_values: Mapping[str, frozenset[Any]],
    history: Sequence[HistoryRow],
    tracked_type: TrackedType,
) -> list[Row]:
    """The columns that are asked for, of changes or of the rows before and after them."""
    if not request.collection.endswith(VALUES_SUFFIX):
        takes = [
            COLUMN_READERS.get(each) or partial(_read_key_column, tracked_type.row_key, each)
            for each in request.columns
        ]
        return [tuple(take(each) for take in takes) for each in history]
    sides = [(format_side_id(each, side), takes(each)) for each in history for side, takes in ROW_SIDES.items()]
    wanted = required_values.get(VALUES_ID_COLUMN)
    shown = [
        (name, intents.decode_row(text) or {}) for name, text in sides if name and (wanted is None or name in wanted)
    ]
    return [tuple({**row, VALUES_ID_COLUMN: name}.get(each) for each in request.columns) for name, row in shown]


def _read_key_column(key: RowKey, column: str, left: HistoryRow) -> Any:
    return key.parse_id(left.row)[column]


def _parse_type_name(ask: ScanRequest) -> str:
    return ask.collection.removesuffix(VALUES_SUFFIX)


def _map_sort(ask: ScanRequest) -> tuple[tuple[str, bool], ...]:
    """Ends in what no two changes share."""
    asked = tuple((each.column, each.descending) for each in ask.sort)
    names = [name for name, _ in asked]
    return asked[: names.index("id") + 1] if "id" in names else (*asked, ("id", False))


def _map_filter(ask: ScanRequest) -> tuple[Any, ...]:
    """What is tested of changes; of their values, `_among` says all."""
    return ("all", ()) if ask.collection.endswith(VALUES_SUFFIX) else _encode_predicate(ask.filter)


def _encode_predicate(where: Any) -> tuple[Any, ...]:
    if isinstance(where, Comparison):
        return (str(where.op), where.column, where.value)
    if isinstance(where, Not):
        return ("not", _encode_predicate(where.part))
    return (CONNECTIVE_NAMES[type(where)], tuple(_encode_predicate(each) for each in where.parts))


def _collect_required_values(ask: ScanRequest, of: TrackedType) -> Mapping[str, frozenset[Any]]:
    """By column, the values that rows must have one of, as keys and tests together say, as far as all must be met."""
    known = [each for each in _collect_comparisons(ask.filter) if each.op in (Op.EQ, Op.IN)]
    said = [(each.column, each.value if each.op is Op.IN else (each.value,)) for each in known]
    if ask.keys is not None and ask.keys.columns == tuple(of.row_key.linked_columns):
        said.append(("row", tuple(of.row_key.format_id(key) for key in ask.keys.values)))
    elif ask.keys is not None:
        said.append((ask.keys.columns[0], tuple(key[0] for key in ask.keys.values)))
    found: dict[str, frozenset[Any]] = {}
    for column, values in said:
        found[column] = found.get(column, frozenset(values)) & frozenset(values)
    return found


def _collect_comparisons(where: Any) -> Iterator[Comparison]:
    """Those that all must be met."""
    if isinstance(where, And):
        yield from (test for each in where.parts for test in _collect_comparisons(each))
    elif isinstance(where, Comparison):
        yield where


def _map_to_changes(among: Mapping[str, frozenset[Any]]) -> Mapping[str, Sequence[str]]:
    """The same of the changes that rows of values belong to."""
    found = {name: tuple(values) for name, values in among.items() if name in FILTERABLE_COLUMNS}
    if VALUES_ID_COLUMN in among:
        found["id"] = tuple({each.rpartition(".")[0] for each in among[VALUES_ID_COLUMN]})
    return found


def _has_required_values(left: HistoryRow, type_name: str, asked: Mapping[str, Sequence[str]]) -> bool:
    return left.type == type_name and all(COLUMN_READERS[name](left) in values for name, values in asked.items())
