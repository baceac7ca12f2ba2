"""What a file of settings says of a service in, its collections out. ValueError: the first thing that cannot be."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from graphql import GraphQLSyntaxError, parse_type, print_ast

from sources.graphql.collection import Argument, ByKey, Collection, Cut, Given, Paging
from sources.rest.collection import At
from sources.rest.declared import held
from sources.rest.readers import SENT, at, count, each_of, made, part, table, text, texts

NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


def collections(written: Mapping[str, Any]) -> dict[str, Collection]:
    """By name; at least one."""
    if not written:
        raise ValueError("declare at least one collection, as `collections.users.field`")
    return {name: collection(name, table(each, f"collections.{name}")) for name, each in written.items()}


def collection(name: str, written: Mapping[str, Any]) -> Collection:
    where = f"collections.{name}"
    found: Collection = made(Collection, {**written, "name": name}, where, PARTS)
    for rule in (_field, _columns, _keys, _sent, _paging):
        rule(found, where)
    return found


def named(value: Any, where: str) -> str:
    """Nothing else is ever printed into a document."""
    if not NAME.fullmatch(text(value, where)):
        raise ValueError(f"`{where}` must be a name of GraphQL")
    return str(value)


def steps(value: Any, where: str) -> At:
    """`edges.node` as its steps, each a name."""
    return tuple(named(each, where) for each in at(value, where))


def type_(value: Any, where: str) -> str:
    try:
        return print_ast(parse_type(text(value, where)))
    except GraphQLSyntaxError:
        raise ValueError(f"`{where}` must be a type of GraphQL, such as `[ID!]!`") from None


def boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"`{where}` must be true or false")
    return value


def anything(value: Any, where: str) -> Any:
    return value


def column(value: Any, where: str) -> Any:
    found = held(value, where)
    for each in found.at:
        named(each, f"{where}.at")
    return found


def argument(value: Any, where: str) -> Argument:
    found: Argument = part(Argument, argument=named, type=type_, values=texts)(value, where)
    return found


def names_of(read: Callable[[Any, str], Any]) -> Callable[[Any, str], Mapping[str, Any]]:
    """A table whose names are printed, too."""

    def reading(value: Any, where: str) -> Mapping[str, Any]:
        for each in table(value, where):
            named(each, f"{where}.{each}")
        return each_of(read)(value, where)

    return reading


PARTS: Mapping[str, Callable[[Any, str], Any]] = {
    "name": text,
    "field": steps,
    "rows": steps,
    "columns": each_of(column),
    "arguments": names_of(part(Given, type=type_, value=anything)),
    "keys": each_of(
        part(ByKey, argument=named, type=type_, field=steps, rows=steps, paged=boolean, most=count, values=texts)
    ),
    "filters": each_of(argument),
    "limit": part(Cut, argument=named, type=type_, most=count),
    "paging": part(Paging, size=count, first=named, after=named, cursor=type_),
}


def _field(found: Collection, where: str) -> None:
    if not found.field:
        raise ValueError(f"`{where}.field` must name a field")


def _columns(found: Collection, where: str) -> None:
    if not found.columns:
        raise ValueError(f"`{where}.columns` is missing")
    for name in (*found.keys, *found.filters):
        if name not in found.columns:
            raise ValueError(f"`{where}` names the column `{name}`, which it does not have")
    places = {name: each.at for name, each in found.columns.items()}
    for name, place in places.items():
        if not place or any(other[: len(place)] == place != other for other in places.values()):
            raise ValueError(f"`{where}.columns.{name}.at` must be a value, and no object that another column is in")


def _keys(found: Collection, where: str) -> None:
    for name, each in found.keys.items():
        if each.most < 1:
            raise ValueError(f"`{where}.keys.{name}.most` must be at least 1")
        if not each.field and (each.rows or each.paged):
            raise ValueError(f"`{where}.keys.{name}` takes `rows` and `paged` only with a `field` of its own")
        if each.paged and (found.paging is None or not each.rows):
            raise ValueError(f"`{where}.keys.{name}.paged` needs `{where}.paging`, and `rows` beside `pageInfo`")


def _sent(found: Collection, where: str) -> None:
    for name in (*found.keys, *found.filters):
        if found.columns[name].kind not in SENT:
            raise ValueError(
                f"`{where}` cannot send `{name}`: only text, integer, boolean and date are written one way"
            )
    for taken in _taken(found):
        if len(set(taken)) < len(taken):
            raise ValueError(f"`{where}` gives one argument two meanings")


def _taken(found: Collection) -> Iterator[tuple[str, ...]]:
    """The arguments that can stand together in a call, but for those of keys, which win over a filter."""
    cut = (found.limit.argument,) if found.limit else ()
    pages = (found.paging.first, found.paging.after) if found.paging else ()
    yield (*found.arguments, *(each.argument for each in found.filters.values()), *cut, *pages)
    yield from ((*found.arguments, each.argument, *pages) for each in found.keys.values() if not each.field)


def _paging(found: Collection, where: str) -> None:
    if found.paging is None:
        return
    if found.limit is not None:
        raise ValueError(f"`{where}` has a limit and pages: say the size of a page instead")
    if not found.rows:
        raise ValueError(f"`{where}.rows` is missing: a page has its rows beside its `pageInfo`, such as in `nodes`")
    if found.paging.size < 1:
        raise ValueError(f"`{where}.paging.size` must be at least 1")
