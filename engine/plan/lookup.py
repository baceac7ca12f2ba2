"""A field that is looked up in, its branch out: one read of the other collection, whose rows are never shown whole."""

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import get_named_type

from engine.binding import Lookup
from engine.house import House
from engine.names import link_columns
from engine.plan.push import joined, read
from engine.plan.words import Branch, Wanted
from engine.select import Pick
from engine.slots import within
from engine.words import Op, Order, Test


def branch(house: House, pick: Pick, lookup: Lookup) -> Branch:
    within(pick.arguments, house.limits.in_max)
    here, there = link_columns(lookup)
    wanted = Wanted(
        source=lookup.source,
        collection=lookup.collection,
        columns=tuple(dict.fromkeys((lookup.column, *there))),
        keyed=there,
        where=joined(tuple(_tests(lookup, pick.arguments))),
        order=(Order(lookup.column),),
        limit=1,
    )
    return Branch(
        pick=pick,
        type=get_named_type(pick.returns).name,
        many=False,
        here=here,
        there=there,
        column=lookup.column,
        rows=read(house.sources[lookup.source], wanted),
    )


def _tests(lookup: Lookup, arguments: Mapping[str, Any]) -> Iterator[Test]:
    """An argument that is null, or was not given, decides nothing."""
    for name, column in lookup.arguments.items():
        given = arguments.get(name)
        if given is not None:
            yield Test(column, Op.EQ, given)
