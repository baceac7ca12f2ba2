"""Resolve paths through relationships to columns, for sorts, groups and aggregates, and build the joins they need."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onedoor.model.catalog import Catalog
from onedoor.model.mapping import TypeMapping
from onedoor.model.names import (
    get_capabilities,
    get_relationship_columns,
    get_value_type,
    map_field_to_columns,
    resolve_target_type,
)
from onedoor.query.planner.nodes import FieldPath, KeyJoin, LogicalScan
from onedoor.query.planner.pushdown import get_average_column
from onedoor.query.planner.type_scans import build_type_scan
from onedoor.spi.capabilities import ColumnType, ValueType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import AggregateCall, AggregateFunction, SortKey
from onedoor.spi.text_types import TextType

AGGREGATES_OF_NO_ROWS = {AggregateFunction.COUNT: 0, AggregateFunction.COUNT_DISTINCT: 0}

AVERAGE = "avg"

VALUE_AGGREGATES = frozenset({"sum", "min", "max", AVERAGE})
"""The aggregates whose values have the type of their column, or Float for an average of whole numbers."""

DESCENDING = "DESC"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuePath:
    """Name a value behind relationships to one row: a field there, or an aggregate over one more relationship."""

    relationships: FieldPath = ()
    field: str | None = None
    aggregate: str | None = None
    """`count`, `sum` and so on, as the schema names them."""

    def without_first(self) -> "ValuePath":
        return replace(self, relationships=self.relationships[1:])

    def behind(self, relationship: str) -> "ValuePath":
        return replace(self, relationships=(relationship, *self.relationships))


@dataclass(frozen=True, slots=True, kw_only=True)
class SortTerm:
    """Hold one member of an `orderBy` argument."""

    value_path: ValuePath
    descending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedSort:
    """Hold a total order: it ends in the key, so that no two rows tie."""

    sort: tuple[SortKey, ...]
    sort_types: tuple[ValueType, ...]
    key_joins: tuple[KeyJoin, ...]
    joined_types: frozenset[str]
    """The types whose rows decide the order, beside those of the type itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedAggregate:
    """Name an aggregate as the schema does: `count` without a field, or `sum` and so on with one."""

    function: str
    field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateCalls:
    """Hold the aggregate calls that some requested aggregates need."""

    calls: tuple[AggregateCall, ...]
    average_columns: tuple[str, ...]


def parse_sort(catalog: Catalog, type_name: str, argument: Sequence[Mapping[str, Any]]) -> ParsedSort:
    """Parse an `orderBy` argument; a column that comes again decides nothing."""
    mapping = catalog.mappings[type_name]
    terms = [parse_sort_term(catalog, type_name, member) for member in argument]
    columns: dict[str, tuple[SortKey, ValueType]] = {}
    for term in terms:
        for column, column_type in _resolve_typed_columns(catalog, type_name, term.value_path):
            columns.setdefault(column, (SortKey(column, term.descending), column_type))
    for column in mapping.key:
        columns.setdefault(
            column, (SortKey(column), get_value_type(get_capabilities(catalog, mapping).columns[column]))
        )
    return ParsedSort(
        sort=tuple(sort_key for sort_key, _ in columns.values()),
        sort_types=tuple(column_type for _, column_type in columns.values()),
        key_joins=build_key_joins(catalog, type_name, [term.value_path for term in terms]),
        joined_types=frozenset(name for term in terms for name in _iterate_joined_types(catalog, type_name, term)),
    )


def _iterate_joined_types(catalog: Catalog, type_name: str, term: SortTerm) -> Iterator[str]:
    for relationship in term.value_path.relationships:
        type_name, _ = resolve_target_type(catalog, type_name, relationship)
        yield type_name


def parse_sort_term(catalog: Catalog, type_name: str, argument: Mapping[str, Any]) -> SortTerm:
    """Parse `{name: DESC}`, `{customer: {name: ASC}}` or `{orders: {count: DESC}}`."""
    ((field, inner),) = argument.items()
    if not isinstance(inner, Mapping):
        return SortTerm(value_path=ValuePath(field=field), descending=inner == DESCENDING)
    target_type, is_list = resolve_target_type(catalog, type_name, field)
    term = parse_aggregate_sort_term(inner) if is_list else parse_sort_term(catalog, target_type, inner)
    return replace(term, value_path=term.value_path.behind(field))


def parse_aggregate_sort_term(argument: Mapping[str, Any]) -> SortTerm:
    """Parse `{count: DESC}` or `{sum: {total: DESC}}`."""
    ((aggregate, inner),) = argument.items()
    if not isinstance(inner, Mapping):
        return SortTerm(value_path=ValuePath(aggregate=aggregate), descending=inner == DESCENDING)
    ((field, direction),) = inner.items()
    return SortTerm(value_path=ValuePath(field=field, aggregate=aggregate), descending=direction == DESCENDING)


def resolve_value_columns(catalog: Catalog, type_name: str, value_path: ValuePath) -> tuple[str, ...]:
    """Return the names of a path's values in the rows of the type; a composite id has several."""
    if value_path.relationships:
        relationship = value_path.relationships[0]
        target_type, _ = resolve_target_type(catalog, type_name, relationship)
        columns = resolve_value_columns(catalog, target_type, value_path.without_first())
        return tuple(f"{relationship}.{column}" for column in columns)
    if value_path.aggregate is not None:
        requested = RequestedAggregate(function=value_path.aggregate, field=value_path.field)
        return (resolve_aggregate_name(catalog, type_name, requested),)
    assert value_path.field is not None
    return map_field_to_columns(catalog.mappings[type_name], value_path.field)


def _resolve_value_types(catalog: Catalog, type_name: str, value_path: ValuePath) -> tuple[ValueType, ...]:
    """Return the types of those values."""
    if value_path.relationships:
        target_type, _ = resolve_target_type(catalog, type_name, value_path.relationships[0])
        return _resolve_value_types(catalog, target_type, value_path.without_first())
    if value_path.aggregate is not None and value_path.aggregate not in VALUE_AGGREGATES:
        return (ColumnType.INTEGER,)
    assert value_path.field is not None
    mapping = catalog.mappings[type_name]
    columns = get_capabilities(catalog, mapping).columns
    column_types = tuple(get_value_type(columns[column]) for column in map_field_to_columns(mapping, value_path.field))
    if value_path.aggregate != AVERAGE:
        return column_types
    return tuple(ColumnType.FLOAT if each is ColumnType.INTEGER else each for each in column_types)


def get_aggregate_text_type(catalog: Catalog, type_name: str, requested: RequestedAggregate) -> TextType | None:
    """Return what a minimum or maximum of texts means, where that is more than their code points."""
    value_path = ValuePath(field=requested.field, aggregate=requested.function)
    value_type = _resolve_value_types(catalog, type_name, value_path)[0]
    return value_type if isinstance(value_type, TextType) else None


def _resolve_typed_columns(catalog: Catalog, type_name: str, value_path: ValuePath) -> Iterator[tuple[str, ValueType]]:
    return zip(
        resolve_value_columns(catalog, type_name, value_path),
        _resolve_value_types(catalog, type_name, value_path),
        strict=True,
    )


def resolve_aggregate_name(catalog: Catalog, type_name: str, requested: RequestedAggregate) -> str:
    """Return the name of an aggregate's column in grouped rows."""
    mapping = catalog.mappings[type_name]
    if requested.function == AVERAGE:
        return get_average_column(_resolve_averaged_column(mapping, requested))
    return _build_aggregate_call(mapping, requested).name


def _resolve_averaged_column(mapping: TypeMapping, requested: RequestedAggregate) -> str:
    assert requested.field is not None
    return map_field_to_columns(mapping, requested.field)[0]


def _build_aggregate_call(mapping: TypeMapping, requested: RequestedAggregate) -> AggregateCall:
    """Return the call for one aggregate; a composite id is different in each row, so its values count as rows."""
    columns = map_field_to_columns(mapping, requested.field) if requested.field is not None else ()
    if len(columns) != 1:
        return AggregateCall(AggregateFunction.COUNT)
    return AggregateCall(AggregateFunction(requested.function), columns[0])


def build_aggregate_calls(
    catalog: Catalog, type_name: str, requested_aggregates: Sequence[RequestedAggregate]
) -> AggregateCalls:
    """Return each call once; an average needs a sum and a count."""
    mapping = catalog.mappings[type_name]
    averages = [each for each in requested_aggregates if each.function == AVERAGE]
    return AggregateCalls(
        calls=tuple(
            dict.fromkeys(call for each in requested_aggregates for call in _expand_aggregate_calls(mapping, each))
        ),
        average_columns=tuple(dict.fromkeys(_resolve_averaged_column(mapping, each) for each in averages)),
    )


def _expand_aggregate_calls(mapping: TypeMapping, requested: RequestedAggregate) -> tuple[AggregateCall, ...]:
    if requested.function != AVERAGE:
        return (_build_aggregate_call(mapping, requested),)
    column = _resolve_averaged_column(mapping, requested)
    return AggregateCall(AggregateFunction.SUM, column), AggregateCall(AggregateFunction.COUNT, column)


def build_key_joins(catalog: Catalog, type_name: str, value_paths: Sequence[ValuePath]) -> tuple[KeyJoin, ...]:
    """Build one join for each relationship that some path begins with."""
    relationships = dict.fromkeys(path.relationships[0] for path in value_paths if path.relationships)
    return tuple(
        _build_key_join(catalog, type_name, relationship, _select_paths_behind(value_paths, relationship))
        for relationship in relationships
    )


def _select_paths_behind(value_paths: Sequence[ValuePath], relationship: str) -> list[ValuePath]:
    return [path.without_first() for path in dict.fromkeys(value_paths) if path.relationships[:1] == (relationship,)]


def _build_key_join(catalog: Catalog, type_name: str, relationship: str, value_paths: Sequence[ValuePath]) -> KeyJoin:
    target_type, is_list = resolve_target_type(catalog, type_name, relationship)
    outer_columns, inner_key = get_relationship_columns(catalog.mappings[type_name].relationships[relationship])
    build_inner_scan = _build_aggregate_scan if is_list else _build_single_row_scan
    inner_scan = build_inner_scan(catalog, target_type, inner_key, value_paths)
    column_types = dict(pair for path in value_paths for pair in _resolve_typed_columns(catalog, target_type, path))
    inner_columns = tuple(column_types)
    return KeyJoin(
        relationship=relationship,
        outer_columns=outer_columns,
        inner_scan=inner_scan,
        inner_columns=inner_columns,
        output_columns=tuple(f"{relationship}.{column}" for column in inner_columns),
        output_types=tuple(column_types.values()),
        missing_row=build_missing_row(inner_columns, inner_scan.aggregates),
    )


def _build_aggregate_scan(
    catalog: Catalog, type_name: str, key: tuple[str, ...], value_paths: Sequence[ValuePath]
) -> LogicalScan:
    mapping = catalog.mappings[type_name]
    requested = [RequestedAggregate(function=path.aggregate or "", field=path.field) for path in value_paths]
    aggregates = build_aggregate_calls(catalog, type_name, requested)
    return replace(
        build_type_scan(catalog, mapping, columns=key, key_columns=key),
        aggregates=aggregates.calls,
        average_columns=aggregates.average_columns,
    )


def _build_single_row_scan(
    catalog: Catalog, type_name: str, key: tuple[str, ...], value_paths: Sequence[ValuePath]
) -> LogicalScan:
    """Build the scan for one row per key; where several rows match, the one whose own key comes first."""
    mapping = catalog.mappings[type_name]
    own_paths = [path for path in value_paths if not path.relationships]
    own_columns = [column for path in own_paths for column in resolve_value_columns(catalog, type_name, path)]
    scan = build_type_scan(catalog, mapping, columns=tuple(dict.fromkeys((*own_columns, *key))), key_columns=key)
    return limit_to_first_row(mapping, replace(scan, key_joins=build_key_joins(catalog, type_name, value_paths)))


def limit_to_first_row(mapping: TypeMapping, logical: LogicalScan) -> LogicalScan:
    """Limit a scan to the row whose key comes first, for each key; by the type's own key there is one anyway."""
    if logical.key_columns == mapping.key:
        return logical
    return replace(logical, sort=tuple(map(SortKey, mapping.key)), limit=1)


def build_missing_row(columns: Sequence[str], aggregates: Sequence[AggregateCall]) -> Row:
    """Return the aggregates of no rows: counts are 0, all else is null."""
    values = {call.name: AGGREGATES_OF_NO_ROWS.get(call.function) for call in aggregates}
    return tuple(values.get(column) for column in columns)
