"""Values and tests on their way to Snowflake, and values on their way back."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any

from engine.words import Kind, Op, Test
from sources.snowflake.tables import EPOCH as MICROSECONDS
from sources.snowflake.tables import Stored

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXACT = Context(prec=1000)
BELOW = frozenset({Op.LT, Op.LTE})
UNEQUAL = frozenset({Op.NE, Op.NOT_IN})


def settled(test: Test, stored: Stored) -> Test | bool:
    """The same test with a value the column can hold; True: every row with a value meets it, False: none does."""
    if test.op is Op.IS_NULL:
        return test
    if test.op in (Op.IN, Op.NOT_IN):
        values = tuple(value for value in test.value if holdable(value, stored))
        return replace(test, value=values) if values else test.op is Op.NOT_IN
    if holdable(test.value, stored):
        return test
    if test.op in (Op.LT, Op.LTE, Op.GT, Op.GTE):
        return text_bound(test) if stored.kind is Kind.TEXT else number_bound(test, stored)
    return test.op in UNEQUAL


def holdable(value: Any, stored: Stored) -> bool:
    if stored.kind is Kind.TEXT:
        return surrogate(value) == len(str(value))
    if stored.kind not in (Kind.INTEGER, Kind.DECIMAL):
        return True
    return bool(floor(value, stored) == value and abs(value) < ceiling(stored))


def text_bound(test: Test) -> Test:
    """No stored text lies between the first lone surrogate and U+E000, so U+E000 in its place parts the rows alike."""
    bound = test.value[: surrogate(test.value)] + "\ue000"
    return Test(test.column, Op.LT if test.op in BELOW else Op.GTE, bound)


def surrogate(text: str) -> int:
    """Where the first lone surrogate stands; the length of the text when there is none."""
    return next((place for place, letter in enumerate(text) if "\ud800" <= letter <= "\udfff"), len(text))


def number_bound(test: Test, stored: Stored) -> Test | bool:
    """Between two neighbours a column can hold, the lower one parts the rows alike."""
    if abs(test.value) >= ceiling(stored):
        return bool(test.value > 0) == (test.op in BELOW)
    return Test(test.column, Op.LTE if test.op in BELOW else Op.GT, floor(test.value, stored))


def floor(value: int | Decimal, stored: Stored) -> Decimal:
    return Decimal(value).quantize(Decimal(1).scaleb(-stored.scale), ROUND_FLOOR, context=EXACT)


def ceiling(stored: Stored) -> int:
    return int(10 ** (stored.precision - stored.scale))


def bind(value: Any, stored: Stored) -> Any:
    """The value as the connector takes it. Numbers with a scale go as text: a Decimal's type would lose the scale."""
    return BINDS[stored.kind](value, stored)


def time_bind(value: datetime, stored: Stored) -> int | tuple[str, datetime]:
    """A zone-less column holds UTC; without the type said, the session's own zone would be assumed."""
    if stored.type == MICROSECONDS:
        return (value - EPOCH) // timedelta(microseconds=1)
    at = value.astimezone(UTC)
    return (stored.type, at.replace(tzinfo=None)) if stored.type == "TIMESTAMP_NTZ" else ("TIMESTAMP_TZ", at)


BINDS: Mapping[Kind, Callable[[Any, Stored], Any]] = {
    Kind.TEXT: lambda value, _: value,
    Kind.INTEGER: lambda value, _: int(value),
    Kind.FLOAT: lambda value, _: float(value),
    Kind.DECIMAL: lambda value, stored: format(floor(value, stored), "f"),
    Kind.BOOLEAN: lambda value, _: value,
    Kind.DATE: lambda value, _: value,
    Kind.TIME: time_bind,
}


def key_text(value: Any, stored: Stored) -> str:
    """A key's value as the text that is read back to the column's type; times as microseconds since 1970."""
    if stored.kind is Kind.TIME:
        return str((value - EPOCH) // timedelta(microseconds=1))
    if stored.kind is Kind.DATE:
        return str(value.isoformat())
    return str(bind(value, stored)).lower() if stored.kind is Kind.BOOLEAN else str(bind(value, stored))


def shown_decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value)


def shown_time(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=int(microseconds))


SHOWN: Mapping[Kind, Callable[[Any], Any]] = {Kind.INTEGER: int, Kind.DECIMAL: shown_decimal, Kind.TIME: shown_time}
"""How a value that is not null is read; of the kinds not named here, as it comes."""
