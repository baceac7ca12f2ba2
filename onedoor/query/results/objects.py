"""Complete objects, connections and aggregates row by row, recording every null that is an error."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLNonNull, get_named_type

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.names import format_id, map_field_to_columns
from onedoor.model.parameters import substitute
from onedoor.query import cursors
from onedoor.query.authorize import is_denied
from onedoor.query.errors import ResponsePath
from onedoor.query.executor.state import AggregateResult, BranchResult
from onedoor.query.planner import nodes as planner_nodes
from onedoor.query.planner.nodes import Page, PlanNode
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
from onedoor.spi.flaws import FlawedRow
from onedoor.spi.operators import compile_key
from onedoor.spi.predicates import Row
from onedoor.spi.scan import COUNT_ROWS


def map_lookup_values(node: PlanNode, result: BranchResult) -> Mapping[Row, Any]:
    """Return the value of a lookup by key; a key without a row is absent."""
    if not result.rows:
        return {}
    assert node.lookup_column is not None
    index, key = result.columns.index(node.lookup_column), compile_key(node.key_columns, result.columns)
    return {key(row): row[index] for row in result.rows}


AggregateCompleter = Callable[[Row, ResponsePath], Any]


def build_total_count_completer(
    context: CompletionContext, result: BranchResult, field: SelectedField
) -> ValueCompleter:
    """Complete `totalCount`; null where rows of a concrete type are missing."""
    total = result.total_aggregate
    if isinstance(total, ConnectorError):
        return build_null_completer(context.null_log.add_failed, field)
    if result.member_errors:
        return lambda connection, path: None
    if total is None:
        return lambda connection, path: 0
    index = total.columns.index(COUNT_ROWS.name)
    return lambda connection, path: row[index] if (row := total.rows.get(connection.key)) is not None else 0


def build_aggregate_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, field: SelectedField
) -> ValueCompleter:
    """Complete `aggregate`, over all rows that meet the filter, whatever the page."""
    if isinstance(result.total_aggregate, ConnectorError):
        return build_null_completer(context.null_log.add_failed, field)
    total = result.total_aggregate or AggregateResult(columns=(), rows={})
    missing = build_missing_row(total.columns, node.total_aggregate.logical.aggregates if node.total_aggregate else ())
    complete_row = _build_functions_completer(context, node.type, field, total.columns)
    return lambda connection, path: complete_row(total.rows.get(connection.key, missing), (path, field.response_key))


def build_groups_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, field: SelectedField
) -> ValueCompleter:
    """Complete a list of groups."""
    grouping = result.groupings[field.number]
    if isinstance(grouping, ConnectorError):
        return build_null_completer(context.null_log.add_failed, field)
    key_columns = next(group.key_columns for group in node.groupings if group.field.number == field.number)
    complete_group = _build_aggregate_object_completer(
        context,
        field.children,
        lambda child: _build_group_member_completer(context, node.type, child, grouping.columns, key_columns),
    )

    def complete_groups(connection: ConnectionSlice, path: ResponsePath) -> Any:
        list_path = (path, field.response_key)
        groups = grouping.rows.get(connection.key, ())
        return [complete_group(row, (list_path, index)) for index, row in enumerate(groups)]

    return complete_groups


def _build_aggregate_object_completer(
    context: CompletionContext, fields: Sequence[SelectedField], make: Callable[[SelectedField], AggregateCompleter]
) -> AggregateCompleter:
    """Complete an object in the order of its fields; a denied one is null and recorded."""
    members = [(field.response_key, _build_aggregate_field_completer(context, field, make)) for field in fields]
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
    context: CompletionContext, type_name: str, field: SelectedField, names: Sequence[str], key_columns: Any
) -> AggregateCompleter:
    if field.name == "key":
        return _nest_completer(field, _build_group_key_completer(context, field, names, key_columns, ()))
    return _nest_completer(field, _build_functions_completer(context, type_name, field, names))


def _nest_completer(field: SelectedField, complete: AggregateCompleter) -> AggregateCompleter:
    return lambda row, path: complete(row, (path, field.response_key))


def _build_group_key_completer(
    context: CompletionContext,
    field: SelectedField,
    names: Sequence[str],
    key_columns: Any,
    parents: planner_nodes.FieldPath,
) -> AggregateCompleter:
    def make(child: SelectedField) -> AggregateCompleter:
        path = (*parents, child.name)
        if child.children:
            return _nest_completer(child, _build_group_key_completer(context, child, names, key_columns, path))
        return _build_aggregate_scalar_completer(context, child, names, key_columns[path])

    return _build_aggregate_object_completer(context, field.children, make)


def _build_functions_completer(
    context: CompletionContext, type_name: str, field: SelectedField, names: Sequence[str]
) -> AggregateCompleter:
    def make(function: SelectedField) -> AggregateCompleter:
        if function.name == "count":
            return _build_aggregate_scalar_completer(context, function, names, (COUNT_ROWS.name,))
        return _nest_completer(
            function,
            _build_aggregate_object_completer(
                context, function.children, lambda column: make_aggregate(function, column)
            ),
        )

    def make_aggregate(function: SelectedField, column: SelectedField) -> AggregateCompleter:
        requested = RequestedAggregate(function=function.name, field=column.name)
        name = resolve_aggregate_name(context.catalog, type_name, requested)
        return _build_aggregate_scalar_completer(context, column, names, (name,))

    return _build_aggregate_object_completer(context, field.children, make)


def _build_aggregate_scalar_completer(
    context: CompletionContext, field: SelectedField, names: Sequence[str], columns: Sequence[str]
) -> AggregateCompleter:
    """Serialize the value of a column, or of a composite id's columns together."""
    serialize, take = build_serializer(field.return_type), compile_key(columns, names)
    find_flaw = build_flaw_finder(columns, names)

    def complete(row: Row, path: ResponsePath) -> Any:
        values = take(row)
        flaw = None
        if None in values:
            flaw = find_flaw(row)
        else:
            try:
                return serialize(values[0] if len(values) == 1 else format_id(values))
            except BadValue as error:
                flaw = f"{error}"
        if flaw is not None:
            message = f"`{field.parent_type}.{field.name}` holds {flaw}"
            context.null_log.add_invalid(field, path, ErrorCode.SOURCE_INVALID, message)
        return None

    return complete


RowCompleterFactory = Callable[[SelectedField], ValueCompleter]
"""Builds the completer for the rows of a list, of which the given field holds a selection."""


def build_connection_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, make_row_completer: RowCompleterFactory
) -> ValueCompleter:
    """Complete the connection of a key."""
    assert node.page is not None
    backward = node.page.last is not None
    size = substitute(node.page.last if backward else node.page.first, context.bound_plan.variables)
    members = [
        (field.response_key, _build_connection_field_completer(context, node, result, field, make_row_completer))
        for field in node.field.children
    ]

    def complete(key: Row, path: ResponsePath) -> Any:
        rows = result.group_by_key().get(key, ())
        record_missing_members(context, node, result, path)
        page = rows[:size]
        connection = ConnectionSlice(key=key, rows=page[::-1] if backward else page, has_more=len(rows) > size)
        return {name: member(connection, path) for name, member in members}

    return complete


def record_missing_members(
    context: CompletionContext, node: PlanNode, result: BranchResult, path: ResponsePath
) -> None:
    """Record, at a list or a row, the concrete types whose rows are denied or could not be read."""
    for type in result.member_errors:
        context.null_log.add_failed_type(node.field, type, path)
    for member in result.denied_members:
        context.null_log.add_denied_type(node.field, member.type, path)


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
    """Complete a field of a connection that does not show its rows."""
    match field.name:
        case "__typename":
            return lambda connection, path: field.parent_type
        case "pageInfo":
            return _build_page_info_completer(context, node, result, field)
        case "totalCount":
            return build_total_count_completer(context, result, field)
        case "aggregate":
            return build_aggregate_completer(context, node, result, field)
        case _:
            return build_groups_completer(context, node, result, field)


def _build_items_completer(field: SelectedField, complete_item: ValueCompleter) -> ValueCompleter:
    """Complete a list, in which a null that an item cannot hold takes that item alone."""

    def complete(connection: ConnectionSlice, path: ResponsePath) -> Any:
        list_path = (path, field.response_key)
        items = (complete_item(row, (list_path, index)) for index, row in enumerate(connection.rows))
        return [None if item is PROPAGATED_NULL else item for item in items]

    return complete


def _build_edge_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, field: SelectedField, objects: RowCompleterFactory
) -> ValueCompleter:
    members: list[tuple[str, ValueCompleter]] = []
    for child in field.children:
        if child.name == "node":
            members.append((child.response_key, _build_edge_node_completer(child, objects)))
        elif child.name == "cursor":
            members.append((child.response_key, build_cursor_completer(context, node, result)))
        else:
            members.append((child.response_key, lambda row, path: field.children[0].parent_type))
    return _build_members_completer(members)


def _build_members_completer(members: Sequence[tuple[str, ValueCompleter]]) -> ValueCompleter:
    """Complete an object in the order of its members, or to a null that one of them propagates."""

    def complete(row: Any, path: ResponsePath) -> Any:
        completed = {}
        for key, member in members:
            completed[key] = value = member(row, path)
            if value is PROPAGATED_NULL:
                return PROPAGATED_NULL
        return completed

    return complete


def _build_edge_node_completer(field: SelectedField, objects: RowCompleterFactory) -> ValueCompleter:
    complete_row = objects(field)

    def complete(row: Row, path: ResponsePath) -> Any:
        node = complete_row(row, (path, field.response_key))
        return None if node is PROPAGATED_NULL else node

    return complete


def build_cursor_completer(context: CompletionContext, node: PlanNode, result: BranchResult) -> ValueCompleter:
    """Complete the cursor of a row."""
    assert node.page is not None
    sort_values = compile_key([sort_key.column for sort_key in node.page.sort], result.columns)
    cursor_key = context.bound_plan.cursor_keys[id(node.page)]
    return lambda row, path: cursors.encode_cursor(sort_values(row), cursor_key)


def _build_page_info_completer(
    context: CompletionContext, node: PlanNode, result: BranchResult, field: SelectedField
) -> ValueCompleter:
    """Complete `pageInfo`; where rows of a concrete type are missing, nothing can be read on from the page."""
    assert node.page is not None
    if result.member_errors:
        isolated = {**ISOLATED_PAGE, "__typename": get_named_type(field.return_type).name}
        return lambda page, path: {child.response_key: isolated[child.name] for child in field.children}
    make_cursor = build_cursor_completer(context, node, result)
    is_backward = node.page.last is not None
    far_cursor = "startCursor" if is_backward else "endCursor"
    facts: dict[str, Callable[[ConnectionSlice], Any]] = {
        "hasNextPage": lambda page: page.key in result.has_next or (page.has_more and not is_backward),
        "hasPreviousPage": lambda page: page.key in result.has_previous or (page.has_more and is_backward),
        "startCursor": lambda page: make_cursor(page.rows[0], None) if page.rows else None,
        "endCursor": lambda page: make_cursor(page.rows[-1], None) if page.rows else None,
        "__typename": lambda page: get_named_type(field.return_type).name,
    }
    ends_in_tie = _build_tie_test(node.page, result)

    def complete(page: ConnectionSlice, path: ResponsePath) -> Any:
        values = {child.response_key: facts[child.name](page) for child in field.children}
        for child in field.children:
            if child.name == far_cursor and ends_in_tie(page):
                values[child.response_key] = None
                context.null_log.add_invalid(child, (path, field.response_key), ErrorCode.SOURCE_INVALID, TIED_ROWS)
        return values

    return complete


ISOLATED_PAGE = {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None}
"""A page that lacks rows: a cursor of it would pass them over."""

TIED_ROWS = "the page ends between rows whose keys are the same or cannot be read, so no cursor tells them apart"


def _build_tie_test(page: Page, result: BranchResult) -> Callable[[ConnectionSlice], bool]:
    """Build a test whether the last row of a page, in the direction of reading, sorts as the first one beyond it."""
    if not result.rows:
        return lambda connection: False
    get_place = compile_key([sort_key.column for sort_key in page.sort], result.columns)

    def ends_in_tie(connection: ConnectionSlice) -> bool:
        rows, size = result.group_by_key().get(connection.key, ()), len(connection.rows)
        return connection.has_more and size > 0 and get_place(rows[size - 1]) == get_place(rows[size])

    return ends_in_tie


def build_object_completer(
    context: CompletionContext, fields: Sequence[SelectedField], nodes: Mapping[int, PlanNode], columns: tuple[str, ...]
) -> ValueCompleter:
    """Complete an object, as a dict in the order of its fields."""
    return _build_members_completer(
        [(field.response_key, _build_field_completer(context, field, nodes, columns)) for field in fields]
    )


def _build_field_completer(
    context: CompletionContext, field: SelectedField, nodes: Mapping[int, PlanNode], columns: tuple[str, ...]
) -> ValueCompleter:
    if field.name == "__typename":
        return lambda row, path: field.parent_type
    if field.name == ENTITIES_FIELD:
        return build_entities_completer(
            context,
            field,
            lambda entity_field, result: _build_entity_object_completer(context, nodes[entity_field.number], result),
        )
    if is_denied(field, context.decisions):
        return build_null_completer(context.null_log.add_denied, field)
    node = nodes.get(field.number)
    if node is not None:
        return (
            _build_node_completer(context, node, columns)
            if node.lookup_column is None
            else _build_lookup_completer(context, node, columns)
        )
    return _build_scalar_completer(context, field, _build_value_reader(context, field, columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueReader:
    """How the value of a field is read from a row or, for a lookup, by its key."""

    columns: tuple[str, ...]
    """The columns that the value comes from; none where it is computed."""
    read: Callable[[Row], Any]
    find_flaw: Callable[[Row], str | None]
    """Says what the source has in place of a value that is null as its column cannot hold it."""


def _build_scalar_completer(context: CompletionContext, field: SelectedField, reader: ValueReader) -> ValueCompleter:
    """Serialize a value; a null or another value that the field cannot show is an error of its source."""
    serialize, read, find_flaw = build_serializer(field.return_type), reader.read, reader.find_flaw
    position = f"`{field.parent_type}.{field.name}`"
    place = f" in the column `{reader.columns[0]}`" if len(reader.columns) == 1 else ""
    null_value = PROPAGATED_NULL if isinstance(field.return_type, GraphQLNonNull) else None

    def complete(row: Any, path: ResponsePath) -> Any:
        value = read(row)
        flaw = None
        if value is None:
            flaw = find_flaw(row)
        else:
            try:
                return serialize(value)
            except BadValue as error:
                flaw = f"{error}{place}"
        if flaw is not None:
            context.null_log.add_invalid(field, path, ErrorCode.SOURCE_INVALID, f"{position} holds {flaw}")
        elif null_value is PROPAGATED_NULL:
            message = f"{position} is never null, but has no value"
            context.null_log.add_invalid(field, path, ErrorCode.NULL_VALUE, message)
        return null_value

    return complete


def build_flaw_finder(columns: Sequence[str], names: Sequence[str]) -> Callable[[Row], str | None]:
    """Build a function that says what a row has, in the first of some columns, that the column cannot hold."""
    indexes = {names.index(column): column for column in columns}

    def find_flaw(row: Row) -> str | None:
        if not isinstance(row, FlawedRow):
            return None
        flaws = (f"{row.flaws[index]} in the column `{name}`" for index, name in indexes.items() if index in row.flaws)
        return next(flaws, None)

    return find_flaw


def _build_value_reader(
    context: CompletionContext, selected_field: SelectedField, columns: tuple[str, ...]
) -> ValueReader:
    mapping = context.catalog.mappings[selected_field.parent_type]
    if selected_field.name in mapping.computed_fields:
        needs = mapping.computed_fields[selected_field.name].needs
        key = compile_key([column for field in needs for column in map_field_to_columns(mapping, field)], columns)
        computed_values = _find_computed_values(context, selected_field)
        return ValueReader(columns=(), read=lambda row: computed_values[key(row)], find_flaw=lambda row: None)
    field_columns = map_field_to_columns(mapping, selected_field.name)
    find_flaw = build_flaw_finder(field_columns, columns)
    if len(field_columns) > 1:
        key = compile_key(field_columns, columns)
        return ValueReader(columns=field_columns, read=lambda row: _format_whole_id(key(row)), find_flaw=find_flaw)
    index = columns.index(field_columns[0])
    return ValueReader(columns=field_columns, read=lambda row: row[index], find_flaw=find_flaw)


def _format_whole_id(key: Row) -> str | None:
    """Return the id of a row; None where a part of its key has no value."""
    return None if None in key else format_id(key)


def _find_computed_values(context: CompletionContext, field: SelectedField) -> Mapping[Row, object]:
    branches = (branch for branch in context.results.values() if isinstance(branch, BranchResult))
    parts = (part for branch in branches for part in (branch, *branch.member_results.values()))
    return next(part.computed_values[field.number] for part in parts if field.number in part.computed_values)


def _build_node_completer(context: CompletionContext, node: PlanNode, columns: tuple[str, ...]) -> ValueCompleter:
    result = context.results.get(node.field.number)
    if result is None:
        return lambda row, path: None
    if isinstance(result, ConnectorError):
        return build_null_completer(context.null_log.add_failed, node.field)
    if result.denied_members and not result.member_results:
        return _build_denied_completer(context, node, result)
    key = compile_key(node.parent_columns, columns) if node.parent_columns else _build_root_key_getter(node, result)
    complete_key = (
        _build_list_completer(context, node, result)
        if node.is_list
        else _build_single_row_completer(context, node, result)
    )

    def complete(row: Any, path: ResponsePath) -> Any:
        value = complete_key(key(row), (path, node.field.response_key))
        return None if value is PROPAGATED_NULL else value

    return complete


def _build_lookup_completer(context: CompletionContext, node: PlanNode, columns: tuple[str, ...]) -> ValueCompleter:
    """Complete a lookup; a failed read is one error for all rows."""
    result = context.results.get(node.field.number)
    if isinstance(result, ConnectorError):
        return build_null_completer(context.null_log.add_failed, node.field)
    key = compile_key(node.parent_columns, columns)
    if result is None:
        reader = ValueReader(columns=(), read=lambda row: None, find_flaw=lambda row: None)
        return _build_scalar_completer(context, node.field, reader)
    assert node.lookup_column is not None
    value_by_key, rows_by_key = map_lookup_values(node, result), result.group_by_key()
    find_flaw = build_flaw_finder((node.lookup_column,), result.columns)
    reader = ValueReader(
        columns=(node.lookup_column,),
        read=lambda row: value_by_key.get(key(row)),
        find_flaw=lambda row: next(filter(None, map(find_flaw, rows_by_key.get(key(row), ()))), None),
    )
    return _build_partial_value_completer(context, node.field, reader)


def _build_partial_value_completer(
    context: CompletionContext, field: SelectedField, reader: ValueReader
) -> ValueCompleter:
    """Serialize a value that may have nulls within it for what it cannot hold, each kind of which is in one error."""
    complete_value = _build_scalar_completer(context, field, reader)

    def complete(row: Any, path: ResponsePath) -> Any:
        flaw = None if reader.read(row) is None else reader.find_flaw(row)
        if flaw is not None:
            message = f"`{field.parent_type}.{field.name}` shows null for {flaw}"
            context.null_log.add_invalid(field, path, ErrorCode.SOURCE_INVALID, message)
        return complete_value(row, path)

    return complete


def _build_root_key_getter(node: PlanNode, result: BranchResult) -> Callable[[Any], Row]:
    key = next(iter(result.group_by_key()), ()) if node.key_columns else ()
    return lambda row: key


def _build_denied_completer(context: CompletionContext, node: PlanNode, result: BranchResult) -> ValueCompleter:
    """Complete to null where all concrete types are denied."""

    def complete(row: Any, path: ResponsePath) -> Any:
        record_missing_members(context, node, result, (path, node.field.response_key))
        return None

    return complete


def _build_single_row_completer(context: CompletionContext, node: PlanNode, result: BranchResult) -> ValueCompleter:
    complete_row = _build_row_completer(context, node, result, node.field)

    def complete(key: Row, path: ResponsePath) -> Any:
        rows = result.group_by_key().get(key)
        if not rows:
            record_missing_members(context, node, result, path)
            return None
        return complete_row(rows[0], path)

    return complete


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
    """Complete a row; one of an interface as an object of its concrete type."""
    if not node.member_scans:
        return build_object_completer(
            context, holder.children_by_type[node.type], _map_children_by_number(node), result.columns
        )
    completers = {
        member.type: build_object_completer(
            context,
            holder.children_by_type[member.type],
            _map_children_by_number(member),
            result.member_results[member.type].columns,
        )
        for member in node.members
        if member.type in result.member_results and result.member_results[member.type].rows
    }
    return lambda row, path: completers[row[-2]](row[-1], path)


def _map_children_by_number(node: PlanNode) -> dict[int, PlanNode]:
    return {child.field.number: child for child in node.children}
