"""The `aggregate` and `groups` of a list in, what is measured of its rows out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Catalog
from onedoor.query.authorize import Decisions, is_denied
from onedoor.query.planner.nodes import FieldPath, LogicalScan
from onedoor.query.planner.predicates import (
    ValuePath,
    build_aggregate_calls,
    build_key_joins,
    convert_operand,
    parse_aggregate_sort,
    parse_sort_member,
    resolve_aggregate_name,
    resolve_value_columns,
)
from onedoor.query.selection import SelectedField
from onedoor.spi.predicates import And, Comparison, Not, Op, Or
from onedoor.spi.scan import SortKey, TimeBucket, TimeUnit

GROUP_BY_VALUE = "VALUE"
"""Grouped by the value itself, not by a stretch of time."""

CONNECTIVES = {"and": And, "or": Or}

RequestedAggregate = tuple[str, str | None]
"""(aggregate, field), as the schema names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKey:
    """One thing grouped by, and what holds it in the rows."""

    path: FieldPath
    columns: tuple[str, ...]
    value_path: ValuePath
    time_buckets: tuple[TimeBucket, ...]


def collect_aggregates(fields: Sequence[SelectedField], decisions: Decisions) -> Iterator[RequestedAggregate]:
    """What some `aggregate` fields ask for, of what may be seen."""
    for pick in (inner for each in fields for inner in each.children if not is_denied(inner, decisions)):
        if pick.name == "count":
            yield "count", None
        elif pick.name != "__typename":
            seen = (each for each in pick.children if not is_denied(each, decisions) and each.name != "__typename")
            yield from ((pick.name, each.name) for each in seen)


def build_total_aggregate_scan(
    catalog: Catalog, type_name: str, requested: Sequence[RequestedAggregate], base_scan: LogicalScan
) -> LogicalScan:
    """What is measured of all rows of `base`, for each key."""
    made = build_aggregate_calls(catalog, type_name, requested)
    return _extend_base_scan(
        base_scan, columns=base_scan.key_columns, aggregates=made.calls, average_columns=made.average_columns
    )


def build_grouping_scan(
    catalog: Catalog, type_name: str, field: SelectedField, decisions: Decisions, base_scan: LogicalScan
) -> tuple[LogicalScan, Mapping[FieldPath, tuple[str, ...]]]:
    """The groups one field asks for, without their limit, and where each thing grouped by stands in them."""
    by = [_parse_group_key(catalog, type_name, each) for each in field.arguments["by"]]
    keys = {each.path: each.columns for each in by}
    _check_group_keys(field, by)
    seen = [each for each in field.children if not is_denied(each, decisions)]
    _check_shown_keys(field, [each for each in seen if each.name == "key"], decisions, keys)
    orders = [_parse_group_sort(catalog, type_name, field, each, keys) for each in field.arguments.get("orderBy") or ()]
    having = field.arguments.get("having")
    asked = [
        *collect_aggregates([each for each in seen if each.name == "aggregate"], decisions),
        *(used for used, _ in orders if used is not None),
        *_collect_having_aggregates(having),
    ]
    made = build_aggregate_calls(catalog, type_name, asked)
    order = dict.fromkeys([*(each for _, found in orders for each in found)])
    ordered = {each.column for each in order}
    ties = [SortKey(name) for each in by for name in each.columns if name not in ordered]
    wanted = _extend_base_scan(
        base_scan,
        columns=tuple(dict.fromkeys((*base_scan.key_columns, *(name for each in by for name in each.columns)))),
        key_joins=build_key_joins(catalog, type_name, [each.value_path for each in by]),
        aggregates=made.calls,
        average_columns=made.average_columns,
        time_buckets=tuple(cut for each in by for cut in each.time_buckets),
        having=_parse_having(catalog, type_name, having) if having is not None else And(()),
        sort=(*order, *ties),
    )
    return wanted, keys


def _extend_base_scan(base: LogicalScan, **said: Any) -> LogicalScan:
    return LogicalScan(
        source=base.source, collection=base.collection, key_columns=base.key_columns, filter=base.filter, **said
    )


def _parse_group_key(catalog: Catalog, type_name: str, given: Mapping[str, Any]) -> GroupKey:
    path, unit = _parse_group_path(given)
    found = ValuePath(relationships=path[:-1], field=path[-1])
    named = resolve_value_columns(catalog, type_name, found)
    cuts = () if unit == GROUP_BY_VALUE else tuple(TimeBucket(each, TimeUnit(unit)) for each in named)
    return GroupKey(path=path, columns=named, value_path=found, time_buckets=cuts)


def _parse_group_path(given: Mapping[str, Any]) -> tuple[FieldPath, str]:
    ((field, inner),) = given.items()
    if not isinstance(inner, Mapping):
        return (field,), inner
    path, unit = _parse_group_path(inner)
    return (field, *path), unit


def _check_group_keys(field: SelectedField, by: Sequence[GroupKey]) -> None:
    if not by:
        raise _build_grouping_error(f"`by` of `{field.name}` says nothing, name at least one field")
    paths = [each.path for each in by]
    for each in paths:
        if paths.count(each) > 1:
            raise _build_grouping_error(f"`by` of `{field.name}` names `{'.'.join(each)}` twice, ask in two")


def _check_shown_keys(
    field: SelectedField, fields: Sequence[SelectedField], decisions: Decisions, keys: Mapping[FieldPath, Any]
) -> None:
    for path in (path for each in fields for path in _collect_key_paths(each, decisions)):
        if path not in keys:
            raise _build_grouping_error(
                f"`key` of `{field.name}` shows `{'.'.join(path)}`, which `by` does not name: add it there"
            )


def _collect_key_paths(field: SelectedField, decisions: Decisions) -> Iterator[FieldPath]:
    for each in field.children:
        if each.name == "__typename" or is_denied(each, decisions):
            continue
        if each.children:
            yield from ((each.name, *path) for path in _collect_key_paths(each, decisions))
        else:
            yield (each.name,)


def _parse_group_sort(
    catalog: Catalog,
    type_name: str,
    field: SelectedField,
    given: Mapping[str, Any],
    keys: Mapping[FieldPath, tuple[str, ...]],
) -> tuple[RequestedAggregate | None, list[SortKey]]:
    """The aggregate an order looks at, if it does, and the order."""
    if "key" not in given:
        found, descending = parse_aggregate_sort(given)
        assert found.aggregate is not None
        name = resolve_aggregate_name(catalog, type_name, found.aggregate, found.field)
        return (found.aggregate, found.field), [SortKey(name, descending)]
    wanted, descending = parse_sort_member(catalog, type_name, given["key"])
    path = (*wanted.relationships, wanted.field or wanted.aggregate or "")
    if wanted.aggregate is not None or path not in keys:
        raise _build_grouping_error(
            f"`orderBy` of `{field.name}` names the key `{'.'.join(path)}`, which `by` does not: add it there"
        )
    return None, [SortKey(each, descending) for each in keys[path]]


def _collect_having_aggregates(having: Mapping[str, Any] | None) -> Iterator[RequestedAggregate]:
    for name, inner in (having or {}).items():
        if name in CONNECTIVES:
            yield from (each for part in inner or () for each in _collect_having_aggregates(part))
        elif name == "not":
            yield from _collect_having_aggregates(inner)
        elif name == "count":
            yield "count", None
        else:
            yield from ((name, field) for field in inner or {})


def _parse_having(catalog: Catalog, type_name: str, given: Mapping[str, Any]) -> Any:
    return And(tuple(_parse_having_member(catalog, type_name, name, inner) for name, inner in given.items()))


def _parse_having_member(catalog: Catalog, type_name: str, name: str, inner: Any) -> Any:
    if inner is None or inner == {}:
        raise _build_grouping_error(f"`{name}` in `having` says nothing, leave it out or give a test")
    if name in CONNECTIVES:
        return CONNECTIVES[name](tuple(_parse_having(catalog, type_name, each) for each in inner))
    if name == "not":
        return Not(_parse_having(catalog, type_name, inner))
    tests = [(None, inner)] if name == "count" else list(inner.items())
    return And(
        tuple(
            each for field, said in tests for each in _parse_having_comparisons(catalog, type_name, (name, field), said)
        )
    )


def _parse_having_comparisons(
    catalog: Catalog, type_name: str, what: RequestedAggregate, said: Mapping[str, Any] | None
) -> Iterator[Comparison]:
    name = resolve_aggregate_name(catalog, type_name, *what)
    if not said:
        raise _build_grouping_error(f"`{what[1] or what[0]}` in `having` says nothing, leave it out or give a test")
    for op, operand in said.items():
        if operand is None or (isinstance(operand, list) and None in operand):
            raise _build_grouping_error(
                f"`{op}` of `{what[1] or what[0]}` in `having` is null: leave it out, or ask `isNull`"
            )
        yield Comparison(name, Op(op), convert_operand(Op(op), operand))


def _build_grouping_error(message: str) -> RequestRejected:
    return RequestRejected(GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message))
