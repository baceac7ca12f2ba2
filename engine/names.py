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

from engine.binding import Binding, Link, Lookup
from engine.house import House
from engine.words import Can, Kind

ID = "id"


def snake(name: str) -> str:
    """`placedAt` as `placed_at`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def columns_of(binding: Binding, field: str) -> tuple[str, ...]:
    """The columns a field's value is read from: one, or all parts of the key for a composite id."""
    if field in binding.columns:
        return (binding.columns[field],)
    return binding.key if field == ID else (snake(field),)


def can_of(house: House, binding: Binding) -> Can:
    return house.sources[binding.source].can(binding.collection)


def link_columns(link: Link | Lookup) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Here and there, each as a tuple."""
    here = (link.here,) if isinstance(link.here, str) else link.here
    there = (link.there,) if isinstance(link.there, str) else link.there
    return here, there


def leads_to(house: House, type_name: str, field: str) -> tuple[str, bool]:
    """The bound type or the interface a field leads to, and whether to many of them, through a connection."""
    output: Any = house.schema.type_map[type_name]
    named: Any = get_named_type(output.fields[field].type)
    if named.name in house.bindings or isinstance(named, GraphQLInterfaceType):
        return named.name, False
    return get_named_type(named.fields["nodes"].type).name, True


def rows_of(returns: GraphQLOutputType) -> GraphQLNamedType:
    """The type of the rows a field leads to, through a page or not."""
    named = get_named_type(returns)
    fields = getattr(named, "fields", {})
    return get_named_type(fields["nodes"].type) if {"nodes", "pageInfo"} <= fields.keys() else named


def concrete(schema: GraphQLSchema, named: GraphQLNamedType) -> tuple[str, ...]:
    """The types that rows of an interface are of; none of any other type."""
    if not isinstance(named, GraphQLInterfaceType):
        return ()
    return tuple(each.name for each in schema.get_possible_types(named))


def members(house: House, type_name: str) -> tuple[Binding, ...]:
    """The bindings of the type, or of those that an interface stands for, in the order of what tells them apart."""
    if type_name in house.bindings:
        return (house.bindings[type_name],)
    kinds = concrete(house.schema, house.schema.type_map[type_name])
    bound = (house.bindings[each] for each in kinds if each in house.bindings)
    return tuple(sorted(bound, key=lambda each: tuple(each.constants.get(name, "") for name in each.key)))


def is_list(kind: Any) -> bool:
    return isinstance(get_nullable_type(kind), GraphQLList)


class NoSuchId(ValueError):
    """The text cannot be the id of any row."""


def id_reader(can: Can, key: Sequence[str]) -> Callable[[str], tuple[Any, ...]]:
    """Reads an id as the client wrote it into key values; raises NoSuchId."""
    return partial(parts, [can.columns[each].kind for each in key])


def parts(kinds: Sequence[Kind], text: str) -> tuple[Any, ...]:
    """The key values that an id spells; raises NoSuchId."""
    if len(kinds) == 1:
        return (part(kinds[0], text),)
    found = text.split(":")
    if len(found) != len(kinds):
        raise NoSuchId
    values = tuple(part(kind, unquote(each)) for kind, each in zip(kinds, found, strict=True))
    if written(values) != text:
        raise NoSuchId
    return values


def part(kind: Kind, text: str) -> Any:
    """One key value as its column holds it; an id has one spelling, so `007` is not the id `7`."""
    try:
        match kind:
            case Kind.INTEGER:
                value: Any = int(text) if len(text) < 20 else None
                known = value is not None and str(value) == text and -(2**63) <= value < 2**63
            case Kind.DATE:
                value = date.fromisoformat(text)
                known = value.isoformat() == text
            case Kind.TIME:
                value = datetime.fromisoformat(text)
                known = value.tzinfo is not None
            case Kind.DECIMAL:
                value = Decimal(text)
                known = str(value) == text and value.is_finite()
            case Kind.BOOLEAN:
                value, known = text == str(True), text in (str(True), str(False))
            case _:
                value, known = text, True
    except (ValueError, InvalidOperation):
        raise NoSuchId from None
    if not known:
        raise NoSuchId
    return value


def written(values: Sequence[Any]) -> str:
    """The id of these key values: parts percent-encoded, joined by `:`; a single part as it is."""
    if len(values) == 1:
        return plain(values[0])
    return ":".join(quote(plain(each), safe="") for each in values)


def plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
