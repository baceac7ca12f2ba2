"""Find the rows in the responses of an API, and the columns in the rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from onedoor.codegen.models import DescribedColumn
from onedoor.codegen.naming import split_words, to_snake_case
from onedoor.connectors.json_rows import SENDABLE_TYPES, JsonPath
from onedoor.connectors.rest.model import is_url_path
from onedoor.connectors.rest.openapi.document import OpenApiDocument
from onedoor.connectors.rest.openapi.envelopes import EnvelopeReader, FoundList
from onedoor.connectors.rest.openapi.operations import OpenApiOperation
from onedoor.connectors.rest.openapi.paging import has_page_parameters
from onedoor.connectors.rest.openapi.schemas import SCALAR_TYPES, ResolvedSchema, resolve_schema
from onedoor.spi.capabilities import ColumnType

MAX_COLUMN_DEPTH = 2

IDENTIFYING_PROPERTIES = frozenset(
    {"id", "login", "name", "email", "key", "slug", "number", "username", "full_name", "title", "sha"}
)
"""The columns of a nested object that has a schema of its own: enough to know which one it is."""

TEXT_FORMATS = {"date-time": ColumnType.TIME, "date": ColumnType.DATE, "decimal": ColumnType.DECIMAL}

SCALAR_COLUMN_TYPES = {"integer": ColumnType.INTEGER, "number": ColumnType.FLOAT, "boolean": ColumnType.BOOLEAN}

LIST_ITEM_NAMES = {"object": "objects", "array": "lists", "number": "numbers", "boolean": "booleans"}

LARGE_INTEGER_SUFFIXES = ("id", "timestamp", "bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiColumn:
    """A column, and its path in a row."""

    column: DescribedColumn
    path: JsonPath


@dataclass(frozen=True, slots=True, kw_only=True)
class RowColumns:
    """The columns of a row, and a word on each property that has none."""

    columns: tuple[OpenApiColumn, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A property that no column shows, and why."""

    path: JsonPath
    reason: str


def find_openapi_columns(document: OpenApiDocument, row_schema: ResolvedSchema) -> RowColumns:
    """Return the columns of a row, the first of two with one name. A row that is no object is its only column."""
    if row_schema.type in SCALAR_TYPES:
        value = _build_openapi_column("value", replace(row_schema, nullable=False))
        return RowColumns(columns=(OpenApiColumn(column=value, path=()),))
    columns: dict[str, OpenApiColumn] = {}
    left_out: list[str] = []
    for column in _iterate_columns(document, row_schema, (), nullable=False):
        if isinstance(column, LeftOut):
            left_out.append(f"{'.'.join(column.path)} ({column.reason})")
        elif column.column.name in columns:
            left_out.append(f"{'.'.join(column.path)} (another has the name `{column.column.name}`)")
        else:
            columns[column.column.name] = column
    return RowColumns(columns=tuple(columns.values()), left_out=tuple(left_out))


def _iterate_columns(
    document: OpenApiDocument, parent: ResolvedSchema, place: JsonPath, *, nullable: bool
) -> Iterator[OpenApiColumn | LeftOut]:
    for property_name, node in parent.properties.items():
        schema = resolve_schema(document, node)
        if schema.write_only or not property_name:
            continue
        schema = replace(schema, nullable=nullable or schema.nullable or property_name not in parent.required)
        path = (*place, property_name)
        reason = _find_column_reason(document, schema, len(place))
        if reason:
            yield LeftOut(path=path, reason=reason)
        elif schema.type == "object":
            inner = _keep_identifying_properties(schema)
            if len(inner.properties) < len(schema.properties):
                yield LeftOut(path=path, reason="but for what names it")
            yield from _iterate_columns(document, inner, path, nullable=schema.nullable)
        else:
            yield _build_value_column(schema, path)


def _find_column_reason(document: OpenApiDocument, schema: ResolvedSchema, depth: int) -> str:
    """Return why no column can hold a property; empty where one can."""
    if schema.type == "object":
        return "an object of any names" if not schema.properties else "too deep" if depth >= MAX_COLUMN_DEPTH else ""
    if schema.type == "array":
        item = resolve_schema(document, schema.items)
        return "" if item.type in ("string", "integer") else f"a list of {LIST_ITEM_NAMES.get(item.type, 'any type')}"
    return "" if schema.type in SCALAR_TYPES else "of any type"


def _build_value_column(schema: ResolvedSchema, path: JsonPath) -> OpenApiColumn:
    name = to_snake_case(tuple(word for step in path for word in split_words(step)))
    if schema.type == "array":
        comment = clean_comment(schema.comment)
        column = DescribedColumn(name=name, kind=ColumnType.LIST, nullable=schema.nullable, comment=comment)
        return OpenApiColumn(column=column, path=path)
    return OpenApiColumn(column=_build_openapi_column(name, schema), path=path)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRows:
    """The rows of an operation's response: their path, the schema of one, and whether there is only one.

    `beside`: values in the envelope of a list that are shown nowhere. `doubtful_lists`: lists in the one row that may
    be what is meant instead.
    """

    operation: OpenApiOperation
    path: JsonPath
    row_schema: ResolvedSchema
    single: bool
    beside: tuple[str, ...] = ()
    doubtful_lists: tuple[str, ...] = ()


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
    if operation.has_other_server:
        return "it is served from another address, which another source can have (`--base-url`)"
    if not is_url_path(operation.path):
        return "its path holds `#`, `?` or `..`, which no path of a URL can"
    if operation.response is None and not operation.returns_text:
        return "it answers with no JSON and no text"
    required = [parameter for parameter in operation.query_parameters if parameter.required]
    if any(parameter.schema.default is None for parameter in required):
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
        return ResponseRows(operation=operation, path=(), row_schema=text, single=True)
    if response.type == "array":
        return _build_list_rows(document, operation, FoundList(path=(), array=response))
    if response.type != "object" or not response.properties:
        return None
    reader = EnvelopeReader(
        document=document,
        segments=operation.segment_words,
        has_pages=has_page_parameters(operation),
        is_row_path=operation.path_shape[-1:] == ("",),
    )
    rows = reader.find_rows(response)
    if isinstance(rows, FoundList):
        return _build_list_rows(document, operation, rows)
    return ResponseRows(
        operation=operation,
        path=rows.path,
        row_schema=rows.schema,
        single=True,
        doubtful_lists=rows.doubtful_lists,
    )


def _build_list_rows(document: OpenApiDocument, operation: OpenApiOperation, found: FoundList) -> ResponseRows | None:
    row = resolve_schema(document, found.array.items)
    if row.type in SCALAR_TYPES or (row.type == "object" and row.properties):
        return ResponseRows(operation=operation, path=found.path, row_schema=row, single=False, beside=found.beside)
    return None
