"""A schema in, what it comes to out: references followed, parts put together, null taken apart from the rest."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from onedoor.codegen.models import DescribedColumn
from onedoor.codegen.naming import singularize_last, split_words, to_snake_case
from onedoor.connectors.rest.config import SENDABLE_TYPES
from onedoor.connectors.rest.openapi.document import OpenApiDocument
from onedoor.connectors.rest.openapi.operations import OpenApiOperation, find_paging
from onedoor.connectors.rest.openapi.schemas import SCALAR_TYPES, ResolvedSchema, resolve_schema
from onedoor.spi.capabilities import ColumnType

MAX_COLUMN_DEPTH = 2

IDENTIFYING_PROPERTIES = frozenset(
    {"id", "login", "name", "email", "key", "slug", "number", "username", "full_name", "title", "sha"}
)
"""What is shown of a thing that has a schema of its own: enough to know which one it is."""

TEXT_FORMATS = {"date-time": ColumnType.TIME, "date": ColumnType.DATE, "decimal": ColumnType.DECIMAL}

SCALAR_COLUMN_TYPES = {"integer": ColumnType.INTEGER, "number": ColumnType.FLOAT, "boolean": ColumnType.BOOLEAN}

LARGE_INTEGER_SUFFIXES = ("id", "timestamp", "bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiColumn:
    """A column, and where it lies in a row, by dots."""

    column: DescribedColumn
    path: str


def find_openapi_columns(document: OpenApiDocument, row_schema: ResolvedSchema) -> tuple[OpenApiColumn, ...]:
    """None twice: of two of one name the first. A row that is no object is its only column."""
    if row_schema.type in SCALAR_TYPES:
        return (OpenApiColumn(column=_build_openapi_column("value", replace(row_schema, nullable=False)), path=""),)
    found: dict[str, OpenApiColumn] = {}
    for each in _iterate_columns(document, row_schema, (), nullable=False):
        found.setdefault(each.column.name, each)
    return tuple(found.values())


def _iterate_columns(
    document: OpenApiDocument, parent: ResolvedSchema, place: tuple[str, ...], *, nullable: bool
) -> Iterator[OpenApiColumn]:
    for name, schema in parent.properties.items():
        if not isinstance(schema, Mapping) or schema.get("writeOnly") is True or "." in name or not name:
            continue
        each = resolve_schema(document, schema)
        absent = nullable or each.nullable or name not in parent.required
        called = to_snake_case(tuple(word for step in (*place, name) for word in split_words(step)))
        at = ".".join((*place, name))
        if each.type == "object" and len(place) < MAX_COLUMN_DEPTH:
            yield from _iterate_columns(document, _keep_identifying_properties(each), (*place, name), nullable=absent)
        elif each.type in SCALAR_TYPES:
            yield OpenApiColumn(column=_build_openapi_column(called, replace(each, nullable=absent)), path=at)
        elif each.type == "array" and resolve_schema(document, each.items).type in ("string", "integer"):
            yield OpenApiColumn(
                column=DescribedColumn(
                    name=called, kind=ColumnType.LIST, nullable=absent, comment=clean_comment(each.comment)
                ),
                path=at,
            )


def _keep_identifying_properties(schema: ResolvedSchema) -> ResolvedSchema:
    if not schema.name:
        return schema
    return replace(
        schema, properties={name: each for name, each in schema.properties.items() if name in IDENTIFYING_PROPERTIES}
    )


def _build_openapi_column(name: str, schema: ResolvedSchema) -> DescribedColumn:
    kind = map_column_type(schema)
    return DescribedColumn(
        name=name,
        kind=kind,
        nullable=schema.nullable,
        large=kind is ColumnType.INTEGER
        and (schema.format == "int64" or (not schema.format and name.endswith(LARGE_INTEGER_SUFFIXES))),
        comment=clean_comment(schema.comment),
        values=schema.enum_values if kind is ColumnType.TEXT else (),
        enum=schema.name if kind is ColumnType.TEXT and schema.enum_values else "",
    )


def map_column_type(schema: ResolvedSchema) -> ColumnType:
    return (
        TEXT_FORMATS.get(schema.format, ColumnType.TEXT)
        if schema.type == "string"
        else SCALAR_COLUMN_TYPES.get(schema.type, ColumnType.TEXT)
    )


def clean_comment(comment: str) -> str:
    """Without the marks of a page of text, and no essay."""
    return comment.replace("`", "").replace("**", "") if len(comment) <= 300 else ""


ENVELOPE_NAMES = ("data", "result", "results", "response", "items", "value", "values")

MAX_ENVELOPE_MEMBERS = 8
"""An object with more than these many members is a row that holds a list, rather than a list with words about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRows:
    """What an operation answers, as rows: where they lie, what one is, and whether there is but one."""

    operation: OpenApiOperation
    path: str
    row_schema: ResolvedSchema
    single: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedOperation:
    """An operation that made no collection, and why."""

    path: str
    reason: str


def find_response_rows(
    document: OpenApiDocument, operations: Iterable[OpenApiOperation]
) -> tuple[list[ResponseRows], list[SkippedOperation]]:
    read: list[ResponseRows] = []
    left: list[SkippedOperation] = []
    for each in operations:
        why = _find_skip_reason(each)
        rows = None if why else _find_rows(document, each)
        if rows is None:
            left.append(
                SkippedOperation(path=each.original_path, reason=why or "it answers with no list and no object")
            )
        else:
            read.append(rows)
    return read, left


def _find_skip_reason(operation: OpenApiOperation) -> str:
    if operation.response is None and not operation.returns_text:
        return "it answers with no JSON and no text"
    if any(each.required and each.schema.default is None for each in operation.query_parameters):
        return "it asks for a parameter that is no column"
    if any(part and ("{" in part) for part in operation.path_shape):
        return "its path joins a parameter to other letters"
    if any(map_column_type(each.schema) not in SENDABLE_TYPES for each in operation.path_parameters):
        return "a parameter of its path is written in several ways"
    return ""


def _find_rows(document: OpenApiDocument, operation: OpenApiOperation) -> ResponseRows | None:
    if operation.response is None:
        return ResponseRows(
            operation=operation, path="", row_schema=ResolvedSchema(type="string", comment="The text"), single=True
        )
    if operation.response.type == "array":
        return _find_list_rows(document, operation, operation.response, "")
    if operation.response.type != "object" or not operation.response.properties:
        return None
    return _find_envelope_rows(document, operation, operation.response, "") or _find_single_row(document, operation)


def _find_list_rows(
    document: OpenApiDocument, operation: OpenApiOperation, response: ResolvedSchema, at: str
) -> ResponseRows | None:
    row = resolve_schema(document, response.items)
    good = row.type in SCALAR_TYPES or (row.type == "object" and row.properties)
    return ResponseRows(operation=operation, path=at, row_schema=row, single=False) if good else None


def _find_envelope_rows(
    document: OpenApiDocument, operation: OpenApiOperation, response: ResolvedSchema, at: str
) -> ResponseRows | None:
    """The list that an object with few words about it holds."""
    members = {name: resolve_schema(document, each) for name, each in response.properties.items() if "." not in name}
    arrays = {name: each for name, each in members.items() if each.type == "array"}
    if len(arrays) == 1:
        ((name, each),) = arrays.items()
        ends = operation.path_shape[-1:] == ("",)
        same = (
            bool(operation.static_segments)
            and singularize_last(split_words(name))[-1:]
            == singularize_last(split_words(operation.static_segments[-1]))[-1:]
        )
        if (
            not ends
            and len(members) <= MAX_ENVELOPE_MEMBERS
            and (same or name in ENVELOPE_NAMES or find_paging(document, operation, response))
        ):
            return _find_list_rows(document, operation, each, f"{at}{name}")
    for name in ENVELOPE_NAMES:
        if not at and name in members and members[name].type == "object":
            return _find_envelope_rows(document, operation, members[name], f"{name}.")
    return None


def _find_single_row(document: OpenApiDocument, operation: OpenApiOperation) -> ResponseRows:
    """The object itself, or the one that an envelope holds."""
    assert operation.response is not None
    for name in ENVELOPE_NAMES[:2]:
        inner = resolve_schema(document, operation.response.properties.get(name))
        if inner.type == "object" and inner.properties and len(operation.response.properties) <= MAX_ENVELOPE_MEMBERS:
            return ResponseRows(operation=operation, path=name, row_schema=inner, single=True)
    return ResponseRows(operation=operation, path="", row_schema=operation.response, single=True)
