"""Turn the operations of an OpenAPI document into declared collections: their names, keys, filters and paging."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onedoor.codegen.models import DescribedColumn
from onedoor.codegen.naming import singularize_last, singularize_noun, split_words, to_snake_case
from onedoor.connectors.json_rows import SENDABLE_TYPES, JsonPath, build_json_path_setting
from onedoor.connectors.rest.config import parse_rest_collections
from onedoor.connectors.rest.openapi.document import OpenApiDocument
from onedoor.connectors.rest.openapi.operations import OpenApiOperation, OpenApiParameter, get_tags, is_selected
from onedoor.connectors.rest.openapi.paging import find_paging, has_unknown_pages
from onedoor.connectors.rest.openapi.rows import (
    OpenApiColumn,
    ResponseRows,
    RowColumns,
    SkippedOperation,
    find_openapi_columns,
    find_response_rows,
    map_column_type,
)
from onedoor.connectors.rest.openapi.schemas import SCALAR_TYPES
from onedoor.connectors.rest.openapi.writes import (
    LIST_METHODS,
    ROW_METHODS,
    OpenApiWrite,
    RefusedWrite,
    WriteTarget,
    find_writes,
)
from onedoor.spi.capabilities import ColumnType

KEY_SUFFIXES = frozenset(
    {"id", "key", "uuid", "guid", "sha", "hash", "email", "login", "slug", "name", "number", "username"}
)
"""The last words of columns by which relationships may look up rows."""

ID_COLUMNS = ("id", "uuid", "guid", "key")

MAX_KEYS_PER_REQUEST = 50

WRITE_METHODS = frozenset({*LIST_METHODS, *ROW_METHODS})

UNKNOWN_PAGES_DOUBT = "its pages follow each other in no known way: only the first is read"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathColumn:
    """A column that stands in the path, in the place of a parameter."""

    column: DescribedColumn
    parameter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiCollection:
    """A collection that an operation answers with.

    `columns` are those of its rows, without the path columns; `key` is the column that identifies a row among them.
    `path_shape` is that of its path, `item_shape` that of the path of one of its rows. `left_out`: what no column
    shows. `doubts`: what should be looked at by hand. `row_path`: the document's path of one row.
    """

    name: str
    operation: OpenApiOperation
    rows_path: JsonPath
    columns: tuple[OpenApiColumn, ...]
    path_columns: tuple[PathColumn, ...]
    single: bool = False
    key: str = ""
    keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    paging: Mapping[str, Any] | None = None
    comment: str = ""
    path_shape: tuple[str, ...]
    item_shape: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    row_path: str = ""
    writes: tuple[OpenApiWrite, ...] = ()

    @property
    def all_columns(self) -> tuple[DescribedColumn, ...]:
        path_columns = (path_column.column for path_column in self.path_columns)
        return (*path_columns, *(column.column for column in self.columns))

    @property
    def changed_paths(self) -> frozenset[tuple[str, str]]:
        """The methods and paths of the document by which its rows may be changed."""
        list_path = "" if self.single else self.operation.original_path
        return frozenset(
            (method, path)
            for path, methods in ((list_path, LIST_METHODS), (self.row_path, ROW_METHODS))
            for method in methods
        )

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that identify a row among those of all paths."""
        path_columns = tuple(path_column.column.name for path_column in self.path_columns)
        return (*path_columns, self.key) if self.key else path_columns


def build_openapi_collections(
    document: OpenApiDocument, operations: Iterable[OpenApiOperation]
) -> tuple[list[OpenApiCollection], list[SkippedOperation]]:
    """Return the collections, and the operations that make none.

    An operation that is the path of one row of a collection is in neither.
    """
    responses, skipped = find_response_rows(document, operations)
    items = {
        response.operation.path_shape: response for response in responses if response.operation.path_shape[-1:] == ("",)
    }
    lists = [response for response in responses if not response.single]
    collections = [
        _build_list_collection(document, response, items.get((*response.operation.path_shape, "")))
        for response in lists
    ]
    item_shapes = {collection.item_shape for collection in collections if collection.item_shape}
    collections = [collection for collection in collections if collection.path_shape not in item_shapes]
    collections += [
        _build_single_collection(document, response)
        for response in responses
        if response.single and response.operation.path_shape not in item_shapes
    ]
    without_columns = [
        collection for collection in collections if not collection.columns and not collection.operation.returns_text
    ]
    skipped += [
        SkippedOperation(
            path=collection.operation.original_path,
            reason="which of its lists is meant is in doubt" if collection.doubts else "its rows have no plain values",
        )
        for collection in without_columns
    ]
    named = _assign_names([collection for collection in collections if collection not in without_columns])
    faults = {collection.name: _find_settings_fault(collection) for collection in named}
    skipped += [
        SkippedOperation(path=collection.operation.original_path, reason=f"the source would refuse it: {fault}")
        for collection in named
        if (fault := faults[collection.name])
    ]
    return [collection for collection in named if not faults[collection.name]], skipped


def add_writes(
    document: OpenApiDocument, collections: Iterable[OpenApiCollection]
) -> tuple[list[OpenApiCollection], list[SkippedOperation]]:
    """Add to each collection the changes of its rows that a source accepts; return the operations that are none."""
    changed: list[OpenApiCollection] = []
    refused: list[SkippedOperation] = []
    for collection in collections:
        writes: list[OpenApiWrite] = []
        for write in find_writes(document, _build_write_target(collection)):
            if isinstance(write, RefusedWrite):
                refused.append(SkippedOperation(path=write.place, reason=write.reason))
            elif fault := _find_settings_fault(replace(collection, writes=(write,))):
                place = f"{write.settings['method']} {write.settings['path']}"
                refused.append(SkippedOperation(path=place, reason=f"the source would refuse it: {fault}"))
            else:
                writes.append(write)
        changed.append(replace(collection, writes=tuple(writes)))
    return changed, refused


def find_other_writes(
    document: OpenApiDocument, collections: Iterable[OpenApiCollection], patterns: Sequence[str]
) -> list[SkippedOperation]:
    """Find the operations that change something that is no row of a collection; `patterns` select as for reading."""
    listed = {path for collection in collections for path in collection.changed_paths}
    return [
        SkippedOperation(path=f"{method.upper()} {path}", reason="it changes no row of a collection")
        for path, item in document.root["paths"].items()
        for method, operation in document.resolve(item).items()
        if method in WRITE_METHODS
        and isinstance(operation, Mapping)
        and (method, path) not in listed
        and is_selected((*get_tags(operation), str(path)), patterns)
    ]


def _build_write_target(collection: OpenApiCollection) -> WriteTarget:
    key_lookup = collection.keys.get(collection.key, {})
    return WriteTarget(
        path="" if collection.single else collection.operation.original_path,
        settings_path=_rename_path_parameters(collection.operation.path, collection.path_columns),
        row_path=collection.row_path,
        row_settings_path=str(key_lookup.get("path", "")),
        columns=collection.columns,
        path_columns=tuple(path_column.column.name for path_column in collection.path_columns),
        key=collection.key,
    )


def _find_settings_fault(collection: OpenApiCollection) -> str:
    """Return what the source would say of the settings of a collection, so that none shuts all others."""
    try:
        parse_rest_collections({collection.name: build_collection_settings(collection)})
    except ValueError as error:
        return str(error)
    return ""


def _build_list_collection(
    document: OpenApiDocument, response: ResponseRows, item: ResponseRows | None
) -> OpenApiCollection:
    """Build a collection of a list; `item` is the operation for one of its rows, which finds a row by its key."""
    operation = response.operation
    row_columns = find_openapi_columns(document, response.row_schema)
    columns = row_columns.columns
    path_columns = _build_path_columns(operation, columns, avoid_column_names=True)
    key = _find_key_column(columns)
    item_shape: tuple[str, ...] = ()
    keys: dict[str, Mapping[str, Any]] = {}
    matched = None if item is None else _match_item(document, item, operation, columns)
    if item is not None and matched is not None:
        key, columns = matched
        item_shape = item.operation.path_shape
        key_parameter = _build_key_path_column(item.operation.path_parameters[-1], key)
        path = _rename_path_parameters(item.operation.path, (*path_columns, key_parameter))
        row_path = item.path if item.single else (*item.path, "0")
        keys = {key: {"path": path, **({"rows": build_json_path_setting(row_path)} if row_path else {})}}
    elif key and path_columns:
        keys = {key: {}}
    key_path = next((column.path for column in columns if column.column.name == key), ())
    paging = find_paging(document, operation, response.path, key_path)
    return OpenApiCollection(
        name=_build_name(operation),
        operation=operation,
        rows_path=response.path,
        columns=columns,
        path_columns=path_columns,
        key=key,
        keys={**_find_key_parameters(operation, columns, keys), **keys},
        filters=_find_filter_parameters(operation, columns),
        paging=paging,
        path_shape=operation.path_shape,
        item_shape=item_shape,
        row_path=item.operation.original_path if item is not None and item_shape else "",
        comment=response.row_schema.comment,
        left_out=(*(f"{name} (beside the list)" for name in response.beside), *_list_left_out(row_columns, columns)),
        doubts=() if paging or not has_unknown_pages(document, operation) else (UNKNOWN_PAGES_DOUBT,),
    )


def _match_item(
    document: OpenApiDocument, item: ResponseRows, operation: OpenApiOperation, columns: Sequence[OpenApiColumn]
) -> tuple[str, tuple[OpenApiColumn, ...]] | None:
    """Return the column that an item's path looks up, and the columns that list and item share.

    None when the path looks up no column of both, or when they share less than half of the list's columns.
    """
    key = _match_parameter_column(item.operation.path_parameters[-1], operation, columns)
    if not key:
        return None
    item_columns = {column.column.name for column in find_openapi_columns(document, item.row_schema).columns}
    shared = tuple(column for column in columns if column.column.name in item_columns)
    if key not in item_columns or len(shared) * 2 < len(columns):
        return None
    return key, _mark_not_null(shared, key)


def _build_single_collection(document: OpenApiDocument, response: ResponseRows) -> OpenApiCollection:
    """Build a collection whose path leads to one row; the path columns identify it."""
    operation = response.operation
    row_columns = find_openapi_columns(document, response.row_schema)
    columns = row_columns.columns
    is_row_path = operation.path_shape[-1:] == ("",)
    path_columns = _build_path_columns(operation, columns, avoid_column_names=not is_row_path)
    if operation.returns_text:
        columns = tuple(replace(column, column=replace(column.column, name="text")) for column in columns)
    path_names = {path_column.column.name for path_column in path_columns}
    return OpenApiCollection(
        name=_build_name(operation),
        operation=operation,
        rows_path=response.path,
        path_columns=path_columns,
        single=True,
        columns=tuple(column for column in columns if column.column.name not in path_names),
        path_shape=operation.path_shape,
        item_shape=operation.path_shape if path_columns else (),
        comment=response.row_schema.comment,
        left_out=row_columns.left_out,
        doubts=(
            (f"it is taken for one object, though it holds a list: {', '.join(response.doubtful_lists)}",)
            if response.doubtful_lists
            else ()
        ),
    )


def _list_left_out(found: RowColumns, kept: Sequence[OpenApiColumn]) -> Sequence[str]:
    """List what has no column, and the columns that the list has and a single row has not."""
    dropped = [column for column in found.columns if column.column.name not in {each.column.name for each in kept}]
    return (*found.left_out, *(f"{'.'.join(column.path)} (in the list alone)" for column in dropped))


def _build_name(operation: OpenApiOperation) -> str:
    return ".".join(operation.static_segments) or "root"


def _find_key_column(columns: Sequence[OpenApiColumn]) -> str:
    """Return the column that has the name of an id and is never null; empty when there is none."""
    names = {
        column.column.name
        for column in columns
        if not column.column.nullable and column.column.kind in SENDABLE_TYPES and column.path
    }
    return next((name for name in ID_COLUMNS if name in names), "")


def _mark_not_null(columns: Sequence[OpenApiColumn], key: str) -> tuple[OpenApiColumn, ...]:
    return tuple(
        replace(column, column=replace(column.column, nullable=False)) if column.column.name == key else column
        for column in columns
    )


def _match_parameter_column(
    parameter: OpenApiParameter, operation: OpenApiOperation, columns: Sequence[OpenApiColumn]
) -> str:
    """Return the column that the last parameter of a row's path looks up; empty when there is none.

    `shop_id` looks up `shop_id`, or `id` where the path says that the row is a shop.
    """
    types = {column.column.name: column.column.kind for column in columns}
    words = split_words(parameter.name)
    nouns = {*_find_row_noun(operation), *_find_path_nouns(operation)}
    candidates = [to_snake_case(words)]
    candidates += [to_snake_case(words[start:]) for start in range(1, len(words)) if set(words[:start]) <= nouns]
    candidates += ["id"] if words[-1] == "id" else []
    return next((name for name in candidates if types.get(name) is map_column_type(parameter.schema)), "")


def _find_row_noun(operation: OpenApiOperation) -> tuple[str, ...]:
    last_segment = split_words(operation.static_segments[-1]) if operation.static_segments else ("row",)
    return singularize_last(last_segment)


def _find_path_nouns(operation: OpenApiOperation) -> set[str]:
    return {singularize_noun(word) for segment in operation.static_segments[-2:] for word in split_words(segment)}


def _find_filter_parameters(operation: OpenApiOperation, columns: Sequence[OpenApiColumn]) -> dict[str, str]:
    """Find the parameters that have the name and type of a column.

    They may not ask for equality: the document cannot say so, only a trial can.
    """
    types = {column.column.name: column.column.kind for column in columns if column.path}
    filters = {}
    for parameter in operation.query_parameters:
        name = to_snake_case(split_words(parameter.name))
        if (
            parameter.schema.type in SCALAR_TYPES
            and types.get(name) is map_column_type(parameter.schema)
            and types[name] in SENDABLE_TYPES
        ):
            filters[name] = parameter.name
    return filters


def _find_key_parameters(
    operation: OpenApiOperation, columns: Sequence[OpenApiColumn], excluded: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """Find the parameters that take several values of a column, or one of a column that relationships look up by."""
    types = {column.column.name: column.column.kind for column in columns if column.path}
    keys: dict[str, Mapping[str, Any]] = {}
    for parameter in operation.query_parameters:
        words, schema = split_words(parameter.name), parameter.schema
        candidates = (to_snake_case(words), to_snake_case((*words[:-1], singularize_noun(words[-1]))))
        name = next((candidate for candidate in candidates if candidate in types), "")
        if not name or name in excluded or types[name] not in SENDABLE_TYPES:
            continue
        if schema.type == "array":
            most = min(schema.maximum or MAX_KEYS_PER_REQUEST, MAX_KEYS_PER_REQUEST)
            separator = {"separator": ","} if parameter.comma_separated else {}
            keys[name] = {"parameter": parameter.name, "most": most, **separator}
        elif words[-1] in KEY_SUFFIXES and map_column_type(schema) is types[name]:
            keys[name] = {"parameter": parameter.name}
    return keys


def _build_path_columns(
    operation: OpenApiOperation, columns: Sequence[OpenApiColumn], *, avoid_column_names: bool
) -> tuple[PathColumn, ...]:
    """Build the columns of the path's parameters.

    `avoid_column_names`: a parameter is not the column of a row that has its name.
    """
    taken = {column.column.name for column in columns} if avoid_column_names else set()
    path_columns = []
    for position, parameter in enumerate(operation.path_parameters):
        name = next(name for name in _generate_path_names(operation, position) if name not in taken)
        taken.add(name)
        column_type = map_column_type(parameter.schema)
        column = DescribedColumn(
            name=name,
            kind=column_type,
            nullable=False,
            large=column_type is ColumnType.INTEGER and parameter.schema.format != "int32",
            comment=_shorten_comment(parameter.comment),
        )
        path_columns.append(PathColumn(column=column, parameter=parameter.name))
    return tuple(path_columns)


def _generate_path_names(operation: OpenApiOperation, position: int) -> Iterator[str]:
    """Yield the parameter's name, then it with the noun before it in the path, then it with a number."""
    words, segments = split_words(operation.path_parameters[position].name), operation.static_segments
    yield to_snake_case(words)
    noun = singularize_noun(segments[min(position, len(segments) - 1)]) if segments and len(words) == 1 else "given"
    yield to_snake_case((noun, *words))
    yield from (to_snake_case((*words, str(number))) for number in range(2, 1000))


def _build_key_path_column(parameter: OpenApiParameter, column: str) -> PathColumn:
    return PathColumn(
        column=DescribedColumn(name=column, kind=ColumnType.TEXT, nullable=False), parameter=parameter.name
    )


def _shorten_comment(comment: str) -> str:
    line = comment.strip().partition("\n")[0].partition(". ")[0].replace("`", "")
    return line if len(line) < 100 else ""


def _rename_path_parameters(path: str, path_columns: Iterable[PathColumn]) -> str:
    """Replace the names of parameters by those of columns; the blanks keep a new name from being replaced again."""
    for path_column in path_columns:
        path = path.replace(f"{{{path_column.parameter}}}", f"{{ {path_column.column.name} }}")
    return path.replace("{ ", "{").replace(" }", "}")


def _assign_names(collections: Sequence[OpenApiCollection]) -> list[OpenApiCollection]:
    """Give each collection its own name: the shortest path keeps it, others say what they are found by."""
    taken: set[str] = set()
    named = []
    for collection in sorted(collections, key=_rank_for_name):
        name = next(name for name in _generate_names(collection) if name not in taken)
        taken.add(name)
        named.append(replace(collection, name=name))
    return named


def _rank_for_name(collection: OpenApiCollection) -> tuple[int, bool, str]:
    return len(collection.path_shape), collection.single, collection.operation.path


def _generate_names(collection: OpenApiCollection) -> Iterator[str]:
    yield collection.name
    head, _, last = collection.name.rpartition(".")
    prefix = f"{head}." if head else ""
    path_names = [path_column.column.name for path_column in collection.path_columns]
    noun = to_snake_case(singularize_last(split_words(last))) if collection.single else last
    if path_names:
        yield f"{prefix}{noun}_by_{path_names[-1]}"
        yield f"{prefix}{noun}_by_{'_'.join(path_names)}"
    if collection.operation.prefix:
        yield f"{collection.operation.prefix}.{collection.name}"
    yield from (f"{prefix}{last}_{number}" for number in range(2, 10_000))


def build_collection_settings(collection: OpenApiCollection) -> dict[str, Any]:
    """Build the section `[sources.<name>.collections.<collection>]`."""
    settings: dict[str, Any] = {"path": _rename_path_parameters(collection.operation.path, collection.path_columns)}
    if collection.rows_path:
        settings["rows"] = build_json_path_setting(collection.rows_path)
    if collection.single:
        settings["single"] = True
    if collection.operation.returns_text:
        settings["text"] = True
    path_columns = {path_column.column.name: str(path_column.column.kind) for path_column in collection.path_columns}
    columns = {column.column.name: _build_column_setting(column) for column in collection.columns}
    settings["columns"] = {**path_columns, **columns}
    writes = {str(write.kind): write.settings for write in collection.writes}
    for name, value in (
        ("keys", collection.keys),
        ("filters", collection.filters),
        ("paging", collection.paging),
        ("writes", writes),
    ):
        if value:
            settings[name] = value
    return settings


def _build_column_setting(column: OpenApiColumn) -> Any:
    """Name the type alone, where the column lies under its own name."""
    column_type = str(column.column.kind)
    if column.path == (column.column.name,):
        return column_type
    return {"kind": column_type, "at": build_json_path_setting(column.path)}
