"""What is kept of changes, of a few rows of each type of Acme that is changed: as the history has it, in memory."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from demo.world.sizes import NOW
from engine.binding import Binding
from engine.change.bindings import VALUES, VALUES_ID
from engine.change.history import Kept, kept_of
from engine.names import written
from engine.source import Source
from engine.words import Row
from sources.memory import Collection, Memory

ROWS = 30
PEOPLE = ("P1", "P2", "P3")
REASONS = (None, "asked for by the customer", "a typo")


def changes(bindings: Mapping[str, Binding], sources: Mapping[str, Source]) -> Memory:
    """`bindings` as a house has them."""
    collections: dict[str, Collection] = {}
    for type_name, kept in kept_of(bindings, sources).items():
        source: Any = sources[bindings[type_name].source]
        held: Collection = source.collections[bindings[type_name].collection]
        fixed = bindings[type_name].constants
        rows = [dict(zip(held.can.columns, row, strict=True)) | fixed for row in held.rows[:ROWS]]
        told = [one for number, row in enumerate(rows) for one in _changes(type_name, kept, number, row)]
        collections[type_name] = Collection(can=kept.changes, rows=[_row(kept.changes, each) for each, _ in told])
        sides = [side for _, both in told for side in both]
        collections[type_name + VALUES] = Collection(can=kept.values, rows=[_row(kept.values, each) for each in sides])
    return Memory(collections)


def _row(can: Any, told: Mapping[str, Any]) -> Row:
    return tuple(told.get(each) for each in can.columns)


def _changes(
    type_name: str, kept: Kept, number: int, row: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]:
    """It was made, and, of every other row, changed and its change undone or tried in part."""
    for step in range(1 + number % 3):
        id = f"{type_name}-{number}-{step}"
        before, after = (f"{id}.before" if step else None), f"{id}.after"
        told = {
            "id": id,
            "at": NOW - timedelta(days=number, hours=-step),
            "person": PEOPLE[number % len(PEOPLE)],
            "verb": "update" if step else "create",
            "mutation": f"{'update' if step else 'create'}{type_name}",
            "state": ("DONE", "DONE", "UNDONE")[step],
            "reason": REASONS[(number + step) % len(REASONS)],
            "record": f"R{number}",
            "row": written(tuple(row[each] for each in kept.key.columns)),
            "version_before": str(step) if step else None,
            "version_after": str(step + 1),
            "before_id": before,
            "after_id": after,
            **{name: row[name.removeprefix("row_")] for name in kept.key.linked},
        }
        yield told, [{**row, VALUES_ID: each} for each in (before, after) if each is not None]
