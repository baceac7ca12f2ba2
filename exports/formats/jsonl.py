"""Columns of values in, JSON Lines out: an object a row, its values as the door shows them."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from exports.rows import objects
from exports.words import Column, Format

line = partial(orjson.dumps, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


class Writer:
    """One part."""

    def __init__(self, path: Path, columns: Sequence[Column], head: bool, format: Format) -> None:
        self.columns = columns
        self.flat = all(len(each.path) == 1 and not each.inner for each in columns)
        self.keys = {each.name for each in columns}
        self.file = path.open("wb")

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """How many bytes the part has now."""
        alike = self.flat and all(each.keys() == self.keys for each in rows)
        self.file.write(b"".join(map(line, rows if alike else objects(rows, self.columns))))
        return self.file.tell()

    def close(self) -> None:
        self.file.close()
