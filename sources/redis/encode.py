"""Rows in, bytes out, and back."""

from datetime import datetime

import orjson

from engine.cache.words import Kept
from engine.packed import packed, unpacked


def encoded(kept: Kept) -> bytes:
    """TypeError or orjson's for what has no form here: it is then not kept."""
    return orjson.dumps([kept.at.isoformat(), [[packed(value) for value in row] for row in kept.rows]])


def decoded(text: bytes) -> Kept:
    """ValueError, TypeError or KeyError for what `encoded` did not make."""
    at, rows = orjson.loads(text)
    return Kept(at=datetime.fromisoformat(at), rows=tuple(tuple(map(unpacked, row)) for row in rows))
