"""Marks to a line of text that a store keeps with a file, and back; the id of a change in, what is kept of it out."""

import re
from hashlib import sha256

from sources.writing.words import Filed, Mark, Standing

NAME = "onedoor_changes"
"""What the line is called in the metadata of a file: Azure takes names of code alone."""
MOST = 12
"""Of the last changes, so many: S3 keeps two thousand bytes with a file."""
LINE = re.compile(r"[0-9a-f]{32}(?:=[!-+\--~]{1,100})?(?:,[0-9a-f]{32}(?:=[!-+\--~]{1,100})?)*")


def mark(change: str) -> str:
    """The same length for every id, and nothing that a header could not hold."""
    return sha256(change.encode()).hexdigest()[:32]


def left(filed: Filed, before: Standing | None) -> tuple[Mark, ...]:
    """What is to stand with the file once it is made."""
    own = Mark(change=filed.change, before=None if before is None else before.version)
    return (own, *(() if before is None else before.marks))[:MOST]


def written(marks: tuple[Mark, ...]) -> str:
    return ",".join(each.change if each.before is None else f"{each.change}={each.before}" for each in marks)


def read(line: str | None) -> tuple[Mark, ...]:
    """What somebody else wrote there is none."""
    if line is None or not LINE.fullmatch(line):
        return ()
    cut = (each.partition("=") for each in line.split(","))
    return tuple(Mark(change=change, before=before if equals else None) for change, equals, before in cut)
