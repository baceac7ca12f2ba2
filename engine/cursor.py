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

from engine.errors import Code, Fault, Refused
from engine.words import All, Kind, Not, Op, Order, Some, Test

MAC_BYTES = 16
ORDER = "Order(column={!r}, descending={!r}, nulls_first={!r})"
"""Whatever its class and its fields are called."""

READERS: Mapping[Kind, Any] = {
    Kind.TEXT: str,
    Kind.INTEGER: int,
    Kind.FLOAT: float,
    Kind.DECIMAL: Decimal,
    Kind.BOOLEAN: bool,
    Kind.DATE: date.fromisoformat,
    Kind.TIME: datetime.fromisoformat,
}


def secret_of(pepper: bytes) -> bytes:
    """What all keys of cursors are made with."""
    return hmac.digest(pepper, b"cursors", "sha256")


def bound(secret: bytes, version: str, coordinate: str, order: Sequence[Order], where: Any) -> bytes:
    """The key that signs the cursors of one list, asked for in one way."""
    said = f"({version!r}, {coordinate!r}, {_listed(order)}, {canonical(where)!r})"
    return hmac.digest(secret, said.encode(), hashlib.sha256)


def _listed(order: Sequence[Order]) -> str:
    """In a spelling that never changes, as the cursors of clients are signed with it."""
    said = [ORDER.format(each.column, each.descending, each.nulls_first) for each in order]
    return f"({said[0]},)" if len(said) == 1 else f"({', '.join(said)})"


def canonical(value: Any) -> Any:
    """A filter in one spelling, whatever the order of its fields."""
    if isinstance(value, dict):
        return tuple(sorted((name, canonical(each)) for name, each in value.items()))
    return tuple(map(canonical, value)) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """What JSON cannot hold exactly, as text."""
    large = isinstance(value, int) and not -(2**63) <= value < 2**63
    return str(value) if large or isinstance(value, Decimal) else value


def written(values: Sequence[Any], key: bytes) -> str:
    body = orjson.dumps([_plain(each) for each in values])
    return _encoded(_mac(body, key) + body)


def read(text: str, kinds: Sequence[Kind], key: bytes) -> tuple[Any, ...]:
    """The values in the cursor; raises Refused (BAD_CURSOR) unless it was written here with this key."""
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
        mac, body = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if _encoded(raw) != text or not hmac.compare_digest(mac, _mac(body, key)):
            raise ValueError
        values = orjson.loads(body)
        return tuple(None if each is None else READERS[kind](each) for kind, each in zip(kinds, values, strict=True))
    except (ValueError, TypeError, KeyError, InvalidOperation, binascii.Error):
        message = "the cursor is not one of this list: take it from the same field, order and filter"
        raise Refused(Fault(code=Code.BAD_CURSOR, message=message)) from None


def beyond(order: Sequence[Order], values: Sequence[Any], after: bool) -> Some:
    """The rows that come after (or before) the place of `values`, by the first column in which they differ."""
    parts = []
    for index, (each, value) in enumerate(zip(order, values, strict=True)):
        level = [_same(before.column, values[at]) for at, before in enumerate(order[:index])]
        parts.append(All((*level, _later(each, value) if after else _earlier(each, value))))
    return Some(tuple(parts))


def _same(column: str, value: Any) -> Test:
    return Test(column, Op.IS_NULL, True) if value is None else Test(column, Op.EQ, value)


def _later(order: Order, value: Any) -> Any:
    if value is None:
        return Some(())
    past = Test(order.column, Op.LT if order.descending else Op.GT, value)
    return Some((past, Test(order.column, Op.IS_NULL, True)))


def _earlier(order: Order, value: Any) -> Any:
    if value is None:
        return Not(Test(order.column, Op.IS_NULL, True))
    return Test(order.column, Op.GT if order.descending else Op.LT, value)


def _encoded(raw: bytes) -> str:
    """A cursor has one spelling: others that mean the same bytes are not it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _mac(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, hashlib.sha256)[:MAC_BYTES]
