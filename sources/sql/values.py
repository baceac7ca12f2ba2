"""A test's value in, the value its column can hold out: what no row can hold is settled before anything is asked."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any

from engine.words import Kind, Op, Test
from sources.sql.columns import Stored

EXACT = Context(prec=100)
BELOW = frozenset({Op.LT, Op.LTE})
COMPARING = frozenset({Op.LT, Op.LTE, Op.GT, Op.GTE})
NEGATIVE = frozenset({Op.NE, Op.NOT_IN})


def settled(test: Test, stored: Stored) -> Test | bool:
    """The same test with a value the column can hold; True: every row with a value meets it, False: none does."""
    if test.op is Op.IS_NULL:
        return test
    if test.op in (Op.IN, Op.NOT_IN):
        values = tuple(each for each in test.value if holdable(each, stored))
        return replace(test, value=values) if values else test.op is Op.NOT_IN
    if holdable(test.value, stored):
        return test
    if test.op in COMPARING:
        return text_bound(test) if stored.kind is Kind.TEXT else number_bound(test, stored)
    return test.op in NEGATIVE


def holdable(value: Any, stored: Stored) -> bool:
    """Whether some row could hold just this."""
    if isinstance(value, str):
        return unkept(value) == len(value)
    if stored.minor_units:
        scaled = scaled_down(value, stored)
        return -stored.most <= scaled < stored.most and units(scaled, stored) == value
    return stored.kind is not Kind.INTEGER or bool(-stored.most <= value < stored.most)


def all_holdable(values: Sequence[Any], stored: Stored) -> bool:
    """Of many at once, where that is quick to tell; else False, and each is to be looked at."""
    match stored.kind:
        case Kind.INTEGER:
            return not values or bool(-stored.most <= min(values) and max(values) < stored.most)
        case Kind.TEXT:
            joined = "".join(values)
            return joined.isascii() and "\0" not in joined
        case _:
            return not stored.minor_units


def text_bound(test: Test) -> Test:
    """No stored text holds a NUL or a lone surrogate; what may follow in their place parts the rows alike."""
    place = unkept(test.value)
    before = test.value[:place]
    if test.value[place] == "\0":
        return Test(test.column, Op.LTE if test.op in BELOW else Op.GT, before)
    return Test(test.column, Op.LT if test.op in BELOW else Op.GTE, before + "\ue000")


def unkept(text: str) -> int:
    """Where the first letter stands that no database keeps; the length of the text when there is none."""
    if text.isascii() and "\0" not in text:
        return len(text)
    lost = (place for place, letter in enumerate(text) if letter == "\0" or "\ud800" <= letter <= "\udfff")
    return next(lost, len(text))


def number_bound(test: Test, stored: Stored) -> Test | bool:
    """Between two neighbours a column can hold, the lower one parts the rows alike."""
    scaled = scaled_down(test.value, stored) if stored.minor_units else test.value
    if not -stored.most <= scaled < stored.most:
        return bool(test.value > 0) == (test.op in BELOW)
    return Test(test.column, Op.LTE if test.op in BELOW else Op.GT, units(scaled, stored))


def scaled_down(value: Decimal, stored: Stored) -> int:
    """Whole minor units, rounded down."""
    return int(value.scaleb(stored.scale, EXACT).quantize(Decimal(1), ROUND_FLOOR, EXACT))


def units(minor: int, stored: Stored) -> Decimal:
    return Decimal(minor).scaleb(-stored.scale, EXACT)
