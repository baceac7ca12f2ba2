"""The collection `metrics`: the points of the queries that the settings declare, each under its name.

A point stands for the step that begins there, so whole steps are asked for: what is at the ends is whole, too.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from math import ceil, floor, isfinite
from typing import Any

from engine.errors import Code, SourceFailed
from engine.words import Ask, Kind
from sources.datadog.calls import Calls, listed
from sources.datadog.collection import EPOCH, NAMED, SPAN, Collection, Item, named, of_tag, span
from sources.fan_out import fan_out

POINTS = 1500
"""More of one series Datadog rolls up further than the query says."""
ROLLUP = re.compile(r"\.rollup\(\s*\w+\s*,\s*(?P<step>[1-9][0-9]{0,6})\s*\)")
PATH = "/api/v1/query"
CALLED = "metrics"


def metrics(queries: Mapping[str, str], tags: Mapping[str, Kind], history: timedelta, now: Any) -> Collection:
    """ValueError: a query without a roll-up, whose points would depend on the time they are asked for."""
    steps = {name: _step(name, query) for name, query in queries.items()}
    further = {tag: (kind, of_tag(tag, kind, lambda item: item["tags"])) for tag, kind in tags.items()}
    return Collection(
        columns={
            **further,
            "metric": (Kind.TEXT, lambda item: item["metric"]),
            "time": (Kind.TIME, lambda item: item["time"]),
            "value": (Kind.FLOAT, lambda item: item["value"]),
        },
        filters={"metric": NAMED, "time": SPAN},
        fetch=partial(_fetched, {name: (query, steps[name]) for name, query in queries.items()}, history, now),
    )


def _step(name: str, query: Any) -> int:
    """In seconds."""
    found = ROLLUP.search(query) if isinstance(query, str) else None
    if found is None:
        raise ValueError(f"`metrics.{name}` must be a query that says its roll-up in seconds, as `.rollup(sum, 60)`")
    return int(found["step"])


async def _fetched(
    queries: Mapping[str, tuple[str, int]], history: timedelta, now: Any, calls: Calls, ask: Ask
) -> AsyncIterator[Sequence[Item]]:
    start, end = span(ask, now() - history, now())
    assert end is not None
    wanted = named("metric", ask)
    names = [each for each in queries if wanted is None or each in wanted]
    if start > end or not names:
        return
    asked = [(queries[name][0], _steps(name, queries[name][1], start, end)) for name in names]
    answers = await fan_out(lambda each: _asked(calls, *each), asked, calls.at_once)
    for name, series in zip(names, answers, strict=True):
        yield [item for each in series for item in _points(name, each)]


def _steps(name: str, step: int, start: datetime, end: datetime) -> Mapping[str, str]:
    """Whole ones. SourceFailed: so many that they would be other ones."""
    low, high = floor(_seconds(start) / step) * step, ceil(_seconds(end) / step) * step
    if (points := (high - low) // step) > POINTS:
        asked = f"`{name}` is asked for {points:,} points of each series, over Datadog's limit of {POINTS:,}"
        raise SourceFailed(f"{asked}: bound `time` from below", Code.LIMIT_EXCEEDED)
    return {"from": str(low), "to": str(high)}


async def _asked(calls: Calls, query: str, given: Mapping[str, str]) -> list[Item]:
    return listed(await calls.get(CALLED, PATH, {**given, "query": query}), "series")


def _points(name: str, series: Item) -> list[Item]:
    """What is not a number, or has no end, has no value."""
    tags: Sequence[str] = series.get("tag_set") or [each for each in series.get("scope", "").split(",") if each != "*"]
    return [
        {
            "metric": name,
            "tags": tags,
            "time": EPOCH + timedelta(milliseconds=round(at)),
            "value": float(value) if value is not None and isfinite(value) else None,
        }
        for at, value in series["pointlist"]
    ]


def _seconds(at: datetime) -> float:
    return (at - EPOCH).total_seconds()
