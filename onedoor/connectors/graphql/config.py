"""Parse and check the collections that the settings of a `graphql` source declare."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLSyntaxError, parse_type, print_ast

from onedoor.connectors.json_rows import (
    MAX_KEYS_PER_SCAN,
    SENDABLE_TYPES,
    JsonColumn,
    JsonPath,
    parse_json_column_setting,
    parse_json_path_setting,
)
from onedoor.connectors.setting_readers import (
    SettingReader,
    build_dataclass_reader,
    build_table_reader,
    parse_boolean_setting,
    parse_count_setting,
    parse_dataclass_setting,
    parse_table_setting,
    parse_text_list_setting,
    parse_text_setting,
)
from onedoor.spi.capabilities import Capabilities, Column
from onedoor.spi.predicates import Op

GRAPHQL_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterArgument:
    """The argument that filters by a column.

    `type` is as the service declares it, such as `[ID!]!`. `values`: those of an enum; without any, every value goes.
    """

    argument: str
    type: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedArgument:
    """An argument that every call of the collection's own field has."""

    type: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLKeyLookup:
    """How a service finds rows by one column: by an argument that takes a list of keys, or by one alias for each key.

    `most`: keys in one document. `field`: the field, if it is not the collection's own; then its rows lie at `rows`,
    where the empty path means that its value is a row or a list of them, and `paged` means that it has pages as the
    collection has.
    """

    argument: str
    type: str
    field: JsonPath = ()
    rows: JsonPath = ()
    paged: bool = False
    most: int = 50
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitArgument:
    """The argument that limits the number of rows, and the largest limit it takes."""

    argument: str
    type: str = "Int"
    most: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPaging:
    """The arguments that page through a connection; `cursor` is the type of `after`."""

    size: int = 100
    first: str = "first"
    after: str = "after"
    cursor: str = "String"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLCollection:
    """A collection whose rows lie at `rows` of the value of `field`, a path of fields from the query root."""

    name: str
    field: JsonPath
    columns: Mapping[str, JsonColumn]
    rows: JsonPath = ()
    arguments: Mapping[str, FixedArgument] = dataclasses.field(default_factory=dict)
    keys: Mapping[str, GraphQLKeyLookup] = dataclasses.field(default_factory=dict)
    filters: Mapping[str, FilterArgument] = dataclasses.field(default_factory=dict)
    limit: LimitArgument | None = None
    paging: ConnectionPaging | None = None


def build_graphql_capabilities(collection: GraphQLCollection) -> Capabilities:
    """Promise equality filters, keys and always the limit; no order, as nobody says how a service compares text."""
    return Capabilities(
        columns={
            name: Column(type=column.kind, filters=frozenset({Op.EQ} if name in collection.filters else ()))
            for name, column in collection.columns.items()
        },
        max_keys=MAX_KEYS_PER_SCAN if collection.keys else 0,
        key_columns=frozenset((name,) for name in collection.keys),
        limit=True,
    )


def parse_graphql_collections(settings: Mapping[str, Any]) -> dict[str, GraphQLCollection]:
    """Parse the section `collections`. Raises ValueError, which names the setting that is wrong."""
    if not settings:
        raise ValueError("declare at least one collection, as `collections.users.field`")
    return {
        name: _parse_collection(name, parse_table_setting(section, f"collections.{name}"))
        for name, section in settings.items()
    }


def _parse_collection(name: str, section: Mapping[str, Any]) -> GraphQLCollection:
    setting = f"collections.{name}"
    collection: GraphQLCollection = parse_dataclass_setting(
        GraphQLCollection, {**section, "name": name}, setting, COLLECTION_READERS
    )
    for check in (_check_field, _check_columns, _check_keys, _check_arguments, _check_paging):
        check(collection, setting)
    return collection


def _parse_name_setting(value: Any, setting: str) -> str:
    """Accept a name of GraphQL: nothing else is ever printed into a document."""
    if not GRAPHQL_NAME.fullmatch(parse_text_setting(value, setting)):
        raise ValueError(f"`{setting}` must be a name of GraphQL")
    return str(value)


def _parse_field_path_setting(value: Any, setting: str) -> JsonPath:
    return tuple(_parse_name_setting(step, setting) for step in parse_json_path_setting(value, setting))


def _parse_type_setting(value: Any, setting: str) -> str:
    try:
        return print_ast(parse_type(parse_text_setting(value, setting)))
    except GraphQLSyntaxError:
        raise ValueError(f"`{setting}` must be a type of GraphQL, such as `[ID!]!`") from None


def _accept_any_setting(value: Any, setting: str) -> Any:
    return value


def _parse_column_setting(value: Any, setting: str) -> JsonColumn:
    column = parse_json_column_setting(value, setting)
    for step in column.at:
        _parse_name_setting(step, f"{setting}.at")
    return column


def _parse_arguments_setting(value: Any, setting: str) -> Mapping[str, FixedArgument]:
    for name in parse_table_setting(value, setting):
        _parse_name_setting(name, f"{setting}.{name}")
    arguments: Mapping[str, FixedArgument] = build_table_reader(
        build_dataclass_reader(FixedArgument, type=_parse_type_setting, value=_accept_any_setting)
    )(value, setting)
    return arguments


COLLECTION_READERS: Mapping[str, SettingReader] = {
    "name": parse_text_setting,
    "field": _parse_field_path_setting,
    "rows": _parse_field_path_setting,
    "columns": build_table_reader(_parse_column_setting),
    "arguments": _parse_arguments_setting,
    "keys": build_table_reader(
        build_dataclass_reader(
            GraphQLKeyLookup,
            argument=_parse_name_setting,
            type=_parse_type_setting,
            field=_parse_field_path_setting,
            rows=_parse_field_path_setting,
            paged=parse_boolean_setting,
            most=parse_count_setting,
            values=parse_text_list_setting,
        )
    ),
    "filters": build_table_reader(
        build_dataclass_reader(
            FilterArgument, argument=_parse_name_setting, type=_parse_type_setting, values=parse_text_list_setting
        )
    ),
    "limit": build_dataclass_reader(
        LimitArgument, argument=_parse_name_setting, type=_parse_type_setting, most=parse_count_setting
    ),
    "paging": build_dataclass_reader(
        ConnectionPaging,
        size=parse_count_setting,
        first=_parse_name_setting,
        after=_parse_name_setting,
        cursor=_parse_type_setting,
    ),
}


def _check_field(collection: GraphQLCollection, setting: str) -> None:
    if not collection.field:
        raise ValueError(f"`{setting}.field` must name a field")


def _check_columns(collection: GraphQLCollection, setting: str) -> None:
    if not collection.columns:
        raise ValueError(f"`{setting}.columns` is missing")
    for name in (*collection.keys, *collection.filters):
        if name not in collection.columns:
            raise ValueError(f"`{setting}` names the column `{name}`, which it does not have")
    paths = {name: column.at for name, column in collection.columns.items()}
    for name, path in paths.items():
        if not path or any(other[: len(path)] == path != other for other in paths.values()):
            raise ValueError(f"`{setting}.columns.{name}.at` must be a value, and no object that another column is in")


def _check_keys(collection: GraphQLCollection, setting: str) -> None:
    for name, lookup in collection.keys.items():
        if lookup.most < 1:
            raise ValueError(f"`{setting}.keys.{name}.most` must be at least 1")
        if not lookup.field and (lookup.rows or lookup.paged):
            raise ValueError(f"`{setting}.keys.{name}` takes `rows` and `paged` only with a `field` of its own")
        if lookup.paged and (collection.paging is None or not lookup.rows):
            raise ValueError(f"`{setting}.keys.{name}.paged` needs `{setting}.paging`, and `rows` beside `pageInfo`")


def _check_arguments(collection: GraphQLCollection, setting: str) -> None:
    for name in (*collection.keys, *collection.filters):
        if collection.columns[name].kind not in SENDABLE_TYPES:
            raise ValueError(
                f"`{setting}` cannot send `{name}`: only text, integer, boolean and date are written one way"
            )
    for arguments in _iterate_argument_groups(collection):
        if len(set(arguments)) < len(arguments):
            raise ValueError(f"`{setting}` gives one argument two meanings")


def _iterate_argument_groups(collection: GraphQLCollection) -> Iterator[tuple[str, ...]]:
    """Yield the arguments that can stand together in a call; those of keys win over a filter."""
    limit = (collection.limit.argument,) if collection.limit else ()
    pages = (collection.paging.first, collection.paging.after) if collection.paging else ()
    yield (*collection.arguments, *(argument.argument for argument in collection.filters.values()), *limit, *pages)
    for lookup in collection.keys.values():
        if not lookup.field:
            yield (*collection.arguments, lookup.argument, *pages)


def _check_paging(collection: GraphQLCollection, setting: str) -> None:
    if collection.paging is None:
        return
    if collection.limit is not None:
        raise ValueError(f"`{setting}` has a limit and pages: say the size of a page instead")
    if not collection.rows:
        raise ValueError(f"`{setting}.rows` is missing: a page has its rows beside its `pageInfo`, such as in `nodes`")
    if collection.paging.size < 1:
        raise ValueError(f"`{setting}.paging.size` must be at least 1")
