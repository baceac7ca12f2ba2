"""Marks to properties of a file that only we see, and back.

A property is 124 bytes at most, and a file takes thirty: each mark is one, its number and what was before.
"""

import re
from collections.abc import Mapping

from sources.drive.calls import Item
from sources.writing.marks import MOST
from sources.writing.words import Filed, Mark, Standing

PROPERTIES = "appProperties"
PREFIX = "onedoor-"
VALUE = re.compile(r"(?P<turn>[0-9]{1,9})=(?P<before>.{0,70})")
FIRST = "0="
"""Of a change that made the file, so that it can be searched for."""


def turns(item: Item) -> Mapping[int, Mark]:
    """By their numbers, the newest first."""
    said = item.get(PROPERTIES) or {}
    found = {name: VALUE.fullmatch(value) for name, value in said.items() if name.startswith(PREFIX)}
    marks = {
        int(each["turn"]): Mark(change=name.removeprefix(PREFIX), before=each["before"] or None)
        for name, each in found.items()
        if each is not None
    }
    return dict(sorted(marks.items(), reverse=True))


def properties(filed: Filed, before: Standing | None) -> Mapping[str, str | None]:
    """What is written with a change; the oldest goes."""
    if before is None:
        return {PREFIX + filed.change: FIRST}
    gone = {PREFIX + each.change: None for each in before.marks[MOST - 1 :]}
    return {**gone, PREFIX + filed.change: f"{before.more['next']}={before.version[:70]}"}


def search(change: str) -> str:
    """What finds the file that a change made."""
    return f"{PROPERTIES} has {{ key='{PREFIX}{change}' and value='{FIRST}' }}"
