"""Show floats of 32 bits as the shortest decimals that mean them, as databases write them themselves.

A driver gives `0.1` of such a column as 0.10000000149011612, which nobody stored.
"""

from math import copysign, inf, isfinite
from struct import Struct

from onedoor.connectors.sql.tables import SqlColumn
from onedoor.spi.capabilities import ColumnType

SINGLE = Struct("<f")

DIGIT_COUNTS = range(6, 10)
"""A decimal of 6 digits survives in 32 bits, and 9 digits tell any two floats of 32 bits apart."""


def build_single_column(name: str, *, nullable: bool) -> SqlColumn:
    return SqlColumn(
        name=name,
        type=ColumnType.FLOAT,
        nullable=nullable,
        nearest=find_nearest_single,
        encode=widen_single,
        decode=shorten_single,
    )


def widen_single(value: float) -> float:
    """Return the float of 32 bits that is nearest to a number, as one of 64 bits; one too large as it is."""
    nearest = _round_to_single(value)
    return nearest if isfinite(nearest) else value


def find_nearest_single(value: float) -> float:
    """Return the shortest decimal of the float of 32 bits that is nearest to a number; infinity beyond all."""
    nearest = _round_to_single(value)
    return shorten_single(nearest) if isfinite(nearest) else nearest


def shorten_single(value: float) -> float:
    """Return the shortest decimal that means a float of 32 bits. Raises ValueError where it is not finite."""
    if not isfinite(value):
        raise ValueError("not finite")
    shortened = (float(f"{value:.{digits}g}") for digits in DIGIT_COUNTS)
    return next((short for short in shortened if _round_to_single(short) == value), value)


def shorten_if_finite(value: float) -> float:
    return shorten_single(value) if isfinite(value) else value


def _round_to_single(value: float) -> float:
    try:
        return float(SINGLE.unpack(SINGLE.pack(value))[0])
    except OverflowError:
        return copysign(inf, value)
