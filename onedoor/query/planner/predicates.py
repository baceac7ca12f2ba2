"""`where`, `orderBy` and paths across relationships."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import Catalog
from onedoor.model.constant_columns import may_match
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.model.names import (
    NoSuchId,
    build_id_parser,
    get_capabilities,
    get_relationship_columns,
    list_member_mappings,
    map_field_to_columns,
    resolve_target_type,
)
from onedoor.model.parameters import convert_value
from onedoor.query.planner.nodes import FieldPath, KeyJoin, LogicalScan, SemiJoinFilter, build_distinct_scan
from onedoor.query.planner.pushdown import get_average_column
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Exists, InKeys, Not, Op, Or, Row
from onedoor.spi.scan import AggregateCall, AggregateFunction, SortKey

CONNECTIVES = {"and": And, "or": Or}


def parse_filter(catalog: Catalog, type_name: str, argument: Mapping[str, Any] | None) -> Any:
    """All that is said must hold; raises Refused for a null or an empty operand, which would mean everything."""
    if argument is None:
        return ALWAYS_TRUE
    return And(
        tuple(
            _parse_filter_member(catalog, catalog.mappings[type_name], name, inner) for name, inner in argument.items()
        )
    )


def _parse_filter_member(catalog: Catalog, mapping: TypeMapping, name: str, value: Any) -> Any:
    if value is None:
        raise _build_filter_error(f"`{name}` in a filter of `{mapping.type}` is null: leave it out, or ask `isNull`")
    if name in CONNECTIVES:
        return CONNECTIVES[name](tuple(parse_filter(catalog, mapping.type, each) for each in value))
    if name == "not":
        return Not(parse_filter(catalog, mapping.type, value))
    if name in mapping.relationships:
        return _parse_relationship_filter(catalog, mapping, name, value)
    return And(
        tuple(
            _build_comparison(catalog, mapping, name, Op(op), operand)
            for op, operand in _parse_operators(mapping, name, value)
        )
    )


def _parse_operators(mapping: TypeMapping, name: str, value: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    if not value:
        raise _build_filter_error(f"the filter of `{mapping.type}.{name}` says nothing, give an operator such as `eq`")
    for op, operand in value.items():
        if operand is None or (isinstance(operand, list) and any(each is None for each in operand)):
            raise _build_filter_error(
                f"`{op}` in the filter of `{mapping.type}.{name}` is null: leave it out, or ask `isNull`"
            )
    return list(value.items())


def _parse_relationship_filter(catalog: Catalog, mapping: TypeMapping, name: str, value: Mapping[str, Any]) -> Any:
    _, many = resolve_target_type(catalog, mapping.type, name)
    link = mapping.relationships[name]
    if not many:
        return _build_quantified_filter(catalog, mapping, link, value, every=False)
    parts = []
    for quantifier, inner in _parse_operators(mapping, name, value):
        exists = _build_quantified_filter(catalog, mapping, link, inner, every=quantifier == "every")
        parts.append(exists if quantifier == "some" else Not(exists))
    return And(tuple(parts))


def _build_quantified_filter(
    catalog: Catalog, mapping: TypeMapping, relationship: Relationship, value: Mapping[str, Any], *, every: bool
) -> Any:
    """That some row meets the filter, or fails it: of an interface, a row of any of its types."""
    found = []
    for target in list_member_mappings(catalog, relationship.to):
        meets = parse_filter(catalog, target.type, value)
        meets = Not(meets) if every else meets
        if may_match(meets, target.constants, None) is not False:
            found.append(_build_exists(catalog, mapping, relationship, target, meets))
    return found[0] if len(found) == 1 else Or(tuple(found))


def _build_exists(
    catalog: Catalog, mapping: TypeMapping, relationship: Relationship, target_mapping: TypeMapping, meets: Any
) -> Any:
    """That the link leads to some row that meets the filter; across sources, by the keys of all such rows."""
    here, there = get_relationship_columns(relationship)
    if target_mapping.source == mapping.source:
        return Exists(target_mapping.collection, here, there, meets)
    return SemiJoinFilter(here, build_distinct_scan(target_mapping.source, target_mapping.collection, there, meets))


def share_semi_joins(predicate: Any, known_semi_joins: list[SemiJoinFilter]) -> Any:
    """The filter, its carried keys those that are known where they are the same; what is new becomes known."""
    match predicate:
        case And() | Or():
            return type(predicate)(tuple(share_semi_joins(each, known_semi_joins) for each in predicate.parts))
        case Not():
            return Not(share_semi_joins(predicate.part, known_semi_joins))
        case SemiJoinFilter():
            same = next(
                (
                    each
                    for each in known_semi_joins
                    if (each.outer_columns, each.inner_scan) == (predicate.outer_columns, predicate.inner_scan)
                ),
                predicate,
            )
            known_semi_joins.append(same)
            return same
        case _:
            return predicate


def _build_comparison(catalog: Catalog, mapping: TypeMapping, field: str, op: Op, operand: Any) -> Any:
    columns = map_field_to_columns(mapping, field)
    output: Any = catalog.schema.type_map[mapping.type]
    if str(output.fields[field].type).rstrip("!") == "ID":
        return _build_id_comparison(catalog, mapping, columns, op, operand)
    return Comparison(columns[0], op, convert_operand(op, operand))


def convert_operand(op: Op, operand: Any) -> Any:
    """The operand of a test; a list in a variable becomes a tuple when it is filled in."""
    return convert_value(operand, tuple) if op in (Op.IN, Op.NOT_IN) and not isinstance(operand, list) else operand


def _build_id_comparison(catalog: Catalog, mapping: TypeMapping, columns: tuple[str, ...], op: Op, operand: Any) -> Any:
    """Ids are compared as key values; a text that can be no id equals no row."""
    can = get_capabilities(catalog, mapping)
    if len(columns) == 1 and can.columns[columns[0]].type is ColumnType.TEXT:
        return Comparison(columns[0], op, convert_operand(op, operand))
    if op is Op.IS_NULL:
        return Comparison(columns[0], op, operand)
    if op in (Op.NE, Op.NOT_IN):
        opposite = _build_id_comparison(catalog, mapping, columns, Op.EQ if op is Op.NE else Op.IN, operand)
        return And((Comparison(columns[0], Op.IS_NULL, False), Not(opposite)))
    reader = build_id_parser(can, columns)
    if op is Op.EQ:
        return And(
            tuple(Comparison(column, Op.IN, _select_key_part(operand, reader, at)) for at, column in enumerate(columns))
        )
    if isinstance(operand, list):
        return Or(tuple(_build_id_comparison(catalog, mapping, columns, Op.EQ, each) for each in operand))
    return InKeys(columns, convert_value(operand, lambda texts: _parse_known_ids(reader, texts)))


def _select_key_part(operand: Any, reader: Any, at: int) -> Any:
    """One part of an id, as a tuple of one value, or of none if the text can be no id."""
    return convert_value(operand, lambda text: tuple(key[at] for key in _parse_known_ids(reader, (text,))))


def _parse_known_ids(reader: Any, texts: Sequence[str]) -> frozenset[tuple[Any, ...]]:
    """The key values of the texts that can be ids."""
    return frozenset(key for text in texts for key in _parse_id_or_none(reader, text))


def _parse_id_or_none(reader: Any, text: str) -> tuple[tuple[Any, ...], ...]:
    try:
        return (reader(text),)
    except NoSuchId:
        return ()


def _build_filter_error(message: str) -> RequestRejected:
    return RequestRejected(GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message))


AGGREGATES_OF_NO_ROWS = {AggregateFunction.COUNT: 0, AggregateFunction.COUNT_DISTINCT: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuePath:
    """A value at the end of single links: a field there, or an aggregate of the list at the end of one more link."""

    relationships: FieldPath
    field: str | None = None
    aggregate: str | None = None
    """`count`, `sum` and so on, as the schema names them."""

    def without_first(self) -> "ValuePath":
        return ValuePath(relationships=self.relationships[1:], field=self.field, aggregate=self.aggregate)


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateCalls:
    """What must be measured for some aggregates of a type's columns."""

    calls: tuple[AggregateCall, ...]
    average_columns: tuple[str, ...]


def resolve_value_columns(catalog: Catalog, type_name: str, value_path: ValuePath) -> tuple[str, ...]:
    """What the values of a term are called in the rows of the type: more than one of a composite id."""
    if value_path.relationships:
        to, _ = resolve_target_type(catalog, type_name, value_path.relationships[0])
        return tuple(
            f"{value_path.relationships[0]}.{each}"
            for each in resolve_value_columns(catalog, to, value_path.without_first())
        )
    if value_path.aggregate is not None:
        return (resolve_aggregate_name(catalog, type_name, value_path.aggregate, value_path.field),)
    assert value_path.field is not None
    return map_field_to_columns(catalog.mappings[type_name], value_path.field)


def resolve_value_types(catalog: Catalog, type_name: str, value_path: ValuePath) -> tuple[ColumnType, ...]:
    """What those values are."""
    if value_path.relationships:
        return resolve_value_types(
            catalog, resolve_target_type(catalog, type_name, value_path.relationships[0])[0], value_path.without_first()
        )
    binding = catalog.mappings[type_name]
    columns = catalog.connectors[binding.source].capabilities(binding.collection).columns
    if value_path.aggregate in (None, "sum", "min", "max", "avg"):
        assert value_path.field is not None
        found = tuple(columns[each].type for each in map_field_to_columns(binding, value_path.field))
        return (
            tuple(ColumnType.FLOAT if each is ColumnType.INTEGER else each for each in found)
            if value_path.aggregate == "avg"
            else found
        )
    return (ColumnType.INTEGER,)


def resolve_aggregate_name(catalog: Catalog, type_name: str, aggregate: str, field: str | None) -> str:
    if aggregate == "avg":
        assert field is not None
        return get_average_column(map_field_to_columns(catalog.mappings[type_name], field)[0])
    return build_aggregate_call(catalog, type_name, aggregate, field).name


def build_aggregate_call(catalog: Catalog, type_name: str, aggregate: str, field: str | None) -> AggregateCall:
    """Each of a composite id is another row, so they are counted as rows."""
    columns = map_field_to_columns(catalog.mappings[type_name], field) if field is not None else ()
    return (
        AggregateCall(AggregateFunction(aggregate), columns[0])
        if len(columns) == 1
        else AggregateCall(AggregateFunction.COUNT)
    )


def build_aggregate_calls(
    catalog: Catalog, type_name: str, requested: Sequence[tuple[str, str | None]]
) -> AggregateCalls:
    """`wanted`: (aggregate, field), as the schema names them; an average is a sum and a count."""
    found: dict[AggregateCall, None] = {}
    averages: dict[str, None] = {}
    for aggregate, field in requested:
        if aggregate == "avg":
            assert field is not None
            column = map_field_to_columns(catalog.mappings[type_name], field)[0]
            averages[column] = None
            found |= dict.fromkeys(
                (AggregateCall(AggregateFunction.SUM, column), AggregateCall(AggregateFunction.COUNT, column))
            )
        else:
            found[build_aggregate_call(catalog, type_name, aggregate, field)] = None
    return AggregateCalls(calls=tuple(found), average_columns=tuple(averages))


def build_key_joins(catalog: Catalog, type_name: str, value_paths: Sequence[ValuePath]) -> tuple[KeyJoin, ...]:
    """One for each link that the terms begin with; what a term without links says is the type's own."""
    links = dict.fromkeys(each.relationships[0] for each in value_paths if each.relationships)
    return tuple(_build_key_join(catalog, type_name, link, _select_paths_behind(value_paths, link)) for link in links)


def _select_paths_behind(value_paths: Sequence[ValuePath], link: str) -> list[ValuePath]:
    return [
        each.without_first()
        for each in dict.fromkeys(value_paths)
        if each.relationships and each.relationships[0] == link
    ]


def _build_key_join(catalog: Catalog, type_name: str, link: str, value_paths: Sequence[ValuePath]) -> KeyJoin:
    to, many = resolve_target_type(catalog, type_name, link)
    here, there = get_relationship_columns(catalog.mappings[type_name].relationships[link])
    wanted = (
        _build_aggregate_scan(catalog, to, there, value_paths)
        if many
        else _build_single_row_scan(catalog, to, there, value_paths)
    )
    held = {name: kind for each in value_paths for name, kind in _pair_columns_with_types(catalog, to, each)}
    takes = tuple(held)
    return KeyJoin(
        outer_columns=here,
        inner_scan=wanted,
        inner_columns=takes,
        output_columns=tuple(f"{link}.{each}" for each in takes),
        output_types=tuple(held.values()),
        missing_row=build_missing_row(takes, wanted.aggregates if many else ()),
    )


def _pair_columns_with_types(catalog: Catalog, to: str, value_path: ValuePath) -> Iterator[tuple[str, ColumnType]]:
    return zip(
        resolve_value_columns(catalog, to, value_path), resolve_value_types(catalog, to, value_path), strict=True
    )


def _build_aggregate_scan(
    catalog: Catalog, to: str, there: tuple[str, ...], value_paths: Sequence[ValuePath]
) -> LogicalScan:
    target = catalog.mappings[to]
    made = build_aggregate_calls(catalog, to, [(each.aggregate or "", each.field) for each in value_paths])
    return LogicalScan(
        source=target.source,
        collection=target.collection,
        columns=there,
        key_columns=there,
        aggregates=made.calls,
        average_columns=made.average_columns,
    )


def _build_single_row_scan(
    catalog: Catalog, to: str, there: tuple[str, ...], value_paths: Sequence[ValuePath]
) -> LogicalScan:
    """Where several rows match, the one whose key comes first."""
    target = catalog.mappings[to]
    unique = there == target.key
    own = [name for each in value_paths if not each.relationships for name in resolve_value_columns(catalog, to, each)]
    return LogicalScan(
        source=target.source,
        collection=target.collection,
        columns=tuple(dict.fromkeys((*own, *there))),
        key_columns=there,
        key_joins=build_key_joins(catalog, to, value_paths),
        sort=() if unique else tuple(SortKey(each) for each in target.key),
        limit=None if unique else 1,
    )


def build_missing_row(columns: Sequence[str], aggregates: Sequence[AggregateCall]) -> Row:
    """What is said of no rows: counts of 0, and nothing else."""
    counts = {each.name: AGGREGATES_OF_NO_ROWS.get(each.function) for each in aggregates}
    return tuple(counts.get(each) for each in columns)


DESCENDING = "DESC"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedSort:
    """Ends in the key, so that no two rows tie."""

    sort: tuple[SortKey, ...]
    sort_types: tuple[ColumnType, ...]
    key_joins: tuple[KeyJoin, ...]


def parse_sort(catalog: Catalog, type_name: str, argument: Sequence[Mapping[str, Any]]) -> ParsedSort:
    key = catalog.mappings[type_name].key
    columns = (
        catalog.connectors[catalog.mappings[type_name].source]
        .capabilities(catalog.mappings[type_name].collection)
        .columns
    )
    terms = [parse_sort_member(catalog, type_name, each) for each in argument]
    found: dict[str, tuple[SortKey, ColumnType]] = {}
    for each, descending in terms:
        named = zip(
            resolve_value_columns(catalog, type_name, each), resolve_value_types(catalog, type_name, each), strict=True
        )
        for name, kind in named:
            found.setdefault(name, (SortKey(name, descending), kind))
    for name in key:
        found.setdefault(name, (SortKey(name), columns[name].type))
    return ParsedSort(
        sort=tuple(order for order, _ in found.values()),
        sort_types=tuple(kind for _, kind in found.values()),
        key_joins=build_key_joins(catalog, type_name, [each for each, _ in terms]),
    )


def parse_sort_member(catalog: Catalog, type_name: str, argument: Mapping[str, Any]) -> tuple[ValuePath, bool]:
    """What one member of `orderBy` looks at, and whether the greatest comes first."""
    ((field, inner),) = argument.items()
    if not isinstance(inner, Mapping):
        return ValuePath(relationships=(), field=field), inner == DESCENDING
    to, many = resolve_target_type(catalog, type_name, field)
    below, descending = parse_aggregate_sort(inner) if many else parse_sort_member(catalog, to, inner)
    return ValuePath(
        relationships=(field, *below.relationships), field=below.field, aggregate=below.aggregate
    ), descending


def parse_aggregate_sort(argument: Mapping[str, Any]) -> tuple[ValuePath, bool]:
    """`{count: DESC}` or `{sum: {total: DESC}}`."""
    ((aggregate, inner),) = argument.items()
    if not isinstance(inner, Mapping):
        return ValuePath(relationships=(), aggregate=aggregate), inner == DESCENDING
    ((field, direction),) = inner.items()
    return ValuePath(relationships=(), field=field, aggregate=aggregate), direction == DESCENDING
