"""Draw small queries of a world, each of one field of the root."""

from collections.abc import Sequence
from dataclasses import replace

from tests.properties.access.world import COMPUTED
from tests.properties.equality.arguments import Arguments
from tests.properties.equality.draw import ODDS, Draw
from tests.properties.equality.question import Field, Place
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


def leave_out_places(fields: Sequence[Field]) -> list[Field]:
    """Begin and end no page at a row."""
    return [leave_out_places_of(field) for field in fields]


def leave_out_places_of(field: Field) -> Field:
    kept = {name: value for name, value in field.arguments.items() if not isinstance(value, Place)}
    spoken = {name: of for name, of in field.spoken.items() if name in kept}
    return replace(field, arguments=kept, spoken=spoken, below=leave_out_places(field.below))
