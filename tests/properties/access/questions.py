"""Draw small queries of a world, each of one field of the root."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.properties.access.world import COMPUTED
from tests.properties.equality.arguments import Arguments
from tests.properties.equality.draw import ODDS, Draw
from tests.properties.equality.model import MODEL
from tests.properties.equality.question import Field
from tests.properties.equality.world import World

DEEPEST = 2
SMALLER = {
    **ODDS, "one by id": 0.2, "variables": 0.2, "typename": 0.02, "groups": 0.3, "aggregate": 0.3, "edges": 0.2,
    "order": 0.4, "having": 0.3, "and": 0.04, "or": 0.06, "a link to many": 0.3, "a link to one": 0.35,
}  # fmt: skip


class Questions(Draw):
    """Draws from one world, less deep than it could."""

    def __init__(self, of: World, seed: str) -> None:
        super().__init__(of, seed, 1)
        self.given = Arguments(of, self.random, self.given.values, SMALLER)
        self.does = self.given.does

    def members(self, kind: str, depth: int) -> list[Field]:
        computed = [name for of, name in COMPUTED if of == kind and self.random.random() < 0.8]
        return [*super().members(kind, depth), *(Field(name=name) for name in computed)]

    def links(self, kind: str, depth: int) -> list[Field]:
        return super().links(kind, depth) if depth <= DEEPEST else []

    def connection(self, name: str, kind: str, rows: Sequence[Mapping[str, Any]], depth: int) -> Field:
        """A list that begins or ends at a row only where what it is sorted by is the same for everybody."""
        field = super().connection(name, kind, rows, depth)
        if all(term.keys().isdisjoint(MODEL[kind].links) for term in field.arguments.get("orderBy", ())):
            return field
        kept = {name: value for name, value in field.arguments.items() if name not in ("after", "before")}
        return replace(field, arguments=kept, spoken={name: of for name, of in field.spoken.items() if name in kept})
