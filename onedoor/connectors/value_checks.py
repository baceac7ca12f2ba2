"""Check the values and collections of a change, and encode its outcome for the marker that stores it."""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeRejected, ChangeResult, RowChange, RowValues
from onedoor.spi.json_values import decode_json_value, encode_json_value

TYPE_CHECKS: Mapping[ColumnType, Callable[[Any], bool]] = {
    ColumnType.TEXT: lambda value: isinstance(value, str),
    ColumnType.INTEGER: lambda value: type(value) is int,
    ColumnType.FLOAT: lambda value: type(value) in (int, float) and math.isfinite(value),
    ColumnType.DECIMAL: lambda value: type(value) is int or (isinstance(value, Decimal) and value.is_finite()),
    ColumnType.BOOLEAN: lambda value: type(value) is bool,
    ColumnType.DATE: lambda value: type(value) is date,
    ColumnType.TIME: lambda value: isinstance(value, datetime) and value.tzinfo is not None,
    ColumnType.LIST: lambda _: False,
}

FLOAT_TOLERANCE = 1e-6
"""The relative difference between a float and what a column of single precision stores for it."""


def is_same_value(value: Any, stored: Any, column_type: ColumnType) -> bool:
    if column_type is ColumnType.FLOAT and value is not None and stored is not None:
        return math.isclose(value, stored, rel_tol=FLOAT_TOLERANCE)
    return bool(value == stored)


def check_writable(changes: Sequence[RowChange], targets: Container[str]) -> None:
    """Raise ChangeRejected for a collection that may not be changed."""
    for change in changes:
        if change.collection not in targets:
            raise ChangeRejected(f"`{change.collection}` is not to be changed", ErrorCode.CANNOT_ANSWER)


def require_result(result: ChangeResult | None) -> ChangeResult:
    """Raise ChangeRejected for a change that was fenced, so that it cannot be made any more."""
    if result is None:
        raise ChangeRejected(
            "the change was given up before it was made: send it as a new one", ErrorCode.CANNOT_ANSWER
        )
    return result


def encode_outcome(result: ChangeResult) -> str:
    return orjson.dumps({"before": _encode_values(result.before), "after": _encode_values(result.after)}).decode()


def decode_outcome(text: str) -> ChangeResult:
    """Raise ConnectorError where the text is not what `encode_outcome` writes."""
    try:
        outcome = orjson.loads(text)
        return ChangeResult(before=_decode_values(outcome["before"]), after=_decode_values(outcome["after"]))
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        raise ConnectorError("the outcome of the change cannot be read", ErrorCode.SOURCE_INVALID) from None


def _encode_values(values: RowValues | None) -> Any:
    return None if values is None else {name: encode_json_value(value) for name, value in values.items()}


def _decode_values(values: Any) -> RowValues | None:
    return None if values is None else {name: decode_json_value(value) for name, value in values.items()}


class DisabledWriter:
    """The writer of a connector whose settings name no writable table."""

    def write_capabilities(self, _: str) -> None:
        return None

    async def apply(self, _: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        raise ChangeRejected("nothing is to be changed there", ErrorCode.CANNOT_ANSWER)

    async def find_change(self, _: RowChange) -> ChangeResult | None:
        raise ConnectorError("nothing is to be changed there", ErrorCode.CANNOT_ANSWER)

    async def close(self) -> None:
        return None
