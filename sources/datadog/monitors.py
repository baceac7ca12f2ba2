"""The collections `monitors`, and `health`: the worst state of the monitors that have the same value of one tag."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

from engine.words import Ask, Kind
from sources.datadog.calls import Calls, listed
from sources.datadog.collection import Collection, Columns, Item, moment, named, of_tag, safe
from sources.fan_out import fan_out

PATH = "/api/v1/monitor"
CALLED = "monitors"
PAGE = 100
FEW = 5
"""Up to so many keys are asked for one by one; more are found among all."""
STATES = ("OK", "No Data", "Warn", "Alert")
"""The better first; of any other state nothing is known either."""
MONITOR: Columns = {
    "id": (Kind.INTEGER, lambda item: int(item["id"])),
    "name": (Kind.TEXT, lambda item: item.get("name")),
    "status": (Kind.TEXT, lambda item: item.get("overall_state")),
    "kind": (Kind.TEXT, lambda item: item.get("type")),
    "query": (Kind.TEXT, lambda item: item.get("query")),
    "message": (Kind.TEXT, lambda item: item.get("message") or None),
    "tags": (Kind.LIST, lambda item: tuple(item.get("tags") or ())),
    "created": (Kind.TIME, lambda item: moment(item["created"]) if item.get("created") else None),
    "modified": (Kind.TIME, lambda item: moment(item["modified"]) if item.get("modified") else None),
}


def monitors(tags: Mapping[str, Kind]) -> Collection:
    further = {name: (kind, of_tag(name, kind, _tags)) for name, kind in tags.items()}
    return Collection(
        columns={**further, **MONITOR},
        fetch=partial(_fetched, tuple(tags)),
    )


def health(tag: str, kind: Kind) -> Collection:
    """One row for each value of the tag."""
    return Collection(
        columns={
            tag: (kind, lambda item: item[tag]),
            "status": (Kind.TEXT, lambda item: item["status"]),
            "open": (Kind.INTEGER, lambda item: item["open"]),
            "monitors": (Kind.INTEGER, lambda item: item["monitors"]),
        },
        fetch=partial(_judged, tag, of_tag(tag, kind, _tags)),
    )


async def _judged(tag: str, read: Any, calls: Calls, ask: Ask) -> AsyncIterator[Sequence[Item]]:
    """All monitors are looked at before any is judged; one that two pages hold counts once."""
    found: dict[Any, dict[int, str]] = {}
    async for page in _fetched((tag,), calls, ask):
        for each in page:
            found.setdefault(read(each), {})[int(each["id"])] = each.get("overall_state") or ""
    found.pop(None, None)
    yield [
        {
            tag: value,
            "status": STATES[max(map(_badness, states.values()))],
            "open": sum(state in ("Warn", "Alert") for state in states.values()),
            "monitors": len(states),
        }
        for value, states in found.items()
    ]


def _badness(state: str) -> int:
    return STATES.index(state if state in STATES else "No Data")


async def _fetched(tags: Sequence[str], calls: Calls, ask: Ask) -> AsyncIterator[Sequence[Item]]:
    for column in ("id", *tags):
        values = named(column, ask)
        texts = None if values is None or len(values) > FEW else safe(values)
        if texts is not None:
            act = partial(_by_id, calls) if column == "id" else partial(_tagged, calls, column)
            yield _once(await fan_out(act, texts, calls.at_once))
            return
    async for page in _pages(calls, {}):
        yield page


def _once(answers: Sequence[Sequence[Item]]) -> list[Item]:
    return list({item["id"]: item for answer in answers for item in answer}.values())


async def _by_id(calls: Calls, id: str) -> list[Item]:
    if not id.isdecimal():
        return []
    found = await calls.get(CALLED, f"{PATH}/{id}", {})
    return [] if found is None else [found]


async def _tagged(calls: Calls, tag: str, value: str) -> list[Item]:
    return [item async for page in _pages(calls, {"monitor_tags": f"{tag}:{value}"}) for item in page]


async def _pages(calls: Calls, parameters: Mapping[str, str]) -> AsyncIterator[list[Item]]:
    """A page that is not full is the last."""
    number = 0
    while True:
        turned = {**parameters, "page": str(number), "page_size": str(PAGE)}
        found = listed({"found": await calls.get(CALLED, PATH, turned)}, "found")
        yield found
        if len(found) < PAGE:
            return
        number += 1


def _tags(item: Item) -> Sequence[str]:
    return item.get("tags") or ()
