"""A tree of PromQL, series and an instant in, its value out: a number, or a number for each set of labels.

As Prometheus 2.42 does: a value is 5 minutes good, a range holds both its ends, a rate is extrapolated to its range.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isnan, nan
from typing import Any, TypeAlias

from demo.prometheus.syntax import Aggregated, Binary, Function, Number, Selector, Tree
from demo.prometheus.tokens import matches

LOOK_BACK = 300_000
"""Milliseconds."""
NAME = "__name__"
Point: TypeAlias = tuple[int, float]
Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Sorted."""
Vector: TypeAlias = dict[Labels, float]


class CannotEvaluate(Exception):
    """What Prometheus answers with `execution`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """`points` gives those from one millisecond to another, both counted, in order of time."""

    labels: Mapping[str, str]
    points: Callable[[int, int], Sequence[Point]]


def value(tree: Tree, series: Sequence[Series], at: int) -> float | Vector:
    """`at` in milliseconds."""
    match tree:
        case Number(number):
            return number
        case Selector():
            return _last(tree, series, at)
        case Function():
            return _increased(tree, series, at)
        case Aggregated():
            inner = value(tree.of, series, at)
            assert isinstance(inner, dict)
            return _aggregated(tree, inner)
        case Binary():
            return _binary(tree, value(tree.left, series, at), value(tree.right, series, at))


def _selected(of: Selector, series: Sequence[Series]) -> Iterable[Series]:
    for each in series:
        if all(matches(match, wanted, each.labels.get(label, "")) for label, match, wanted in of.matchers):
            yield each


def _last(of: Selector, series: Sequence[Series], at: int) -> Vector:
    end = at - of.offset
    found = {}
    for each in _selected(of, series):
        points = each.points(end - LOOK_BACK, end)
        if points:
            found[_labels(each.labels)] = points[-1][1]
    return found


def _increased(tree: Function, series: Sequence[Series], at: int) -> Vector:
    assert tree.of.range is not None
    end = at - tree.of.offset
    found = {}
    for each in _selected(tree.of, series):
        points = each.points(end - tree.of.range, end)
        if len(points) > 1:
            increase = _extrapolated(points, end - tree.of.range, end)
            labels = _labels(each.labels, without=NAME)
            found[labels] = increase / (tree.of.range / 1000) if tree.name == "rate" else increase
    return found


def _extrapolated(points: Sequence[Point], start: int, end: int) -> float:
    """The increase over the range: at its ends as between its points, but half a step at most where they are far."""
    (first, low), (last, high) = points[0], points[-1]
    increase = high - low
    for (_, before), (_, after) in pairwise(points):
        if after < before:
            increase += before
    sampled = (last - first) / 1000
    apart = sampled / (len(points) - 1)
    to_start, to_end = (first - start) / 1000, (end - last) / 1000
    if increase > 0 and low >= 0:
        to_start = min(to_start, sampled * (low / increase))
    threshold = apart * 1.1
    whole = sampled
    for each in (to_start, to_end):
        whole += each if each < threshold else apart / 2
    return increase * (whole / sampled)


def _aggregated(tree: Aggregated, inner: Vector) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, number in inner.items():
        groups.setdefault(tuple(each for each in labels if each[0] in tree.by), []).append(number)
    return {labels: AGGREGATES[tree.name](numbers) for labels, numbers in groups.items()}


def _extreme(choose: Callable[[Sequence[float]], float]) -> Callable[[Sequence[float]], float]:
    """What is not a number gives way to what is."""

    def found(numbers: Sequence[float]) -> float:
        kept = [each for each in numbers if not isnan(each)]
        return choose(kept) if kept else nan

    return found


AGGREGATES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "avg": lambda numbers: sum(numbers) / len(numbers),
    "min": _extreme(min),
    "max": _extreme(max),
    "count": lambda numbers: float(len(numbers)),
}


def _binary(tree: Binary, left: float | Vector, right: float | Vector) -> float | Vector:
    if isinstance(left, dict) and isinstance(right, dict):
        return _matched(tree, left, right)
    if isinstance(left, dict):
        return _each(tree, {labels: (number, right) for labels, number in left.items()}, shown=0)
    if isinstance(right, dict):
        return _each(tree, {labels: (left, number) for labels, number in right.items()}, shown=1)
    return _computed(tree.sign, left, right)


def _matched(tree: Binary, left: Vector, right: Vector) -> Vector:
    """One to one, by all labels but the name."""
    beside: dict[Labels, float] = {}
    for labels, number in right.items():
        if (key := _unnamed(labels)) in beside:
            raise CannotEvaluate("found duplicate series for the match group on the right hand-side of the operation")
        beside[key] = number
    pairs: dict[Labels, tuple[Any, Any]] = {}
    seen: set[Labels] = set()
    for labels, number in left.items():
        key = _unnamed(labels)
        if key in beside:
            if key in seen:
                raise CannotEvaluate("multiple matches for labels: many-to-one matching must be explicit")
            seen.add(key)
            pairs[labels] = (number, beside[key])
    return _each(tree, pairs, shown=0)


def _each(tree: Binary, pairs: Mapping[Labels, tuple[Any, Any]], *, shown: int) -> Vector:
    """A comparison keeps what meets it, with the vector's own value and name; all else gives up the name."""
    found: Vector = {}
    for labels, (left, right) in pairs.items():
        if tree.sign not in COMPARE:
            found[_unnamed(labels)] = _computed(tree.sign, left, right)
        elif tree.as_bool:
            found[_unnamed(labels)] = float(COMPARE[tree.sign](left, right))
        elif COMPARE[tree.sign](left, right):
            found[labels] = (left, right)[shown]
    return found


def _computed(sign: str, left: float, right: float) -> float:
    if sign == "/":
        return _divided(left, right)
    return float(COMPARE[sign](left, right)) if sign in COMPARE else ARITHMETIC[sign](left, right)


def _divided(left: float, right: float) -> float:
    if right != 0:
        return left / right
    if left == 0 or isnan(left):
        return nan
    return inf if (left > 0) == (str(right)[0] != "-") else -inf


ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
}  # fmt: skip
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip


def _labels(labels: Mapping[str, str], without: str | None = None) -> Labels:
    return tuple(sorted((name, each) for name, each in labels.items() if name != without))


def _unnamed(labels: Labels) -> Labels:
    return tuple(each for each in labels if each[0] != NAME)
