"""Find columns and types by the names of fields, and parse and format ids."""

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from math import isfinite
from typing import Any
from urllib.parse import quote, unquote

from graphql import (
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLOutputType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
)

from onedoor.model.catalog import Catalog
from onedoor.model.mapping import Lookup, Relationship, TypeMapping
from onedoor.spi.capabilities import Capabilities, Column, ColumnType, ValueType
from onedoor.spi.text_types import InvalidText, TextType

ID_FIELD = "id"

MAX_INTEGER_CHARACTERS = len(str(2**64))


def to_snake_case(name: str) -> str:
    """Turn `placedAt` into `placed_at`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def map_field_to_columns(mapping: TypeMapping, field: str) -> tuple[str, ...]:
    """Return the columns that a field is read from: one, or all of the key for a composite id."""
    if field in mapping.columns:
        return (mapping.columns[field],)
    return mapping.key if field == ID_FIELD else (to_snake_case(field),)


def get_capabilities(catalog: Catalog, mapping: TypeMapping) -> Capabilities:
    """Return what the connector promises of a type's collection."""
    return catalog.connectors[mapping.source].capabilities(mapping.collection)


def get_relationship_columns(relationship: Relationship | Lookup) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the local and the remote columns, each as a tuple."""
    local = (relationship.local,) if isinstance(relationship.local, str) else relationship.local
    remote = (relationship.remote,) if isinstance(relationship.remote, str) else relationship.remote
    return local, remote


def resolve_target_type(catalog: Catalog, type_name: str, field: str) -> tuple[str, bool]:
    """Return the mapped type or interface that a field leads to, and whether it leads to many, in a connection."""
    output: Any = catalog.schema.type_map[type_name]
    named: Any = get_named_type(output.fields[field].type)
    if named.name in catalog.mappings or isinstance(named, GraphQLInterfaceType):
        return named.name, False
    return get_named_type(named.fields["nodes"].type).name, True


def get_row_type(return_type: GraphQLOutputType) -> GraphQLNamedType:
    """Return the type of the rows that a field leads to, in a connection or not."""
    named = get_named_type(return_type)
    fields = getattr(named, "fields", {})
    return get_named_type(fields["nodes"].type) if {"nodes", "pageInfo"} <= fields.keys() else named


def list_concrete_types(schema: GraphQLSchema, named_type: GraphQLNamedType) -> tuple[str, ...]:
    """Return the types that implement an interface; none for any other type."""
    if not isinstance(named_type, GraphQLInterfaceType):
        return ()
    return tuple(concrete.name for concrete in schema.get_possible_types(named_type))


def list_member_mappings(catalog: Catalog, type_name: str) -> tuple[TypeMapping, ...]:
    """Return the mapping of a type, or those of an interface's types, in the order of their constant key columns."""
    if type_name in catalog.mappings:
        return (catalog.mappings[type_name],)
    names = list_concrete_types(catalog.schema, catalog.schema.type_map[type_name])
    members = (catalog.mappings[name] for name in names if name in catalog.mappings)
    return tuple(sorted(members, key=lambda member: tuple(member.constants.get(column, "") for column in member.key)))


def is_list(graphql_type: Any) -> bool:
    """Whether values of a type are lists."""
    return isinstance(get_nullable_type(graphql_type), GraphQLList)


def get_value_type(column: Column) -> ValueType:
    """Return what a column holds: of texts that mean more than their code points, what they mean."""
    return column.text_type or column.type


class NoSuchId(ValueError):
    """The text cannot be the id of any row."""


class MalformedId(NoSuchId):
    """The text is not of the type of the id; the message says so."""


def build_id_parser(capabilities: Capabilities, key: Sequence[str]) -> Callable[[str], tuple[Any, ...]]:
    """Build a function from an id to key values, which raises NoSuchId."""
    return partial(parse_id, [get_value_type(capabilities.columns[column]) for column in key])


def parse_id(value_types: Sequence[ValueType], text: str) -> tuple[Any, ...]:
    """Parse an id into key values. Raises NoSuchId."""
    if len(value_types) == 1:
        return (parse_id_part(value_types[0], text),)
    parts = text.split(":")
    texts = list(map(unquote, parts))
    if len(parts) != len(value_types) or [quote(part, safe="") for part in texts] != parts:
        raise NoSuchId
    return tuple(map(parse_id_part, value_types, texts))


def parse_id_part(value_type: ValueType, text: str) -> Any:
    """Parse one key value. Raises NoSuchId.

    An id has one spelling, so `007` is not the id `7`, unless its type has several, as UUIDs have.
    """
    if isinstance(value_type, TextType):
        try:
            return value_type.parse(text)
        except InvalidText as error:
            raise MalformedId(str(error)) from None
    try:
        match value_type:
            case ColumnType.INTEGER:
                value: Any = int(text) if len(text) <= MAX_INTEGER_CHARACTERS else None
                is_canonical = value is not None and str(value) == text and -(2**63) <= value < 2**64
            case ColumnType.DATE:
                value = date.fromisoformat(text)
                is_canonical = value.isoformat() == text
            case ColumnType.TIME:
                value = datetime.fromisoformat(text)
                is_canonical = value.tzinfo is not None
            case ColumnType.DECIMAL:
                value = Decimal(text)
                is_canonical = str(value) == text and value.is_finite()
            case ColumnType.FLOAT:
                value = float(text)
                is_canonical = str(value) == text and isfinite(value)
            case ColumnType.BOOLEAN:
                value, is_canonical = text == str(True), text in (str(True), str(False))
            case _:
                value, is_canonical = text, True
    except (ValueError, InvalidOperation):
        raise NoSuchId from None
    if not is_canonical:
        raise NoSuchId
    return value


def format_id(values: Sequence[Any]) -> str:
    """Return the id of key values: their texts percent-encoded and joined by `:`; a single text as it is."""
    if len(values) == 1:
        return format_id_part(values[0])
    return ":".join(quote(format_id_part(value), safe="") for value in values)


def format_id_part(value: Any) -> str:
    """Return the text of one key value."""
    return value.isoformat() if isinstance(value, date) else str(value)
