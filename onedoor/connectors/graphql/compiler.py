"""ScanRequest -> GraphQL document."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

from onedoor.connectors.graphql.config import ConnectionPaging, FilterArgument, GraphQLCollection, GraphQLKeyLookup
from onedoor.connectors.rest.client import iterate_comparisons
from onedoor.connectors.rest.config import JsonPath
from onedoor.spi.predicates import Value
from onedoor.spi.scan import KeyFilter, ScanRequest

INT32_RANGE = range(-(2**31), 2**31)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentValue:
    """One argument. Its value travels as a variable and is never printed."""

    argument: str
    type: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentField:
    """One field of a document, page by page where it has any; its rows lie at `rows`.

    `limit`: as many rows are enough, as all that was asked was sent. `absent`: it may be null, which is no row.
    """

    path: JsonPath
    rows_path: JsonPath
    arguments: tuple[ArgumentValue, ...] = ()
    paging: ConnectionPaging | None = None
    limit: int | None = None
    nullable: bool = False


DocumentFields: TypeAlias = tuple[DocumentField, ...]
"""The parts of one document."""


def build_document_fields(request: ScanRequest, collection: GraphQLCollection) -> list[DocumentFields]:
    """None of them where no row can meet the ask."""
    tests = tuple(iterate_comparisons(request.filter))
    wanted = {each.column: each.value for each in tests}
    if any(wanted[each.column] != each.value for each in tests) or (
        request.keys is not None and not request.keys.values
    ):
        return []
    keyed = None if request.keys is None else build_key_fields(request.keys, collection, wanted)
    return keyed or [(build_list_field(request, collection, wanted),)]


def build_list_field(
    request: ScanRequest, collection: GraphQLCollection, equalities: Mapping[str, Any]
) -> DocumentField:
    """With the limit, if all that comes before it goes along."""
    sent = build_own_arguments(collection, equalities)
    complete = request.keys is None and len(sent) == len(collection.arguments) + len(equalities)
    limit = request.limit if complete else None
    cut = collection.limit
    if limit is not None and cut is not None and limit <= cut.most:
        sent = (*sent, ArgumentValue(argument=cut.argument, type=cut.type, value=limit))
    return DocumentField(
        path=collection.field, rows_path=collection.rows, arguments=sent, paging=collection.paging, limit=limit
    )


def build_own_arguments(
    collection: GraphQLCollection, equalities: Mapping[str, Any], excluded_argument: str = ""
) -> tuple[ArgumentValue, ...]:
    """What a call of the collection's own field carries; one argument is `taken` by its keys."""
    fixed = (
        ArgumentValue(argument=name, type=each.type, value=each.value) for name, each in collection.arguments.items()
    )
    return (
        *fixed,
        *(each for each in _build_filter_arguments(collection, equalities) if each.argument != excluded_argument),
    )


def _build_filter_arguments(collection: GraphQLCollection, equalities: Mapping[str, Any]) -> Iterator[ArgumentValue]:
    for column, value in equalities.items():
        way = collection.filters[column]
        if is_sendable_value(value, way):
            yield ArgumentValue(argument=way.argument, type=way.type, value=encode_argument(value, way.type))


def build_key_fields(
    keys: KeyFilter, collection: GraphQLCollection, equalities: Mapping[str, Any]
) -> list[DocumentFields] | None:
    """None: some key cannot be sent and mean itself, so that all rows must be read."""
    (column,) = keys.columns
    way = collection.keys[column]
    values = [value for (value,) in keys.values]
    if not all(is_sendable_value(each, way) for each in values):
        return None
    sent = [encode_argument(each, way.type) for each in values]
    chunks = [sent[start : start + way.most] for start in range(0, len(sent), way.most)]
    if way.type.startswith("["):
        return [(build_key_field(way, collection, equalities, each),) for each in chunks]
    return [tuple(build_key_field(way, collection, equalities, each) for each in chunk) for chunk in chunks]


def build_key_field(
    lookup: GraphQLKeyLookup, collection: GraphQLCollection, equalities: Mapping[str, Any], value: Any
) -> DocumentField:
    """Filters go along only where rows are asked of the collection's own field."""
    key = ArgumentValue(argument=lookup.argument, type=lookup.type, value=value)
    if lookup.field:
        paging = collection.paging if lookup.paged else None
        return DocumentField(path=lookup.field, rows_path=lookup.rows, arguments=(key,), paging=paging, nullable=True)
    sent = (*build_own_arguments(collection, equalities, lookup.argument), key)
    return DocumentField(path=collection.field, rows_path=collection.rows, arguments=sent, paging=collection.paging)


def is_sendable_value(value: Value, argument: FilterArgument | GraphQLKeyLookup) -> bool:
    """Whether a value can be sent and mean itself."""
    if argument.values:
        return value in argument.values
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)
    return not isinstance(value, int) or _strip_type_modifiers(argument.type) != "Int" or value in INT32_RANGE


def encode_argument(value: Value, graphql_type: str) -> Any:
    """As JSON holds it: an id is text, a day is written as ISO 8601 says."""
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if _strip_type_modifiers(graphql_type) in ("ID", "String") else value


def _strip_type_modifiers(graphql_type: str) -> str:
    return graphql_type.strip("[]!")


def find_needed_columns(request: ScanRequest) -> Sequence[str]:
    """What the rows must hold, for us to tell which of them are meant."""
    keys = request.keys.columns if request.keys else ()
    return tuple(
        dict.fromkeys((*request.columns, *keys, *(each.column for each in iterate_comparisons(request.filter))))
    )


SelectionTree: TypeAlias = dict[str, "SelectionTree"]
"""Fields by name, with what is selected of each; of a leaf, nothing."""

PAGE_INFO_SELECTION = "pageInfo { hasNextPage endCursor }"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """A part, the cursor after which its next page begins, and how many rows it may still give."""

    field: DocumentField
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLDocument:
    text: str
    variables: Mapping[str, Any]


def compile_document(page_requests: Sequence[PageRequest], column_paths: Iterable[JsonPath]) -> GraphQLDocument:
    """The parts stand under `p0`, `p1` and so on; `wanted` is where the columns lie in a row."""
    row = compile_selection(build_selection_tree(column_paths)) or "__typename"
    fields: list[str] = []
    declared: list[str] = []
    variables: dict[str, Any] = {}
    for number, each in enumerate(page_requests):
        names = []
        for sent in (*each.field.arguments, *build_paging_arguments(each)):
            name = f"v{len(variables)}"
            declared.append(f"${name}: {sent.type}")
            names.append(f"{sent.argument}: ${name}")
            variables[name] = sent.value
        fields.append(f"p{number}: {compile_field(each.field, names, row)}")
    head = f"query ({', '.join(declared)})" if declared else "query"
    return GraphQLDocument(text=f"{head} {{ {' '.join(fields)} }}", variables=variables)


def compile_field(document_field: DocumentField, arguments: Sequence[str], row_selection: str) -> str:
    """`viewer { desks(first: $v0) { nodes { id } pageInfo { ... } } }`."""
    *above, last = document_field.path
    below = wrap_selection(document_field.rows_path, row_selection) + (
        f" {PAGE_INFO_SELECTION}" if document_field.paging else ""
    )
    text = f"{last}({', '.join(arguments)}) {{ {below} }}" if arguments else f"{last} {{ {below} }}"
    return wrap_selection(tuple(above), text)


def wrap_selection(steps: JsonPath, selection: str) -> str:
    for each in reversed(steps):
        selection = f"{each} {{ {selection} }}"
    return selection


def build_paging_arguments(page_request: PageRequest) -> Iterator[ArgumentValue]:
    paging: ConnectionPaging | None = page_request.field.paging
    if paging is not None:
        limit = page_request.field.limit
        size = paging.size if limit is None else min(paging.size, max(1, limit))
        yield ArgumentValue(argument=paging.first, type="Int", value=size)
        if page_request.after is not None:
            yield ArgumentValue(argument=paging.after, type=paging.cursor, value=page_request.after)


def build_selection_tree(column_paths: Iterable[JsonPath]) -> SelectionTree:
    root: SelectionTree = {}
    for steps in column_paths:
        at = root
        for each in steps:
            at = at.setdefault(each, {})
    return root


def compile_selection(tree: SelectionTree) -> str:
    return " ".join(f"{name} {{ {compile_selection(below)} }}" if below else name for name, below in tree.items())
