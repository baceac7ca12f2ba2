"""Remote schema -> collections."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLList,
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
from onedoor.connectors.graphql.compiler import GraphQLDocument
from onedoor.connectors.graphql.connector import ACCEPT, GraphQLClient
from onedoor.connectors.rest.client import build_rest_client
from onedoor.connectors.rest.config import SENDABLE_TYPES, JsonPath
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
"""By scalar, as services commonly name them; any other is read as text."""

OBJECT_SCALARS = frozenset({"JSON", "JSONObject", "Json", "Any", "Map", "Object", "Upload", "Void"})
"""Scalars that can hold objects."""

ID_COLUMNS = ("id", "uuid")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectedColumn:
    """A column: where it lies, and the field that is its value; `to` is the type whose row it names."""

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
    """A collection: `of` is the type of its rows, `key` the column that identifies one."""

    name: str
    root_field: str
    field: GraphQLField
    rows_path: JsonPath
    has_pages: bool
    row_type: GraphQLObjectType
    columns: Mapping[str, IntrospectedColumn]
    key: str | None


def find_graphql_collections(schema: GraphQLSchema) -> dict[str, IntrospectedCollection]:
    """By name. Of several fields that list rows of one type, the first."""
    listed: dict[str, tuple[str, GraphQLField]] = {}
    for name, field in (schema.query_type.fields if schema.query_type else {}).items():
        of, _ = find_row_type(field)
        if of is not None and not field.deprecation_reason and not _requires_arguments(field):
            listed.setdefault(of.name, (name, field))
    made = (_build_graphql_collection(root, field, frozenset(listed)) for root, field in listed.values())
    return {each.name: each for each in made if each.columns}


def find_row_type(field: GraphQLField) -> tuple[GraphQLObjectType | None, JsonPath]:
    """The type of the rows a field lists, and where they lie: right there, in `nodes`, or in `edges.node`."""
    bare = get_nullable_type(field.type)
    if isinstance(bare, GraphQLList):
        return _unwrap_object(bare), ()
    if not isinstance(bare, GraphQLObjectType):
        return None, ()
    for rows in (("nodes",), ("edges", "node")):
        of: Any = bare
        for step in rows:
            inner = of.fields.get(step) if isinstance(of, GraphQLObjectType) else None
            of = get_named_type(inner.type) if inner else None
        if isinstance(of, GraphQLObjectType) and isinstance(get_nullable_type(bare.fields[rows[0]].type), GraphQLList):
            return of, rows
    return None, ()


def _build_graphql_collection(root_field: str, field: GraphQLField, listed: frozenset[str]) -> IntrospectedCollection:
    of, rows = find_row_type(field)
    assert of is not None
    columns = dict(_find_columns(of, listed))
    return IntrospectedCollection(
        name=to_snake_case(split_words(of.name)),
        root_field=root_field,
        field=field,
        rows_path=rows,
        has_pages=_has_pages(field),
        row_type=of,
        columns=columns,
        key=next((each for each in ID_COLUMNS if each in columns and not columns[each].nullable), None),
    )


def _has_pages(field: GraphQLField) -> bool:
    page: Any = get_named_type(field.type)
    info: Any = get_named_type(page.fields["pageInfo"].type) if "pageInfo" in page.fields else None
    return {"first", "after"} <= field.args.keys() and {"hasNextPage", "endCursor"} <= getattr(
        info, "fields", {}
    ).keys()


def _find_columns(object_type: GraphQLObjectType, listed: frozenset[str]) -> Iterator[tuple[str, IntrospectedColumn]]:
    """Values of the row itself, of objects in it, and the ids of the rows it names."""
    for name, field in _iterate_plain_fields(object_type):
        kind = _map_field_type(field)
        inner = get_nullable_type(field.type)
        if kind is not None:
            nullable = not isinstance(field.type, GraphQLNonNull)
            yield _build_column_name(name), IntrospectedColumn(path=(name,), type=kind, field=field, nullable=nullable)
        elif isinstance(inner, GraphQLObjectType):
            yield from _find_object_columns(name, field, inner, listed)


def _find_object_columns(
    name: str, field: GraphQLField, inner: GraphQLObjectType, listed: frozenset[str]
) -> Iterator[tuple[str, IntrospectedColumn]]:
    named = inner.name in listed
    for part, below in _iterate_plain_fields(inner):
        kind = _map_field_type(below)
        if kind is not None and (not named or part in ID_COLUMNS):
            nullable = not (isinstance(field.type, GraphQLNonNull) and isinstance(below.type, GraphQLNonNull))
            to = inner.name if named else None
            yield (
                _build_column_name(name, part),
                IntrospectedColumn(path=(name, part), type=kind, field=below, nullable=nullable, references=to),
            )
            if named:
                return


def _iterate_plain_fields(object_type: GraphQLObjectType) -> Iterator[tuple[str, GraphQLField]]:
    for name, field in object_type.fields.items():
        if not field.deprecation_reason and not _requires_arguments(field):
            yield name, field


def _build_column_name(*names: str) -> str:
    return to_snake_case(tuple(word for name in names for word in split_words(name)))


def _map_field_type(field: GraphQLField) -> ColumnType | None:
    """None: it is no value that a column can hold."""
    bare, named = get_nullable_type(field.type), get_named_type(field.type)
    if isinstance(named, GraphQLScalarType):
        kind = None if named.name in OBJECT_SCALARS else SCALAR_COLUMN_TYPES.get(named.name, ColumnType.TEXT)
    else:
        kind = ColumnType.TEXT if isinstance(named, GraphQLEnumType) else None
    if not isinstance(bare, GraphQLList):
        return kind
    whole = isinstance(get_nullable_type(bare.of_type), GraphQLList)
    return ColumnType.LIST if kind is ColumnType.TEXT and not whole else None


def _unwrap_object(list_type: GraphQLList[Any]) -> GraphQLObjectType | None:
    inner = get_nullable_type(list_type.of_type)
    return inner if isinstance(inner, GraphQLObjectType) else None


def _requires_arguments(field: GraphQLField) -> bool:
    """Whether it cannot be asked without an argument."""
    return any(map(is_required_argument, field.args.values()))


def is_large_integer(column: IntrospectedColumn) -> bool:
    """Whole numbers past 32 bits."""
    return column.type is ColumnType.INTEGER and get_named_type(column.field.type).name != "Int"


SettingsSection = dict[str, Any]
"""As it stands in a file of settings."""

TEXT_SCALARS = frozenset({"ID", "String"})


def find_key_lookups(schema: GraphQLSchema, collection: IntrospectedCollection) -> dict[str, SettingsSection]:
    """By column: of the one that identifies a row, and of those that name rows of other collections."""
    wanted = {
        name: each for name, each in collection.columns.items() if name == collection.key or each.references is not None
    }
    ways = {
        name: _find_key_lookup(schema, collection, name, each)
        for name, each in wanted.items()
        if each.type in SENDABLE_TYPES
    }
    return {name: way for name, way in ways.items() if way is not None}


def _find_key_lookup(
    schema: GraphQLSchema, collection: IntrospectedCollection, name: str, column: IntrospectedColumn
) -> SettingsSection | None:
    """A list of keys at once is better than a field for each, and that better than a list for each."""
    called = tuple(_generate_argument_names(name, column))
    for argument, each in collection.field.args.items():
        if (
            _is_list_argument(each)
            and _have_same_type(each, column)
            and split_words(argument) in {pluralize_last(one) for one in called}
        ):
            return {"argument": argument, "type": str(each.type), "most": 100}
    if name == collection.key:
        for root, field in (schema.query_type.fields if schema.query_type else {}).items():
            way = _find_root_lookup(root, field, collection, column)
            if way is not None:
                return way
    for argument, each in _iterate_scalar_arguments(collection.field, column):
        if split_words(argument) in called:
            return {"argument": argument, "type": str(each.type), "most": 20, **_build_values_setting(column)}
    return None


def _find_root_lookup(
    root_field: str, field: GraphQLField, collection: IntrospectedCollection, column: IntrospectedColumn
) -> SettingsSection | None:
    """A field of the root that gives one row, or those of a list of keys; it takes nothing else that must be given."""
    needed = {name: each for name, each in field.args.items() if is_required_argument(each)} or field.args
    if len(needed) != 1 or field.deprecation_reason:
        return None
    (argument, each), of, key = *needed.items(), get_nullable_type(field.type), split_words(collection.key or "")
    told = {"field": root_field, "argument": argument, "type": str(each.type)}
    if not _have_same_type(each, column):
        return None
    if _is_list_argument(each):
        listed = isinstance(of, GraphQLList) and find_row_type(field) == (collection.row_type, ())
        return {**told, "most": 100} if listed and split_words(argument) == pluralize_last(key) else None
    return {**told, "most": 50} if of is collection.row_type and split_words(argument) == key else None


def find_filter_arguments(collection: IntrospectedCollection) -> dict[str, SettingsSection]:
    """By column."""
    made: dict[str, SettingsSection] = {}
    for column, shown in collection.columns.items():
        for argument, each in _iterate_scalar_arguments(collection.field, shown):
            if shown.type in SENDABLE_TYPES and split_words(argument) in _generate_argument_names(column, shown):
                made.setdefault(column, {"argument": argument, "type": str(each.type), **_build_values_setting(shown)})
    return made


def _generate_argument_names(column: str, introspected: IntrospectedColumn) -> Iterator[Words]:
    """`office_id`, and of what names another row, `office`."""
    yield split_words(column)
    if introspected.references is not None:
        yield split_words(introspected.path[0])


def _iterate_scalar_arguments(field: GraphQLField, column: IntrospectedColumn) -> Iterator[tuple[str, GraphQLArgument]]:
    yield from (
        (name, each)
        for name, each in field.args.items()
        if not _is_list_argument(each) and _have_same_type(each, column)
    )


def _have_same_type(argument: GraphQLArgument, column: IntrospectedColumn) -> bool:
    """Whether its values are those of the column."""
    one, other = get_named_type(argument.type), get_named_type(column.field.type)
    return is_leaf_type(one) and (one.name == other.name or {one.name, other.name} <= TEXT_SCALARS)


def _is_list_argument(argument: GraphQLArgument) -> bool:
    return isinstance(get_nullable_type(argument.type), GraphQLList)


def _build_values_setting(column: IntrospectedColumn) -> Mapping[str, Any]:
    named = get_named_type(column.field.type)
    return {"values": list(named.values)} if isinstance(named, GraphQLEnumType) else {}


URL_PREFIX = "graphql+"
"""Before `https://`, where an address does not end as one of GraphQL."""

AUTHORIZATION_VARIABLE = "GRAPHQL_AUTHORIZATION"
"""The environment variable that is sent as a header, if it is set."""

TIMEOUT_SECONDS, MAX_RESPONSE_BYTES = 30.0, 67_108_864


def parse_service_url(url: str) -> str | None:
    """None: it is a file."""
    found = url.removeprefix(URL_PREFIX)
    return found if urlsplit(found).scheme in ("https", "http") else None


async def load_remote_schema(url: str) -> GraphQLSchema:
    at = parse_service_url(url)
    try:
        return _load_schema_file(Path(url)) if at is None else await _fetch_schema(at)
    except ConnectorError as reason:
        raise ConfigurationError(f"the service cannot be read: {reason.reason}") from None
    except OSError:
        raise ConfigurationError("there is no such file, and it is no `https://` address either") from None
    except (GraphQLError, TypeError, ValueError):
        raise ConfigurationError("what is there is no schema of GraphQL") from None


def _load_schema_file(path: Path) -> GraphQLSchema:
    """Directives that nobody declared, such as those of a federation, are let be."""
    return build_schema(path.read_text(encoding="utf-8"), assume_valid_sdl=True)


async def _fetch_schema(url: str) -> GraphQLSchema:
    """Whoever types an address means it, wherever it leads."""
    said = os.environ.get(AUTHORIZATION_VARIABLE)
    headers = {"accept": ACCEPT, **({"authorization": said} if said else {})}
    called = build_rest_client(
        url, headers, timeout=TIMEOUT_SECONDS, at_once=1, most=MAX_RESPONSE_BYTES, private_addresses=True
    )
    try:
        data = await GraphQLClient(called, url).execute(GraphQLDocument(text=get_introspection_query(), variables={}))
        return build_client_schema(dict(data))  # type: ignore[arg-type]
    finally:
        await called.session.close()


async def describe(url: str) -> SourceDescription:
    """By the names of their collections. Raises Mistake where there is no schema, or nothing that can be listed."""
    read = await load_remote_schema(url)
    listed = find_graphql_collections(read)
    if not listed:
        raise ConfigurationError(
            "the service has no field that lists rows without being asked for more: nothing can be read of it"
        )
    of_type = {each.row_type.name: each for each in listed.values()}
    return SourceDescription(
        tables=tuple(_build_graphql_table(each, of_type) for each in listed.values()),
        settings=_build_connector_settings(url, read),
    )


def _build_connector_settings(url: str, remote_schema: GraphQLSchema) -> Mapping[str, Any]:
    """What stands under `[sources.<name>]` in the file of settings; where only a file is known, not where it is."""
    at = parse_service_url(url)
    place = {"url": "" if at is None else at}
    private = {"private_addresses": True} if at is not None and at.startswith("http:") else {}
    return {
        "kind": "graphql",
        **place,
        **private,
        "collections": {
            name: dict(_build_collection_settings(each, find_key_lookups(remote_schema, each)))
            for name, each in find_graphql_collections(remote_schema).items()
        },
    }


def _build_graphql_table(
    collection: IntrospectedCollection, of_type: Mapping[str, IntrospectedCollection]
) -> DescribedTable:
    return DescribedTable(
        name=collection.name,
        columns=tuple(_build_graphql_column(name, each) for name, each in collection.columns.items()),
        key=(collection.key,) if collection.key else (),
        references=tuple(_find_graphql_references(collection, of_type)),
        comment=collection.row_type.description or "",
    )


def _build_graphql_column(name: str, column: IntrospectedColumn) -> DescribedColumn:
    return DescribedColumn(
        name=name,
        kind=column.type,
        nullable=column.nullable,
        large=is_large_integer(column),
        comment=column.field.description or "",
        values=column.enum_values,
        enum=get_named_type(column.field.type).name if column.enum_values else "",
    )


def _find_graphql_references(
    collection: IntrospectedCollection, of_type: Mapping[str, IntrospectedCollection]
) -> Iterator[DescribedReference]:
    for name, shown in collection.columns.items():
        to = of_type.get(shown.references or "")
        if to is not None and to.key is not None and shown.path[-1] == to.columns[to.key].path[-1]:
            yield DescribedReference(columns=(name,), to=to.name, there=(to.key,))


def _build_collection_settings(
    collection: IntrospectedCollection, key_lookups: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    yield "field", collection.root_field
    if collection.rows_path:
        yield "rows", ".".join(collection.rows_path)
    yield "columns", {name: _build_column_setting(name, each) for name, each in collection.columns.items()}
    if key_lookups:
        yield "keys", key_lookups
    if asked := find_filter_arguments(collection):
        yield "filters", asked
    if collection.has_pages:
        yield "paging", {"size": 100}


def _build_column_setting(name: str, column: IntrospectedColumn) -> Any:
    """A kind alone, where the column lies under its own name."""
    return str(column.type) if column.path == (name,) else {"kind": str(column.type), "at": ".".join(column.path)}
