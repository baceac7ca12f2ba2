"""A kind and a value in, whether the value is of that kind out."""

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from engine.words import Kind

IS: Mapping[Kind, Callable[[Any], bool]] = {
    Kind.TEXT: lambda value: isinstance(value, str),
    Kind.INTEGER: lambda value: type(value) is int,
    Kind.FLOAT: lambda value: type(value) in (int, float) and math.isfinite(value),
    Kind.DECIMAL: lambda value: type(value) is int or (isinstance(value, Decimal) and value.is_finite()),
    Kind.BOOLEAN: lambda value: type(value) is bool,
    Kind.DATE: lambda value: type(value) is date,
    Kind.TIME: lambda value: isinstance(value, datetime) and value.tzinfo is not None,
    Kind.LIST: lambda _: False,
}
NEAR = 1e-6
"""How near two floats are that a column of single precision takes for one."""


def same(value: Any, found: Any, kind: Kind) -> bool:
    """Whether what was given is what is kept."""
    if kind is Kind.FLOAT and value is not None and found is not None:
        return math.isclose(value, found, rel_tol=NEAR)
    return bool(value == found)
