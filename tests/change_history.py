"""Build a history of changes in memory, for a few rows of each type of Acme that mutations change."""

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


def build_change_history(bindings: Mapping[str, TypeMapping], sources: Mapping[str, Connector]) -> MemoryConnector:
    """Build the history of changes for the mappings of a catalog."""
    collections: dict[str, MemoryCollection] = {}
    for type_name, tracked_type in build_tracked_types(bindings, sources).items():
        source: Any = sources[bindings[type_name].source]
        held: MemoryCollection = source.collections[bindings[type_name].collection]
        fixed = bindings[type_name].constants
        rows = [dict(zip(held.capabilities.columns, row, strict=True)) | fixed for row in held.rows[:ROWS]]
        result = [
            change for number, row in enumerate(rows) for change in _changes(type_name, tracked_type, number, row)
        ]
        collections[type_name] = MemoryCollection(
            capabilities=tracked_type.change_capabilities,
            rows=[_row(tracked_type.change_capabilities, item) for item, _ in result],
        )
        sides = [side for _, both in result for side in both]
        collections[type_name + VALUES_SUFFIX] = MemoryCollection(
            capabilities=tracked_type.value_capabilities,
            rows=[_row(tracked_type.value_capabilities, item) for item in sides],
        )
    return MemoryConnector(collections)


def _row(can: Any, values: Mapping[str, Any]) -> Row:
    return tuple(values.get(column) for column in can.columns)


def _changes(
    type_name: str, kept: TrackedType, number: int, row: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]:
    """It was made, and, of every other row, changed and its change undone or tried in part."""
    for step in range(1 + number % 3):
        id = f"{type_name}-{number}-{step}"
        before, after = (f"{id}.before" if step else None), f"{id}.after"
        result = {
            "id": id,
            "at": NOW - timedelta(days=number, hours=-step),
            "person": PEOPLE[number % len(PEOPLE)],
            "verb": "update" if step else "create",
            "mutation": f"{'update' if step else 'create'}{type_name}",
            "state": ("DONE", "DONE", "UNDONE")[step],
            "reason": REASONS[(number + step) % len(REASONS)],
            "record": f"R{number}",
            "row": format_id(tuple(row[id_column] for id_column in kept.row_key.id_columns)),
            "version_before": str(step) if step else None,
            "version_after": str(step + 1),
            "before_id": before,
            "after_id": after,
            **{name: row[name.removeprefix("row_")] for name in kept.row_key.linked_columns},
            **{f"after.{name}": value for name, value in row.items()},
            **({f"before.{name}": value for name, value in row.items()} if before else {}),
        }
        yield result, [{**row, VALUES_ID_COLUMN: item} for item in (before, after) if item is not None]
