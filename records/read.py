"""A folder of journals in, every record out in the order of time."""

import heapq
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from auth.mistake import Mistake
from records import chain


def read(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Every record of every file, merged by time; within a file, in the order it was written.

    A last line torn by a crash is left out: nobody was answered for it. What else cannot be read is left to `verify`.
    """
    return heapq.merge(*(records(path) for path in journals(folder)), key=itemgetter("time"))


def journals(folder: Path) -> list[Path]:
    """The files of a folder, oldest first: their names begin with when they began."""
    if not folder.is_dir():
        raise Mistake(f"there is no folder `{folder}` to read records from")
    return sorted(folder.glob("*.jsonl"))


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of one file, without its header."""
    for line in whole_lines(path):
        record = chain.parsed(line)
        if record is not None and "prev" in record:
            yield record


def whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file that were written to their end, without their line ends."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]
