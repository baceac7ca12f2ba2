"""Shapes in, the types that lists, filters and orders can come to out."""

from collections.abc import Iterable
from dataclasses import dataclass

from schema.generate.columns import links
from schema.read import Leads, Shapes, TypeShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    listed: frozenset[str]
    """The types that some field gives a connection of."""
    linked: frozenset[str]
    """The types that those have lists of that a filter, an order or a key can reach."""
    filtered: frozenset[str]
    """The types that a filter, an order or a key can reach: listed ones, and those that their links lead to."""
    interfaces: frozenset[str]


def reach(shapes: Shapes) -> Reach:
    listed = _lists(shapes.types)
    filtered = _followed(listed, shapes)
    return Reach(
        listed=listed,
        linked=_lists(shape for shape in shapes.types if shape.name in filtered),
        filtered=filtered,
        interfaces=frozenset(shape.name for shape in shapes.types if shape.interface),
    )


def _lists(types: Iterable[TypeShape]) -> frozenset[str]:
    return frozenset(each.to for shape in types for each in links(shape, Leads.MANY))


def _followed(start: frozenset[str], shapes: Shapes) -> frozenset[str]:
    leads = {shape.name: {each.to for each in links(shape, Leads.ONE, Leads.MANY)} for shape in shapes.types}
    found: set[str] = set()
    ahead = set(start)
    while ahead:
        found |= ahead
        ahead = {to for name in ahead for to in leads[name]} - found
    return frozenset(found)
