"""Our values in, what the scratch database keeps out, and back again, exactly.

Text is kept as its bytes: they compare as code points do, and any text has some. Whole numbers, money and times are
whole numbers of 128 bits: units of 10 ** -places, or microseconds since 1970.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from engine.words import Kind, Row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
EXACT = Context(prec=200)
MOST = 2**127
"""Where whole numbers end in the scratch database."""
TYPES: Mapping[Kind, str] = {
    Kind.TEXT: "BLOB",
    Kind.INTEGER: "HUGEINT",
    Kind.FLOAT: "DOUBLE",
    Kind.DECIMAL: "HUGEINT",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.DATE: "DATE",
    Kind.TIME: "BIGINT",
    Kind.LIST: "BLOB[]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One of our columns: it is kept in `v<at>`; of money, `e<at>` keeps the exponent it was written with."""

    kind: Kind
    at: int
    places: int = 0

    @property
    def value(self) -> str:
        return f"v{self.at}"

    @property
    def written(self) -> str:
        return f"e{self.at}"

    @property
    def kept(self) -> tuple[str, ...]:
        return (self.value, self.written) if self.kind is Kind.DECIMAL else (self.value,)


def declared(fields: Sequence[Field]) -> str:
    """The columns of a table for such values."""
    types = ((name, TYPES[field.kind], field) for field in fields for name in field.kept)
    return ", ".join(f"{name} {type if name == field.value else 'SMALLINT'}" for name, type, field in types)


def text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def untext(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")


def micros(value: datetime) -> int:
    return (value - EPOCH) // MICRO


ENCODE: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: text,
    Kind.TIME: micros,
    Kind.LIST: lambda values: [*map(text, values)],
}
DECODE: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: untext,
    Kind.TIME: lambda value: EPOCH + value * MICRO,
    Kind.LIST: lambda values: tuple(map(untext, values)),
}


def places(values: Sequence[Decimal | None]) -> int:
    """After the point, of the one written with the most; ValueError for what is no number."""
    return max((-each for each in exponents(values) if each is not None), default=0)


def exponents(values: Sequence[Decimal | None]) -> Sequence[int | None]:
    """Nearly always all are written alike, which is seen sooner than how each is."""
    first = next((each for each in values if each is not None), None)
    if first is None or all(each is not None and each.same_quantum(first) for each in values):
        return [None if first is None else _exponent(first)] * len(values)
    return [None if each is None else _exponent(each) for each in values]


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError("no finite number")
    return exponent


def encoded(rows: Sequence[Row], fields: Sequence[Field]) -> Iterable[Row]:
    """As many columns as the fields keep, a field's next to each other."""
    columns = zip(*rows, strict=True)
    kept = [each for values, field in zip(columns, fields, strict=True) for each in _column(values, field)]
    return zip(*kept, strict=True)


def _column(values: Sequence[Any], field: Field) -> list[Sequence[Any]]:
    if field.kind is Kind.DECIMAL:
        whole = [None if each is None else int(each.scaleb(field.places, EXACT)) for each in values]
        return [whole, exponents(values)]
    if field.kind not in ENCODE:
        return [values]
    encode = ENCODE[field.kind]
    return [[None if each is None else encode(each) for each in values]]


def decoded(rows: Sequence[Row], fields: Sequence[Field]) -> list[Row]:
    """The rows, of columns as `encoded` gives them."""
    if not rows or not fields:
        return [()] * len(rows)
    columns = iter(list(zip(*rows, strict=True)))
    return list(zip(*[_values(columns, field) for field in fields], strict=True))


def _values(columns: Any, field: Field) -> Sequence[Any]:
    values: Sequence[Any] = next(columns)
    if field.kind is Kind.DECIMAL:
        return [_money(each, field.places, exponent) for each, exponent in zip(values, next(columns), strict=True)]
    if field.kind not in DECODE:
        return values
    decode = DECODE[field.kind]
    return [None if each is None else decode(each) for each in values]


def _money(units: int | None, places: int, exponent: int) -> Decimal | None:
    return None if units is None else Decimal(units // 10 ** (places + exponent)).scaleb(exponent, EXACT)


def operand(value: Any, field: Field) -> Any:
    """As one value of the field is kept; None where none could be just this."""
    if field.kind is Kind.DECIMAL:
        units = value.scaleb(field.places, EXACT)
        value = int(units) if units == units.to_integral_value() else None
    elif field.kind in ENCODE:
        value = ENCODE[field.kind](value)
    beyond = isinstance(value, int) and not -MOST <= value < MOST
    return None if beyond else value
