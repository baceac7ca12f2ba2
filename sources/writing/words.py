"""What is done to one file, in the words that all stores share; and what a store must do to be written to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from engine.change.words import Values, Verb, Writes

CONTENT_BYTES = 4 * 2**20
"""Of what comes with a change; more goes by an address to upload to."""
GIVEN = frozenset({"content", "text", "copy_of", "content_type"})
"""`content`: base64; `text`: as UTF-8; `copy_of`: the id of another file of the same store. One of the three."""
WRITES = Writes(verbs={Verb.CREATE: GIVEN, Verb.PUT: GIVEN, Verb.DELETE: frozenset()}, version="version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What the settings let be written: `below` the prefixes; none: anywhere."""

    writable: bool = False
    below: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a change leaves with the file: the change's own, and the version that the file had before; None: no file."""

    change: str
    before: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """One file to be there, or not. Of `octets` and `copy_of` there is one, and none where it is deleted."""

    id: str
    verb: Verb
    change: str
    octets: bytes | None = None
    copy_of: str | None = None
    content_type: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A file as it stands: all columns of its row, and the marks of the last changes, the newest first."""

    values: Values
    marks: tuple[Mark, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)
    """What its own store must know of it to change it."""

    @property
    def version(self) -> str:
        return str(self.values["version"])


class Outrun(Exception):
    """The file is not as it stood a moment ago: somebody was faster, and nothing was changed."""


class Keeper(Protocol):
    """A store that is written to. Each method raises Unmade where nothing was changed, else SourceFailed."""

    async def standing(self, id: str) -> Standing | None: ...

    async def placed(self, filed: Filed, before: Standing | None) -> Values:
        """Put or copied there, if the file still is as `before`: its row afterwards. Raises Outrun."""
        ...

    async def removed(self, filed: Filed, before: Standing) -> None:
        """If it still is as `before`. Raises Outrun."""
        ...

    def known(self, filed: Filed) -> Values:
        """What is known of its row without a look."""
        ...


def by_path(filed: Filed) -> Values:
    return {"id": filed.id, "path": filed.id, "name": filed.id.rpartition("/")[2]}


def prefixes(written: tuple[str, ...]) -> tuple[str, ...]:
    """ValueError: one that would open more than what lies below a folder."""
    if any(not each.endswith("/") or each.startswith("/") for each in written):
        raise ValueError("`writable_below` must name folders, such as `customers/`")
    return written
