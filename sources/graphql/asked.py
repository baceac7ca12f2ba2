"""A collection that was found in, the arguments it can be asked with out: what is named and typed as its columns are.

A filter is guessed by its name alone. It may let in more than what equals, as rows are judged again; one that lets in
less is to be taken out of the settings by hand.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_required_argument,
)

from introspect.names import Words, many, words
from sources.graphql.found import Found, Shown, rows_of
from sources.rest.readers import SENT

Told = dict[str, Any]
"""As it stands in a file of settings."""
TEXTS = frozenset({"ID", "String"})


def keys(schema: GraphQLSchema, found: Found) -> dict[str, Told]:
    """By column: of the one that identifies a row, and of those that name rows of other collections."""
    wanted = {name: each for name, each in found.columns.items() if name == found.key or each.to is not None}
    ways = {name: _way(schema, found, name, each) for name, each in wanted.items() if each.kind in SENT}
    return {name: way for name, way in ways.items() if way is not None}


def _way(schema: GraphQLSchema, found: Found, name: str, shown: Shown) -> Told | None:
    """A list of keys at once is better than a field for each, and that better than a list for each."""
    called = tuple(_names(name, shown))
    for argument, each in found.field.args.items():
        if _is_list(each) and _alike(each, shown) and words(argument) in {many(one) for one in called}:
            return {"argument": argument, "type": str(each.type), "most": 100}
    if name == found.key:
        for root, field in (schema.query_type.fields if schema.query_type else {}).items():
            way = _alone(root, field, found, shown)
            if way is not None:
                return way
    for argument, each in _bare(found.field, shown):
        if words(argument) in called:
            return {"argument": argument, "type": str(each.type), "most": 20, **_values(shown)}
    return None


def _alone(root: str, field: GraphQLField, found: Found, shown: Shown) -> Told | None:
    """A field of the root that gives one row, or those of a list of keys; it takes nothing else that must be given."""
    needed = {name: each for name, each in field.args.items() if is_required_argument(each)} or field.args
    if len(needed) != 1 or field.deprecation_reason:
        return None
    (argument, each), of, key = *needed.items(), get_nullable_type(field.type), words(found.key or "")
    told = {"field": root, "argument": argument, "type": str(each.type)}
    if not _alike(each, shown):
        return None
    if _is_list(each):
        listed = isinstance(of, GraphQLList) and rows_of(field) == (found.of, ())
        return {**told, "most": 100} if listed and words(argument) == many(key) else None
    return {**told, "most": 50} if of is found.of and words(argument) == key else None


def filters(found: Found) -> dict[str, Told]:
    """By column."""
    made: dict[str, Told] = {}
    for column, shown in found.columns.items():
        for argument, each in _bare(found.field, shown):
            if shown.kind in SENT and words(argument) in _names(column, shown):
                made.setdefault(column, {"argument": argument, "type": str(each.type), **_values(shown)})
    return made


def _names(column: str, shown: Shown) -> Iterator[Words]:
    """`office_id`, and of what names another row, `office`."""
    yield words(column)
    if shown.to is not None:
        yield words(shown.at[0])


def _bare(field: GraphQLField, shown: Shown) -> Iterator[tuple[str, GraphQLArgument]]:
    yield from ((name, each) for name, each in field.args.items() if not _is_list(each) and _alike(each, shown))


def _alike(argument: GraphQLArgument, shown: Shown) -> bool:
    """Whether its values are those of the column."""
    one, other = get_named_type(argument.type), get_named_type(shown.field.type)
    return is_leaf_type(one) and (one.name == other.name or {one.name, other.name} <= TEXTS)


def _is_list(argument: GraphQLArgument) -> bool:
    return isinstance(get_nullable_type(argument.type), GraphQLList)


def _values(shown: Shown) -> Mapping[str, Any]:
    named = get_named_type(shown.field.type)
    return {"values": list(named.values)} if isinstance(named, GraphQLEnumType) else {}
