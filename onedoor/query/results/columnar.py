"""Fast path: a whole level at once, generated constructors."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

from graphql import GraphQLEnumType, GraphQLNonNull, GraphQLOutputType, get_named_type

from onedoor.errors import ConnectorError
from onedoor.model.catalog import Catalog
from onedoor.model.names import format_id, is_list, map_field_to_columns
from onedoor.model.parameters import substitute
from onedoor.query import selection
from onedoor.query.authorize import Decisions, is_denied
from onedoor.query.executor.state import BranchResult
from onedoor.query.planner.nodes import Plan, PlanNode, walk_nodes
from onedoor.query.results.context import CompletionContext, ConnectionSlice
from onedoor.query.results.entities import build_entity_key_reader
from onedoor.query.results.objects import build_connection_fact_completer, build_cursor_completer, map_lookup_values
from onedoor.query.results.scalars import BadValue, build_serializer, serialize_json
from onedoor.query.selection import ENTITIES_FIELD, SelectedField
from onedoor.spi.predicates import Row

NONE_TYPE = type(None)

ColumnValues: TypeAlias = Sequence[Any]

ColumnSerializer: TypeAlias = Callable[[ColumnValues], ColumnValues]
"""Raises Unusual for a value the field cannot show."""


class ColumnarUnsupported(Exception):
    """Something that only the row by row rendering can tell: a value its field cannot show, a failed read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarColumn:
    """What its values are, null aside, and what is left to do with them."""

    types: frozenset[type]
    serialize: ColumnSerializer | None = None
    """Of values without nulls; None: they are shown as they are. Days and times become text in the reply's JSON."""


def build_column_serializer(returns: GraphQLOutputType) -> ColumnSerializer:
    """For a column of a field that returns this."""
    scalar, never_null = _find_scalar_column(returns), isinstance(returns, GraphQLNonNull)

    def shown(values: ColumnValues) -> ColumnValues:
        types = set(map(type, values))
        empty = NONE_TYPE in types
        if (empty and never_null) or not types - {NONE_TYPE} <= scalar.types:
            raise ColumnarUnsupported
        if scalar.serialize is None:
            return values
        if not empty:
            return scalar.serialize(values)
        made = iter(scalar.serialize([each for each in values if each is not None]))
        return [None if each is None else next(made) for each in values]

    return shown


def build_value_serializer(returns: GraphQLOutputType) -> ColumnSerializer:
    """The same for values of any kind, one after another."""
    convert, never_null = build_serializer(returns), isinstance(returns, GraphQLNonNull)

    def shown(values: ColumnValues) -> ColumnValues:
        if never_null and None in values:
            raise ColumnarUnsupported
        try:
            return [None if each is None else convert(each) for each in values]
        except BadValue as bad:
            raise ColumnarUnsupported from bad

    return shown


def _find_scalar_column(returns: GraphQLOutputType) -> ScalarColumn:
    named: Any = get_named_type(returns)
    if isinstance(named, GraphQLEnumType):
        known = {member.value: name for name, member in named.values.items()}
        return ScalarColumn(types=frozenset({str}), serialize=_build_enum_serializer(known))
    return SCALAR_COLUMNS[named.name]


def _build_enum_serializer(names: Mapping[Any, str]) -> ColumnSerializer:
    """Most enums are kept by their names, and shown as they are."""
    known, alike = frozenset(names), all(stored == name for stored, name in names.items())

    def shown(values: ColumnValues) -> ColumnValues:
        _require(values, known.issuperset(values))
        return values if alike else [names[each] for each in values]

    return shown


def _require(values: ColumnValues, met: bool) -> ColumnValues:
    if not met:
        raise ColumnarUnsupported
    return values


def _check_integers(values: ColumnValues) -> ColumnValues:
    return _require(values, not values or (min(values) >= -(2**31) and max(values) < 2**31))


def _serialize_decimals(values: ColumnValues) -> ColumnValues:
    """`str` of a Decimal is a third of `format(value, "f")`, and the same where it has no exponent."""
    texts = list(map(str, values))
    _require(values, all(map(Decimal.is_finite, values)))
    return [format(each, "f") for each in values] if "E" in "".join(texts) else texts


def _serialize_texts(values: ColumnValues) -> ColumnValues:
    return list(map(str, values))


def _parse_json_texts(values: ColumnValues) -> ColumnValues:
    """One value at a time: a text may be of any shape."""
    try:
        return list(map(serialize_json, values))
    except BadValue as bad:
        raise ColumnarUnsupported from bad


SCALAR_COLUMNS: Mapping[str, ScalarColumn] = {
    "ID": ScalarColumn(types=frozenset({str, int}), serialize=_serialize_texts),
    "String": ScalarColumn(types=frozenset({str})),
    "Boolean": ScalarColumn(types=frozenset({bool})),
    "Int": ScalarColumn(types=frozenset({int}), serialize=_check_integers),
    "Float": ScalarColumn(
        types=frozenset({float}), serialize=lambda values: _require(values, all(map(isfinite, values)))
    ),
    "BigInt": ScalarColumn(types=frozenset({int}), serialize=_serialize_texts),
    "Decimal": ScalarColumn(types=frozenset({Decimal}), serialize=_serialize_decimals),
    "JSON": ScalarColumn(types=frozenset({str}), serialize=_parse_json_texts),
    "Date": ScalarColumn(types=frozenset({date})),
    "DateTime": ScalarColumn(
        types=frozenset({datetime}),
        serialize=lambda values: _require(values, {UTC}.issuperset(map(attrgetter("tzinfo"), values))),
    ),
}

ResponseObjects = list[dict[str, Any]]
"""In the order of the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFactory:
    """Generated for one selection over rows of these columns."""

    column_inputs: tuple[tuple[int, ColumnSerializer | None], ...]
    """Which columns the function takes, in order, and how they are shown; None: as they are."""
    computed_inputs: tuple[tuple[int, tuple[int, ...], ColumnSerializer], ...]
    """What follows them: fields computed of all rows, by pick number, and the places of what they are computed of."""
    build: Callable[..., ResponseObjects]
    """Takes those columns, then of each branch below what stands for a key, and for any other."""


def build_object_factory(
    catalog: Catalog, node: PlanNode, columns: tuple[str, ...], fields: Sequence[SelectedField]
) -> ObjectFactory:
    making = ObjectFactoryCompiler(catalog=catalog, node=node, columns=columns)
    members = [f"{pick.response_key!r}: {making.compile_member(pick)}" for pick in fields]
    if not making.column_inputs and not making.computed_inputs:
        making.column_inputs[0, None] = "x"
    names = [*making.column_inputs.values(), *(f"b{at}" for at in range(len(making.computed_inputs)))]
    head = [f"    m{at}, a{at} = below[{at}]" for at in range(len(node.children))]
    made = f"    return [{{{', '.join(members)}}} for {''.join(f'{each}, ' for each in names)}in zip(*columns)]"
    # Names in the source are of GraphQL's grammar and quoted, all else is ours.
    space: dict[str, Any] = {"written": format_id}
    exec("\n".join(["def make(columns, below):", *head, made]), space)
    return ObjectFactory(
        column_inputs=tuple(making.column_inputs), computed_inputs=tuple(making.computed_inputs), build=space["make"]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFactoryCompiler:
    """One function under way."""

    catalog: Catalog
    node: PlanNode
    columns: tuple[str, ...]
    column_inputs: dict[tuple[int, ColumnSerializer | None], str] = field(default_factory=dict)
    computed_inputs: list[tuple[int, tuple[int, ...], ColumnSerializer]] = field(default_factory=list)

    def compile_member(self, selected_field: SelectedField) -> str:
        if selected_field.name == "__typename":
            return repr(selected_field.parent_type)
        for at, below in enumerate(self.node.children):
            if below.field.number == selected_field.number:
                return f"m{at}.get({self.compile_key(below.parent_columns)}, a{at})"
        binding = self.catalog.mappings[selected_field.parent_type]
        if selected_field.name in binding.computed_fields:
            return self.compile_computed_field(selected_field)
        of = map_field_to_columns(binding, selected_field.name)
        if len(of) > 1:
            return f"written({self.compile_key(of)})"
        return self.add_column(
            of[0],
            (build_value_serializer if is_list(selected_field.return_type) else build_column_serializer)(
                selected_field.return_type
            ),
        )

    def add_column(self, column: str, serialize: ColumnSerializer | None = None) -> str:
        return self.column_inputs.setdefault((self.columns.index(column), serialize), f"c{len(self.column_inputs)}")

    def compile_key(self, columns: Sequence[str]) -> str:
        places = [self.add_column(each) for each in columns]
        return places[0] if len(places) == 1 else f"({', '.join(places)})"

    def compile_computed_field(self, selected_field: SelectedField) -> str:
        assert self.node.computed_field_inputs is not None
        needs = tuple(self.columns.index(each) for each in self.node.computed_field_inputs[selected_field.number])
        self.computed_inputs.append((selected_field.number, needs, build_value_serializer(selected_field.return_type)))
        return f"b{len(self.computed_inputs) - 1}"


EMPTY_KEY: Row = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnarLevel:
    """One branch, and those below it."""

    node: PlanNode
    children: tuple["ColumnarLevel", ...]
    object_factories: dict[tuple[int, tuple[str, ...]], ObjectFactory] = field(default_factory=dict)
    """By pick that holds the selection, and columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnarPlan:
    fields: tuple[SelectedField, ...]
    levels: tuple[ColumnarLevel, ...]


def build_columnar_plan(fields: Sequence[SelectedField], decisions: Decisions, plan: Plan) -> ColumnarPlan | None:
    """None where something is withheld, whose nulls are counted row by row, or where rows may be of several types."""
    if any(is_denied(each, decisions) for each in _walk_fields(fields)) or any(
        each.member_scans for each in walk_nodes(plan.roots)
    ):
        return None
    return ColumnarPlan(fields=tuple(fields), levels=tuple(map(_build_level, plan.roots)))


def _walk_fields(fields: Sequence[SelectedField]) -> Iterator[SelectedField]:
    for pick in fields:
        yield pick
        for below in pick.children_by_type.values():
            yield from _walk_fields(below)


def _build_level(node: PlanNode) -> ColumnarLevel:
    return ColumnarLevel(node=node, children=tuple(map(_build_level, node.children)))


def complete_columnar(context: CompletionContext, columnar_plan: ColumnarPlan) -> dict[str, Any]:
    """Raises Unusual where anything went wrong."""
    found = {
        each.node.field.number: _complete_root(context, each)
        for each in columnar_plan.levels
        if each.node.representations is None
    }
    found |= {
        each.number: _complete_entities(context, each, columnar_plan.levels)
        for each in columnar_plan.fields
        if each.name == ENTITIES_FIELD
    }
    shown = {
        each.response_key: found.get(each.number, each.parent_type if each.name == "__typename" else None)
        for each in columnar_plan.fields
    }
    if context.null_log.has_errors:
        raise ColumnarUnsupported
    return shown


def _complete_root(context: CompletionContext, level: ColumnarLevel) -> Any:
    by_key, absent = _complete_level(context, level)
    return next(iter(by_key.values()), absent)


def _complete_entities(
    context: CompletionContext, selected_field: SelectedField, levels: Sequence[ColumnarLevel]
) -> list[Any]:
    """Of each representation what stands for its key; one that is not as it should be is for those who know places."""
    numbers = {each.number for below in selected_field.children_by_type.values() for each in below}
    mine = {each.node.type: each for each in levels if each.node.field.number in numbers}
    wanted = selection.substitute_representations(
        selected_field.arguments["representations"], context.bound_plan.variables
    )
    if any(selection.describe_invalid_representation(each, mine) for each in wanted):
        raise ColumnarUnsupported
    found = {
        name: (_complete_level(context, each)[0], build_entity_key_reader(context, name)) for name, each in mine.items()
    }
    keys = ((selection.read_typename(each), selection.read_entity_id(each)) for each in wanted)
    return [_find_by_id(*found[name], id) for name, id in keys if name is not None and id is not None]


def _find_by_id(by_key: Mapping[Any, Any], read: Callable[[str], Row], id: str) -> Any:
    key = selection.parse_entity_key(read, id)
    return None if key is None else by_key.get(key[0] if len(key) == 1 else key)


def _complete_level(context: CompletionContext, level: ColumnarLevel) -> tuple[Mapping[Any, Any], Any]:
    """What stands for each key that leads here, a key of one column bare; and what stands for any other."""
    result = context.results.get(level.node.field.number)
    if not isinstance(result, BranchResult):
        raise ColumnarUnsupported
    if level.node.is_list:
        return _complete_lists(context, level, result)
    if level.node.lookup_column is not None:
        return _complete_lookup(level.node, result), None
    objects = _build_objects(context, level, result, level.node.field)
    keys = list(map(_build_key_getter(level.node.key_columns, result.columns), result.rows))
    return dict(zip(reversed(keys), reversed(objects), strict=True)), None


def _complete_lookup(node: PlanNode, result: BranchResult) -> Mapping[Any, Any]:
    found, returns = map_lookup_values(node, result), node.field.return_type
    values = (build_value_serializer if is_list(returns) else build_column_serializer)(returns)(list(found.values()))
    keys = [key[0] for key in found] if len(node.key_columns) == 1 else list(found)
    return dict(zip(keys, values, strict=True))


def _build_key_getter(key: tuple[str, ...], columns: Sequence[str]) -> Callable[[Row], Any]:
    if not key:
        return lambda row: EMPTY_KEY
    return itemgetter(*map(columns.index, key))


def _build_objects(
    context: CompletionContext, level: ColumnarLevel, result: BranchResult, holder: SelectedField
) -> ResponseObjects:
    """The rows of a branch as one selection of them asks."""
    if not result.rows:
        return []
    known = level.object_factories.get((holder.number, result.columns))
    if known is None:
        known = build_object_factory(
            context.catalog, level.node, result.columns, holder.children_by_type[level.node.type]
        )
        level.object_factories[holder.number, result.columns] = known
    held = list(zip(*result.rows, strict=True))
    taken = [held[at] if shown is None else shown(held[at]) for at, shown in known.column_inputs]
    taken += [_serialize_computed_field(result, held, *each) for each in known.computed_inputs]
    return known.build(taken, [_complete_level(context, each) for each in level.children])


def _serialize_computed_field(
    result: BranchResult, held: Sequence[Sequence[Any]], number: int, needs: Sequence[int], shown: ColumnSerializer
) -> Any:
    values = result.computed_values[number]
    return shown([values[key] for key in zip(*(held[at] for at in needs), strict=True)])


def _complete_lists(
    context: CompletionContext, level: ColumnarLevel, result: BranchResult
) -> tuple[Mapping[Any, Any], Any]:
    branch, picks = level.node, level.node.field.children
    held = {
        each.number: _build_objects(context, level, result, each) for pick in picks for each in _find_row_fields(pick)
    }
    keys = map(_build_key_getter(branch.key_columns, result.columns), result.rows) if result.rows else ()
    absent = _build_connection_factory(context, branch, result, {each: [] for each in held})(EMPTY_KEY, ())
    if [each.name for each in picks] == ["nodes"] and branch.page and branch.page.last is None:
        (objects,) = held.values()
        lists: defaultdict[Any, ResponseObjects] = defaultdict(list)
        for key, each in zip(keys, objects, strict=True):
            lists[key].append(each)
        return {key: {picks[0].response_key: found} for key, found in lists.items()}, absent
    places: defaultdict[Any, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    made = _build_connection_factory(context, branch, result, held)
    every = dict.fromkeys((*places, *_collect_list_keys(result)))
    return {key: made(key, places.get(key, ())) for key in every}, absent


def _find_row_fields(selected_field: SelectedField) -> Iterator[SelectedField]:
    """The picks of a connection that hold a selection of its rows."""
    if selected_field.name == "nodes":
        yield selected_field
    elif selected_field.name == "edges":
        yield from (each for each in selected_field.children if each.name == "node")


def _collect_list_keys(result: BranchResult) -> Iterator[Any]:
    """The keys that have something told of all their rows, though there may be none on this page."""
    told = [
        each
        for each in (result.total_aggregate, *result.groupings.values())
        if each and not isinstance(each, ConnectorError)
    ]
    for keys in (result.has_previous, result.has_next, *(each.rows for each in told)):
        yield from (key[0] if len(key) == 1 else key for key in keys)


def _build_connection_factory(
    context: CompletionContext, node: PlanNode, result: BranchResult, held: Mapping[int, ResponseObjects]
) -> Callable[[Any, Sequence[int]], dict[str, Any]]:
    """Makes the connection of a key from the places of its rows."""
    assert node.page is not None
    backward = node.page.last is not None
    size = substitute(node.page.last if backward else node.page.first, context.bound_plan.variables)
    bare = len(node.key_columns) == 1
    members = [
        (each.response_key, _build_connection_member(context, node, result, each, held)) for each in node.field.children
    ]

    def made(key: Any, places: Sequence[int]) -> dict[str, Any]:
        kept = places[:size][::-1] if backward else places[:size]
        rows = [result.rows[each] for each in kept]
        cut = ConnectionSlice(
            key=(key,) if bare and key is not EMPTY_KEY else key, rows=rows, has_more=len(places) > size
        )
        return {name: member(cut, kept) for name, member in members}

    return made


ConnectionMember = Callable[[ConnectionSlice, Sequence[int]], Any]


def _build_connection_member(
    context: CompletionContext,
    node: PlanNode,
    result: BranchResult,
    selected_field: SelectedField,
    held: Mapping[int, ResponseObjects],
) -> ConnectionMember:
    if selected_field.name == "nodes":
        objects = held[selected_field.number]
        return lambda cut, places: [objects[each] for each in places]
    if selected_field.name == "edges":
        return _build_edges(context, node, result, selected_field, held)
    told = build_connection_fact_completer(context, node, result, selected_field)
    return lambda cut, places: told(cut, None)


def _build_edges(
    context: CompletionContext,
    node: PlanNode,
    result: BranchResult,
    selected_field: SelectedField,
    held: Mapping[int, ResponseObjects],
) -> ConnectionMember:
    place_of = build_cursor_completer(context, node, result) if result.rows else None

    def part(each: SelectedField) -> Callable[[Row, int], Any]:
        if each.name == "node":
            objects = held[each.number]
            return lambda row, place: objects[place]
        if each.name == "cursor" and place_of is not None:
            return lambda row, place: place_of(row, None)
        return lambda row, place: each.parent_type

    parts = [(each.response_key, part(each)) for each in selected_field.children]
    return lambda cut, places: [
        {key: one(row, place) for key, one in parts} for row, place in zip(cut.rows, places, strict=True)
    ]
