"""An ask in, the questions it takes out: one for each window and instant, or for each window and step."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil, floor, inf
from typing import Any

from engine.errors import Code, SourceFailed
from engine.words import All, Ask, Op, Row, Test
from sources.prometheus.collection import Collection
from sources.prometheus.promql import filled, holds

POINTS = 11_000
"""As many points of one series Prometheus gives at once."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One call. At an instant, or from `start` to `end` in seconds, both on the grid of the step."""

    query: str
    window: str | None
    at: datetime | None = None
    step: int | None = None
    start: int = 0
    end: int = 0

    @property
    def path(self) -> str:
        return "query" if self.step is None else "query_range"

    @property
    def form(self) -> Mapping[str, str]:
        if self.at is not None:
            return {"query": self.query, "time": f"{(self.at - EPOCH) // MILLISECOND / 1000:.3f}"}
        return {"query": self.query, "start": str(self.start), "end": str(self.end), "step": str(self.step)}


def questions(ask: Ask, collection: Collection, now: datetime) -> list[Question]:
    """None where no row can be meant. SourceFailed: they are for more points than Prometheus gives."""
    tests = list(_tests(ask.where))
    asked = _range if collection.steps else _instants
    return list(asked(collection, tests, ask, now))


def _tests(where: Any) -> Iterator[Test]:
    """Of an `All` of tests, which is all that was promised."""
    if isinstance(where, All):
        for each in where.parts:
            yield from _tests(each)
    else:
        yield where


def _instants(collection: Collection, tests: Sequence[Test], ask: Ask, now: datetime) -> Iterator[Question]:
    """An instant that is not named is now."""
    named = _allowed("time", tests, ask)
    for at in sorted(named) if named is not None else (now,):
        if at < EPOCH:
            continue
        for window, query in _queries(collection, tests, _keys(ask, at)):
            yield Question(query=query, window=window, at=at)


def _range(collection: Collection, tests: Sequence[Test], ask: Ask, now: datetime) -> Iterator[Question]:
    steps = _allowed("step", tests, ask)
    low, high = _span(tests, ask, now.timestamp() - collection.history, now.timestamp())
    for step in collection.steps:
        if (steps is not None and step not in steps) or low > high:
            continue
        start, end = ceil(low / step) * step, floor(high / step) * step
        if start > end:
            continue
        _few((end - start) // step + 1, collection.name)
        for window, query in _queries(collection, tests, ask):
            yield Question(query=query, window=window, step=step, start=start, end=end)


def _few(points: int, name: str) -> None:
    if points > POINTS:
        asked = f"`{name}` is asked for {points:,} points of each series, over Prometheus's limit of {POINTS:,}"
        raise SourceFailed(f"{asked}: bound `time` from below, or ask for a greater `step`", Code.LIMIT_EXCEEDED)


def _span(tests: Sequence[Test], ask: Ask, low: float, high: float) -> tuple[float, float]:
    """The seconds between which all rows lie that are meant; some that are not may, too."""
    for each in (each for each in tests if each.column == "time"):
        at = (each.value - EPOCH).total_seconds()
        low = max(low, at if each.op in (Op.EQ, Op.GT, Op.GTE) else -inf)
        high = min(high, at if each.op in (Op.EQ, Op.LT, Op.LTE) else inf)
    if ask.keys is not None and "time" in ask.keys.columns:
        times = [(each - EPOCH).total_seconds() for each in _values("time", ask)]
        low, high = max(low, min(times, default=inf)), min(high, max(times, default=-inf))
    return low, high


def _queries(collection: Collection, tests: Sequence[Test], ask: Ask) -> Iterator[tuple[str | None, str]]:
    """By window, the PromQL; none where some label can have no value that is meant."""
    matchers = {}
    for label in collection.labels:
        allowed = _allowed(label, tests, ask)
        if allowed is not None:
            matchers[label] = [each for each in map(str, allowed) if holds(each)]
    if not all(matchers.values()):
        return
    windows = _allowed("window", tests, ask) if collection.windows else None
    for window in collection.windows or (None,):
        if windows is None or window in windows:
            yield window, filled(collection.query, matchers, window)


def _allowed(column: str, tests: Sequence[Test], ask: Ask) -> frozenset[Any] | None:
    """The values that tests and keys leave to a column; None: any."""
    left = [frozenset((each.value,) if each.op is Op.EQ else each.value) for each in tests if each.column == column]
    if ask.keys is not None and column in ask.keys.columns:
        left.append(_values(column, ask))
    return frozenset.intersection(*left) if left else None


def _values(column: str, ask: Ask) -> frozenset[Any]:
    assert ask.keys is not None
    at = ask.keys.columns.index(column)
    return frozenset(key[at] for key in ask.keys.values)


def _keys(ask: Ask, at: datetime) -> Ask:
    """The ask with the keys of one instant alone, so that a service of another is not asked for."""
    if ask.keys is None or "time" not in ask.keys.columns:
        return ask
    place = ask.keys.columns.index("time")
    kept: tuple[Row, ...] = tuple(key for key in ask.keys.values if key[place] == at)
    return replace(ask, keys=replace(ask.keys, values=kept))
