"""A selection over rows in, a generated function that makes all its objects in one comprehension out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLNonNull

from engine.house import House
from engine.leaves import leaf
from engine.names import columns_of
from engine.names import written as id_written
from engine.plan.words import Branch
from engine.render.columns import Unusual, Written, written
from engine.select import Pick

Objects = list[dict[str, Any]]
"""In the order of the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Generated for one selection over rows of these columns."""

    checks: tuple[tuple[int, Written], ...]
    make: Callable[..., Objects]
    computed: tuple[int, ...]


def maker(house: House, branch: Branch, columns: tuple[str, ...], picks: Sequence[Pick]) -> Maker:
    making = Making(house=house, branch=branch, columns=columns)
    members = [f"{pick.key!r}: {making.member(pick)}" for pick in picks]
    head = [f"    m{at}, a{at} = below[{at}]" for at in range(len(branch.branches))]
    head += [f"    b{at} = computed[{at}]" for at in range(len(making.computed))]
    names = "".join(f"c{at}, " for at in range(len(columns)))
    made = f"    return [{{{', '.join(members)}}} for {names}in rows]"
    source = "\n".join(["def make(rows, below, computed):", *head, made])
    # Names in the source are of GraphQL's grammar and quoted, all else is ours.
    exec(source, making.names)
    return Maker(checks=tuple(making.checks), make=making.names["make"], computed=tuple(making.computed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """One function under way."""

    house: House
    branch: Branch
    columns: tuple[str, ...]
    checks: list[tuple[int, Written]] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=lambda: {"id_written": id_written})
    computed: list[int] = field(default_factory=list)

    def member(self, pick: Pick) -> str:
        if pick.field == "__typename":
            return repr(pick.type)
        for at, below in enumerate(self.branch.branches):
            if below.pick.number == pick.number:
                return f"m{at}.get({self.key(below.here)}, a{at})"
        binding = self.house.bindings[pick.type]
        if pick.field in binding.batches:
            return self.batch(pick)
        of = columns_of(binding, pick.field)
        return self.leaf(pick, of[0]) if len(of) == 1 else f"id_written({self.key(of)})"

    def key(self, of: Sequence[str]) -> str:
        places = [f"c{self.columns.index(each)}" for each in of]
        return places[0] if len(places) == 1 else f"({', '.join(places)})"

    def leaf(self, pick: Pick, of: str) -> str:
        at, how = self.columns.index(of), written(pick.returns)
        self.checks.append((at, how))
        return self.code(how, f"c{at}")

    def code(self, how: Written, value: str) -> str:
        name = f"k{len(self.names)}"
        self.names[name] = how.convert or how.known
        made = how.code.format(value, name)
        return made if how.plain or not how.nullable else f"None if {value} is None else {made}"

    def batch(self, pick: Pick) -> str:
        assert self.branch.needs is not None
        needs = self.branch.needs[pick.number]
        name = f"k{len(self.names)}"
        self.names[name] = _computed(pick)
        self.computed.append(pick.number)
        key = "".join(f"c{self.columns.index(each)}, " for each in needs)
        return f"{name}(b{len(self.computed) - 1}[({key})])"


def _computed(pick: Pick) -> Callable[[Any], Any]:
    convert, never_null = leaf(pick.returns), isinstance(pick.returns, GraphQLNonNull)

    def value(found: Any) -> Any:
        if found is None and never_null:
            raise Unusual
        return None if found is None else convert(found)

    return value
