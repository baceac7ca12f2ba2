"""What is kept of an export in, JSON out, and back."""

from collections.abc import Mapping
from typing import Any

import orjson

from exports.words import Column, Ending, Format, LeftOut, Part, Range, State, Stated, Wish


def written(value: Stated | Part | Ending) -> bytes:
    return orjson.dumps(value)


def stated(line: bytes) -> Stated:
    given = orjson.loads(line)
    return Stated(
        **{
            **given,
            "wish": Wish(**{**given["wish"], "format": Format(given["wish"]["format"])}),
            "columns": tuple(map(_column, given["columns"])),
            "left_out": tuple(LeftOut(**each) for each in given["left_out"]),
            "ranges": tuple(Range(**each) for each in given["ranges"]),
        }
    )


def part(line: bytes) -> Part:
    return Part(**orjson.loads(line))


def ending(line: bytes) -> Ending:
    given = orjson.loads(line)
    return Ending(state=State(given["state"]), reason=given["reason"])


def _column(given: Mapping[str, Any]) -> Column:
    return Column(
        **{
            **given,
            "path": tuple(given["path"]),
            "members": tuple(given["members"]),
            "inner": tuple(map(_column, given["inner"])),
        }
    )
