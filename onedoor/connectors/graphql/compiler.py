"""Compile a scan of a declared collection to GraphQL documents."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

from onedoor.connectors.graphql.config import ConnectionPaging, FilterArgument, GraphQLCollection, GraphQLKeyLookup
from onedoor.connectors.json_rows import JsonPath, find_equalities
from onedoor.spi.predicates import Value, split_conjuncts
from onedoor.spi.scan import KeyFilter, ScanRequest

INT32_RANGE = range(-(2**31), 2**31)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentValue:
    """An argument whose value is sent as a variable and never printed."""

    argument: str
    type: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentField:
    """A field of a document, page by page where it has pages; its rows lie at `rows_path`.

    `limit`: this many rows are enough, as everything before the limit is sent. `nullable`: it may be null, which is no
    row.
    """

    path: JsonPath
    rows_path: JsonPath
    arguments: tuple[ArgumentValue, ...] = ()
    paging: ConnectionPaging | None = None
    limit: int | None = None
    nullable: bool = False


DocumentFields: TypeAlias = tuple[DocumentField, ...]
"""The fields of one document."""


def build_document_fields(request: ScanRequest, collection: GraphQLCollection) -> list[DocumentFields]:
    """Return the fields of each document that a scan needs; none when no row can meet it."""
    equalities = find_equalities(request)
    if equalities is None:
        return []
    by_key = None if request.keys is None else _build_key_documents(request.keys, collection, equalities)
    return by_key or [(_build_list_field(request, collection, equalities),)]


def _build_list_field(
    request: ScanRequest, collection: GraphQLCollection, equalities: Mapping[str, Value]
) -> DocumentField:
    """Build the collection's own field; the limit is sent only when everything that comes before it is."""
    arguments = _build_own_arguments(collection, equalities)
    complete = request.keys is None and len(arguments) == len(collection.arguments) + len(equalities)
    limit, limit_argument = request.limit if complete else None, collection.limit
    if limit is not None and limit_argument is not None and limit <= limit_argument.most:
        arguments = (
            *arguments,
            ArgumentValue(argument=limit_argument.argument, type=limit_argument.type, value=limit),
        )
    return DocumentField(
        path=collection.field, rows_path=collection.rows, arguments=arguments, paging=collection.paging, limit=limit
    )


def _build_own_arguments(
    collection: GraphQLCollection, equalities: Mapping[str, Value], excluded_argument: str = ""
) -> tuple[ArgumentValue, ...]:
    """Build the arguments of the collection's own field; `excluded_argument` has the keys instead."""
    fixed = (
        ArgumentValue(argument=name, type=argument.type, value=argument.value)
        for name, argument in collection.arguments.items()
    )
    filters = (
        argument
        for argument in _iterate_filter_arguments(collection, equalities)
        if argument.argument != excluded_argument
    )
    return (*fixed, *filters)


def _iterate_filter_arguments(
    collection: GraphQLCollection, equalities: Mapping[str, Value]
) -> Iterator[ArgumentValue]:
    for column, value in equalities.items():
        argument = collection.filters[column]
        if _is_sendable_value(value, argument):
            yield ArgumentValue(
                argument=argument.argument, type=argument.type, value=_encode_argument(value, argument.type)
            )


def _build_key_documents(
    keys: KeyFilter, collection: GraphQLCollection, equalities: Mapping[str, Value]
) -> list[DocumentFields] | None:
    """Return None when some key cannot be sent and mean itself: all rows must be read then."""
    (column,) = keys.columns
    lookup = collection.keys[column]
    values = [value for (value,) in keys.values]
    if not all(_is_sendable_value(value, lookup) for value in values):
        return None
    encoded = [_encode_argument(value, lookup.type) for value in values]
    chunks = [encoded[start : start + lookup.most] for start in range(0, len(encoded), lookup.most)]
    if lookup.type.startswith("["):
        return [(_build_key_field(lookup, collection, equalities, chunk),) for chunk in chunks]
    return [tuple(_build_key_field(lookup, collection, equalities, key) for key in chunk) for chunk in chunks]


def _build_key_field(
    lookup: GraphQLKeyLookup, collection: GraphQLCollection, equalities: Mapping[str, Value], value: Any
) -> DocumentField:
    """Build the field that finds a key, or a list of them; only the collection's own field takes filters as well."""
    key = ArgumentValue(argument=lookup.argument, type=lookup.type, value=value)
    if lookup.field:
        paging = collection.paging if lookup.paged else None
        return DocumentField(path=lookup.field, rows_path=lookup.rows, arguments=(key,), paging=paging, nullable=True)
    arguments = (*_build_own_arguments(collection, equalities, lookup.argument), key)
    return DocumentField(
        path=collection.field, rows_path=collection.rows, arguments=arguments, paging=collection.paging
    )


def _is_sendable_value(value: Value, argument: FilterArgument | GraphQLKeyLookup) -> bool:
    """Tell whether the service would take the value for itself."""
    if argument.values:
        return value in argument.values
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    return not isinstance(value, int) or _get_named_type(argument.type) != "Int" or value in INT32_RANGE


def _encode_argument(value: Value, graphql_type: str) -> Any:
    """Encode a value as JSON: an id as text, a date as in ISO 8601."""
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if _get_named_type(graphql_type) in ("ID", "String") else value


def _get_named_type(graphql_type: str) -> str:
    return graphql_type.strip("[]!")


def find_needed_columns(request: ScanRequest) -> Sequence[str]:
    """Return the columns that rows must have to be projected and to be checked against keys and filter."""
    key_columns = request.keys.columns if request.keys else ()
    filter_columns = (comparison.column for comparison in split_conjuncts(request.filter))
    return tuple(dict.fromkeys((*request.columns, *key_columns, *filter_columns)))


SelectionTree: TypeAlias = dict[str, "SelectionTree"]
"""Fields by name, with the selection under each; a leaf has none."""

PAGE_INFO_SELECTION = "pageInfo { hasNextPage endCursor }"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """A field, and the cursor after which its next page begins."""

    field: DocumentField
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLDocument:
    text: str
    variables: Mapping[str, Any]


def compile_document(page_requests: Sequence[PageRequest], column_paths: Iterable[JsonPath]) -> GraphQLDocument:
    """Compile a document whose fields have the aliases `p0`, `p1` and so on; `column_paths` are those within a row."""
    row_selection = _compile_selection(_build_selection_tree(column_paths)) or "__typename"
    fields: list[str] = []
    declarations: list[str] = []
    variables: dict[str, Any] = {}
    for number, page_request in enumerate(page_requests):
        arguments = []
        for argument in (*page_request.field.arguments, *_iterate_paging_arguments(page_request)):
            variable = f"v{len(variables)}"
            declarations.append(f"${variable}: {argument.type}")
            arguments.append(f"{argument.argument}: ${variable}")
            variables[variable] = argument.value
        fields.append(f"p{number}: {_compile_field(page_request.field, arguments, row_selection)}")
    head = f"query ({', '.join(declarations)})" if declarations else "query"
    return GraphQLDocument(text=f"{head} {{ {' '.join(fields)} }}", variables=variables)


def _compile_field(document_field: DocumentField, arguments: Sequence[str], row_selection: str) -> str:
    """Compile a field such as `viewer { desks(first: $v0) { nodes { id } pageInfo { ... } } }`."""
    *parents, last = document_field.path
    page_info = f" {PAGE_INFO_SELECTION}" if document_field.paging else ""
    selection = _wrap_selection(document_field.rows_path, row_selection) + page_info
    argument_list = f"({', '.join(arguments)})" if arguments else ""
    return _wrap_selection(tuple(parents), f"{last}{argument_list} {{ {selection} }}")


def _wrap_selection(steps: JsonPath, selection: str) -> str:
    for step in reversed(steps):
        selection = f"{step} {{ {selection} }}"
    return selection


def _iterate_paging_arguments(page_request: PageRequest) -> Iterator[ArgumentValue]:
    paging: ConnectionPaging | None = page_request.field.paging
    if paging is None:
        return
    limit = page_request.field.limit
    size = paging.size if limit is None else min(paging.size, max(1, limit))
    yield ArgumentValue(argument=paging.first, type="Int", value=size)
    if page_request.after is not None:
        yield ArgumentValue(argument=paging.after, type=paging.cursor, value=page_request.after)


def _build_selection_tree(column_paths: Iterable[JsonPath]) -> SelectionTree:
    root: SelectionTree = {}
    for path in column_paths:
        tree = root
        for step in path:
            tree = tree.setdefault(step, {})
    return root


def _compile_selection(tree: SelectionTree) -> str:
    return " ".join(
        f"{name} {{ {_compile_selection(selection)} }}" if selection else name for name, selection in tree.items()
    )
