"""Find the rows in the responses of an API, and the columns in the rows."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from onedoor.codegen.models import DescribedColumn
from onedoor.codegen.naming import singularize_last, split_words, to_snake_case
from onedoor.connectors.json_rows import SENDABLE_TYPES
from onedoor.connectors.rest.openapi.document import OpenApiDocument
from onedoor.connectors.rest.openapi.operations import OpenApiOperation, find_paging
from onedoor.connectors.rest.openapi.schemas import SCALAR_TYPES, ResolvedSchema, resolve_schema
from onedoor.spi.capabilities import ColumnType

MAX_COLUMN_DEPTH = 2

IDENTIFYING_PROPERTIES = frozenset(
    {"id", "login", "name", "email", "key", "slug", "number", "username", "full_name", "title", "sha"}
)
"""The columns of a nested object that has a schema of its own: enough to know which one it is."""

TEXT_FORMATS = {"date-time": ColumnType.TIME, "date": ColumnType.DATE, "decimal": ColumnType.DECIMAL}

SCALAR_COLUMN_TYPES = {"integer": ColumnType.INTEGER, "number": ColumnType.FLOAT, "boolean": ColumnType.BOOLEAN}

LARGE_INTEGER_SUFFIXES = ("id", "timestamp", "bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiColumn:
    """A column, and its dotted path in a row."""

    column: DescribedColumn
    path: str


def find_openapi_columns(document: OpenApiDocument, row_schema: ResolvedSchema) -> tuple[OpenApiColumn, ...]:
    """Return the columns of a row, the first of two with one name. A row that is no object is its only column."""
    if row_schema.type in SCALAR_TYPES:
        return (OpenApiColumn(column=_build_openapi_column("value", replace(row_schema, nullable=False)), path=""),)
    columns: dict[str, OpenApiColumn] = {}
    for column in _iterate_columns(document, row_schema, (), nullable=False):
        columns.setdefault(column.column.name, column)
    return tuple(columns.values())


def _iterate_columns(
    document: OpenApiDocument, parent: ResolvedSchema, place: tuple[str, ...], *, nullable: bool
) -> Iterator[OpenApiColumn]:
    for property_name, node in parent.properties.items():
        if not isinstance(node, Mapping) or node.get("writeOnly") is True or "." in property_name or not property_name:
            continue
        schema = resolve_schema(document, node)
        schema = replace(schema, nullable=nullable or schema.nullable or property_name not in parent.required)
        path = (*place, property_name)
        name = to_snake_case(tuple(word for step in path for word in split_words(step)))
        if schema.type == "object" and len(place) < MAX_COLUMN_DEPTH:
            inner = _keep_identifying_properties(schema)
            yield from _iterate_columns(document, inner, path, nullable=schema.nullable)
        elif schema.type in SCALAR_TYPES:
            yield OpenApiColumn(column=_build_openapi_column(name, schema), path=".".join(path))
        elif schema.type == "array" and resolve_schema(document, schema.items).type in ("string", "integer"):
            column = DescribedColumn(
                name=name, kind=ColumnType.LIST, nullable=schema.nullable, comment=clean_comment(schema.comment)
            )
            yield OpenApiColumn(column=column, path=".".join(path))


def _keep_identifying_properties(schema: ResolvedSchema) -> ResolvedSchema:
    if not schema.name:
        return schema
    identifying = {name: node for name, node in schema.properties.items() if name in IDENTIFYING_PROPERTIES}
    return replace(schema, properties=identifying)


def _build_openapi_column(name: str, schema: ResolvedSchema) -> DescribedColumn:
    column_type = map_column_type(schema)
    is_text = column_type is ColumnType.TEXT
    may_exceed_int32 = schema.format == "int64" or (not schema.format and name.endswith(LARGE_INTEGER_SUFFIXES))
    return DescribedColumn(
        name=name,
        kind=column_type,
        nullable=schema.nullable,
        large=column_type is ColumnType.INTEGER and may_exceed_int32,
        comment=clean_comment(schema.comment),
        values=schema.enum_values if is_text else (),
        enum=schema.name if is_text and schema.enum_values else "",
    )


def map_column_type(schema: ResolvedSchema) -> ColumnType:
    if schema.type == "string":
        return TEXT_FORMATS.get(schema.format, ColumnType.TEXT)
    return SCALAR_COLUMN_TYPES.get(schema.type, ColumnType.TEXT)


def clean_comment(comment: str) -> str:
    """Remove the marks of Markdown; an essay is no comment."""
    return comment.replace("`", "").replace("**", "") if len(comment) <= 300 else ""


ENVELOPE_NAMES = ("data", "result", "results", "response", "items", "value", "values")

MAX_ENVELOPE_MEMBERS = 8
"""An object with more members is a row that contains a list, rather than the envelope of a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRows:
    """The rows of an operation's response: their path, the schema of one, and whether there is only one."""

    operation: OpenApiOperation
    path: str
    row_schema: ResolvedSchema
    single: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedOperation:
    """An operation that makes no collection, and why."""

    path: str
    reason: str


def find_response_rows(
    document: OpenApiDocument, operations: Iterable[OpenApiOperation]
) -> tuple[list[ResponseRows], list[SkippedOperation]]:
    """Return the rows of the operations that have any, and the operations that do not."""
    responses: list[ResponseRows] = []
    skipped: list[SkippedOperation] = []
    for operation in operations:
        reason = _find_skip_reason(operation)
        rows = None if reason else _find_rows(document, operation)
        if rows is None:
            reason = reason or "it answers with no list and no object"
            skipped.append(SkippedOperation(path=operation.original_path, reason=reason))
        else:
            responses.append(rows)
    return responses, skipped


def _find_skip_reason(operation: OpenApiOperation) -> str:
    if operation.response is None and not operation.returns_text:
        return "it answers with no JSON and no text"
    if any(parameter.required and parameter.schema.default is None for parameter in operation.query_parameters):
        return "it asks for a parameter that is no column"
    if any("{" in segment for segment in operation.path_shape):
        return "its path joins a parameter to other letters"
    if any(map_column_type(parameter.schema) not in SENDABLE_TYPES for parameter in operation.path_parameters):
        return "a parameter of its path is written in several ways"
    return ""


def _find_rows(document: OpenApiDocument, operation: OpenApiOperation) -> ResponseRows | None:
    response = operation.response
    if response is None:
        text = ResolvedSchema(type="string", comment="The text")
        return ResponseRows(operation=operation, path="", row_schema=text, single=True)
    if response.type == "array":
        return _find_list_rows(document, operation, response, "")
    if response.type != "object" or not response.properties:
        return None
    return _find_envelope_rows(document, operation, response, "") or _find_single_row(document, operation, response)


def _find_list_rows(
    document: OpenApiDocument, operation: OpenApiOperation, array: ResolvedSchema, path: str
) -> ResponseRows | None:
    row = resolve_schema(document, array.items)
    if row.type in SCALAR_TYPES or (row.type == "object" and row.properties):
        return ResponseRows(operation=operation, path=path, row_schema=row, single=False)
    return None


def _find_envelope_rows(
    document: OpenApiDocument, operation: OpenApiOperation, envelope: ResolvedSchema, prefix: str
) -> ResponseRows | None:
    """Return the rows of the one list in an object that has few members beside it. `prefix`: its path, with a dot."""
    members = {name: resolve_schema(document, node) for name, node in envelope.properties.items() if "." not in name}
    arrays = {name: member for name, member in members.items() if member.type == "array"}
    if len(arrays) == 1:
        ((name, array),) = arrays.items()
        is_row_path = operation.path_shape[-1:] == ("",)
        if (
            not is_row_path
            and len(members) <= MAX_ENVELOPE_MEMBERS
            and (
                _is_named_as_path(name, operation)
                or name in ENVELOPE_NAMES
                or find_paging(document, operation, envelope)
            )
        ):
            return _find_list_rows(document, operation, array, f"{prefix}{name}")
    for name in ENVELOPE_NAMES:
        if not prefix and name in members and members[name].type == "object":
            return _find_envelope_rows(document, operation, members[name], f"{name}.")
    return None


def _is_named_as_path(name: str, operation: OpenApiOperation) -> bool:
    """Tell whether a member has the noun of the path's last segment, as in `/shops` with `{"shops": []}`."""
    if not operation.static_segments:
        return False
    segment = operation.static_segments[-1]
    return singularize_last(split_words(name))[-1:] == singularize_last(split_words(segment))[-1:]


def _find_single_row(document: OpenApiDocument, operation: OpenApiOperation, response: ResolvedSchema) -> ResponseRows:
    """Return the object itself, or the one in its envelope."""
    for name in ENVELOPE_NAMES[:2]:
        member = resolve_schema(document, response.properties.get(name))
        if member.type == "object" and member.properties and len(response.properties) <= MAX_ENVELOPE_MEMBERS:
            return ResponseRows(operation=operation, path=name, row_schema=member, single=True)
    return ResponseRows(operation=operation, path="", row_schema=response, single=True)
