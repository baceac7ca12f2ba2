"""An `orderBy` argument in, a steady order out: own columns, values beyond single links, aggregates of lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.house import House
from engine.names import leads_to
from engine.plan.reach import Term, kinds, names, reaches
from engine.plan.words import Reach
from engine.words import Kind, Order

DESCENDING = "DESC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """Ends in the key, so that no two rows tie."""

    order: tuple[Order, ...]
    kinds: tuple[Kind, ...]
    reaches: tuple[Reach, ...]


def ordering(house: House, type_name: str, given: Sequence[Mapping[str, Any]]) -> Ordering:
    key = house.bindings[type_name].key
    columns = house.sources[house.bindings[type_name].source].can(house.bindings[type_name].collection).columns
    terms = [term(house, type_name, each) for each in given]
    found: dict[str, tuple[Order, Kind]] = {}
    for each, descending in terms:
        named = zip(names(house, type_name, each), kinds(house, type_name, each), strict=True)
        for name, kind in named:
            found.setdefault(name, (Order(name, descending), kind))
    for name in key:
        found.setdefault(name, (Order(name), columns[name].kind))
    return Ordering(
        order=tuple(order for order, _ in found.values()),
        kinds=tuple(kind for _, kind in found.values()),
        reaches=reaches(house, type_name, [each for each, _ in terms]),
    )


def term(house: House, type_name: str, given: Mapping[str, Any]) -> tuple[Term, bool]:
    """What one member of `orderBy` looks at, and whether the greatest comes first."""
    ((field, inner),) = given.items()
    if not isinstance(inner, Mapping):
        return Term(links=(), field=field), inner == DESCENDING
    to, many = leads_to(house, type_name, field)
    below, descending = aggregated(inner) if many else term(house, to, inner)
    return Term(links=(field, *below.links), field=below.field, aggregate=below.aggregate), descending


def aggregated(given: Mapping[str, Any]) -> tuple[Term, bool]:
    """`{count: DESC}` or `{sum: {total: DESC}}`."""
    ((aggregate, inner),) = given.items()
    if not isinstance(inner, Mapping):
        return Term(links=(), aggregate=aggregate), inner == DESCENDING
    ((field, direction),) = inner.items()
    return Term(links=(), field=field, aggregate=aggregate), direction == DESCENDING
