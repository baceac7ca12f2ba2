"""What the parts of fetching share: a request's fetch under way, and what it came to."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from engine.bind import Bound
from engine.cache.through import Reader
from engine.errors import Code, SourceFailed
from engine.finish import grouped, key_of
from engine.house import Limits
from engine.overflow import Opened, Overflow
from engine.plan.words import Carried, Meant, Read, Wanted
from engine.source import Source
from engine.words import Ask, Row

ROOT_KEY: Row = ()


@dataclass(slots=True, kw_only=True)
class Call:
    """One read of one collection, for the record: how many calls, rows and milliseconds it took."""

    source: str
    collection: str
    calls: int = 0
    cached: int = 0
    """Reads that took no call, as the same was read a moment ago or is being read just now."""
    at: datetime | None = None
    """When the oldest of its rows were read."""
    rows: int = 0
    outgrown: int = 0
    """Of those, what went through the scratch database."""
    ms: float = 0.0
    failed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One read as it was asked, kept for a question that wants its plan shown."""

    wanted: Wanted
    """As it stands in the plan."""
    read: Read
    call: Call
    asks: Sequence[Ask]
    spread: tuple[str, ...]
    """The columns whose keys, from elsewhere, were too many for one filter, so that they are spread over the asks."""
    rows: Sequence[Row]
    """As they come in, before any step of ours."""
    overflow: Overflow | None = None
    """Where the rest of them went, if they outgrew memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    """What was measured of all rows of a list, by the key that leads to it."""

    names: tuple[str, ...]
    rows: Mapping[Row, Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The groups one field asked for, by the key that leads to their list."""

    names: tuple[str, ...]
    rows: Mapping[Row, Sequence[Row]]


@dataclass(slots=True, kw_only=True)
class Fetched:
    """What one branch came to: its rows, and what was asked beside them."""

    columns: tuple[str, ...] = ()
    rows: Sequence[Row] = ()
    keyed: tuple[str, ...] = ()
    """The columns of the key that leads to them."""
    tally: Tallied | SourceFailed | None = None
    passed: frozenset[Row] = frozenset()
    ahead: frozenset[Row] = frozenset()
    groupings: dict[int, Groups | SourceFailed] = field(default_factory=dict)
    """By pick number."""
    computed: dict[int, Mapping[Row, object]] = field(default_factory=dict)
    """By pick number, then by row."""
    parts: Mapping[str, "Fetched"] = field(default_factory=dict)
    """Of an interface, by concrete type what the rows here were merged from."""
    lost: Mapping[str, SourceFailed] = field(default_factory=dict)
    """By concrete type, why its rows are not among these."""
    shut: tuple[Meant, ...] = ()
    """The concrete types whose rows may not be among these."""
    grouped: dict[Row, list[Row]] | None = None

    def by_key(self) -> Mapping[Row, Sequence[Row]]:
        """The rows by the key that leads to them."""
        if self.grouped is None:
            self.grouped = grouped(self.rows, key_of(self.keyed, self.columns)) if self.rows else {}
        return self.grouped


Results: TypeAlias = dict[int, Fetched | SourceFailed]
"""By pick number of the branch."""


@dataclass(slots=True, kw_only=True)
class Fetching:
    """One request's fetch under way."""

    guards: Mapping[str, Reader]
    values: Bound
    calls: list[Call]
    limits: Limits
    scratch: Opened | None = None
    """`House.scratch`."""
    results: Results = field(default_factory=dict)
    carried: dict[Carried, frozenset[Row] | SourceFailed] = field(default_factory=dict)
    """Keys that other reads gave: read once, however many reads need them."""
    carrying: defaultdict[Carried, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    beside: dict[int, Carried] = field(default_factory=dict)
    """By id of an `Exists`, the keys it comes to where its source cannot evaluate it."""
    seen: list[Seen] | None = None
    """Every read, in the order they were asked; None: nobody wants to know."""

    def source(self, name: str) -> Source:
        return self.guards[name].source


def too_many_keys(run: Fetching, source: str) -> SourceFailed:
    limit = f"the limit `keys_carried` of {run.limits.keys_carried}"
    return SourceFailed(f"more keys than {limit} lead to `{source}` or from it, filter it more", Code.LIMIT_EXCEEDED)
