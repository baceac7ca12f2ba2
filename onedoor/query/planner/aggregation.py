"""Plan the `aggregate` and `groups` of a list as scans over the list's rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onedoor.model.catalog import Catalog
from onedoor.query.authorize import Decisions, is_denied
from onedoor.query.planner.nodes import FieldPath, LogicalScan, PlannedPredicate
from onedoor.query.planner.predicates import (
    CONNECTIVE_ARGUMENTS,
    build_bad_input_error,
    convert_operand,
    is_null_operand,
)
from onedoor.query.planner.value_paths import (
    RequestedAggregate,
    ValuePath,
    build_aggregate_calls,
    build_key_joins,
    get_aggregate_text_type,
    parse_aggregate_sort_term,
    parse_sort_term,
    resolve_aggregate_name,
    resolve_value_columns,
)
from onedoor.query.selection import SelectedField
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Not, Op
from onedoor.spi.scan import SortKey, TimeBucket, TimeUnit

GROUP_BY_VALUE = "VALUE"
"""Group by the value itself, not by a unit of time."""

COUNT_OF_ROWS = RequestedAggregate(function="count")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKey:
    """Hold one member of a `by` argument and the columns that hold its value."""

    path: FieldPath
    columns: tuple[str, ...]
    value_path: ValuePath
    time_buckets: tuple[TimeBucket, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSort:
    """Hold one member of an `orderBy` argument of groups."""

    sort_keys: tuple[SortKey, ...]
    aggregate: RequestedAggregate | None = None
    """The aggregate it orders by; None: it orders by a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingScan:
    """Hold the scan for the groups of one field, without their limit."""

    logical: LogicalScan
    key_columns: Mapping[FieldPath, tuple[str, ...]]
    """For each path in `by`, the columns of a group that hold its value."""


def collect_aggregates(fields: Sequence[SelectedField], decisions: Decisions) -> Iterator[RequestedAggregate]:
    """Yield what some `aggregate` fields ask for and the principal may see."""
    for field in (child for parent in fields for child in _list_allowed_children(parent, decisions)):
        if field.name == "count":
            yield COUNT_OF_ROWS
        else:
            for column_field in _list_allowed_children(field, decisions):
                yield RequestedAggregate(function=field.name, field=column_field.name)


def _list_allowed_children(field: SelectedField, decisions: Decisions) -> list[SelectedField]:
    return [child for child in field.children if child.name != "__typename" and not is_denied(child, decisions)]


def build_total_aggregate_scan(
    catalog: Catalog, type_name: str, requested: Sequence[RequestedAggregate], base_scan: LogicalScan
) -> LogicalScan:
    """Build the scan that aggregates all rows of `base_scan`, for each key."""
    aggregates = build_aggregate_calls(catalog, type_name, requested)
    return replace(
        base_scan,
        columns=base_scan.key_columns,
        aggregates=aggregates.calls,
        average_columns=aggregates.average_columns,
    )


def build_grouping_scan(
    catalog: Catalog, type_name: str, field: SelectedField, decisions: Decisions, base_scan: LogicalScan
) -> GroupingScan:
    """Build the scan for one `groups` field.

    Raises RequestRejected when an order or a shown key is not among `by`, and when `having` compares with null.
    """
    group_keys = [_parse_group_key(catalog, type_name, member) for member in field.arguments["by"]]
    key_columns = {key.path: key.columns for key in group_keys}
    _check_group_keys(field, group_keys)
    children = _list_allowed_children(field, decisions)
    _check_shown_keys(field, [child for child in children if child.name == "key"], decisions, key_columns)
    sorts = [
        _parse_group_sort(catalog, type_name, field, member, key_columns)
        for member in field.arguments.get("orderBy") or ()
    ]
    having = field.arguments.get("having")
    requested = [
        *collect_aggregates([child for child in children if child.name == "aggregate"], decisions),
        *(sort.aggregate for sort in sorts if sort.aggregate is not None),
        *_collect_having_aggregates(having),
    ]
    aggregates = build_aggregate_calls(catalog, type_name, requested)
    columns = [column for key in group_keys for column in key.columns]
    logical = replace(
        base_scan,
        columns=tuple(dict.fromkeys((*base_scan.key_columns, *columns))),
        key_joins=build_key_joins(catalog, type_name, [key.value_path for key in group_keys]),
        aggregates=aggregates.calls,
        average_columns=aggregates.average_columns,
        time_buckets=tuple(bucket for key in group_keys for bucket in key.time_buckets),
        having=ALWAYS_TRUE if having is None else _parse_having(catalog, type_name, having),
        sort=_complete_group_sort(sorts, columns),
    )
    return GroupingScan(logical=logical, key_columns=key_columns)


def _complete_group_sort(sorts: Sequence[GroupSort], columns: Sequence[str]) -> tuple[SortKey, ...]:
    """Return a total order: the sorts of the query, then the columns grouped by."""
    sort_keys = dict.fromkeys(sort_key for sort in sorts for sort_key in sort.sort_keys)
    sorted_columns = {sort_key.column for sort_key in sort_keys}
    return (*sort_keys, *(SortKey(column) for column in columns if column not in sorted_columns))


def _parse_group_key(catalog: Catalog, type_name: str, argument: Mapping[str, Any]) -> GroupKey:
    path, unit = _parse_group_path(argument)
    value_path = ValuePath(relationships=path[:-1], field=path[-1])
    columns = resolve_value_columns(catalog, type_name, value_path)
    is_bucketed = unit != GROUP_BY_VALUE
    return GroupKey(
        path=path,
        columns=columns,
        value_path=value_path,
        time_buckets=tuple(TimeBucket(column, TimeUnit(unit)) for column in columns) if is_bucketed else (),
    )


def _parse_group_path(argument: Mapping[str, Any]) -> tuple[FieldPath, str]:
    """Return the path and the unit of `{country: VALUE}` or `{customer: {createdAt: MONTH}}`."""
    ((field, inner),) = argument.items()
    if not isinstance(inner, Mapping):
        return (field,), inner
    path, unit = _parse_group_path(inner)
    return (field, *path), unit


def _check_group_keys(field: SelectedField, group_keys: Sequence[GroupKey]) -> None:
    if not group_keys:
        raise build_bad_input_error(f"`by` of `{field.name}` says nothing, name at least one field")
    paths = [key.path for key in group_keys]
    for path in paths:
        if paths.count(path) > 1:
            raise build_bad_input_error(f"`by` of `{field.name}` names `{'.'.join(path)}` twice, ask in two")


def _check_shown_keys(
    field: SelectedField,
    key_fields: Sequence[SelectedField],
    decisions: Decisions,
    key_columns: Mapping[FieldPath, tuple[str, ...]],
) -> None:
    for path in (path for key_field in key_fields for path in _collect_key_paths(key_field, decisions)):
        if path not in key_columns:
            raise build_bad_input_error(
                f"`key` of `{field.name}` shows `{'.'.join(path)}`, which `by` does not name: add it there"
            )


def _collect_key_paths(field: SelectedField, decisions: Decisions) -> Iterator[FieldPath]:
    for child in _list_allowed_children(field, decisions):
        if child.children:
            yield from ((child.name, *path) for path in _collect_key_paths(child, decisions))
        else:
            yield (child.name,)


def _parse_group_sort(
    catalog: Catalog,
    type_name: str,
    field: SelectedField,
    argument: Mapping[str, Any],
    key_columns: Mapping[FieldPath, tuple[str, ...]],
) -> GroupSort:
    """Parse `{key: {country: ASC}}`, or an aggregate such as `{sum: {total: DESC}}`."""
    if "key" not in argument:
        term = parse_aggregate_sort_term(argument)
        assert term.value_path.aggregate is not None
        aggregate = RequestedAggregate(function=term.value_path.aggregate, field=term.value_path.field)
        name = resolve_aggregate_name(catalog, type_name, aggregate)
        return GroupSort(sort_keys=(SortKey(name, term.descending),), aggregate=aggregate)
    term = parse_sort_term(catalog, type_name, argument["key"])
    path = (*term.value_path.relationships, term.value_path.field or term.value_path.aggregate or "")
    if term.value_path.aggregate is not None or path not in key_columns:
        raise build_bad_input_error(
            f"`orderBy` of `{field.name}` names the key `{'.'.join(path)}`, which `by` does not: add it there"
        )
    return GroupSort(sort_keys=tuple(SortKey(column, term.descending) for column in key_columns[path]))


def _collect_having_aggregates(having: Mapping[str, Any] | None) -> Iterator[RequestedAggregate]:
    """Yield the aggregates a `having` argument compares; what is wrong with it is found when it is parsed."""
    for name, inner in (having or {}).items():
        if name in CONNECTIVE_ARGUMENTS:
            yield from (requested for part in inner or () for requested in _collect_having_aggregates(part))
        elif name == "not":
            yield from _collect_having_aggregates(inner)
        elif name == "count":
            yield COUNT_OF_ROWS
        else:
            yield from (RequestedAggregate(function=name, field=field) for field in inner or {})


def _parse_having(catalog: Catalog, type_name: str, argument: Mapping[str, Any]) -> PlannedPredicate:
    return And(tuple(_parse_having_member(catalog, type_name, name, value) for name, value in argument.items()))


def _parse_having_member(catalog: Catalog, type_name: str, name: str, value: Any) -> PlannedPredicate:
    if value is None or value == {}:
        raise build_bad_input_error(f"`{name}` in `having` says nothing, leave it out or give a test")
    if name in CONNECTIVE_ARGUMENTS:
        return CONNECTIVE_ARGUMENTS[name](tuple(_parse_having(catalog, type_name, part) for part in value))
    if name == "not":
        return Not(_parse_having(catalog, type_name, value))
    operators = {COUNT_OF_ROWS: value} if name == "count" else _map_fields_to_operators(name, value)
    return And(
        tuple(
            comparison
            for requested, operands in operators.items()
            for comparison in _parse_having_comparisons(catalog, type_name, requested, operands)
        )
    )


def _map_fields_to_operators(
    function: str, value: Mapping[str, Any]
) -> Mapping[RequestedAggregate, Mapping[str, Any] | None]:
    return {RequestedAggregate(function=function, field=field): operands for field, operands in value.items()}


def _parse_having_comparisons(
    catalog: Catalog, type_name: str, requested: RequestedAggregate, operands: Mapping[str, Any] | None
) -> Iterator[Comparison]:
    name = resolve_aggregate_name(catalog, type_name, requested)
    shown_name = requested.field or requested.function
    text_type = get_aggregate_text_type(catalog, type_name, requested)
    if not operands:
        raise build_bad_input_error(f"`{shown_name}` in `having` says nothing, leave it out or give a test")
    for op, operand in operands.items():
        if is_null_operand(operand):
            raise build_bad_input_error(f"`{op}` of `{shown_name}` in `having` is null: leave it out, or ask `isNull`")
        yield Comparison(name, Op(op), convert_operand(Op(op), operand, text_type))
