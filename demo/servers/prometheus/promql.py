"""Parse and evaluate a subset of PromQL."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isnan, nan
from typing import Any, TypeAlias

TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)|(?P<duration>(?:[0-9]+(?:ms|[smhdwy]))+)
    |(?P<number>0x[0-9a-fA-F]+|[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+|(?:[nN]a[nN]|[iI]nf)\b)
    |(?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/<>=(){}\[\],]))""",
    re.VERBOSE,
)

ESCAPED = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)

PLAIN = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}

MILLISECONDS = {
    "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000,
}  # fmt: skip


class BadQuery(ValueError):
    """A query outside of this subset of PromQL."""


def parse_duration(text: str) -> int:
    """Return the milliseconds of a duration such as `1h30m`."""
    parts = re.findall(r"([0-9]+)(ms|[smhdwy])", text)
    if not parts or "".join(map("".join, parts)) != text:
        raise BadQuery(f"not a valid duration: {text!r}")
    return sum(int(count) * MILLISECONDS[unit] for count, unit in parts)


def split_tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text.rstrip()):
        token = TOKEN.match(text, at)
        if token is None:
            raise BadQuery(f"unexpected character at {at}")
        assert token.lastgroup is not None
        found.append((token.lastgroup, token[token.lastgroup]))
        at = token.end()
    return found


def unquote_text(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    return ESCAPED.sub(_unescape, text[1:-1])


def _unescape(found: re.Match[str]) -> str:
    escape = found[1]
    if len(escape) > 1:
        return chr(int(escape[1:], 16))
    if escape not in PLAIN and escape not in "\\'\"":
        raise BadQuery("unknown escape sequence")
    return PLAIN.get(escape, escape)


def check_regex(value: str) -> None:
    try:
        re.compile(value)
    except re.error as error:
        raise BadQuery(f"error parsing regexp: {error}") from None


def matches(match: str, value: str, found: str) -> bool:
    met = re.fullmatch(value, found, re.DOTALL) is not None if "~" in match else found == value
    return met != match.startswith("!")


AGGREGATES = frozenset({"sum", "avg", "min", "max", "count"})

FUNCTIONS = frozenset({"rate", "increase"})

MATCHES = frozenset({"=", "!=", "=~", "!~"})

COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})

LEVELS = (COMPARISONS, frozenset("+-"), frozenset("*/"))
"""Loosest first; signs of one level from left to right."""


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Selector:
    """A selector; `range` and `offset` are in milliseconds, and without a range it means the last value."""

    matchers: tuple[tuple[str, str, str], ...]
    range: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    of: Selector


@dataclass(frozen=True, slots=True)
class Aggregation:
    name: str
    by: tuple[str, ...]
    of: Any


@dataclass(frozen=True, slots=True)
class Binary:
    sign: str
    left: Any
    right: Any
    as_bool: bool = False


Tree: TypeAlias = Number | Selector | Function | Aggregation | Binary


def parse(text: str) -> Tree:
    reading = PromqlParser(split_tokens(text))
    tree: Tree = reading.level(0)
    if reading.tokens:
        raise BadQuery(f"unexpected {reading.tokens[0][1]!r}")
    if isinstance(tree, Selector) and tree.range is not None:
        raise BadQuery("a range alone is no question of this part of PromQL")
    return tree


class PromqlParser:
    """Parse a query in one walk over its tokens."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens

    def level(self, at: int) -> Any:
        if at == len(LEVELS):
            return self.signed()
        left = self.level(at + 1)
        while self.tokens and self.tokens[0][0] == "sign" and self.tokens[0][1] in LEVELS[at]:
            sign = self.tokens.pop(0)[1]
            as_bool = self.taken("bool") if sign in COMPARISONS else False
            right = self.level(at + 1)
            if sign in COMPARISONS and not as_bool and not (_is_vector(left) or _is_vector(right)):
                raise BadQuery("comparisons between scalars must use BOOL modifier")
            left = Binary(sign, left, right, as_bool)
        return left

    def signed(self) -> Any:
        if self.taken("-"):
            return Binary("*", Number(-1.0), self.signed())
        return self.signed() if self.taken("+") else self.single()

    def single(self) -> Any:
        kind, text = self.next()
        if kind == "number":
            return Number(float(int(text, 16)) if text[:2] == "0x" else float(text))
        if text == "(":
            inner = self.level(0)
            self.must(")")
            return inner
        if text in AGGREGATES:
            return self.aggregated(text)
        if text in FUNCTIONS and self.peek() == "(":
            return self.function(text)
        if kind == "word" and self.peek() != "(":
            return self.selector((("__name__", "=", text),))
        if text == "{":
            self.tokens.insert(0, (kind, text))
            return self.selector(())
        raise BadQuery(f"unexpected {text!r}")

    def aggregated(self, name: str) -> Aggregation:
        by = self.by()
        self.must("(")
        inner = self.level(0)
        self.must(")")
        if not _is_vector(inner):
            raise BadQuery(f"expected an instant vector in {name}")
        return Aggregation(name, by or self.by(), inner)

    def by(self) -> tuple[str, ...]:
        if not self.taken("by"):
            return ()
        self.must("(")
        results = []
        while not self.taken(")"):
            results.append(self.word())
            if not self.taken(",") and self.peek() != ")":
                raise BadQuery("expected `,` or `)`")
        return tuple(results)

    def function(self, name: str) -> Function:
        self.must("(")
        inner = self.level(0)
        self.must(")")
        if not isinstance(inner, Selector) or inner.range is None:
            raise BadQuery(f"expected a range vector in {name}")
        return Function(name, inner)

    def selector(self, matchers: tuple[tuple[str, str, str], ...]) -> Selector:
        named = bool(matchers)
        if self.taken("{"):
            while not self.taken("}"):
                matchers += (self.matcher(named),)
                if not self.taken(",") and self.peek() != "}":
                    raise BadQuery("expected `,` or `}`")
        if not any(_excludes_empty(matcher) for matcher in matchers):
            raise BadQuery("a selector must contain at least one non-empty matcher")
        span = self.duration() if self.taken("[") else None
        if span is not None:
            self.must("]")
        return Selector(matchers, span, self.offset())

    def matcher(self, named: bool) -> tuple[str, str, str]:
        label, (kind, match), (of, text) = self.word(), self.next(), self.next()
        if kind != "sign" or match not in MATCHES or of != "text":
            raise BadQuery("expected a matcher")
        if named and label == "__name__":
            raise BadQuery("metric name must not be set twice")
        value = unquote_text(text)
        if "~" in match:
            check_regex(value)
        return label, match, value

    def offset(self) -> int:
        if not self.taken("offset"):
            return 0
        sign = -1 if self.taken("-") else 1
        return sign * self.duration()

    def duration(self) -> int:
        kind, text = self.next()
        if kind != "duration":
            raise BadQuery("expected a duration")
        return parse_duration(text)

    def word(self) -> str:
        kind, text = self.next()
        if kind != "word":
            raise BadQuery(f"unexpected {text!r}")
        return text

    def peek(self) -> str | None:
        return self.tokens[0][1] if self.tokens else None

    def next(self) -> tuple[str, str]:
        if not self.tokens:
            raise BadQuery("unexpected end of input")
        return self.tokens.pop(0)

    def taken(self, text: str) -> bool:
        if self.peek() != text or self.tokens[0][0] == "text":
            return False
        self.tokens.pop(0)
        return True

    def must(self, text: str) -> None:
        if not self.taken(text):
            raise BadQuery(f"expected {text!r}")


def _excludes_empty(matcher: tuple[str, str, str]) -> bool:
    """Return whether a matcher does not match the empty text."""
    _, match, value = matcher
    return not matches(match, value, "")


def _is_vector(tree: Any) -> bool:
    if isinstance(tree, Binary):
        return _is_vector(tree.left) or _is_vector(tree.right)
    return not isinstance(tree, Number)


LOOK_BACK = 300_000
"""Milliseconds."""

NAME = "__name__"

Point: TypeAlias = tuple[int, float]

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Sorted."""

Vector: TypeAlias = dict[Labels, float]


class CannotEvaluate(Exception):
    """An error that Prometheus reports as `execution`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series; `points` returns those between two milliseconds, both included, in order of time."""

    labels: Mapping[str, str]
    points: Callable[[int, int], Sequence[Point]]


def evaluate(tree: Tree, series: Sequence[Series], at: int) -> float | Vector:
    """Evaluate a query at a time in milliseconds."""
    match tree:
        case Number(number):
            return number
        case Selector():
            return _last_values(tree, series, at)
        case Function():
            return _compute_increase(tree, series, at)
        case Aggregation():
            inner = evaluate(tree.of, series, at)
            assert isinstance(inner, dict)
            return _aggregate(tree, inner)
        case Binary():
            return _evaluate_binary(tree, evaluate(tree.left, series, at), evaluate(tree.right, series, at))


def _select_series(selector: Selector, series: Sequence[Series]) -> Iterable[Series]:
    for one_series in series:
        if all(matches(match, wanted, one_series.labels.get(label, "")) for label, match, wanted in selector.matchers):
            yield one_series


def _last_values(selector: Selector, series: Sequence[Series], at: int) -> Vector:
    end = at - selector.offset
    results = {}
    for one_series in _select_series(selector, series):
        points = one_series.points(end - LOOK_BACK, end)
        if points:
            results[_build_labels(one_series.labels)] = points[-1][1]
    return results


def _compute_increase(tree: Function, series: Sequence[Series], at: int) -> Vector:
    assert tree.of.range is not None
    end = at - tree.of.offset
    results = {}
    for one_series in _select_series(tree.of, series):
        points = one_series.points(end - tree.of.range, end)
        if len(points) > 1:
            increase = _extrapolate(points, end - tree.of.range, end)
            labels = _build_labels(one_series.labels, without=NAME)
            results[labels] = increase / (tree.of.range / 1000) if tree.name == "rate" else increase
    return results


def _extrapolate(points: Sequence[Point], start: int, end: int) -> float:
    """Return the increase over a range, extrapolated to its ends by half a step at most where points are far."""
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
    for item in (to_start, to_end):
        whole += item if item < threshold else apart / 2
    return increase * (whole / sampled)


def _aggregate(tree: Aggregation, inner: Vector) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, number in inner.items():
        groups.setdefault(tuple(label for label in labels if label[0] in tree.by), []).append(number)
    return {labels: EVALUATE_AGGREGATES[tree.name](numbers) for labels, numbers in groups.items()}


def _ignoring_nan(choose: Callable[[Sequence[float]], float]) -> Callable[[Sequence[float]], float]:
    """Choose among numbers, and NaN only if there is nothing else."""

    def found(numbers: Sequence[float]) -> float:
        present = [number for number in numbers if not isnan(number)]
        return choose(present) if present else nan

    return found


EVALUATE_AGGREGATES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "avg": lambda numbers: sum(numbers) / len(numbers),
    "min": _ignoring_nan(min),
    "max": _ignoring_nan(max),
    "count": lambda numbers: float(len(numbers)),
}


def _evaluate_binary(tree: Binary, left: float | Vector, right: float | Vector) -> float | Vector:
    if isinstance(left, dict) and isinstance(right, dict):
        return _match_vectors(tree, left, right)
    if isinstance(left, dict):
        return _compute_pairs(tree, {labels: (number, right) for labels, number in left.items()}, shown=0)
    if isinstance(right, dict):
        return _compute_pairs(tree, {labels: (left, number) for labels, number in right.items()}, shown=1)
    return _compute(tree.sign, left, right)


def _match_vectors(tree: Binary, left: Vector, right: Vector) -> Vector:
    """Match one to one, by all labels except the name."""
    beside: dict[Labels, float] = {}
    for labels, number in right.items():
        if (key := _drop_name(labels)) in beside:
            raise CannotEvaluate("found duplicate series for the match group on the right hand-side of the operation")
        beside[key] = number
    pairs: dict[Labels, tuple[Any, Any]] = {}
    seen: set[Labels] = set()
    for labels, number in left.items():
        key = _drop_name(labels)
        if key in beside:
            if key in seen:
                raise CannotEvaluate("multiple matches for labels: many-to-one matching must be explicit")
            seen.add(key)
            pairs[labels] = (number, beside[key])
    return _compute_pairs(tree, pairs, shown=0)


def _compute_pairs(tree: Binary, pairs: Mapping[Labels, tuple[Any, Any]], *, shown: int) -> Vector:
    """Compute pairs; a comparison keeps the vector's value and name, any other operator drops the name."""
    vector: Vector = {}
    for labels, (left, right) in pairs.items():
        if tree.sign not in COMPARE:
            vector[_drop_name(labels)] = _compute(tree.sign, left, right)
        elif tree.as_bool:
            vector[_drop_name(labels)] = float(COMPARE[tree.sign](left, right))
        elif COMPARE[tree.sign](left, right):
            vector[labels] = (left, right)[shown]
    return vector


def _compute(sign: str, left: float, right: float) -> float:
    if sign == "/":
        return _divide(left, right)
    return float(COMPARE[sign](left, right)) if sign in COMPARE else ARITHMETIC[sign](left, right)


def _divide(left: float, right: float) -> float:
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


def _build_labels(labels: Mapping[str, str], without: str | None = None) -> Labels:
    return tuple(sorted((name, label) for name, label in labels.items() if name != without))


def _drop_name(labels: Labels) -> Labels:
    return tuple(label for label in labels if label[0] != NAME)
