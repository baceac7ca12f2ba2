"""What every store of files gives, whatever it is: the words its kind and `sources/content/` share."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from engine.errors import Code, SourceFailed

HIDDEN = ".onedoor-"
"""How the names of files begin that are being written: they are none yet."""
FILES = "files"
"""The collection of all files; its columns begin with those of `COLUMNS`."""
COLUMNS = ("id", "path", "name", "size", "content_type", "modified", "version")
"""`id`: what the store knows it by. `path`: folders and name, `/` between. `size`: bytes, null where it has none.

`version` changes when the content does. A store's pattern gives further columns, such as `customer_id`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """A file as it stands: `size` in bytes, None where the store cannot tell before it is read."""

    id: str
    name: str
    size: int | None
    content_type: str | None
    modified: datetime
    version: str


class Store(Protocol):
    """A place that keeps files. Each method raises SourceFailed, and nothing else, when it cannot answer."""

    async def stat(self, id: str) -> Stat | None:
        """None: there is no such file, or it is outside of what the settings open."""
        ...

    async def octets(self, id: str, start: int, length: int) -> bytes:
        """At most `length` bytes from `start` on, fewer where the file ends; never more are fetched."""
        ...

    async def download_url(self, id: str, seconds: int) -> str | None:
        """An address that gives this one file to whoever holds it, for so long; None: the store has none to give."""
        ...


def too_much(read_bytes: int) -> SourceFailed:
    limit = f"the limit `read_bytes` of {read_bytes}"
    return SourceFailed(f"finding these rows takes more of a file than {limit}, ask for fewer", Code.LIMIT_EXCEEDED)


def too_large() -> SourceFailed:
    return SourceFailed("the rows are too large, ask for fewer or for less of each", Code.LIMIT_EXCEEDED)
