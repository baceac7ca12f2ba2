"""A metric query and seconds to its series: sums of requests and errors, by tag, rolled up to a step."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from demo.datadog.search import BadSearch
from demo.world.traffic import Served, counted

QUERY = re.compile(
    r"sum:(?P<metric>[a-z_.]+)\{(?P<scope>[^{}]*)\}(?: by \{(?P<by>[a-z_,]*)\})?(?:\.as_count\(\))?"
    r"\.rollup\(sum, ?(?P<step>[0-9]+)\)"
)
CODES: Mapping[str, tuple[str, ...]] = {"acme.requests": ("200", "500"), "acme.errors": ("500",)}
MOST_POINTS = 1500


def series(here: list[Served], query: str, start: int, end: int) -> list[dict[str, Any]]:
    """Points stand on whole steps; each is what came in the step that begins there."""
    asked = QUERY.fullmatch(query)
    if asked is None or asked["metric"] not in CODES or not int(asked["step"]):
        raise BadSearch("cannot read the query")
    step = int(asked["step"])
    first = -(-start // step) * step
    if (end - first) // step >= MOST_POINTS:
        step *= 1 + (end - first) // step // MOST_POINTS
    by = tuple(each for each in (asked["by"] or "").split(",") if each)
    return [
        _made(asked["metric"], tags, members, range(first, end + 1, step)) for tags, members in _groups(asked, by, here)
    ]


def _groups(
    asked: re.Match[str], by: tuple[str, ...], here: list[Served]
) -> Iterator[tuple[tuple[str, ...], list[Served]]]:
    scope = [each.strip() for each in asked["scope"].split(",") if each.strip() != "*"]
    found: dict[tuple[str, ...], list[Served]] = {}
    for one in here:
        tags = {"service": one.service, "env": one.environment}
        if all(
            f"{key}:{value}" in scope or key not in {each.partition(":")[0] for each in scope}
            for key, value in tags.items()
        ):
            found.setdefault(tuple(f"{key}:{tags[key]}" for key in by if key in tags), []).append(one)
    yield from sorted(found.items())


def _made(metric: str, tags: tuple[str, ...], members: list[Served], times: range) -> dict[str, Any]:
    def came(at: int) -> int:
        return sum(
            counted(one, code, at + times.step) - counted(one, code, at)
            for one in members
            for code in CODES[metric]
            if at >= one.since
        )

    points = [[float(at * 1000), float(came(at))] for at in times]
    return {
        "metric": metric,
        "display_name": metric,
        "scope": ",".join(tags) or "*",
        "tag_set": list(tags),
        "expression": f"sum:{metric}{{{','.join(tags) or '*'}}}",
        "aggr": "sum",
        "interval": times.step,
        "length": len(points),
        "start": times.start * 1000,
        "end": (times[-1] if times else times.start) * 1000,
        "pointlist": points,
        "query_index": 0,
        "unit": None,
    }
