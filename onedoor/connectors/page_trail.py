"""Follow the pages of an API, and notice when they would never end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from onedoor.errors import ConnectorError, ErrorCode

MAX_EMPTY_PAGES = 100
"""Pages without a row that may follow each other: an API that filters may have some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTrail:
    """The pages of one read so far. An API may lead in a circle, or on for ever: both end the read.

    `markers`: the cursors or URLs that lead to pages. `empty`: how many pages without rows came last.
    `whole_rows`: whether rows come with all of their columns; pages of some columns may be alike and not the same.
    """

    count: int = 0
    first: Sequence[Any] = ()
    last: Sequence[Any] = ()
    markers: frozenset[str] = frozenset()
    empty: int = 0
    whole_rows: bool = True

    def follow(self, items: Sequence[Any], parameter: str = "") -> "PageTrail":
        """Return the trail with one page more; `parameter` had its number.

        Raises ConnectorError when the page was there before, or too many before it had no row.
        """
        page, empty = self.count + 1, 0 if items else self.empty + 1
        if self.whole_rows and items and self.count and items in (self.last, self.first):
            again = self.count if items == self.last else 1
            reason = f"its parameter `{parameter}` has no effect" if parameter else "its pages would never end"
            raise _build_endless_error(f"the API gave page {again} again for page {page}: {reason}")
        if empty > MAX_EMPTY_PAGES:
            raise _build_endless_error(f"the API gave {empty} pages without a row one after the other, and names more")
        return replace(self, count=page, first=self.first if self.count else items, last=items, empty=empty)

    def lead_to(self, marker: str) -> "PageTrail":
        """Return the trail with the cursor or URL of the next page. Raises ConnectorError for one it had before."""
        if marker in self.markers:
            raise _build_endless_error(
                f"the API names as page {self.count + 1} one that it gave before: its pages would never end"
            )
        return replace(self, markers=self.markers | {marker})


def _build_endless_error(message: str) -> ConnectorError:
    return ConnectorError(message, ErrorCode.SOURCE_INVALID)
