"""Rows in, their size out."""

from collections.abc import Sequence
from json import dumps

import orjson

from engine.words import Row


def weight(rows: Sequence[Row]) -> int:
    """The bytes of rows as JSON."""
    try:
        return len(orjson.dumps(rows, default=str))
    except orjson.JSONEncodeError:  # whole numbers past 64 bits, text that is no Unicode
        return len(dumps(rows, default=str, separators=(",", ":")))
