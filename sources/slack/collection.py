"""What one of Slack's collections is: its columns and how each is read from an item, and how its items are fetched."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from engine.words import Can, Column, Keys, Kind, Value
from sources.slack.calls import Calls, Item

Read: TypeAlias = Callable[[Item], Value]
Fetch: TypeAlias = Callable[[Calls, Keys | None], AsyncIterator[list[Item]]]

FEW = 5
"""Up to so many keys are asked for one by one; more are found in a listing."""
ID = re.compile(r"[A-Z0-9]{1,64}")
TS = re.compile(r"[0-9]{1,10}\.[0-9]{6}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """`fetch` gives each item once, and every item the keys name; it may give others, which the source drops."""

    columns: Mapping[str, tuple[Kind, Read]]
    keys: int
    key_columns: frozenset[tuple[str, ...]]
    fetch: Fetch
    requires: tuple[str, ...] = ()


def promise(collection: Collection) -> Can:
    """Keys alone; the engine does the rest."""
    return Can(
        columns={name: Column(kind=kind) for name, (kind, _) in collection.columns.items()},
        keys=collection.keys,
        key_columns=collection.key_columns,
        requires=collection.requires,
    )


def text(*path: str) -> Read:
    """The text at `path` of an item; None where it is missing or empty."""

    def read(item: Item) -> str | None:
        found: Any = item
        for step in path:
            found = (found or {}).get(step)
        return found or None

    return read


def instant(ts: str) -> datetime:
    """Slack's `seconds.microseconds`, exactly: a float would lose the last digit."""
    seconds, _, micro = ts.partition(".")
    return EPOCH + timedelta(seconds=int(seconds), microseconds=int(micro.ljust(6, "0")))
