"""A type's field in, its column or link out; ids in, key values out."""

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
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
from onedoor.spi.capabilities import Capabilities, ColumnType

ID_FIELD = "id"


def to_snake_case(name: str) -> str:
    """`placedAt` as `placed_at`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def map_field_to_columns(mapping: TypeMapping, field: str) -> tuple[str, ...]:
    """The columns a field's value is read from: one, or all parts of the key for a composite id."""
    if field in mapping.columns:
        return (mapping.columns[field],)
    return mapping.key if field == ID_FIELD else (to_snake_case(field),)


def get_capabilities(catalog: Catalog, mapping: TypeMapping) -> Capabilities:
    return catalog.connectors[mapping.source].capabilities(mapping.collection)


def get_relationship_columns(relationship: Relationship | Lookup) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Here and there, each as a tuple."""
    here = (relationship.local,) if isinstance(relationship.local, str) else relationship.local
    there = (relationship.remote,) if isinstance(relationship.remote, str) else relationship.remote
    return here, there


def resolve_target_type(catalog: Catalog, type_name: str, field: str) -> tuple[str, bool]:
    """The bound type or the interface a field leads to, and whether to many of them, through a connection."""
    output: Any = catalog.schema.type_map[type_name]
    named: Any = get_named_type(output.fields[field].type)
    if named.name in catalog.mappings or isinstance(named, GraphQLInterfaceType):
        return named.name, False
    return get_named_type(named.fields["nodes"].type).name, True


def get_row_type(return_type: GraphQLOutputType) -> GraphQLNamedType:
    """The type of the rows a field leads to, through a page or not."""
    named = get_named_type(return_type)
    fields = getattr(named, "fields", {})
    return get_named_type(fields["nodes"].type) if {"nodes", "pageInfo"} <= fields.keys() else named


def list_concrete_types(schema: GraphQLSchema, named_type: GraphQLNamedType) -> tuple[str, ...]:
    """The types that rows of an interface are of; none of any other type."""
    if not isinstance(named_type, GraphQLInterfaceType):
        return ()
    return tuple(each.name for each in schema.get_possible_types(named_type))


def list_member_mappings(catalog: Catalog, type_name: str) -> tuple[TypeMapping, ...]:
    """The bindings of the type, or of those that an interface stands for, in the order of what tells them apart."""
    if type_name in catalog.mappings:
        return (catalog.mappings[type_name],)
    kinds = list_concrete_types(catalog.schema, catalog.schema.type_map[type_name])
    bound = (catalog.mappings[each] for each in kinds if each in catalog.mappings)
    return tuple(sorted(bound, key=lambda each: tuple(each.constants.get(name, "") for name in each.key)))


def is_list(graphql_type: Any) -> bool:
    return isinstance(get_nullable_type(graphql_type), GraphQLList)


class NoSuchId(ValueError):
    """The text cannot be the id of any row."""


def build_id_parser(capabilities: Capabilities, key: Sequence[str]) -> Callable[[str], tuple[Any, ...]]:
    """Reads an id as the client wrote it into key values; raises NoSuchId."""
    return partial(parse_id, [capabilities.columns[each].type for each in key])


def parse_id(column_types: Sequence[ColumnType], text: str) -> tuple[Any, ...]:
    """The key values that an id spells; raises NoSuchId."""
    if len(column_types) == 1:
        return (parse_id_part(column_types[0], text),)
    found = text.split(":")
    if len(found) != len(column_types):
        raise NoSuchId
    values = tuple(parse_id_part(kind, unquote(each)) for kind, each in zip(column_types, found, strict=True))
    if format_id(values) != text:
        raise NoSuchId
    return values


def parse_id_part(column_type: ColumnType, text: str) -> Any:
    """One key value as its column holds it; an id has one spelling, so `007` is not the id `7`."""
    try:
        match column_type:
            case ColumnType.INTEGER:
                value: Any = int(text) if len(text) < 20 else None
                known = value is not None and str(value) == text and -(2**63) <= value < 2**63
            case ColumnType.DATE:
                value = date.fromisoformat(text)
                known = value.isoformat() == text
            case ColumnType.TIME:
                value = datetime.fromisoformat(text)
                known = value.tzinfo is not None
            case ColumnType.DECIMAL:
                value = Decimal(text)
                known = str(value) == text and value.is_finite()
            case ColumnType.BOOLEAN:
                value, known = text == str(True), text in (str(True), str(False))
            case _:
                value, known = text, True
    except (ValueError, InvalidOperation):
        raise NoSuchId from None
    if not known:
        raise NoSuchId
    return value


def format_id(values: Sequence[Any]) -> str:
    """The id of these key values: parts percent-encoded, joined by `:`; a single part as it is."""
    if len(values) == 1:
        return format_id_part(values[0])
    return ":".join(quote(format_id_part(each), safe="") for each in values)


def format_id_part(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
