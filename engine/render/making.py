"""A selection over rows in, a generated function that makes all its objects in one comprehension out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.house import House
from engine.names import columns_of, is_list, written
from engine.plan.words import Branch
from engine.render.columns import Shows, shows, shows_each
from engine.select import Pick

Objects = list[dict[str, Any]]
"""In the order of the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Generated for one selection over rows of these columns."""

    takes: tuple[tuple[int, Shows | None], ...]
    """Which columns the function takes, in order, and how they are shown; None: as they are."""
    computed: tuple[tuple[int, tuple[int, ...], Shows], ...]
    """What follows them: fields computed of all rows, by pick number, and the places of what they are computed of."""
    make: Callable[..., Objects]
    """Takes those columns, then of each branch below what stands for a key, and for any other."""


def maker(house: House, branch: Branch, columns: tuple[str, ...], picks: Sequence[Pick]) -> Maker:
    making = Making(house=house, branch=branch, columns=columns)
    members = [f"{pick.key!r}: {making.member(pick)}" for pick in picks]
    if not making.takes and not making.computed:
        making.takes[0, None] = "x"
    names = [*making.takes.values(), *(f"b{at}" for at in range(len(making.computed)))]
    head = [f"    m{at}, a{at} = below[{at}]" for at in range(len(branch.branches))]
    made = f"    return [{{{', '.join(members)}}} for {''.join(f'{each}, ' for each in names)}in zip(*columns)]"
    # Names in the source are of GraphQL's grammar and quoted, all else is ours.
    space: dict[str, Any] = {"written": written}
    exec("\n".join(["def make(columns, below):", *head, made]), space)
    return Maker(takes=tuple(making.takes), computed=tuple(making.computed), make=space["make"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """One function under way."""

    house: House
    branch: Branch
    columns: tuple[str, ...]
    takes: dict[tuple[int, Shows | None], str] = field(default_factory=dict)
    computed: list[tuple[int, tuple[int, ...], Shows]] = field(default_factory=list)

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
        if len(of) > 1:
            return f"written({self.key(of)})"
        return self.take(of[0], (shows_each if is_list(pick.returns) else shows)(pick.returns))

    def take(self, column: str, shown: Shows | None = None) -> str:
        return self.takes.setdefault((self.columns.index(column), shown), f"c{len(self.takes)}")

    def key(self, of: Sequence[str]) -> str:
        places = [self.take(each) for each in of]
        return places[0] if len(places) == 1 else f"({', '.join(places)})"

    def batch(self, pick: Pick) -> str:
        assert self.branch.needs is not None
        needs = tuple(self.columns.index(each) for each in self.branch.needs[pick.number])
        self.computed.append((pick.number, needs, shows_each(pick.returns)))
        return f"b{len(self.computed) - 1}"
