"""Complete all rows of a level at once, by generated code, where nothing is denied and nothing went wrong."""

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
from onedoor.spi.flaws import FlawedRow
from onedoor.spi.predicates import Row

NONE_TYPE = type(None)

ColumnValues: TypeAlias = Sequence[Any]

ColumnSerializer: TypeAlias = Callable[[ColumnValues], ColumnValues | None]
"""Serializes a column; None: it has a value that the field cannot show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarColumn:
    """The Python types of a scalar's values, and how they are serialized."""

    types: frozenset[type]
    serialize: ColumnSerializer | None = None
    """For values without nulls; None: they stay as they are. The JSON encoder writes days and times."""


def build_column_serializer(return_type: GraphQLOutputType) -> ColumnSerializer:
    """Build the serializer of a column whose values have the types of their scalar."""
    scalar, never_null = _find_scalar_column(return_type), isinstance(return_type, GraphQLNonNull)

    def serialize(values: ColumnValues) -> ColumnValues | None:
        types = set(map(type, values))
        has_nulls = NONE_TYPE in types
        if (has_nulls and never_null) or not types - {NONE_TYPE} <= scalar.types:
            return None
        if scalar.serialize is None:
            return values
        if not has_nulls:
            return scalar.serialize(values)
        serialized = scalar.serialize([value for value in values if value is not None])
        if serialized is None:
            return None
        remaining = iter(serialized)
        return [None if value is None else next(remaining) for value in values]

    return serialize


def build_value_serializer(return_type: GraphQLOutputType) -> ColumnSerializer:
    """Build the serializer of a column whose values are serialized one after another."""
    serialize_value, never_null = build_serializer(return_type), isinstance(return_type, GraphQLNonNull)

    def serialize(values: ColumnValues) -> ColumnValues | None:
        if never_null and None in values:
            return None
        try:
            return [None if value is None else serialize_value(value) for value in values]
        except BadValue:
            return None

    return serialize


def _find_scalar_column(return_type: GraphQLOutputType) -> ScalarColumn:
    named: Any = get_named_type(return_type)
    if isinstance(named, GraphQLEnumType):
        names = {member.value: name for name, member in named.values.items()}
        return ScalarColumn(types=frozenset({str}), serialize=_build_enum_serializer(names))
    return SCALAR_COLUMNS[named.name]


def _build_enum_serializer(names: Mapping[Any, str]) -> ColumnSerializer:
    """Build the serializer of an enum; most are stored by the names of their values, which stay as they are."""
    stored_values, are_names = frozenset(names), all(stored == name for stored, name in names.items())

    def serialize(values: ColumnValues) -> ColumnValues | None:
        if not stored_values.issuperset(values):
            return None
        return values if are_names else [names[value] for value in values]

    return serialize


def _require_values(values: ColumnValues) -> ColumnValues | None:
    """Refuse the column of a composite id in which a row has no value, as that row has no id."""
    return None if None in values else values


def _check_integers(values: ColumnValues) -> ColumnValues | None:
    return values if not values or (min(values) >= -(2**31) and max(values) < 2**31) else None


def _check_floats(values: ColumnValues) -> ColumnValues | None:
    return values if all(map(isfinite, values)) else None


def _check_times(values: ColumnValues) -> ColumnValues | None:
    return values if {UTC}.issuperset(map(attrgetter("tzinfo"), values)) else None


def _serialize_decimals(values: ColumnValues) -> ColumnValues | None:
    """Serialize with `str`, which takes a third of the time of `format(value, "f")` and differs only by exponents."""
    if not all(map(Decimal.is_finite, values)):
        return None
    texts = list(map(str, values))
    return [format(value, "f") for value in values] if "E" in "".join(texts) else texts


def _serialize_texts(values: ColumnValues) -> ColumnValues:
    return list(map(str, values))


def _parse_json_texts(values: ColumnValues) -> ColumnValues | None:
    try:
        return list(map(serialize_json, values))
    except BadValue:
        return None


SCALAR_COLUMNS: Mapping[str, ScalarColumn] = {
    "ID": ScalarColumn(types=frozenset({str, int}), serialize=_serialize_texts),
    "String": ScalarColumn(types=frozenset({str})),
    "Boolean": ScalarColumn(types=frozenset({bool})),
    "Int": ScalarColumn(types=frozenset({int}), serialize=_check_integers),
    "Float": ScalarColumn(types=frozenset({float}), serialize=_check_floats),
    "BigInt": ScalarColumn(types=frozenset({int}), serialize=_serialize_texts),
    "Decimal": ScalarColumn(types=frozenset({Decimal}), serialize=_serialize_decimals),
    "JSON": ScalarColumn(types=frozenset({str}), serialize=_parse_json_texts),
    "Date": ScalarColumn(types=frozenset({date})),
    "DateTime": ScalarColumn(types=frozenset({datetime}), serialize=_check_times),
}

ResponseObjects = list[dict[str, Any]]
"""In the order of the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFactory:
    """Generated code that builds the objects of one selection from columns."""

    column_inputs: tuple[tuple[int, ColumnSerializer | None], ...]
    """The indexes of the columns that `build` takes, and how they are serialized; None: not at all."""
    computed_inputs: tuple[tuple[int, tuple[int, ...], ColumnSerializer], ...]
    """The computed fields that follow them: number, indexes of what they are computed from, and serializer."""
    build: Callable[..., ResponseObjects]
    """Takes those columns and, for each child branch, its values by key and the value for any other key."""


def build_object_factory(
    catalog: Catalog, node: PlanNode, columns: tuple[str, ...], fields: Sequence[SelectedField]
) -> ObjectFactory:
    """Generate the code that builds the objects of a selection."""
    compiler = ObjectFactoryCompiler(catalog=catalog, node=node, columns=columns)
    members = [f"{field.response_key!r}: {compiler.compile_member(field)}" for field in fields]
    if not compiler.column_inputs and not compiler.computed_inputs:
        compiler.column_inputs[0, None] = "x"
    names = [*compiler.column_inputs.values(), *(f"b{i}" for i in range(len(compiler.computed_inputs)))]
    unpacking = [f"    m{i}, a{i} = children[{i}]" for i in range(len(node.children))]
    building = f"    return [{{{', '.join(members)}}} for {''.join(f'{name}, ' for name in names)}in zip(*columns)]"
    # The only names of clients in this source are response keys, which GraphQL's grammar restricts and repr quotes.
    namespace: dict[str, Any] = {"format_id": format_id}
    exec("\n".join(["def build(columns, children):", *unpacking, building]), namespace)
    return ObjectFactory(
        column_inputs=tuple(compiler.column_inputs),
        computed_inputs=tuple(compiler.computed_inputs),
        build=namespace.pop("build"),  # left there, it would lead to itself
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFactoryCompiler:
    """Compile one selection to the source of a function, collecting its inputs."""

    catalog: Catalog
    node: PlanNode
    columns: tuple[str, ...]
    column_inputs: dict[tuple[int, ColumnSerializer | None], str] = field(default_factory=dict)
    computed_inputs: list[tuple[int, tuple[int, ...], ColumnSerializer]] = field(default_factory=list)

    def compile_member(self, selected_field: SelectedField) -> str:
        """Return the expression of a field's value."""
        if selected_field.name == "__typename":
            return repr(selected_field.parent_type)
        for i, child in enumerate(self.node.children):
            if child.field.number == selected_field.number:
                return f"m{i}.get({self.compile_key(child.parent_columns)}, a{i})"
        mapping = self.catalog.mappings[selected_field.parent_type]
        if selected_field.name in mapping.computed_fields:
            return self.compile_computed_field(selected_field)
        columns = map_field_to_columns(mapping, selected_field.name)
        if len(columns) > 1:
            parts = (self.add_column(column, _require_values) for column in columns)
            return f"format_id(({', '.join(parts)}))"
        return self.add_column(columns[0], _build_field_serializer(selected_field.return_type))

    def add_column(self, column: str, serialize: ColumnSerializer | None = None) -> str:
        """Return the name of a column's value."""
        return self.column_inputs.setdefault((self.columns.index(column), serialize), f"c{len(self.column_inputs)}")

    def compile_key(self, columns: Sequence[str]) -> str:
        """Return the expression of a key: a bare value for a single column, else a tuple."""
        names = [self.add_column(column) for column in columns]
        return names[0] if len(names) == 1 else f"({', '.join(names)})"

    def compile_computed_field(self, selected_field: SelectedField) -> str:
        """Return the name of a computed field's value."""
        assert self.node.computed_field_inputs is not None
        needs = tuple(self.columns.index(column) for column in self.node.computed_field_inputs[selected_field.number])
        self.computed_inputs.append((selected_field.number, needs, build_value_serializer(selected_field.return_type)))
        return f"b{len(self.computed_inputs) - 1}"


EMPTY_KEY: Row = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnarLevel:
    """A branch and its children, with the code generated for them."""

    node: PlanNode
    children: tuple["ColumnarLevel", ...]
    object_factories: dict[tuple[int, tuple[str, ...]], ObjectFactory] = field(default_factory=dict)
    """By the field that holds the selection, and the columns of the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnarPlan:
    """How to complete an operation column by column."""

    fields: tuple[SelectedField, ...]
    levels: tuple[ColumnarLevel, ...]


def build_columnar_plan(fields: Sequence[SelectedField], decisions: Decisions, plan: Plan) -> ColumnarPlan | None:
    """Return None where a field is denied, as its nulls are counted row by row, or rows may be of several types."""
    if any(is_denied(field, decisions) for field in _walk_fields(fields)) or any(
        node.member_scans for node in walk_nodes(plan.roots)
    ):
        return None
    return ColumnarPlan(fields=tuple(fields), levels=tuple(map(_build_level, plan.roots)))


def _walk_fields(fields: Sequence[SelectedField]) -> Iterator[SelectedField]:
    for selected_field in fields:
        yield selected_field
        for children in selected_field.children_by_type.values():
            yield from _walk_fields(children)


def _build_level(node: PlanNode) -> ColumnarLevel:
    return ColumnarLevel(node=node, children=tuple(map(_build_level, node.children)))


def complete_columnar(context: CompletionContext, columnar_plan: ColumnarPlan) -> dict[str, Any] | None:
    """Return the data; None where only completion row by row can tell what went wrong, or where.

    That is a failed read, a value that its column or field cannot hold, and a representation that is invalid.
    """
    if _has_invalid_representations(context, columnar_plan):
        return None
    levels = _serialize_levels(context, columnar_plan.levels)
    if levels is None:
        return None
    values = {
        serialized.level.node.field.number: _complete_root(context, serialized)
        for serialized in levels
        if serialized.level.node.representations is None
    }
    values |= {
        field.number: _complete_entities(context, field, levels)
        for field in columnar_plan.fields
        if field.name == ENTITIES_FIELD
    }
    data = {
        field.response_key: values.get(field.number, field.parent_type if field.name == "__typename" else None)
        for field in columnar_plan.fields
    }
    return None if context.null_log.has_errors else data


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializedLevel:
    """A branch whose values all fields can show, and its children, none of which are there where it has no rows."""

    level: ColumnarLevel
    result: BranchResult
    object_inputs: Mapping[int, tuple[ObjectFactory, Sequence[ColumnValues]]]
    """What the objects of the rows are built from, by the field that holds their selection."""
    lookup_values: ColumnValues = ()
    children: tuple["SerializedLevel", ...] = ()


def _serialize_levels(
    context: CompletionContext, levels: Sequence[ColumnarLevel]
) -> tuple[SerializedLevel, ...] | None:
    """Return None where a branch failed, or has a value that its column or field cannot hold."""
    serialized_levels: list[SerializedLevel] = []
    for level in levels:
        serialized = _serialize_level(context, level)
        if serialized is None:
            return None
        serialized_levels.append(serialized)
    return tuple(serialized_levels)


def _serialize_level(context: CompletionContext, level: ColumnarLevel) -> SerializedLevel | None:
    node, result = level.node, context.results.get(level.node.field.number)
    if not isinstance(result, BranchResult) or FlawedRow in set(map(type, result.rows)):
        return None
    if node.lookup_column is not None:
        values = _build_field_serializer(node.field.return_type)(list(map_lookup_values(node, result).values()))
        if values is None:
            return None
        return SerializedLevel(level=level, result=result, object_inputs={}, lookup_values=values)
    object_inputs: dict[int, tuple[ObjectFactory, Sequence[ColumnValues]]] = {}
    holders = _list_row_holders(node) if result.rows else []
    columns = list(zip(*result.rows, strict=True)) if holders else []
    for holder in holders:
        factory = _get_object_factory(context, level, result, holder)
        inputs = _serialize_inputs(factory, columns, result)
        if inputs is None:
            return None
        object_inputs[holder.number] = factory, inputs
    children = _serialize_levels(context, level.children) if holders else ()
    if children is None:
        return None
    return SerializedLevel(level=level, result=result, object_inputs=object_inputs, children=children)


def _list_row_holders(node: PlanNode) -> list[SelectedField]:
    """Return the fields that hold a selection of a node's rows."""
    if not node.is_list:
        return [node.field]
    return [holder for field in node.field.children for holder in _find_row_fields(field)]


def _get_object_factory(
    context: CompletionContext, level: ColumnarLevel, result: BranchResult, holder: SelectedField
) -> ObjectFactory:
    factory = level.object_factories.get((holder.number, result.columns))
    if factory is None:
        factory = build_object_factory(
            context.catalog, level.node, result.columns, holder.children_by_type[level.node.type]
        )
        level.object_factories[holder.number, result.columns] = factory
    return factory


def _serialize_inputs(
    factory: ObjectFactory, columns: Sequence[ColumnValues], result: BranchResult
) -> Sequence[ColumnValues] | None:
    inputs: list[ColumnValues] = []
    for i, serialize in factory.column_inputs:
        values = columns[i] if serialize is None else serialize(columns[i])
        if values is None:
            return None
        inputs.append(values)
    for number, needs, serialize_computed in factory.computed_inputs:
        value_by_key = result.computed_values[number]
        keys = zip(*(columns[i] for i in needs), strict=True)
        values = serialize_computed([value_by_key[key] for key in keys])
        if values is None:
            return None
        inputs.append(values)
    return inputs


def _complete_root(context: CompletionContext, serialized: SerializedLevel) -> Any:
    by_key, absent = _complete_level(context, serialized)
    return next(iter(by_key.values()), absent)


def _has_invalid_representations(context: CompletionContext, columnar_plan: ColumnarPlan) -> bool:
    """Whether a representation is invalid, which is an error with a path."""
    for entity_field in columnar_plan.fields:
        if entity_field.name == ENTITIES_FIELD:
            levels = _map_entity_levels(entity_field, columnar_plan.levels)
            representations = _get_representations(context, entity_field)
            if any(selection.describe_invalid_representation(item, levels) for item in representations):
                return True
    return False


def _get_representations(context: CompletionContext, selected_field: SelectedField) -> Sequence[Any]:
    representations: Sequence[Any] = selection.substitute_representations(
        selected_field.arguments["representations"], context.bound_plan.variables
    )
    return representations


def _map_entity_levels(selected_field: SelectedField, levels: Sequence[ColumnarLevel]) -> Mapping[str, ColumnarLevel]:
    """Return the levels of a field `_entities`, by type."""
    numbers = {child.number for children in selected_field.children_by_type.values() for child in children}
    return {level.node.type: level for level in levels if level.node.field.number in numbers}


def _complete_entities(
    context: CompletionContext, selected_field: SelectedField, levels: Sequence[SerializedLevel]
) -> list[Any]:
    """Return the object of each representation."""
    types = _map_entity_levels(selected_field, [serialized.level for serialized in levels])
    objects = {
        serialized.level.node.type: _complete_level(context, serialized)[0]
        for serialized in levels
        if types.get(serialized.level.node.type) is serialized.level
    }
    parsers = {type: build_entity_key_reader(context, type) for type in types}
    representations = _get_representations(context, selected_field)
    ids = ((selection.read_typename(each), selection.read_entity_id(each)) for each in representations)
    return [_find_by_id(objects[type], parsers[type], id) for type, id in ids if type is not None and id is not None]


def _find_by_id(objects_by_key: Mapping[Any, Any], parse: Callable[[str], Row], id: str) -> Any:
    key = selection.parse_entity_key(parse, id)
    return None if key is None else objects_by_key.get(key[0] if len(key) == 1 else key)


def _complete_level(context: CompletionContext, serialized: SerializedLevel) -> tuple[Mapping[Any, Any], Any]:
    """Return the value for each key, a key of one column bare, and the value for any other key."""
    node, result = serialized.level.node, serialized.result
    if node.is_list:
        return _complete_lists(context, serialized)
    if node.lookup_column is not None:
        return _complete_lookup(serialized), None
    objects = _build_objects(context, serialized, node.field)
    keys = list(map(_build_key_getter(node.key_columns, result.columns), result.rows))
    return dict(zip(reversed(keys), reversed(objects), strict=True)), None


def _complete_lookup(serialized: SerializedLevel) -> Mapping[Any, Any]:
    node = serialized.level.node
    keys = map_lookup_values(node, serialized.result)
    bare_keys = [key[0] for key in keys] if len(node.key_columns) == 1 else list(keys)
    return dict(zip(bare_keys, serialized.lookup_values, strict=True))


def _build_field_serializer(return_type: GraphQLOutputType) -> ColumnSerializer:
    return build_value_serializer(return_type) if is_list(return_type) else build_column_serializer(return_type)


def _build_key_getter(key: tuple[str, ...], columns: Sequence[str]) -> Callable[[Row], Any]:
    if not key:
        return lambda row: EMPTY_KEY
    return itemgetter(*map(columns.index, key))


def _build_objects(context: CompletionContext, serialized: SerializedLevel, holder: SelectedField) -> ResponseObjects:
    """Build the objects of a branch's rows that one field selects."""
    if holder.number not in serialized.object_inputs:
        return []
    factory, inputs = serialized.object_inputs[holder.number]
    return factory.build(inputs, [_complete_level(context, child) for child in serialized.children])


def _complete_lists(context: CompletionContext, serialized: SerializedLevel) -> tuple[Mapping[Any, Any], Any]:
    node, result = serialized.level.node, serialized.result
    fields = node.field.children
    objects_by_field = {
        holder.number: _build_objects(context, serialized, holder) for holder in _list_row_holders(node)
    }
    keys = map(_build_key_getter(node.key_columns, result.columns), result.rows) if result.rows else ()
    no_objects: dict[int, ResponseObjects] = {number: [] for number in objects_by_field}
    absent = _build_connection_factory(context, node, result, no_objects)(EMPTY_KEY, ())
    if [field.name for field in fields] == ["nodes"] and node.page and node.page.last is None:
        (objects,) = objects_by_field.values()
        lists: defaultdict[Any, ResponseObjects] = defaultdict(list)
        for key, row_object in zip(keys, objects, strict=True):
            lists[key].append(row_object)
        return {key: {fields[0].response_key: nodes} for key, nodes in lists.items()}, absent
    indexes_by_key: defaultdict[Any, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        indexes_by_key[key].append(index)
    make = _build_connection_factory(context, node, result, objects_by_field)
    all_keys = dict.fromkeys((*indexes_by_key, *_collect_list_keys(result)))
    return {key: make(key, indexes_by_key.get(key, ())) for key in all_keys}, absent


def _find_row_fields(selected_field: SelectedField) -> Iterator[SelectedField]:
    """Yield the fields of a connection that hold a selection of its rows."""
    if selected_field.name == "nodes":
        yield selected_field
    elif selected_field.name == "edges":
        yield from (child for child in selected_field.children if child.name == "node")


def _collect_list_keys(result: BranchResult) -> Iterator[Any]:
    """Yield the keys of which something is known beside the rows of this page, which may be none."""
    aggregates = [
        aggregate
        for aggregate in (result.total_aggregate, *result.groupings.values())
        if aggregate and not isinstance(aggregate, ConnectorError)
    ]
    for keys in (result.has_previous, result.has_next, *(aggregate.rows for aggregate in aggregates)):
        yield from (key[0] if len(key) == 1 else key for key in keys)


def _build_connection_factory(
    context: CompletionContext, node: PlanNode, result: BranchResult, objects_by_field: Mapping[int, ResponseObjects]
) -> Callable[[Any, Sequence[int]], dict[str, Any]]:
    """Build a function from a key and the indexes of its rows to its connection."""
    assert node.page is not None
    backward = node.page.last is not None
    size = substitute(node.page.last if backward else node.page.first, context.bound_plan.variables)
    has_bare_key = len(node.key_columns) == 1
    members = [
        (field.response_key, _build_connection_member(context, node, result, field, objects_by_field))
        for field in node.field.children
    ]

    def make(key: Any, indexes: Sequence[int]) -> dict[str, Any]:
        page = indexes[:size][::-1] if backward else indexes[:size]
        connection = ConnectionSlice(
            key=(key,) if has_bare_key and key is not EMPTY_KEY else key,
            rows=[result.rows[index] for index in page],
            has_more=len(indexes) > size,
        )
        return {name: member(connection, page) for name, member in members}

    return make


ConnectionMember = Callable[[ConnectionSlice, Sequence[int]], Any]


def _build_connection_member(
    context: CompletionContext,
    node: PlanNode,
    result: BranchResult,
    selected_field: SelectedField,
    objects_by_field: Mapping[int, ResponseObjects],
) -> ConnectionMember:
    if selected_field.name == "nodes":
        objects = objects_by_field[selected_field.number]
        return lambda connection, indexes: [objects[index] for index in indexes]
    if selected_field.name == "edges":
        return _build_edges(context, node, result, selected_field, objects_by_field)
    complete_fact = build_connection_fact_completer(context, node, result, selected_field)
    return lambda connection, indexes: complete_fact(connection, None)


def _build_edges(
    context: CompletionContext,
    node: PlanNode,
    result: BranchResult,
    selected_field: SelectedField,
    objects_by_field: Mapping[int, ResponseObjects],
) -> ConnectionMember:
    make_cursor = build_cursor_completer(context, node, result) if result.rows else None

    def build_member(field: SelectedField) -> Callable[[Row, int], Any]:
        if field.name == "node":
            objects = objects_by_field[field.number]
            return lambda row, index: objects[index]
        if field.name == "cursor" and make_cursor is not None:
            return lambda row, index: make_cursor(row, None)
        return lambda row, index: field.parent_type

    members = [(field.response_key, build_member(field)) for field in selected_field.children]
    return lambda connection, indexes: [
        {key: member(row, index) for key, member in members}
        for row, index in zip(connection.rows, indexes, strict=True)
    ]
