"""What a router of Apollo Federation asks for: representations in, the ids of each type out.

`_entities` is read as so many fields that give one row by id: by type, one read for all representations of it, judged,
planned, weighed and recorded as `customer(id:)` is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphql import GraphQLSchema, get_named_type

from engine.names import NoSuchId
from engine.slots import Slot, filled

ENTITIES, SERVICE, UNION, ANY = "_entities", "_service", "_Entity", "_Any"
FIELDS = frozenset({ENTITIES, SERVICE})
"""The root fields of a subgraph."""
TYPENAME, ID = "__typename", "id"
SHOWN_CHARACTERS = 100


def by_id(schema: GraphQLSchema) -> Mapping[str, str]:
    """By type, the root field that gives a row of it by id; of several, the first."""
    assert schema.query_type is not None
    fields = schema.query_type.fields.items()
    return {get_named_type(each.type).name: name for name, each in reversed(fields) if list(each.args) == [ID]}


def known(schema: GraphQLSchema) -> frozenset[str]:
    """The types of a schema that are entities."""
    union: Any = schema.type_map.get(UNION)
    return frozenset(each.name for each in union.types) if union is not None else frozenset()


def typed(schema: GraphQLSchema, slot: Slot, value: Any) -> Slot:
    """The slot of a variable that holds one representation, or a list of them."""
    named = map(type_of, value if isinstance(value, list) else (value,))
    return replace(slot, types=known(schema) & {each for each in named if each is not None})


def types(representations: Any) -> frozenset[str] | None:
    """The types that are named before any variable is filled in; None: only a variable will tell."""
    if isinstance(representations, Slot):
        return representations.types
    if isinstance(representations, list):
        found = [types(each) for each in representations]
        return None if None in found else frozenset[str]().union(*(each for each in found if each is not None))
    name = representations.get(TYPENAME) if isinstance(representations, dict) else None
    return None if isinstance(name, Slot) else frozenset({name} if isinstance(name, str) else ())


def given(representations: Any, variables: Mapping[str, Any]) -> Any:
    """With this request's variables, which may stand in place of all, of one, or of what one holds."""
    if isinstance(representations, Slot):
        return filled(representations, variables)
    if isinstance(representations, dict):
        return {name: given(each, variables) for name, each in representations.items()}
    if isinstance(representations, list):
        return [given(each, variables) for each in representations]
    return representations


def type_of(representation: Any) -> str | None:
    """None: it names no type."""
    found = representation.get(TYPENAME) if isinstance(representation, Mapping) else None
    return found if isinstance(found, str) else None


def id_of(representation: Any) -> str | None:
    """As a client writes an id: a text, or a whole number. None: it has none."""
    found = representation.get(ID) if isinstance(representation, Mapping) else None
    return str(found) if type(found) in (str, int) else None


def of_type(representations: Sequence[Any], name: str) -> Iterator[str]:
    """The ids of this type."""
    for each in representations:
        found = id_of(each) if type_of(each) == name else None
        if found is not None:
            yield found


def key(read: Callable[[str], tuple[Any, ...]], id: str) -> tuple[Any, ...] | None:
    """None: it cannot be the id of any row."""
    try:
        return read(id)
    except NoSuchId:
        return None


def complaint(representation: Any, types: Mapping[str, Any]) -> str | None:
    """What is wrong with a representation; a type that is hidden is one that does not exist."""
    name = type_of(representation)
    if name is None:
        return "a representation must be an object with a `__typename`"
    if name not in types:
        return f"there is no entity type `{name[:SHOWN_CHARACTERS]}` here"
    return None if id_of(representation) is not None else f"a representation of `{name}` must have an `id`"
