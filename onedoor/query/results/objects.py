"""Row-wise completion: objects, connections, aggregates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphql import GraphQLNonNull, get_named_type

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.names import format_id, map_field_to_columns
from onedoor.model.parameters import substitute
from onedoor.query import cursors
from onedoor.query.authorize import is_denied
from onedoor.query.errors import ResponsePath
from onedoor.query.executor.state import BranchResult
from onedoor.query.planner import nodes as planner_nodes
from onedoor.query.planner.nodes import PlanNode
from onedoor.query.planner.value_paths import RequestedAggregate, build_missing_row, resolve_aggregate_name
from onedoor.query.results.context import (
    PROPAGATED_NULL,
    CompletionContext,
    ConnectionSlice,
    ValueCompleter,
    build_null_completer,
)
from onedoor.query.results.entities import build_entities_completer
from onedoor.query.results.scalars import BadValue, build_serializer
from onedoor.query.selection import ENTITIES_FIELD, SelectedField
from onedoor.spi.operators import compile_key
from onedoor.spi.predicates import Row
from onedoor.spi.scan import COUNT_ROWS


def map_lookup_values(node: PlanNode, result: BranchResult) -> Mapping[Row, Any]:
    """A key of which nothing was found is not there."""
    if not result.rows:
        return {}
    assert node.lookup_column is not None
    at, key = result.columns.index(node.lookup_column), compile_key(node.key_columns, result.columns)
    return {key(row): row[at] for row in result.rows}


AggregateCompleter = Callable[[Row, ResponsePath], Any]


def build_total_count_completer(
    context: CompletionContext, result: BranchResult, field: SelectedField
) -> ValueCompleter:
    if isinstance(result.total_aggregate, ConnectorError):
        return build_null_completer(context.null_log.add_failed, field)
    tally = result.total_aggregate
    if result.member_errors:
        return lambda cut, path: None
    if tally is None:
        return lambda cut, path: 0
    at = tally.columns.index(COUNT_ROWS.name)
    return lambda cut, path: row[at] if (row := tally.rows.get(cut.key)) is not None else 0


def build_aggregate_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, field: SelectedField
) -> ValueCompleter:
    """Of all rows that meet the filter, whatever the page."""
    if isinstance(result.total_aggregate, ConnectorError):
        return build_null_completer(context.null_log.add_failed, field)
    if result.total_aggregate is None:
        known: tuple[str, ...] = ()
        rows: Any = {}
    else:
        known, rows = result.total_aggregate.columns, result.total_aggregate.rows
    none = build_missing_row(known, node.total_aggregate.logical.aggregates if node.total_aggregate else ())
    made = _build_functions_completer(context, node.type, field, known)
    return lambda cut, path: made(rows.get(cut.key, none), (path, field.response_key))


def build_groups_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, field: SelectedField
) -> ValueCompleter:
    known = result.groupings[field.number]
    if isinstance(known, ConnectorError):
        return build_null_completer(context.null_log.add_failed, field)
    keys = next(each.key_columns for each in node.groupings if each.field.number == field.number)
    made = _build_aggregate_object_completer(
        context,
        field.children,
        lambda each: _build_group_member_completer(context, node.type, each, known.columns, keys),
    )

    def value(cut: ConnectionSlice, path: ResponsePath) -> Any:
        place = (path, field.response_key)
        return [made(row, (place, index)) for index, row in enumerate(known.rows.get(cut.key, ()))]

    return value


def _build_aggregate_object_completer(
    context: CompletionContext, fields: Sequence[SelectedField], make: Callable[[SelectedField], AggregateCompleter]
) -> AggregateCompleter:
    """An object, its members in the order of the picks; what is withheld is null and noted."""
    members = [(each.response_key, _build_aggregate_field_completer(context, each, make)) for each in fields]
    return lambda row, path: {key: member(row, path) for key, member in members}


def _build_aggregate_field_completer(
    context: CompletionContext, field: SelectedField, make: Callable[[SelectedField], AggregateCompleter]
) -> AggregateCompleter:
    if field.name == "__typename":
        return lambda row, path: field.parent_type
    return (
        build_null_completer(context.null_log.add_denied, field) if is_denied(field, context.decisions) else make(field)
    )


def _build_group_member_completer(
    context: CompletionContext, type_name: str, field: SelectedField, names: Sequence[str], keys: Any
) -> AggregateCompleter:
    if field.name == "key":
        return _nest_completer(field, _build_group_key_completer(context, field, names, keys, ()))
    return _nest_completer(field, _build_functions_completer(context, type_name, field, names))


def _nest_completer(field: SelectedField, made: AggregateCompleter) -> AggregateCompleter:
    return lambda row, path: made(row, (path, field.response_key))


def _build_group_key_completer(
    context: CompletionContext, field: SelectedField, names: Sequence[str], keys: Any, above: planner_nodes.FieldPath
) -> AggregateCompleter:
    def make(each: SelectedField) -> AggregateCompleter:
        path = (*above, each.name)
        if each.children:
            return _nest_completer(each, _build_group_key_completer(context, each, names, keys, path))
        return _build_aggregate_scalar_completer(context, each, names, keys[path])

    return _build_aggregate_object_completer(context, field.children, make)


def _build_functions_completer(
    context: CompletionContext, type_name: str, field: SelectedField, names: Sequence[str]
) -> AggregateCompleter:
    def make(each: SelectedField) -> AggregateCompleter:
        if each.name == "count":
            return _build_aggregate_scalar_completer(context, each, names, (COUNT_ROWS.name,))
        return _nest_completer(
            each, _build_aggregate_object_completer(context, each.children, lambda inner: measure(each, inner))
        )

    def measure(of: SelectedField, each: SelectedField) -> AggregateCompleter:
        requested = RequestedAggregate(function=of.name, field=each.name)
        return _build_aggregate_scalar_completer(
            context, each, names, (resolve_aggregate_name(context.catalog, type_name, requested),)
        )

    return _build_aggregate_object_completer(context, field.children, make)


def _build_aggregate_scalar_completer(
    context: CompletionContext, field: SelectedField, names: Sequence[str], held: Sequence[str]
) -> AggregateCompleter:
    """One value as its scalar is written; a composite id as all of its parts."""
    convert, take = build_serializer(field.return_type), compile_key(held, names)

    def value(row: Row, path: ResponsePath) -> Any:
        found = take(row)
        if None in found:
            return None
        try:
            return convert(found[0] if len(found) == 1 else format_id(found))
        except BadValue as bad:
            context.null_log.add_invalid(
                field, path, ErrorCode.SOURCE_INVALID, f"`{field.parent_type}.{field.name}` holds {bad}"
            )
            return None

    return value


RowCompleterFactory = Callable[[SelectedField], ValueCompleter]
"""Makes the function that renders one row of the list, as the pick that holds it asks."""


def build_connection_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, make_row_completer: RowCompleterFactory
) -> ValueCompleter:
    assert node.page is not None
    page = node.page
    backward = page.last is not None
    size = substitute(page.last if backward else page.first, context.bound_plan.variables)
    members = [
        (pick.response_key, _build_connection_field_completer(context, node, result, pick, make_row_completer))
        for pick in node.field.children
    ]

    def value(key: Row, path: ResponsePath) -> Any:
        rows = result.group_by_key().get(key, ())
        record_missing_members(context, node, result, path)
        kept = rows[:size]
        cut = ConnectionSlice(key=key, rows=kept[::-1] if backward else kept, has_more=len(rows) > size)
        return {name: member(cut, path) for name, member in members}

    return value


def record_missing_members(
    context: CompletionContext, node: PlanNode, result: BranchResult, path: ResponsePath
) -> None:
    """Notes, where the list or the row stands, the concrete types whose rows may not or could not be shown."""
    for kind in result.member_errors:
        context.null_log.add_failed_type(node.field, kind, path)
    for each in result.denied_members:
        context.null_log.add_denied_type(node.field, each.type, path)


def _build_connection_field_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, field: SelectedField, objects: RowCompleterFactory
) -> ValueCompleter:
    if is_denied(field, context.decisions):
        return build_null_completer(context.null_log.add_denied, field)
    match field.name:
        case "nodes":
            return _build_items_completer(field, objects(field))
        case "edges":
            return _build_items_completer(field, _build_edge_completer(context, node, result, field, objects))
        case _:
            return build_connection_fact_completer(context, node, result, field)


def build_connection_fact_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, field: SelectedField
) -> ValueCompleter:
    """What a connection tells beside its rows."""
    match field.name:
        case "__typename":
            return lambda cut, path: field.parent_type
        case "pageInfo":
            return _build_page_info_completer(context, node, result, field)
        case "totalCount":
            return build_total_count_completer(context, result, field)
        case "aggregate":
            return build_aggregate_completer(context, node, result, field)
        case _:
            return build_groups_completer(context, node, result, field)


def _build_items_completer(field: SelectedField, each: ValueCompleter) -> ValueCompleter:
    """The list, or null if one of its items, which are never null, came to nothing."""

    def value(cut: ConnectionSlice, path: ResponsePath) -> Any:
        place = (path, field.response_key)
        made = []
        for index, row in enumerate(cut.rows):
            found = each(row, (place, index))
            if found is PROPAGATED_NULL:
                return None
            made.append(found)
        return made

    return value


def _build_edge_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, field: SelectedField, objects: RowCompleterFactory
) -> ValueCompleter:
    members: list[tuple[str, ValueCompleter]] = []
    for each in field.children:
        if each.name == "node":
            members.append((each.response_key, _build_edge_node_completer(each, objects)))
        elif each.name == "cursor":
            members.append((each.response_key, build_cursor_completer(context, node, result)))
        else:
            members.append((each.response_key, lambda row, path: field.children[0].parent_type))

    def value(row: Row, path: ResponsePath) -> Any:
        made = {}
        for key, member in members:
            made[key] = found = member(row, path)
            if found is PROPAGATED_NULL:
                return PROPAGATED_NULL
        return made

    return value


def _build_edge_node_completer(field: SelectedField, objects: RowCompleterFactory) -> ValueCompleter:
    inner = objects(field)
    return lambda row, path: inner(row, (path, field.response_key))


def build_cursor_completer(context: CompletionContext, node: PlanNode, result: BranchResult) -> ValueCompleter:
    assert node.page is not None
    place = compile_key([each.column for each in node.page.sort], result.columns)
    seal = context.bound_plan.cursor_keys[id(node.page)]
    return lambda row, path: cursors.encode_cursor(place(row), seal)


def _build_page_info_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, field: SelectedField
) -> ValueCompleter:
    """Of rows of which some are lost, null: nobody knows what follows."""
    assert node.page is not None
    if result.member_errors:
        return lambda cut, path: None
    place = build_cursor_completer(context, node, result)
    backward = node.page.last is not None
    facts: dict[str, Callable[[ConnectionSlice], Any]] = {
        "hasNextPage": lambda cut: cut.key in result.has_next or (cut.has_more and not backward),
        "hasPreviousPage": lambda cut: cut.key in result.has_previous or (cut.has_more and backward),
        "startCursor": lambda cut: place(cut.rows[0], None) if cut.rows else None,
        "endCursor": lambda cut: place(cut.rows[-1], None) if cut.rows else None,
        "__typename": lambda cut: get_named_type(field.return_type).name,
    }
    return lambda cut, path: {each.response_key: facts[each.name](cut) for each in field.children}


def build_object_completer(
    context: CompletionContext, fields: Sequence[SelectedField], nodes: Mapping[int, PlanNode], columns: tuple[str, ...]
) -> ValueCompleter:
    """A dict in the order of the picks."""
    members = [(pick.response_key, _build_field_completer(context, pick, nodes, columns)) for pick in fields]

    def value(row: Any, path: ResponsePath) -> Any:
        made = {}
        for key, member in members:
            made[key] = found = member(row, path)
            if found is PROPAGATED_NULL:
                return PROPAGATED_NULL
        return made

    return value


def _build_field_completer(
    context: CompletionContext, field: SelectedField, nodes: Mapping[int, PlanNode], columns: tuple[str, ...]
) -> ValueCompleter:
    if field.name == "__typename":
        return lambda row, path: field.parent_type
    if field.name == ENTITIES_FIELD:
        return build_entities_completer(
            context, field, lambda one, result: _build_entity_object_completer(context, nodes[one.number], result)
        )
    if is_denied(field, context.decisions):
        return build_null_completer(context.null_log.add_denied, field)
    branch = nodes.get(field.number)
    if branch is not None:
        return (
            _build_node_completer(context, branch, columns)
            if branch.lookup_column is None
            else _build_lookup_completer(context, branch, columns)
        )
    return _build_scalar_completer(context, field, _build_value_getter(context, field, columns))


def _build_scalar_completer(
    context: CompletionContext, field: SelectedField, take: Callable[[Row], Any]
) -> ValueCompleter:
    """A column's value as its scalar is written; a null or a value that cannot be is a fault of its source."""
    convert = build_serializer(field.return_type)
    never_null = isinstance(field.return_type, GraphQLNonNull)

    def value(row: Any, path: ResponsePath) -> Any:
        found = take(row)
        if found is not None:
            try:
                return convert(found)
            except BadValue as bad:
                context.null_log.add_invalid(
                    field, path, ErrorCode.SOURCE_INVALID, f"`{field.parent_type}.{field.name}` holds {bad}"
                )
                return PROPAGATED_NULL if never_null else None
        if never_null:
            context.null_log.add_invalid(
                field, path, ErrorCode.NULL_VALUE, f"`{field.parent_type}.{field.name}` is never null, but has no value"
            )
            return PROPAGATED_NULL
        return None

    return value


def _build_value_getter(
    context: CompletionContext, selected_field: SelectedField, columns: tuple[str, ...]
) -> Callable[[Row], Any]:
    binding = context.catalog.mappings[selected_field.parent_type]
    if selected_field.name in binding.computed_fields:
        needs = binding.computed_fields[selected_field.name].needs
        key = compile_key([column for field in needs for column in map_field_to_columns(binding, field)], columns)
        found = (each for each in context.results.values() if isinstance(each, BranchResult))
        parts = (part for each in found for part in (each, *each.member_results.values()))
        computed = next(
            each.computed_values[selected_field.number]
            for each in parts
            if selected_field.number in each.computed_values
        )
        return lambda row: computed[key(row)]
    of = map_field_to_columns(binding, selected_field.name)
    if len(of) > 1:
        key = compile_key(of, columns)
        return lambda row: format_id(key(row))
    at = columns.index(of[0])
    return lambda row: row[at]


def _build_node_completer(context: CompletionContext, node: PlanNode, columns: tuple[str, ...]) -> ValueCompleter:
    result = context.results.get(node.field.number)
    if result is None:
        return lambda row, path: None
    if isinstance(result, ConnectorError):
        return build_null_completer(context.null_log.add_failed, node.field)
    if result.denied_members and not result.member_results:
        return _build_denied_completer(context, node, result)
    key = compile_key(node.parent_columns, columns) if node.parent_columns else _build_root_key_getter(node, result)
    below = (
        _build_list_completer(context, node, result)
        if node.is_list
        else _build_single_row_completer(context, node, result)
    )

    def value(row: Any, path: ResponsePath) -> Any:
        found = below(key(row), (path, node.field.response_key))
        return None if found is PROPAGATED_NULL else found

    return value


def _build_lookup_completer(context: CompletionContext, node: PlanNode, columns: tuple[str, ...]) -> ValueCompleter:
    """The value that was found for the row; a failed read is one fault of all rows."""
    result = context.results.get(node.field.number)
    if isinstance(result, ConnectorError):
        return build_null_completer(context.null_log.add_failed, node.field)
    found = map_lookup_values(node, result) if result is not None else {}
    key = compile_key(node.parent_columns, columns)
    return _build_scalar_completer(context, node.field, lambda row: found.get(key(row)))


def _build_root_key_getter(node: PlanNode, result: BranchResult) -> Callable[[Any], Row]:
    only = next(iter(result.group_by_key()), ()) if node.key_columns else ()
    return lambda row: only


def _build_denied_completer(context: CompletionContext, node: PlanNode, result: BranchResult) -> ValueCompleter:
    """Null where no row of any concrete type may be shown."""

    def value(row: Any, path: ResponsePath) -> Any:
        record_missing_members(context, node, result, (path, node.field.response_key))
        return None

    return value


def _build_single_row_completer(context: CompletionContext, node: PlanNode, result: BranchResult) -> ValueCompleter:
    inner = _build_row_completer(context, node, result, node.field)

    def value(key: Row, path: ResponsePath) -> Any:
        rows = result.group_by_key().get(key)
        if not rows:
            record_missing_members(context, node, result, path)
            return None
        return inner(rows[0], path)

    return value


def _build_entity_object_completer(context: CompletionContext, node: PlanNode, result: BranchResult) -> ValueCompleter:
    return build_object_completer(
        context, node.field.children_by_type[node.type], _map_children_by_number(node), result.columns
    )


def _build_list_completer(context: CompletionContext, node: PlanNode, result: BranchResult) -> ValueCompleter:
    return build_connection_completer(
        context, node, result, lambda holder: _build_row_completer(context, node, result, holder)
    )


def _build_row_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, holder: SelectedField
) -> ValueCompleter:
    """Renders a row; of an interface, as what it is."""
    if not node.member_scans:
        return build_object_completer(
            context, holder.children_by_type[node.type], _map_children_by_number(node), result.columns
        )
    made = {
        each.type: build_object_completer(
            context,
            holder.children_by_type[each.type],
            _map_children_by_number(each),
            result.member_results[each.type].columns,
        )
        for each in node.members
        if each.type in result.member_results and result.member_results[each.type].rows
    }
    return lambda row, path: made[row[-2]](row[-1], path)


def _map_children_by_number(node: PlanNode) -> dict[int, PlanNode]:
    return {each.field.number: each for each in node.children}
