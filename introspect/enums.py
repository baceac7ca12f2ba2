"""Tables and their titles in, an enum for each set of values that is declared out."""

from collections.abc import Iterable, Mapping

from engine.words import Kind
from introspect import said
from introspect.names import Words, pascal, words
from introspect.shape import Enumeration, Titled
from introspect.titles import RESERVED, clashes, spread
from introspect.words import Column, Table, Taken, Wish

Place = tuple[str, str]
"""A table and its column."""


def enums(tables: Iterable[Table], titled: Mapping[str, Titled], wish: Wish, taken: Taken) -> dict[Place, Enumeration]:
    """By column. Columns of one named enum share it; values that a check lists are their column's own."""
    types = spread({*RESERVED, *taken.types, *(each.type for each in titled.values())})
    shared: dict[tuple[str, tuple[str, ...]], Enumeration] = {}
    found: dict[Place, Enumeration] = {}
    for table in tables:
        for column in (each for each in table.columns if each.values and each.kind is Kind.TEXT):
            place = (table.name, column.name)
            known = shared.get((column.enum, column.values)) if column.enum else None
            found[place] = known or made(column, titled[table.name], wish, types)
            types |= spread({found[place].type})
            if column.enum:
                shared[column.enum, column.values] = found[place]
    return found


def made(column: Column, title: Titled, wish: Wish, types: set[str]) -> Enumeration:
    own = words(column.name)
    called = next(each for each in candidates(column, title, wish) if not clashes(pascal(each), types))
    return Enumeration(
        type=pascal(called), values=column.values, description=said.of_enum(own, title.words), file=title.file
    )


def candidates(column: Column, title: Titled, wish: Wish) -> Iterable[Words]:
    own = words(column.name)
    if column.enum:
        yield words(column.enum.rpartition(".")[2])
    whole = own if own[: len(title.words)] == title.words and own != title.words else (*title.words, *own)
    yield whole
    yield (*words(wish.source), *whole)
    yield from ((*whole, str(number)) for number in range(2, 1000))
