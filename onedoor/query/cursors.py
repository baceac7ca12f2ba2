"""Encode a row's place in a sorted list as a cursor, which nobody can read, forge or use for another list.

A cursor is base64url of a version, a nonce, and the sort values as JSON, sealed with AES-256-GCM. Its key is bound to
the coordinate, the sort, the filter and the schema version; not to the API key, as access is decided anew for each
request and a rotated key must be able to go on. The nonce is made of the values, so that a place has one cursor.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.spi.capabilities import ColumnType, ValueType
from onedoor.spi.predicates import And, Comparison, Not, Op, Or
from onedoor.spi.scan import SortKey
from onedoor.spi.text_types import TextType

SEALED = b"\x01"
"""The version of a sealed cursor, its first byte."""

NONCE_BYTES = 12

MAC_BYTES = 16
"""Of the cursors of the release before, which were signed and not sealed: an HMAC-SHA-256, cut, and the JSON."""

CIPHERS = 256
"""How many ciphers are kept: one serves all rows of a list."""

SORT_KEY_FORMAT = "Order(column={!r}, descending={!r}, nulls_first={!r})"
"""Never changes: clients hold cursors whose keys were made with it."""

VALUE_PARSERS: Mapping[ColumnType, Any] = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.FLOAT: float,
    ColumnType.DECIMAL: Decimal,
    ColumnType.BOOLEAN: bool,
    ColumnType.DATE: date.fromisoformat,
    ColumnType.TIME: datetime.fromisoformat,
}


def derive_cursor_secret(pepper: bytes) -> bytes:
    """Derive the secret of all cursors."""
    return hmac.digest(pepper, b"cursors", "sha256")


def derive_reader_secret(secret: bytes, reader: Mapping[str, Any]) -> bytes:
    """Derive the secret of the cursors of those who see the same rows; of those who see all, the secret itself."""
    return hmac.digest(secret, repr(reader).encode(), hashlib.sha256) if reader else secret


def derive_cursor_key(secret: bytes, version: str, coordinate: str, sort: Sequence[SortKey], where: Any) -> bytes:
    """Derive the key that seals the cursors of one list under one sort and filter."""
    return _derive_key(secret, version, coordinate, sort, canonicalize_filter(where))


def derive_former_cursor_key(
    secret: bytes, version: str, coordinate: str, sort: Sequence[SortKey], where: Any
) -> bytes:
    """Derive the key of earlier releases, which told two spellings of a filter apart."""
    return _derive_key(secret, version, coordinate, sort, _sort_fields(where))


def _derive_key(secret: bytes, version: str, coordinate: str, sort: Sequence[SortKey], where: Any) -> bytes:
    bound_to = f"({version!r}, {coordinate!r}, {_format_sort(sort)}, {where!r})"
    return hmac.digest(secret, bound_to.encode(), hashlib.sha256)


def _format_sort(sort: Sequence[SortKey]) -> str:
    texts = [SORT_KEY_FORMAT.format(key.column, key.descending, key.nulls_first) for key in sort]
    return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"


def canonicalize_filter(value: Any) -> Any:
    """Return a filter in one spelling, whatever the order of its fields and the nesting of its `and`; None for all."""
    return _canonicalize(value) or None if isinstance(value, dict) else _canonicalize(value)


def _sort_fields(value: Any) -> Any:
    """Return a filter as it is spelled, but for the order of its fields. It never changes, as SORT_KEY_FORMAT."""
    if isinstance(value, dict):
        return tuple(sorted((name, _sort_fields(inner)) for name, inner in value.items()))
    return tuple(map(_sort_fields, value)) if isinstance(value, list | tuple) else value


def _canonicalize(value: Any) -> Any:
    if isinstance(value, dict):
        conjuncts = {repr(conjunct): conjunct for conjunct in _iterate_conjuncts(value)}
        return tuple(conjuncts[text] for text in sorted(conjuncts))
    return tuple(map(_canonicalize, value)) if isinstance(value, list | tuple) else value


def _iterate_conjuncts(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the conditions of a filter that must all hold."""
    for name, inner in value.items():
        if name == "and" and isinstance(inner, list | tuple) and all(isinstance(part, dict) for part in inner):
            for part in inner:
                yield from _iterate_conjuncts(part)
        else:
            yield name, _canonicalize(inner)


def _encode_cursor_value(value: Any) -> Any:
    """Return what JSON cannot hold exactly as text."""
    is_large = isinstance(value, int) and not -(2**63) <= value < 2**63
    return str(value) if is_large or isinstance(value, Decimal) else value


def encode_cursor(values: Sequence[Any], key: bytes) -> str:
    """Return the cursor of a row by the values it is sorted by."""
    body = orjson.dumps([_encode_cursor_value(value) for value in values])
    nonce = hmac.digest(key, b"nonce" + body, hashlib.sha256)[:NONCE_BYTES]
    return _encode_base64(SEALED + nonce + _derive_cipher(key).encrypt(nonce, body, SEALED))


def decode_cursor(text: str, value_types: Sequence[ValueType], *keys: bytes) -> tuple[Any, ...]:
    """Return the values of a cursor. Raises RequestRejected (BAD_CURSOR) unless it was made with one of the keys."""
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
        body = next((body for key in keys if (body := _open_cursor(raw, key)) is not None), None)
        if _encode_base64(raw) != text or body is None:
            raise ValueError
        values = orjson.loads(body)
        return tuple(
            None if value is None else _parse_cursor_value(value_type, value)
            for value_type, value in zip(value_types, values, strict=True)
        )
    except (ValueError, TypeError, KeyError, InvalidOperation, binascii.Error):
        message = "the cursor is not one of this list: take it from the same field, order and filter"
        raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.BAD_CURSOR, message=message)) from None


def _open_cursor(raw: bytes, key: bytes) -> bytes | None:
    """Return the JSON of a cursor that was sealed with the key, or signed in the release before; None: it was not."""
    nonce, sealed = raw[len(SEALED) :][:NONCE_BYTES], raw[len(SEALED) + NONCE_BYTES :]
    if raw.startswith(SEALED):
        with suppress(InvalidTag, ValueError):
            return _derive_cipher(key).decrypt(nonce, sealed, SEALED)
    mac, body = raw[:MAC_BYTES], raw[MAC_BYTES:]
    return body if hmac.compare_digest(mac, _sign_cursor(body, key)) else None


@lru_cache(maxsize=CIPHERS)
def _derive_cipher(key: bytes) -> AESGCM:
    return AESGCM(hmac.digest(key, b"seal", hashlib.sha256))


def _parse_cursor_value(value_type: ValueType, value: Any) -> Any:
    return value_type.spell(value) if isinstance(value_type, TextType) else VALUE_PARSERS[value_type](value)


def build_keyset_predicate(sort: Sequence[SortKey], values: Sequence[Any], after: bool) -> Or:
    """Return the filter for rows after, or before, the place of `values`, by the first column in which they differ."""
    parts = []
    for index, (sort_key, value) in enumerate(zip(sort, values, strict=True)):
        equalities = [_build_equality(sort[i].column, values[i]) for i in range(index)]
        parts.append(And((*equalities, _build_after(sort_key, value) if after else _build_before(sort_key, value))))
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
    """Encode bytes in the one spelling of a cursor: others that mean the same bytes are refused."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _sign_cursor(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, hashlib.sha256)[:MAC_BYTES]
