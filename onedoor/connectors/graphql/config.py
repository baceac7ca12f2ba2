"""Declared collections."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLSyntaxError, parse_type, print_ast

from onedoor.connectors.rest.config import (
    MAX_KEYS_PER_SCAN,
    SENDABLE_TYPES,
    JsonColumn,
    JsonPath,
    build_dataclass_reader,
    build_table_reader,
    parse_count_setting,
    parse_dataclass_setting,
    parse_json_column_setting,
    parse_json_path_setting,
    parse_table_setting,
    parse_text_list_setting,
    parse_text_setting,
)
from onedoor.spi.capabilities import Capabilities, Column
from onedoor.spi.predicates import Op


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterArgument:
    """`type` is as the service declares it, such as `[ID!]!`. `values`: of an enum, all it takes; of none, anything."""

    argument: str
    type: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedArgument:
    """An argument that every call carries, of the collection's own field."""

    type: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLKeyLookup:
    """How rows are asked for by one column: by an argument that takes a list of keys, or by one alias for each key.

    `most`: keys in one document. `field`: where it is not the collection's own; then `rows` is where its rows lie, of
    no steps: the field's value is a row or a list of them; and `paged` says that it has pages, as the collection has.
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
    """The argument that says how many rows are wanted, and the most it takes."""

    argument: str
    type: str = "Int"
    most: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPaging:
    """The arguments by which the pages of a connection follow each other; `cursor` is the type of `after`."""

    size: int = 100
    first: str = "first"
    after: str = "after"
    cursor: str = "String"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLCollection:
    """Rows lie at `rows` of what `field` gives, a field of the root or of what lies below it."""

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
    """A limit is always kept: what comes over it is cut. No order is: nobody says how a service compares text."""
    return Capabilities(
        columns={
            name: Column(type=held.kind, filters=frozenset({Op.EQ} if name in collection.filters else ()))
            for name, held in collection.columns.items()
        },
        max_keys=MAX_KEYS_PER_SCAN if collection.keys else 0,
        key_columns=frozenset((name,) for name in collection.keys),
        limit=True,
    )


GRAPHQL_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


def parse_graphql_collections(settings: Mapping[str, Any]) -> dict[str, GraphQLCollection]:
    """By name; at least one."""
    if not settings:
        raise ValueError("declare at least one collection, as `collections.users.field`")
    return {
        name: parse_graphql_collection(name, parse_table_setting(each, f"collections.{name}"))
        for name, each in settings.items()
    }


def parse_graphql_collection(name: str, settings: Mapping[str, Any]) -> GraphQLCollection:
    where = f"collections.{name}"
    found: GraphQLCollection = parse_dataclass_setting(
        GraphQLCollection, {**settings, "name": name}, where, COLLECTION_READERS
    )
    for rule in (_check_field, _check_columns, _check_keys, _check_arguments, _check_paging):
        rule(found, where)
    return found


def parse_name_setting(value: Any, setting: str) -> str:
    """Nothing else is ever printed into a document."""
    if not GRAPHQL_NAME.fullmatch(parse_text_setting(value, setting)):
        raise ValueError(f"`{setting}` must be a name of GraphQL")
    return str(value)


def parse_field_path_setting(value: Any, setting: str) -> JsonPath:
    """`edges.node` as its steps, each a name."""
    return tuple(parse_name_setting(each, setting) for each in parse_json_path_setting(value, setting))


def parse_type_setting(value: Any, setting: str) -> str:
    try:
        return print_ast(parse_type(parse_text_setting(value, setting)))
    except GraphQLSyntaxError:
        raise ValueError(f"`{setting}` must be a type of GraphQL, such as `[ID!]!`") from None


def parse_flag_setting(value: Any, setting: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"`{setting}` must be true or false")
    return value


def accept_any_setting(value: Any, setting: str) -> Any:
    return value


def parse_graphql_column_setting(value: Any, setting: str) -> Any:
    found = parse_json_column_setting(value, setting)
    for each in found.at:
        parse_name_setting(each, f"{setting}.at")
    return found


def parse_filter_argument_setting(value: Any, setting: str) -> FilterArgument:
    found: FilterArgument = build_dataclass_reader(
        FilterArgument, argument=parse_name_setting, type=parse_type_setting, values=parse_text_list_setting
    )(value, setting)
    return found


def build_named_table_reader(read_value: Callable[[Any, str], Any]) -> Callable[[Any, str], Mapping[str, Any]]:
    """A table whose names are printed, too."""

    def reading(value: Any, where: str) -> Mapping[str, Any]:
        for each in parse_table_setting(value, where):
            parse_name_setting(each, f"{where}.{each}")
        return build_table_reader(read_value)(value, where)

    return reading


COLLECTION_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "name": parse_text_setting,
    "field": parse_field_path_setting,
    "rows": parse_field_path_setting,
    "columns": build_table_reader(parse_graphql_column_setting),
    "arguments": build_named_table_reader(
        build_dataclass_reader(FixedArgument, type=parse_type_setting, value=accept_any_setting)
    ),
    "keys": build_table_reader(
        build_dataclass_reader(
            GraphQLKeyLookup,
            argument=parse_name_setting,
            type=parse_type_setting,
            field=parse_field_path_setting,
            rows=parse_field_path_setting,
            paged=parse_flag_setting,
            most=parse_count_setting,
            values=parse_text_list_setting,
        )
    ),
    "filters": build_table_reader(parse_filter_argument_setting),
    "limit": build_dataclass_reader(
        LimitArgument, argument=parse_name_setting, type=parse_type_setting, most=parse_count_setting
    ),
    "paging": build_dataclass_reader(
        ConnectionPaging,
        size=parse_count_setting,
        first=parse_name_setting,
        after=parse_name_setting,
        cursor=parse_type_setting,
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
    places = {name: each.at for name, each in collection.columns.items()}
    for name, place in places.items():
        if not place or any(other[: len(place)] == place != other for other in places.values()):
            raise ValueError(f"`{setting}.columns.{name}.at` must be a value, and no object that another column is in")


def _check_keys(collection: GraphQLCollection, setting: str) -> None:
    for name, each in collection.keys.items():
        if each.most < 1:
            raise ValueError(f"`{setting}.keys.{name}.most` must be at least 1")
        if not each.field and (each.rows or each.paged):
            raise ValueError(f"`{setting}.keys.{name}` takes `rows` and `paged` only with a `field` of its own")
        if each.paged and (collection.paging is None or not each.rows):
            raise ValueError(f"`{setting}.keys.{name}.paged` needs `{setting}.paging`, and `rows` beside `pageInfo`")


def _check_arguments(collection: GraphQLCollection, setting: str) -> None:
    for name in (*collection.keys, *collection.filters):
        if collection.columns[name].kind not in SENDABLE_TYPES:
            raise ValueError(
                f"`{setting}` cannot send `{name}`: only text, integer, boolean and date are written one way"
            )
    for taken in _list_argument_groups(collection):
        if len(set(taken)) < len(taken):
            raise ValueError(f"`{setting}` gives one argument two meanings")


def _list_argument_groups(collection: GraphQLCollection) -> Iterator[tuple[str, ...]]:
    """The arguments that can stand together in a call, but for those of keys, which win over a filter."""
    cut = (collection.limit.argument,) if collection.limit else ()
    pages = (collection.paging.first, collection.paging.after) if collection.paging else ()
    yield (*collection.arguments, *(each.argument for each in collection.filters.values()), *cut, *pages)
    yield from ((*collection.arguments, each.argument, *pages) for each in collection.keys.values() if not each.field)


def _check_paging(collection: GraphQLCollection, setting: str) -> None:
    if collection.paging is None:
        return
    if collection.limit is not None:
        raise ValueError(f"`{setting}` has a limit and pages: say the size of a page instead")
    if not collection.rows:
        raise ValueError(f"`{setting}.rows` is missing: a page has its rows beside its `pageInfo`, such as in `nodes`")
    if collection.paging.size < 1:
        raise ValueError(f"`{setting}.paging.size` must be at least 1")
