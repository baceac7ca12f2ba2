"""Read the values, the related rows and the JSON form of one row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

from tests.properties.equality.model import MODEL
from tests.properties.equality.world import Dict, World

T = TypeVar("T")
Term: TypeAlias = tuple[Callable[[Any], Any], bool]
"""The path to sort by, and whether it descends."""


def field_value(kind: str, row: Dict, name: str) -> Any:
    """The value of a field; of `id` the key, a tuple."""
    return key(kind, row) if name == "id" else row[MODEL[kind].fields[name]]


def key(kind: str, row: Dict) -> tuple[Any, ...]:
    return tuple(row[column] for column in MODEL[kind].key)


def identity(kind: str, row: Dict) -> str:
    return to_json("ID", key(kind, row))


def scalar(kind: str, name: str) -> str:
    return "ID" if name == "id" else MODEL[kind].columns[MODEL[kind].fields[name]].scalar


def linked_rows(world: World, kind: str, row: Dict, name: str) -> list[Dict]:
    """The rows a link leads to, by key, so that of a single link the first is meant; a null equals nothing."""
    link = MODEL[kind].links[name]
    wanted = [row[item] for item in link.here]
    results = [item for item in world.rows[link.to] if [item[there] for there in link.there] == wanted]
    return [] if None in wanted else sorted(results, key=lambda result: key(link.to, result))


def sort_rows(items: Iterable[T], terms: Sequence[Term]) -> list[T]:
    """By each term's value, the last term first, as sorting keeps what is equal; none comes last, either way."""
    results = list(items)
    for value, descending in reversed(terms):
        filled = sorted((result for result in results if value(result) is not None), key=value, reverse=descending)
        results = [*filled, *(result for result in results if value(result) is None)]
    return results


def to_json(of: str, value: Any) -> Any:
    """As JSON has it; an id of several parts has each percent-encoded."""
    if value is None:
        return None
    return WRITERS[of](value) if of in WRITERS else value


WRITERS: Mapping[str, Callable[[Any], Any]] = {
    "ID": lambda parts: str(parts[0]) if len(parts) == 1 else ":".join(quote(str(part), safe="") for part in parts),
    "BigInt": str,
    "Decimal": lambda number: f"{number:f}" if isinstance(number, Decimal) else str(number),
    "Date": date.isoformat,
    "DateTime": lambda moment: moment.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    "[String]": list,
}
