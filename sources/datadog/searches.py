"""The collections `events` and `logs`: found by a search, page by page, the oldest first."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from typing import Any

from engine.words import Ask, Kind
from sources.datadog.calls import Calls, listed
from sources.datadog.collection import (
    EPOCH,
    NAMED,
    SPAN,
    Collection,
    Columns,
    Item,
    Read,
    moment,
    named,
    of_tag,
    safe,
    span,
)
from sources.datadog.failures import too_many, unreadable

PAGE = 1000
PATHS = {"events": "/api/v2/events/search", "logs": "/api/v2/logs/events/search"}
MILLISECOND = timedelta(milliseconds=1)


def attribute(*path: str) -> Read:
    """The text at a place of an item's attributes; None where it is missing or empty."""

    def read(item: Item) -> str | None:
        found: Any = item["attributes"]
        for step in path:
            found = (found or {}).get(step)
        return found or None

    return read


def tags_of(item: Item) -> Sequence[str]:
    return item["attributes"].get("tags") or ()


SHARED: Columns = {
    "id": (Kind.TEXT, lambda item: item["id"]),
    "time": (Kind.TIME, lambda item: moment(item["attributes"]["timestamp"])),
    "message": (Kind.TEXT, attribute("message")),
    "tags": (Kind.LIST, lambda item: tuple(tags_of(item))),
}
OWN: Mapping[str, Columns] = {
    "events": {
        **SHARED,
        "title": (Kind.TEXT, attribute("attributes", "title")),
        "status": (Kind.TEXT, attribute("attributes", "status")),
    },
    "logs": {
        **SHARED,
        "service": (Kind.TEXT, attribute("service")),
        "host": (Kind.TEXT, attribute("host")),
        "status": (Kind.TEXT, attribute("status")),
    },
}


def search(name: str, tags: Mapping[str, Kind], history: timedelta, now: Any) -> Collection:
    """A tag's column of the same name as one of its own gives way."""
    columns = {**{tag: (kind, of_tag(tag, kind, tags_of)) for tag, kind in tags.items()}, **OWN[name]}
    facets = tuple(each for each in columns if each in tags or each in ("service", "host", "status"))
    return Collection(
        columns=columns,
        filters={"time": SPAN, **dict.fromkeys(facets, NAMED)},
        fetch=partial(_fetched, name, facets, history, now),
    )


async def _fetched(
    name: str, facets: Sequence[str], history: timedelta, now: Any, calls: Calls, ask: Ask
) -> AsyncIterator[Sequence[Item]]:
    """SourceFailed past `items`, as nobody wants to read all that was ever logged."""
    start, end = span(ask, now() - history, None)
    query = _query(facets, ask)
    if query is None or (end is not None and start > end):
        return
    wanted = {"query": query, "from": _milliseconds(start), **({"to": _after(end)} if end is not None else {})}
    cursor, seen, count = None, set(), 0
    while True:
        page = {"limit": PAGE, **({"cursor": cursor} if cursor else {})}
        answer = await calls.post(name, PATHS[name], {"filter": wanted, "sort": "timestamp", "page": page})
        found = listed(answer, "data")
        count += len(found)
        if count > calls.items:
            raise too_many(name, calls.items)
        yield found
        cursor = ((answer.get("meta") or {}).get("page") or {}).get("after")
        if not cursor:
            return
        if cursor in seen:
            raise unreadable()
        seen.add(cursor)


def _query(facets: Sequence[str], ask: Ask) -> str | None:
    """None: nothing can be meant. What would not mean itself is not searched for; it is dropped among what comes."""
    parts = []
    for facet in facets:
        values = named(facet, ask)
        if values is None:
            continue
        if not values:
            return None
        if texts := safe(values):
            parts.append(f"{facet}:{texts[0]}" if len(texts) == 1 else f"{facet}:({' OR '.join(texts)})")
    return " ".join(parts) or "*"


def _milliseconds(at: datetime) -> str:
    return str(max(0, (at - EPOCH) // MILLISECOND))


def _after(at: datetime) -> str:
    """One more, as it is not said whether an end is counted."""
    return str(max(0, ceil((at - EPOCH) / MILLISECOND) + 1))
