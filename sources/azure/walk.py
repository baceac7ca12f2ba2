"""Beginnings of paths in, the pages of the directories that can hold such paths out.

Azure Files finds a name however it is written, `A.pdf` as `a.pdf`; as ours are compared by code point, each is looked
for in the listing of its directory.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from sources.azure.entries import Page
from sources.fan_out import fan_out

NEVER = re.compile(r'["\\:|<>*?\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]|//|(?:^|/)\.{1,2}(?:/|$)|^/|[^/]{256}')
"""What stands in no path of a share."""
LONGEST = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A page to be asked for: of `directory`, which ends with `/` or is empty, what begins with `prefix`."""

    directory: str
    prefix: str
    marker: str = ""


async def walk(ask: Callable[[Place], Awaitable[Page]], wanted: Sequence[str], at_once: int) -> AsyncIterator[Page]:
    """Every page once, a few at a time, so that no more are held than are asked for."""
    places = [each for each in (place("", wanted),) if each is not None]
    while places:
        now, places = places[-at_once:], places[:-at_once]
        for at, page in zip(now, await fan_out(ask, now, at_once), strict=True):
            yield page
            places += further(at, page, wanted)


def further(at: Place, page: Page, wanted: Sequence[str]) -> list[Place]:
    """The next page of the place, and the directories it lists that are to be entered."""
    below = [place(f"{each.path}/", wanted) for each in page.directories]
    rest = [Place(directory=at.directory, prefix=at.prefix, marker=page.marker)] if page.marker else []
    return [*rest, *(each for each in below if each is not None)]


def place(directory: str, wanted: Sequence[str]) -> Place | None:
    """None: nothing in it begins with what is wanted."""
    if any(directory.startswith(each) for each in wanted):
        return Place(directory=directory, prefix="")
    names = [each[len(directory) :].partition("/")[0] for each in wanted if each.startswith(directory)]
    return Place(directory=directory, prefix=beginning(names)) if names else None


def beginning(names: Sequence[str]) -> str:
    """What all of them begin with: the first and the last in their order tell."""
    return "".join(
        one for one, other in takewhile(lambda pair: pair[0] == pair[1], zip(min(names), max(names), strict=False))
    )


def possible(prefix: str) -> bool:
    """Whether a path can begin so: Azure refuses to look for what it would refuse to store."""
    return len(prefix) <= LONGEST and NEVER.search(prefix) is None
