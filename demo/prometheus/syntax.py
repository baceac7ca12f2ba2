"""A text of PromQL in, its tree out: selectors, ranges, offsets, rates, aggregates, arithmetic and comparisons."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from demo.prometheus.tokens import BadQuery, duration, matches, regular, tokens, unquoted

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
    """`range` and `offset` in milliseconds; without a range, the last value."""

    matchers: tuple[tuple[str, str, str], ...]
    range: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    of: Selector


@dataclass(frozen=True, slots=True)
class Aggregated:
    name: str
    by: tuple[str, ...]
    of: Any


@dataclass(frozen=True, slots=True)
class Binary:
    sign: str
    left: Any
    right: Any
    as_bool: bool = False


Tree: TypeAlias = Number | Selector | Function | Aggregated | Binary


def parse(text: str) -> Tree:
    reading = Reading(tokens(text))
    tree: Tree = reading.level(0)
    if reading.tokens:
        raise BadQuery(f"unexpected {reading.tokens[0][1]!r}")
    if isinstance(tree, Selector) and tree.range is not None:
        raise BadQuery("a range alone is no question of this part of PromQL")
    return tree


class Reading:
    """One walk over the tokens."""

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
            if sign in COMPARISONS and not as_bool and not (_vector(left) or _vector(right)):
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

    def aggregated(self, name: str) -> Aggregated:
        by = self.by()
        self.must("(")
        inner = self.level(0)
        self.must(")")
        if not _vector(inner):
            raise BadQuery(f"expected an instant vector in {name}")
        return Aggregated(name, by or self.by(), inner)

    def by(self) -> tuple[str, ...]:
        if not self.taken("by"):
            return ()
        self.must("(")
        found = []
        while not self.taken(")"):
            found.append(self.word())
            if not self.taken(",") and self.peek() != ")":
                raise BadQuery("expected `,` or `)`")
        return tuple(found)

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
        if not any(_demands(each) for each in matchers):
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
        value = unquoted(text)
        if "~" in match:
            regular(value)
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
        return duration(text)

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


def _demands(matcher: tuple[str, str, str]) -> bool:
    """Whether it does not match the empty text."""
    _, match, value = matcher
    return not matches(match, value, "")


def _vector(tree: Any) -> bool:
    if isinstance(tree, Binary):
        return _vector(tree.left) or _vector(tree.right)
    return not isinstance(tree, Number)
