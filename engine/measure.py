"""A parsed document in, how large it is with its fragments expanded out: before validation, in time linear in its text.

Each fragment is measured once and its size added where it is spread; sums stop at MOST, so that a kilobyte of
fragments that double cannot make a number, or a walk, that grows with what they stand for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from engine.errors import Code, Fault, Refused
from engine.house import Limits

MOST = 1_000_000_000
INTROSPECTING_LISTS = frozenset({"fields", "interfaces", "possibleTypes", "inputFields"})
"""Introspection's own lists of types, which lead back to themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of one selection set, its fragments expanded: what is counted, and how deep it goes."""

    fields: int = 0
    aliases: int = 0
    directives: int = 0
    root_fields: int = 0
    depth: int = 0
    looping: int = 0
    """How many of INTROSPECTING_LISTS stand inside one another."""
    listing: int = 0
    """How many of them, and of `types`, there are in all."""


NOTHING = Size()


class Measuring:
    """One walk over one document; `steps` is how many selections it visited, `known` each fragment's size."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments: Mapping[str, FragmentDefinitionNode] = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self.known: dict[str, Size] = {}
        self.steps = 0
        for name in self.inner_first():
            self.known[name] = self.of(self.fragments[name].selection_set)

    def inner_first(self) -> Iterator[str]:
        """Every fragment after those it spreads, but for circles, which validation refuses; needs no stack of calls."""
        begun: set[str] = set()
        for first in self.fragments:
            waiting = [(first, iter(self.spread_in(first)))] if first not in begun else []
            begun.add(first)
            while waiting:
                name, ahead = waiting[-1]
                following = next((each for each in ahead if each not in begun and each in self.fragments), None)
                if following is None:
                    yield name
                    waiting.pop()
                else:
                    begun.add(following)
                    waiting.append((following, iter(self.spread_in(following))))

    def spread_in(self, name: str) -> list[str]:
        found: list[str] = []
        waiting: list[Any] = [self.fragments[name].selection_set]
        while waiting:
            for node in waiting.pop().selections:
                self.steps += 1
                if isinstance(node, FragmentSpreadNode):
                    found.append(node.name.value)
                elif node.selection_set:
                    waiting.append(node.selection_set)
        return found

    def of(self, wanted: SelectionSetNode | None) -> Size:
        total = NOTHING
        for node in wanted.selections if wanted else ():
            self.steps += 1
            total = beside(total, self.selection(node))
        return total

    def selection(self, node: Any) -> Size:
        directives = len(node.directives or ())
        if isinstance(node, FragmentSpreadNode):
            return beside(Size(directives=directives), self.known.get(node.name.value, NOTHING))
        inner = self.of(node.selection_set)
        if not isinstance(node, FieldNode):
            return beside(Size(directives=directives), inner)
        lists = node.name.value in INTROSPECTING_LISTS and node.selection_set is not None
        return Size(
            fields=least(inner.fields + 1),
            aliases=least(inner.aliases + (node.alias is not None)),
            directives=least(inner.directives + directives),
            root_fields=1,
            depth=least(inner.depth + 1),
            looping=least(inner.looping + lists),
            listing=least(inner.listing + (lists or node.name.value == "types")),
        )


def beside(one: Size, other: Size) -> Size:
    return Size(
        fields=least(one.fields + other.fields),
        aliases=least(one.aliases + other.aliases),
        directives=least(one.directives + other.directives),
        root_fields=least(one.root_fields + other.root_fields),
        depth=max(one.depth, other.depth),
        looping=max(one.looping, other.looping),
        listing=least(one.listing + other.listing),
    )


def inside(size: Size) -> Size:
    """As a part of something larger: its outermost fields are no root fields."""
    return replace(size, root_fields=0)


def least(number: int) -> int:
    return min(number, MOST)


def measure(document: DocumentNode, limits: Limits) -> int:
    """The steps it took; raises Refused for the first operation or fragment past a limit, naming it."""
    measuring = Measuring(document)
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    for size in (*(measuring.of(each.selection_set) for each in operations), *map(inside, measuring.known.values())):
        for complaint in _over(size, limits):
            raise Refused(Fault(code=Code.LIMIT_EXCEEDED, message=complaint))
    return measuring.steps


def _over(size: Size, limits: Limits) -> Iterator[str]:
    asked = (
        ("fields", size.fields, "picks_max", limits.picks_max, "ask in parts"),
        ("aliases", size.aliases, "aliases_max", limits.aliases_max, "ask in parts"),
        ("directives", size.directives, "directives_max", limits.directives_max, "leave some out"),
        ("levels", size.depth, "depth_max", limits.depth_max, "ask for less at once"),
        (
            "root fields",
            size.root_fields,
            "root_fields_max",
            limits.root_fields_max,
            "ask in parts",
        ),
        (
            "lists of types in one another",
            size.looping,
            "introspection_depth",
            limits.introspection_depth,
            "ask flatter",
        ),
        ("lists of types", size.listing, "introspection_times", limits.introspection_times, "ask for each once"),
    )
    for what, number, name, limit, remedy in asked:
        if number > limit:
            counted = f"{number}" if number < MOST else "too many"
            yield f"the document has {counted} {what}, over the limit `{name}` of {limit}: {remedy}"
