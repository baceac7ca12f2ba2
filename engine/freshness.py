"""The reads of an answer in, when each collection was read out: the oldest of its rows counts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from engine.fetch.words import Call


def freshness(calls: Sequence[Call], now: datetime) -> list[Mapping[str, Any]]:
    """A line for each source and collection that gave rows; ages in seconds."""
    read: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        if call.at is not None:
            read.setdefault((call.source, call.collection), []).append(call)
    return [_line(source, collection, each, now) for (source, collection), each in sorted(read.items())]


def _line(source: str, collection: str, calls: Sequence[Call], now: datetime) -> Mapping[str, Any]:
    at = min(each.at for each in calls if each.at is not None)
    return {
        "source": source,
        "collection": collection,
        "readAt": at.isoformat(timespec="milliseconds"),
        "age": max(0.0, round((now - at).total_seconds(), 3)),
        "cached": any(each.cached for each in calls),
    }
