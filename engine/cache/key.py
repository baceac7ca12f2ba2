"""A read and who may see it in, the key it is kept under out: a keyed digest, so that no one else can name it."""

import hmac
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any

from auth.rules import Requirement
from engine.words import Ask

PLAIN = frozenset({bool, int, float, str, bytes, Decimal, date, datetime, type(None)})
"""What `repr` writes so that no two values look alike, 1, 1.0, True and Decimal(1) included."""


def scope(met: Iterable[Requirement], version: str) -> str:
    """Who may share: those who meet the same requirements under the same schema and policy."""
    return f"{version} {sorted(sorted(each) for each in met)}"


def key(secret: bytes, scope: str, source: str, ask: Ask) -> bytes:
    """A rule about rows stands in the ask's `where`, so callers under different ones never share."""
    return hmac.digest(secret, repr((scope, source, written(ask))).encode(errors="surrogatepass"), "sha256")


def written(value: Any) -> str:
    """A value as text, whole: two that differ anywhere are written differently. TypeError: it cannot be told apart."""
    kind = type(value)
    if kind in PLAIN or isinstance(value, StrEnum):
        return repr(value)
    if kind is tuple:
        return repr(value) if PLAIN.issuperset(map(type, value)) else f"({','.join(map(written, value))})"
    if kind is frozenset:
        return f"{{{','.join(sorted(map(written, value)))}}}"
    if is_dataclass(kind):
        return f"{kind.__name__}({','.join(written(getattr(value, name)) for name in named(kind))})"
    raise TypeError(f"a read is not kept by a {kind.__name__}")


@cache
def named(kind: Any) -> tuple[str, ...]:
    """Every field, those that were added later too."""
    return tuple(each.name for each in fields(kind))
