"""A folder of journals in, the first line out where one was changed, moved, put in or taken away."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain as joined
from itertools import pairwise
from pathlib import Path

from records import chain
from records.read import journals, whole_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The first bad line of a folder: counted from 1, the header being line 1."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How many files and lines hold together before the first bad one, and which that is."""

    files: int
    records: int
    broken: Broken | None = None


def verify(folder: Path) -> Checked:
    """Whether each line of each file holds the digest of the line before it.

    It cannot tell whether the end of a file, or a whole file, was taken away, nor whether a last line was changed.
    """
    count = 0
    files = journals(folder)
    for index, path in enumerate(files):
        good = 0
        for good, broken in check(path):
            if broken is not None:
                return Checked(files=index, records=count + good, broken=broken)
        count += good
    return Checked(files=len(files), records=count)


def check(path: Path) -> Iterator[tuple[int, Broken | None]]:
    """For each line of a file: how many good records there are so far, and what is wrong with it."""
    before = None
    for number, (line, after) in enumerate(pairwise(joined(whole_lines(path), (None,))), 1):
        assert line is not None
        broken = flaw(line, before, after)
        if broken is not None:
            offset, reason = broken
            yield max(number - 2 + offset, 0), Broken(file=path.name, line=number + offset, reason=reason)
            return
        yield number - 1, None
        before = line


def flaw(line: bytes, before: bytes | None, after: bytes | None) -> tuple[int, str] | None:
    """What is wrong with a line (0) or, where the line after vouches for it or is none, with the one before (-1)."""
    record = chain.parsed(line)
    if record is None:
        return 0, "it is no record"
    if before is None:
        return None if "journal" in record else (0, "it is no header")
    if chain.follows(line, before):
        return None
    if line != before and (after is None or chain.follows(after, line)):
        return -1, "it was changed, or lines after it were taken away"
    return 0, "it was changed, moved or put in"
