"""What is kept of changes, of a few rows of each type of Acme that is changed: as the history has it, in memory."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from demo.data.random import NOW
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.model.mapping import TypeMapping
from onedoor.model.names import format_id
from onedoor.mutations.history import VALUES_ID_COLUMN, VALUES_SUFFIX, TrackedType, build_tracked_types
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Row

ROWS = 30
PEOPLE = ("P1", "P2", "P3")
REASONS = (None, "asked for by the customer", "a typo")


def changes(bindings: Mapping[str, TypeMapping], sources: Mapping[str, Connector]) -> MemoryConnector:
    """`bindings` as a house has them."""
    collections: dict[str, MemoryCollection] = {}
    for type_name, kept in build_tracked_types(bindings, sources).items():
        source: Any = sources[bindings[type_name].source]
        held: MemoryCollection = source.collections[bindings[type_name].collection]
        fixed = bindings[type_name].constants
        rows = [dict(zip(held.capabilities.columns, row, strict=True)) | fixed for row in held.rows[:ROWS]]
        told = [one for number, row in enumerate(rows) for one in _changes(type_name, kept, number, row)]
        collections[type_name] = MemoryCollection(
            capabilities=kept.change_capabilities, rows=[_row(kept.change_capabilities, each) for each, _ in told]
        )
        sides = [side for _, both in told for side in both]
        collections[type_name + VALUES_SUFFIX] = MemoryCollection(
            capabilities=kept.value_capabilities, rows=[_row(kept.value_capabilities, each) for each in sides]
        )
    return MemoryConnector(collections)


def _row(can: Any, told: Mapping[str, Any]) -> Row:
    return tuple(told.get(each) for each in can.columns)


def _changes(
    type_name: str, kept: TrackedType, number: int, row: Mapping[str, Any]
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
            "row": format_id(tuple(row[each] for each in kept.row_key.id_columns)),
            "version_before": str(step) if step else None,
            "version_after": str(step + 1),
            "before_id": before,
            "after_id": after,
            **{name: row[name.removeprefix("row_")] for name in kept.row_key.linked_columns},
        }
        yield told, [{**row, VALUES_ID_COLUMN: each} for each in (before, after) if each is not None]
