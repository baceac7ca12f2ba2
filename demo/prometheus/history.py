"""What is measured of Acme's services, as series: counters that are functions of time, so that nothing is stored."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from demo.prometheus.evaluate import Point, Series
from demo.world.traffic import Served, counted, served

SCRAPE = 60_000
"""Milliseconds between two points."""


def history(scale: float, until: datetime) -> list[Series]:
    """From the first deployment on, up to a moment."""
    return [each for one in served(scale) for each in _of(one, int(until.timestamp() * 1000))]


def _of(one: Served, end: int) -> Iterator[Series]:
    for code in ("200", "500"):
        labels = {"service": one.service, "environment": one.environment, "code": code}
        yield Series(
            labels={"__name__": "http_requests_total", "job": "acme", **labels},
            points=partial(_points, one, end, code),
        )


def _points(one: Served, end: int, code: str, low: int, high: int) -> Sequence[Point]:
    """Scrapes stand on whole minutes."""
    start = -(-max(low, one.since * 1000) // SCRAPE) * SCRAPE
    return [(at, float(counted(one, code, at // 1000))) for at in range(start, min(high, end) + 1, SCRAPE)]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Points that were written down, for a history of one's own."""

    points: tuple[Point, ...]

    def __call__(self, low: int, high: int) -> Sequence[Point]:
        times = [at for at, _ in self.points]
        return self.points[_from(times, low) : bisect_right(times, high)]


def _from(times: Sequence[int], low: int) -> int:
    return bisect_right(times, low - 1)
