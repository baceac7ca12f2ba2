"""Tables in, what each is called out: no two alike, and none like what the schema has or makes of another."""

import keyword
from collections.abc import Iterable, Set

from introspect.names import Words, many, one, pascal, snake, words
from introspect.names import camel as named
from introspect.shape import Titled
from introspect.words import Table, Taken, Wish

RESERVED = frozenset(
    {
        "Query", "Mutation", "Subscription", "Int", "Float", "String", "Boolean", "ID", "BigInt", "Decimal", "Date",
        "DateTime", "PageInfo", "Direction", "GroupBy", "TimeGroupBy", "DateGroupBy", "Many", "One", "ById", "Computed",
        "StrEnum", "Key", "Me",
    }
)  # fmt: skip
"""Types the schema has of itself, and what a file of schema/ calls by these names."""
MADE = (
    "Connection", "Edge", "Where", "ListWhere", "Order", "AggregateOrder", "CountDistinctOrder", "SumOrder",
    "AverageOrder", "MinimumOrder", "MaximumOrder", "CountDistinct", "CountDistinctHaving", "Sum", "SumHaving",
    "Average", "AverageHaving", "Minimum", "MinimumHaving", "Maximum", "MaximumHaving", "Aggregate", "Having",
    "GroupBy", "GroupKey", "Group", "GroupOrder", "Filter",
)  # fmt: skip
"""What the schema puts behind a type's name to make others."""


def titles(tables: Iterable[Table], wish: Wish, taken: Taken) -> dict[str, Titled]:
    """By table. A name somebody has is made another's by the schema's name before it, or the source's."""
    types = spread(RESERVED | taken.types)
    roots, files = set(taken.roots), set(taken.files)
    found: dict[str, Titled] = {}
    for table in sorted(tables, key=lambda each: (len(each.name), each.name)):
        tried = (title(each) for each in candidates(table, wish))
        found[table.name] = next(each for each in tried if fits(each, types, roots, files))
        kept = found[table.name]
        types |= spread({kept.type})
        roots |= {named(kept.one), named(kept.many)}
        files.add(kept.file)
    return found


def candidates(table: Table, wish: Wish) -> Iterable[Words]:
    place, _, last = table.name.rpartition(".")
    short = last.removeprefix(wish.strip) or last
    own = one(words(short))
    yield own
    yield from below(place, own) if table.declared else ()
    if place:
        yield (*words(place), *own)
    yield (*words(wish.source), *own)
    yield from ((*words(wish.source), *own, str(number)) for number in range(2, 1000))


def below(place: str, own: Words) -> Iterable[Words]:
    """After what it stands under, and what that stands under: a status of deployments is a deployment status."""
    for each in reversed(place.split(".") if place else []):
        own = (*one(words(each)), *own)
        yield own


def title(found: Words) -> Titled:
    lots = many(found)
    file = snake(found)
    return Titled(
        words=found,
        type=pascal(found),
        one=found,
        many=("all", *lots) if named(lots) == named(found) else lots,
        file=f"{file}_" if keyword.iskeyword(file) else file,
    )


def fits(wanted: Titled, types: set[str], roots: set[str], files: set[str]) -> bool:
    return (
        not clashes(wanted.type, types)
        and not {named(wanted.one), named(wanted.many)} & roots
        and wanted.file not in files
    )


def clashes(name: str, types: Set[str]) -> bool:
    """Whether this name, or one made of it, is among `types`, which hold what is made of each."""
    return not types.isdisjoint(spread({name}))


def spread(names: Iterable[str]) -> set[str]:
    """Names, and all that is made of them."""
    return {f"{name}{each}" for name in names for each in ("", *MADE)}
