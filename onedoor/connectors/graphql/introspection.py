"""Read the schema of a GraphQL service, and describe the collections that it can serve for `introspect`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    build_client_schema,
    build_schema,
    get_introspection_query,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_required_argument,
)

from onedoor.codegen.models import DescribedColumn, DescribedReference, DescribedTable, SourceDescription
from onedoor.codegen.naming import Words, pluralize_last, split_words, to_snake_case
from onedoor.connectors.graphql.client import GraphQLClient
from onedoor.connectors.graphql.compiler import GraphQLDocument
from onedoor.connectors.http_client import HttpLimits
from onedoor.connectors.json_rows import SENDABLE_TYPES, JsonPath
from onedoor.errors import ConfigurationError, ConnectorError
from onedoor.spi.capabilities import ColumnType

SCALAR_COLUMN_TYPES: Mapping[str, ColumnType] = {
    **dict.fromkeys(("Int", "BigInt", "BigInteger", "Long", "Int64", "bigint"), ColumnType.INTEGER),
    **dict.fromkeys(("Float", "Double"), ColumnType.FLOAT),
    **dict.fromkeys(("Decimal", "BigDecimal", "Money", "numeric"), ColumnType.DECIMAL),
    "Boolean": ColumnType.BOOLEAN,
    **dict.fromkeys(("Date", "LocalDate", "ISO8601Date", "Day", "date"), ColumnType.DATE),
    **dict.fromkeys(
        ("DateTime", "Timestamp", "Instant", "ISO8601DateTime", "OffsetDateTime", "Time", "timestamptz"),
        ColumnType.TIME,
    ),
}
"""By the common names of scalars; every other is read as text."""

OBJECT_SCALARS = frozenset({"JSON", "JSONObject", "Json", "Any", "Map", "Object", "Upload", "Void"})
"""Scalars whose values may be objects."""

ID_COLUMNS = ("id", "uuid")

ROWS_PATHS: Sequence[JsonPath] = (
    ("nodes",),
    ("edges", "node"),
    *((name,) for name in ("items", "results", "data", "list", "entries", "records", "rows", "values", "elements")),
)
"""Where the rows lie in a connection of Relay's, and in other envelopes."""

PAGING_WORDS = frozenset({"page", "pagination", "cursor", "after", "offset", "skip", "total", "next", "more"})
"""Words in the names of what pages a list."""

TEXT_SCALARS = frozenset({"ID", "String"})

URL_PREFIX = "graphql+"
"""Before `https://`, where an address does not end as those of GraphQL do."""

AUTHORIZATION_VARIABLE = "GRAPHQL_AUTHORIZATION"
"""The environment variable that is sent as the header `authorization`, if it is set."""

INTROSPECTION_LIMITS = HttpLimits(
    timeout=30.0, max_concurrency=1, max_response_bytes=67_108_864, private_addresses=True
)
"""Whoever types the address of a service means it, wherever it leads."""

SettingsSection: TypeAlias = dict[str, Any]
"""A section of a settings file."""


async def describe(url: str) -> SourceDescription:
    """Describe the collections of a service, by its URL or the path of its SDL.

    Raises ConfigurationError where there is no schema, or none of its fields can be listed.
    """
    schema = await _load_schema(url)
    collections = _find_collections(schema)
    if not collections:
        raise ConfigurationError(
            "the service has no field that lists rows without being asked for more: nothing can be read of it"
        )
    by_type = {collection.row_type.name: collection for collection in collections.values()}
    return SourceDescription(
        tables=tuple(_build_table(collection, by_type) for collection in collections.values()),
        settings=_build_connector_settings(url, schema, collections),
        notes=tuple(_iterate_notes(schema, collections)),
    )


async def _load_schema(url: str) -> GraphQLSchema:
    service_url = _parse_service_url(url)
    try:
        return _load_schema_file(Path(url)) if service_url is None else await _fetch_schema(service_url)
    except ConnectorError as error:
        raise ConfigurationError(f"the service cannot be read: {error.reason}") from None
    except OSError:
        raise ConfigurationError("there is no such file, and it is no `https://` address either") from None
    except (GraphQLError, TypeError, ValueError):
        raise ConfigurationError("what is there is no schema of GraphQL") from None


def _parse_service_url(url: str) -> str | None:
    """Return None for the path of a file."""
    service_url = url.removeprefix(URL_PREFIX)
    return service_url if urlsplit(service_url).scheme in ("https", "http") else None


def _load_schema_file(path: Path) -> GraphQLSchema:
    """Load SDL; directives that it does not declare, such as those of a federation, are accepted."""
    return build_schema(path.read_text(encoding="utf-8"), assume_valid_sdl=True)


async def _fetch_schema(url: str) -> GraphQLSchema:
    authorization = os.environ.get(AUTHORIZATION_VARIABLE)
    client = GraphQLClient(url, {"authorization": authorization} if authorization else {}, INTROSPECTION_LIMITS)
    try:
        data = await client.execute(GraphQLDocument(text=get_introspection_query(), variables={}))
        return build_client_schema(dict(data))  # type: ignore[arg-type]
    finally:
        await client.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectedColumn:
    """A column: its path in a row, and the field of its value. `references` is the type whose row it names."""

    path: JsonPath
    type: ColumnType
    field: GraphQLField
    nullable: bool
    references: str | None = None

    @property
    def enum_values(self) -> tuple[str, ...]:
        named = get_named_type(self.field.type)
        return tuple(named.values) if isinstance(named, GraphQLEnumType) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectedCollection:
    """A collection that a root field lists; `key` is the column that identifies a row."""

    name: str
    root_field: str
    field: GraphQLField
    rows_path: JsonPath
    has_pages: bool
    row_type: GraphQLObjectType
    columns: Mapping[str, IntrospectedColumn]
    key: str | None


def _find_collections(schema: GraphQLSchema) -> dict[str, IntrospectedCollection]:
    """Find the collections by name; of several fields that list rows of one type, the first."""
    listed: dict[str, tuple[str, GraphQLField]] = {}
    for name, field in _get_root_fields(schema).items():
        row_type, _ = _find_row_type(field)
        if row_type is not None and not field.deprecation_reason and not _requires_arguments(field):
            listed.setdefault(row_type.name, (name, field))
    collections = (_build_collection(name, field, frozenset(listed)) for name, field in listed.values())
    return {collection.name: collection for collection in collections if collection.columns}


def _get_root_fields(schema: GraphQLSchema) -> Mapping[str, GraphQLField]:
    return schema.query_type.fields if schema.query_type else {}


def _iterate_notes(schema: GraphQLSchema, collections: Mapping[str, IntrospectedCollection]) -> Iterator[str]:
    """Yield what was found, then all that was left out, with its reason."""
    root_fields = _get_root_fields(schema)
    yield f"{len(root_fields)} root fields: {len(collections)} collections"
    by_field = {collection.root_field: collection for collection in collections.values()}
    reasons: dict[str, list[str]] = {}
    for name, field in root_fields.items():
        if name not in by_field:
            reasons.setdefault(_find_skip_reason(field, collections), []).append(name)
    for reason, names in sorted(reasons.items(), key=lambda found: -len(found[1])):
        yield f"left {len(names)}: {reason}: {', '.join(names)}"
    for collection in collections.values():
        if not collection.has_pages and _seems_paged(collection):
            yield f"`{collection.root_field}`: its pages follow each other in no known way: only the first is read"
        left_out = list(_iterate_left_out(collection))
        if left_out:
            yield f"left out of `{collection.name}`: {', '.join(left_out)}"


def _find_skip_reason(field: GraphQLField, collections: Mapping[str, IntrospectedCollection]) -> str:
    row_type, _ = _find_row_type(field)
    if row_type is None:
        return "it lists no objects of one type"
    if field.deprecation_reason:
        return "it is deprecated"
    if _requires_arguments(field):
        return "it requires an argument"
    is_listed = any(collection.row_type is row_type for collection in collections.values())
    return "another field lists the same type" if is_listed else "its rows have no plain values"


def _seems_paged(collection: IntrospectedCollection) -> bool:
    """Tell whether a field lists a part of its rows only, as its arguments or what is beside the rows say."""
    envelope = get_named_type(collection.field.type)
    names = [*collection.field.args]
    if collection.rows_path and isinstance(envelope, GraphQLObjectType):
        names += envelope.fields
    return any(not PAGING_WORDS.isdisjoint(split_words(name)) for name in names)


def _iterate_left_out(collection: IntrospectedCollection) -> Iterator[str]:
    shown = {column.path[0] for column in collection.columns.values()}
    for name, field in collection.row_type.fields.items():
        if name not in shown:
            yield f"{name} ({_find_column_reason(field)})"


def _find_column_reason(field: GraphQLField) -> str:
    if field.deprecation_reason:
        return "deprecated"
    if _requires_arguments(field):
        return "it requires an argument"
    named_type = get_named_type(field.type)
    if _is_list(field.type):
        return f"a list of {named_type.name}" if is_leaf_type(named_type) else "a list of objects"
    return f"of the type {named_type.name}" if is_leaf_type(named_type) else "an object without plain values"


def _find_row_type(field: GraphQLField) -> tuple[GraphQLObjectType | None, JsonPath]:
    """Return the type of the rows that a field lists, and their path: itself, or that in an envelope."""
    field_type = get_nullable_type(field.type)
    if isinstance(field_type, GraphQLList):
        return _unwrap_object(field_type), ()
    if not isinstance(field_type, GraphQLObjectType):
        return None, ()
    for path in ROWS_PATHS:
        row_type: Any = field_type
        for step in path:
            step_field = row_type.fields.get(step) if isinstance(row_type, GraphQLObjectType) else None
            row_type = get_named_type(step_field.type) if step_field else None
        if isinstance(row_type, GraphQLObjectType) and _is_list(field_type.fields[path[0]].type):
            return row_type, path
    return None, ()


def _build_collection(root_field: str, field: GraphQLField, listed: frozenset[str]) -> IntrospectedCollection:
    row_type, rows_path = _find_row_type(field)
    assert row_type is not None
    columns = dict(_find_columns(row_type, listed))
    return IntrospectedCollection(
        name=to_snake_case(split_words(row_type.name)),
        root_field=root_field,
        field=field,
        rows_path=rows_path,
        has_pages=_has_pages(field),
        row_type=row_type,
        columns=columns,
        key=next((name for name in ID_COLUMNS if name in columns and not columns[name].nullable), None),
    )


def _has_pages(field: GraphQLField) -> bool:
    """Tell whether a field is a connection of Relay's specification that pages forward."""
    connection: Any = get_named_type(field.type)
    page_info: Any = get_named_type(connection.fields["pageInfo"].type) if "pageInfo" in connection.fields else None
    page_fields = getattr(page_info, "fields", {}).keys()
    return {"first", "after"} <= field.args.keys() and {"hasNextPage", "endCursor"} <= page_fields


def _find_columns(row_type: GraphQLObjectType, listed: frozenset[str]) -> Iterator[tuple[str, IntrospectedColumn]]:
    """Yield the values of a row, those of objects in it, and the ids of the rows of other collections it names."""
    for name, field in _iterate_plain_fields(row_type):
        column_type = _map_field_type(field)
        object_type = get_nullable_type(field.type)
        if column_type is not None:
            nullable = not isinstance(field.type, GraphQLNonNull)
            column = IntrospectedColumn(path=(name,), type=column_type, field=field, nullable=nullable)
            yield _build_column_name(name), column
        elif isinstance(object_type, GraphQLObjectType):
            yield from _find_object_columns(name, field, object_type, listed)


def _find_object_columns(
    name: str, field: GraphQLField, object_type: GraphQLObjectType, listed: frozenset[str]
) -> Iterator[tuple[str, IntrospectedColumn]]:
    is_reference = object_type.name in listed
    for inner_name, inner in _iterate_plain_fields(object_type):
        column_type = _map_field_type(inner)
        if column_type is not None and (not is_reference or inner_name in ID_COLUMNS):
            column = IntrospectedColumn(
                path=(name, inner_name),
                type=column_type,
                field=inner,
                nullable=not (isinstance(field.type, GraphQLNonNull) and isinstance(inner.type, GraphQLNonNull)),
                references=object_type.name if is_reference else None,
            )
            yield _build_column_name(name, inner_name), column
            if is_reference:
                return


def _iterate_plain_fields(object_type: GraphQLObjectType) -> Iterator[tuple[str, GraphQLField]]:
    for name, field in object_type.fields.items():
        if not field.deprecation_reason and not _requires_arguments(field):
            yield name, field


def _build_column_name(*path: str) -> str:
    return to_snake_case(tuple(word for step in path for word in split_words(step)))


def _map_field_type(field: GraphQLField) -> ColumnType | None:
    """Return None for what no column can hold."""
    field_type, named_type = get_nullable_type(field.type), get_named_type(field.type)
    column_type = _map_leaf_type(named_type)
    if not isinstance(field_type, GraphQLList):
        return column_type
    is_nested = _is_list(field_type.of_type)
    return ColumnType.LIST if column_type is ColumnType.TEXT and not is_nested else None


def _map_leaf_type(named_type: GraphQLNamedType) -> ColumnType | None:
    if isinstance(named_type, GraphQLEnumType):
        return ColumnType.TEXT
    if not isinstance(named_type, GraphQLScalarType) or named_type.name in OBJECT_SCALARS:
        return None
    return SCALAR_COLUMN_TYPES.get(named_type.name, ColumnType.TEXT)


def _unwrap_object(list_type: GraphQLList[Any]) -> GraphQLObjectType | None:
    item_type = get_nullable_type(list_type.of_type)
    return item_type if isinstance(item_type, GraphQLObjectType) else None


def _is_list(graphql_type: Any) -> bool:
    return isinstance(get_nullable_type(graphql_type), GraphQLList)


def _requires_arguments(field: GraphQLField) -> bool:
    return any(map(is_required_argument, field.args.values()))


def _find_key_lookups(schema: GraphQLSchema, collection: IntrospectedCollection) -> dict[str, SettingsSection]:
    """Find how rows are looked up by the key, and by the columns that name rows of other collections."""
    lookups = {
        name: _find_key_lookup(schema, collection, name, column)
        for name, column in collection.columns.items()
        if (name == collection.key or column.references is not None) and column.type in SENDABLE_TYPES
    }
    return {name: lookup for name, lookup in lookups.items() if lookup is not None}


def _find_key_lookup(
    schema: GraphQLSchema, collection: IntrospectedCollection, name: str, column: IntrospectedColumn
) -> SettingsSection | None:
    """Prefer a list of keys in one argument to a field for each key, and that to a list for each key."""
    argument_names = tuple(_generate_argument_names(name, column))
    list_names = {pluralize_last(words) for words in argument_names}
    for argument_name, argument in collection.field.args.items():
        if _is_list(argument.type) and _have_same_type(argument, column) and split_words(argument_name) in list_names:
            return {"argument": argument_name, "type": str(argument.type), "most": 100}
    if name == collection.key:
        for root_name, root_field in _get_root_fields(schema).items():
            lookup = _find_root_lookup(root_name, root_field, collection, column)
            if lookup is not None:
                return lookup
    for argument_name, argument in _iterate_scalar_arguments(collection.field, column):
        if split_words(argument_name) in argument_names:
            return {
                "argument": argument_name,
                "type": str(argument.type),
                "most": 20,
                **_build_values_setting(column),
            }
    return None


def _find_root_lookup(
    root_name: str, root_field: GraphQLField, collection: IntrospectedCollection, column: IntrospectedColumn
) -> SettingsSection | None:
    """Accept a root field that gives one row, or those of a list of keys, and requires no other argument."""
    required = {name: argument for name, argument in root_field.args.items() if is_required_argument(argument)}
    arguments = required or root_field.args
    if len(arguments) != 1 or root_field.deprecation_reason:
        return None
    ((argument_name, argument),) = arguments.items()
    if not _have_same_type(argument, column):
        return None
    words, key = split_words(argument_name), split_words(collection.key or "")
    lookup = {"field": root_name, "argument": argument_name, "type": str(argument.type)}
    if _is_list(argument.type):
        is_row_list = _is_list(root_field.type) and _find_row_type(root_field) == (collection.row_type, ())
        return {**lookup, "most": 100} if is_row_list and words == pluralize_last(key) else None
    is_row = get_nullable_type(root_field.type) is collection.row_type
    return {**lookup, "most": 50} if is_row and words == key else None


def _find_filter_arguments(collection: IntrospectedCollection) -> dict[str, SettingsSection]:
    filters: dict[str, SettingsSection] = {}
    for name, column in collection.columns.items():
        for argument_name, argument in _iterate_scalar_arguments(collection.field, column):
            if column.type in SENDABLE_TYPES and split_words(argument_name) in _generate_argument_names(name, column):
                section = {"argument": argument_name, "type": str(argument.type), **_build_values_setting(column)}
                filters.setdefault(name, section)
    return filters


def _generate_argument_names(name: str, column: IntrospectedColumn) -> Iterator[Words]:
    """Yield `office_id`, and `office` too for a column that names another row."""
    yield split_words(name)
    if column.references is not None:
        yield split_words(column.path[0])


def _iterate_scalar_arguments(field: GraphQLField, column: IntrospectedColumn) -> Iterator[tuple[str, GraphQLArgument]]:
    for name, argument in field.args.items():
        if not _is_list(argument.type) and _have_same_type(argument, column):
            yield name, argument


def _have_same_type(argument: GraphQLArgument, column: IntrospectedColumn) -> bool:
    """Tell whether an argument takes the values of a column."""
    argument_type, column_type = get_named_type(argument.type), get_named_type(column.field.type)
    names = {argument_type.name, column_type.name}
    return is_leaf_type(argument_type) and (len(names) == 1 or names <= TEXT_SCALARS)


def _build_values_setting(column: IntrospectedColumn) -> Mapping[str, Any]:
    return {"values": list(column.enum_values)} if column.enum_values else {}


def _build_connector_settings(
    url: str, schema: GraphQLSchema, collections: Mapping[str, IntrospectedCollection]
) -> Mapping[str, Any]:
    """Build the section `[sources.<name>]`; where only a file is known, its URL is empty."""
    service_url = _parse_service_url(url) or ""
    is_authorized = bool(service_url and os.environ.get(AUTHORIZATION_VARIABLE))
    return {
        "kind": "graphql",
        "url": service_url,
        **({"private_addresses": True} if service_url.startswith("http:") else {}),
        **({"headers": {"authorization": {"env": AUTHORIZATION_VARIABLE}}} if is_authorized else {}),
        "collections": {
            name: _build_collection_settings(collection, _find_key_lookups(schema, collection))
            for name, collection in collections.items()
        },
    }


def _build_collection_settings(
    collection: IntrospectedCollection, key_lookups: Mapping[str, SettingsSection]
) -> SettingsSection:
    settings: SettingsSection = {"field": collection.root_field}
    if collection.rows_path:
        settings["rows"] = ".".join(collection.rows_path)
    settings["columns"] = {name: _build_column_setting(name, column) for name, column in collection.columns.items()}
    if key_lookups:
        settings["keys"] = key_lookups
    if filters := _find_filter_arguments(collection):
        settings["filters"] = filters
    if collection.has_pages:
        settings["paging"] = {"size": 100}
    return settings


def _build_column_setting(name: str, column: IntrospectedColumn) -> Any:
    """Name the type alone, where the column lies under its own name."""
    return str(column.type) if column.path == (name,) else {"kind": str(column.type), "at": ".".join(column.path)}


def _build_table(collection: IntrospectedCollection, by_type: Mapping[str, IntrospectedCollection]) -> DescribedTable:
    return DescribedTable(
        name=collection.name,
        columns=tuple(_build_described_column(name, column) for name, column in collection.columns.items()),
        key=(collection.key,) if collection.key else (),
        references=tuple(_find_references(collection, by_type)),
        comment=collection.row_type.description or "",
    )


def _build_described_column(name: str, column: IntrospectedColumn) -> DescribedColumn:
    named_type = get_named_type(column.field.type)
    return DescribedColumn(
        name=name,
        kind=column.type,
        nullable=column.nullable,
        large=column.type is ColumnType.INTEGER and named_type.name != "Int",
        comment=column.field.description or "",
        values=column.enum_values,
        enum=named_type.name if column.enum_values else "",
    )


def _find_references(
    collection: IntrospectedCollection, by_type: Mapping[str, IntrospectedCollection]
) -> Iterator[DescribedReference]:
    for name, column in collection.columns.items():
        target = by_type.get(column.references or "")
        if target is not None and target.key is not None and column.path[-1] == target.columns[target.key].path[-1]:
            yield DescribedReference(columns=(name,), to=target.name, there=(target.key,))
