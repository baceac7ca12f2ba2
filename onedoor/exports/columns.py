"""Derive the columns of an export from the selected fields, and extract their values from the rows of a reply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import GraphQLEnumType, get_named_type

from onedoor.errors import ErrorCode, GraphQLErrorInfo
from onedoor.exports.models import ExportColumn, OmittedColumn
from onedoor.exports.paging import ONE_LIST_ADVICE, PAGE_ALIAS, reject_export
from onedoor.model.names import is_list
from onedoor.query.authorize import Decisions, is_denied
from onedoor.query.selection import SelectedField

ColumnValues: TypeAlias = Sequence[Any]
"""The values of one column, one for each row."""

LIST_FIELDS = frozenset({"nodes", "edges"})

PAGING_FIELDS = frozenset({"pageInfo", "__typename"})
"""Fields beside the rows that clients page by; an export leaves them out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLayout:
    """Where the rows of a reply are, and what their columns are."""

    path: tuple[str, ...]
    """The response keys that lead to the list."""
    node_key: str | None
    """The response key of the row in each item of the list; None: the item is the row."""
    columns: tuple[ExportColumn, ...]
    denied: Mapping[str, SelectedField]
    """The denied fields by the name that their column would have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedColumns:
    """The columns below a field, and the denied fields by the name that their column would have."""

    columns: tuple[ExportColumn, ...] = ()
    denied: Mapping[str, SelectedField]


def build_row_layout(fields: Sequence[SelectedField], decisions: Decisions) -> RowLayout:
    """Find the rows and derive their columns.

    Raises RequestRejected where the list is asked for something beside its rows that has no place in a file.
    """
    if len(fields) != 1:
        raise reject_export(ErrorCode.BAD_USER_INPUT, f"nothing is asked for at the root: {ONE_LIST_ADVICE}")
    (root,) = fields
    list_field, row_field = _find_list_fields(root)
    path = (root.response_key, list_field.response_key)
    denied = next((field for field in (root, list_field, row_field) if is_denied(field, decisions)), None)
    if denied is not None:
        return RowLayout(path=path, node_key=None, columns=(), denied={root.response_key: denied})
    collected = _collect_columns(list(row_field.children_by_type.values()), decisions, (), "")
    if not collected.columns and not collected.denied:
        message = f"nothing is asked of the rows of `{root.response_key}`, ask for fields"
        raise reject_export(ErrorCode.BAD_USER_INPUT, message)
    return RowLayout(
        path=path,
        node_key=row_field.response_key if row_field is not list_field else None,
        columns=collected.columns,
        denied=collected.denied,
    )


def _find_list_fields(root: SelectedField) -> tuple[SelectedField, SelectedField]:
    """Return the field of the list and that of its rows: `nodes` twice, or `edges` and `node`."""
    children = [child for child in root.children if child.response_key != PAGE_ALIAS]
    lists = [child for child in children if child.name in LIST_FIELDS]
    others = [child.response_key for child in children if child.name not in LIST_FIELDS | PAGING_FIELDS]
    if others:
        message = f"`{others[0]}` of `{root.response_key}` is no row, so it has no place in a file: leave it out"
        raise reject_export(ErrorCode.BAD_USER_INPUT, message)
    if len(lists) != 1:
        message = f"`{root.response_key}` is exported by its `nodes` or by its `edges`, ask for one"
        raise reject_export(ErrorCode.BAD_USER_INPUT, message)
    if lists[0].name == "nodes":
        return lists[0], lists[0]
    nodes = [child for child in lists[0].children if child.name == "node"]
    if len(nodes) != 1:
        message = f"`edges` of `{root.response_key}` is exported by its `node`, ask for one"
        raise reject_export(ErrorCode.BAD_USER_INPUT, message)
    return lists[0], nodes[0]


def _collect_columns(
    selections: Sequence[Sequence[SelectedField]], decisions: Decisions, path: tuple[str, ...], prefix: str
) -> CollectedColumns:
    """Collect the columns below `path`; `selections` holds the fields of each concrete type that a row may have."""
    keys = dict.fromkeys(field.response_key for selection in selections for field in selection)
    parts = []
    for key in keys:
        alternatives = [field for selection in selections for field in selection if field.response_key == key]
        parts.append(_collect_column(alternatives, decisions, (*path, key), prefix))
    return CollectedColumns(
        columns=tuple(column for part in parts for column in part.columns),
        denied={name: field for part in parts for name, field in part.denied.items()},
    )


def _collect_column(
    alternatives: Sequence[SelectedField], decisions: Decisions, path: tuple[str, ...], prefix: str
) -> CollectedColumns:
    """Collect the column, or the columns, of the fields that share one response key."""
    name = prefix + ".".join(path)
    allowed = [field for field in alternatives if not is_denied(field, decisions)]
    first_denied = next((field for field in alternatives if is_denied(field, decisions)), None)
    denied = {} if first_denied is None else {name: first_denied}
    if not allowed:
        return CollectedColumns(denied=denied)
    field, below = allowed[0], [children for field in allowed for children in field.children_by_type.values()]
    if not below:
        return CollectedColumns(columns=(_build_leaf_column(field, path),), denied=denied)
    if not is_list(field.return_type):
        collected = _collect_columns(below, decisions, path, prefix)
        return CollectedColumns(columns=collected.columns, denied={**denied, **collected.denied})
    items = _collect_columns(below, decisions, (), f"{name}.")
    column = ExportColumn(name=".".join(path), path=path, scalar="", item_columns=items.columns)
    return CollectedColumns(columns=(column,) if items.columns else (), denied={**denied, **items.denied})


def _build_leaf_column(field: SelectedField, path: tuple[str, ...]) -> ExportColumn:
    named_type: Any = get_named_type(field.return_type)
    members = tuple(named_type.values) if isinstance(named_type, GraphQLEnumType) else ()
    return ExportColumn(
        name=".".join(path),
        path=path,
        scalar=named_type.name,
        is_list=is_list(field.return_type),
        enum_members=members,
    )


def list_omitted_columns(
    denied: Mapping[str, SelectedField], decisions: Decisions, errors: Sequence[GraphQLErrorInfo]
) -> tuple[OmittedColumn, ...]:
    """Return what is denied, with the messages of its errors: columns, and rows of types that may not be read."""
    messages = {str((error.extensions or {}).get("position")): error.message for error in errors}
    positions = {name: ".".join(decisions[field.number].coordinate) for name, field in denied.items()}
    types = {position: position for position in messages if position not in positions.values()}
    return tuple(
        OmittedColumn(name=name, reason=messages.get(position, f"`{position}` is withheld"), position=position)
        for name, position in (*positions.items(), *types.items())
    )


def find_lost_column(planned: Sequence[ExportColumn], current: Sequence[ExportColumn]) -> str | None:
    """Return the name of the first planned column that is not among the current ones."""
    current_by_name = {column.name: column for column in current}
    for column in planned:
        if column.name not in current_by_name:
            return column.name
        lost = find_lost_column(column.item_columns, current_by_name[column.name].item_columns)
        if lost is not None:
            return f"{column.name}.{lost}"
    return None


def extract_rows(data: Mapping[str, Any], layout: RowLayout) -> list[dict[str, Any]]:
    rows: Any = data
    for key in layout.path:
        rows = rows[key]
    return rows if layout.node_key is None else [item[layout.node_key] for item in rows]


def extract_columns(rows: Sequence[Mapping[str, Any]], columns: Sequence[ExportColumn]) -> list[ColumnValues]:
    """Return the values of each column; a value of a list of rows is a list of objects by name of the item column."""
    levels: dict[tuple[str, ...], ColumnValues] = {(): rows}
    for column in columns:
        for depth in range(1, len(column.path) + 1):
            path = column.path[:depth]
            if path not in levels:
                levels[path] = _read_members(levels[path[:-1]], path[-1])
    return [_nest_objects(levels[column.path], column) for column in columns]


def _read_members(objects: ColumnValues, key: str) -> ColumnValues:
    """Return a member of each object; null below a null, and in rows of a type without the member."""
    try:
        return [members[key] for members in objects]
    except (KeyError, TypeError):
        return [None if members is None else members.get(key) for members in objects]


def _nest_objects(values: ColumnValues, column: ExportColumn) -> ColumnValues:
    if not column.item_columns:
        return values
    return [
        None if rows is None else build_objects([row for row in rows if row is not None], column.item_columns)
        for rows in values
    ]


def build_objects(rows: Sequence[Mapping[str, Any]], columns: Sequence[ExportColumn]) -> list[dict[str, Any]]:
    """Return each row as an object by name of the column."""
    names = [column.name for column in columns]
    values_by_row = zip(*extract_columns(rows, columns), strict=True)
    return [dict(zip(names, values, strict=True)) for values in values_by_row]
