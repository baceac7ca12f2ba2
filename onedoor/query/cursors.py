"""Cursors: a row's place in an order, as text no one can forge or use elsewhere.

base64url(JSON values, HMAC-SHA-256 cut to 128 bits), bound to the coordinate, the order, the filter and the schema
version; not to the key, as permission is judged anew and a rotated key must go on.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import And, Comparison, Not, Op, Or
from onedoor.spi.scan import SortKey

MAC_BYTES = 16

ORDER = "Order(column={!r}, descending={!r}, nulls_first={!r})"
"""Whatever its class and its fields are called."""

VALUE_PARSERS: Mapping[ColumnType, Any] = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.FLOAT: float,
    ColumnType.DECIMAL: Decimal,
    ColumnType.BOOLEAN: bool,
    ColumnType.DATE: date.fromisoformat,
    ColumnType.TIME: datetime.fromisoformat,
}


def secret_of(pepper: bytes) -> bytes:
    """What all keys of cursors are made with."""
    return hmac.digest(pepper, b"cursors", "sha256")


def derive_cursor_key(secret: bytes, version: str, coordinate: str, sort: Sequence[SortKey], where: Any) -> bytes:
    """The key that signs the cursors of one list, asked for in one way."""
    said = f"({version!r}, {coordinate!r}, {_listed(sort)}, {canonicalize_filter(where)!r})"
    return hmac.digest(secret, said.encode(), hashlib.sha256)


def _listed(order: Sequence[SortKey]) -> str:
    """In a spelling that never changes, as the cursors of clients are signed with it."""
    said = [ORDER.format(each.column, each.descending, each.nulls_first) for each in order]
    return f"({said[0]},)" if len(said) == 1 else f"({', '.join(said)})"


def canonicalize_filter(value: Any) -> Any:
    """A filter in one spelling, whatever the order of its fields."""
    if isinstance(value, dict):
        return tuple(sorted((name, canonicalize_filter(each)) for name, each in value.items()))
    return tuple(map(canonicalize_filter, value)) if isinstance(value, list | tuple) else value


def _encode_cursor_value(value: Any) -> Any:
    """What JSON cannot hold exactly, as text."""
    large = isinstance(value, int) and not -(2**63) <= value < 2**63
    return str(value) if large or isinstance(value, Decimal) else value


def encode_cursor(values: Sequence[Any], key: bytes) -> str:
    body = orjson.dumps([_encode_cursor_value(each) for each in values])
    return _encode_base64(_sign_cursor(body, key) + body)


def decode_cursor(text: str, column_types: Sequence[ColumnType], key: bytes) -> tuple[Any, ...]:
    """The values in the cursor; raises Refused (BAD_CURSOR) unless it was written here with this key."""
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
        mac, body = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if _encode_base64(raw) != text or not hmac.compare_digest(mac, _sign_cursor(body, key)):
            raise ValueError
        values = orjson.loads(body)
        return tuple(
            None if each is None else VALUE_PARSERS[kind](each) for kind, each in zip(column_types, values, strict=True)
        )
    except (ValueError, TypeError, KeyError, InvalidOperation, binascii.Error):
        message = "the cursor is not one of this list: take it from the same field, order and filter"
        raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.BAD_CURSOR, message=message)) from None


def build_keyset_predicate(sort: Sequence[SortKey], values: Sequence[Any], after: bool) -> Or:
    """The rows that come after (or before) the place of `values`, by the first column in which they differ."""
    parts = []
    for index, (each, value) in enumerate(zip(sort, values, strict=True)):
        level = [_build_equality(before.column, values[at]) for at, before in enumerate(sort[:index])]
        parts.append(And((*level, _build_after(each, value) if after else _build_before(each, value))))
    return Or(tuple(parts))


def _build_equality(column: str, value: Any) -> Comparison:
    return Comparison(column, Op.IS_NULL, True) if value is None else Comparison(column, Op.EQ, value)


def _build_after(sort_key: SortKey, value: Any) -> Any:
    if value is None:
        return Or(())
    past = Comparison(sort_key.column, Op.LT if sort_key.descending else Op.GT, value)
    return Or((past, Comparison(sort_key.column, Op.IS_NULL, True)))


def _build_before(sort_key: SortKey, value: Any) -> Any:
    if value is None:
        return Not(Comparison(sort_key.column, Op.IS_NULL, True))
    return Comparison(sort_key.column, Op.GT if sort_key.descending else Op.LT, value)


def _encode_base64(raw: bytes) -> str:
    """A cursor has one spelling: others that mean the same bytes are not it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _sign_cursor(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, hashlib.sha256)[:MAC_BYTES]
