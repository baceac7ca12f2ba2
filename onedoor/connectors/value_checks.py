"""Check what a change names and sets, as every writer does, and encode its outcome for the marker that stores it."""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import (
    ChangeKind,
    ChangeRejected,
    ChangeResult,
    RowChange,
    RowValues,
    WriteCapabilities,
)
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


def build_write_capabilities(settable: frozenset[str], key: Sequence[str], version: str | None) -> WriteCapabilities:
    """Let each kind of change set what it may: the key only where a row is created."""
    settable_columns = {
        ChangeKind.CREATE: settable,
        ChangeKind.UPDATE: settable - set(key),
        ChangeKind.PUT: settable - set(key),
        ChangeKind.DELETE: frozenset[str](),
    }
    return WriteCapabilities(settable_columns=settable_columns, version_column=version, transactional=True, fenced=True)


def build_key_mismatch_error(collection: str, key: Sequence[str]) -> ChangeRejected:
    return ChangeRejected(f"a row of `{collection}` is named by " + ", ".join(f"`{name}`" for name in key))


def check_settable(change: RowChange, capabilities: WriteCapabilities) -> None:
    """Raise ChangeRejected for a column that this kind of change may not set."""
    for name in change.values:
        if name not in capabilities.settable_columns[change.kind]:
            raise ChangeRejected(f"`{name}` of `{change.collection}` is not to be set by a change")


def check_value_type(name: str, value: Any, column_type: ColumnType) -> None:
    """Raise ChangeRejected unless the value is of the column's type."""
    if not TYPE_CHECKS[column_type](value):
        raise ChangeRejected(f"`{name}` takes values of the kind {column_type}")


def check_same_value(name: str, value: Any, stored: Any, column_type: ColumnType) -> None:
    if not is_same_value(value, stored, column_type):
        raise ChangeRejected(f"`{name}` cannot hold the value given without making it another")


def check_expected_version(change: RowChange, version_column: str | None, before: Mapping[str, Any]) -> None:
    """Raise ChangeRejected unless the row is at the version that the change expects."""
    if change.version is None:
        return
    if version_column is None:
        raise ChangeRejected(f"rows of `{change.collection}` have no version that a change could name")
    version = before[version_column] or 0
    if str(version) != change.version:
        raise ChangeRejected(
            f"the row of `{change.collection}` has been changed since: it is at version {version}",
            ErrorCode.VERSION_CONFLICT,
        )


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
