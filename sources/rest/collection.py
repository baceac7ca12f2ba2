"""What one collection of an API is, as plain data: its columns, and what the API can be asked of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from engine.change.words import Verb, Writes
from engine.errors import Code
from engine.words import Can, Column, Kind, Op

At: TypeAlias = tuple[str, ...]
"""Where something lies in a JSON value, step by step; of no steps: the value itself."""

PLACE = re.compile(r"\{(\w+)\}")
"""Where a path takes the value of a column."""
KEYS = 1000
"""Keys of one read, where they may travel in several calls."""


class Turning(StrEnum):
    """How the next page is asked for."""

    PAGE = "page"
    OFFSET = "offset"
    CURSOR = "cursor"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A column: what it holds, and where it lies in a row."""

    kind: Kind
    at: At


@dataclass(frozen=True, slots=True, kw_only=True)
class ByKey:
    """How rows are asked for by one column: many in a parameter, or one in a path such as `/users/{id}`.

    Values are joined by `separator`; without one the parameter is repeated. `rows`: where a path's one row lies. With
    neither, they are looked for among the rows that the columns of the collection's own path lead to.
    """

    parameter: str = ""
    path: str = ""
    most: int = 1
    separator: str = ""
    rows: At = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """The parameter that orders rows by these columns, none of which is ever null; text by code point."""

    parameter: str
    columns: tuple[str, ...]
    ascending: str = ""
    descending: str = "-"
    separator: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The parameter that says how many rows are wanted, and the most it takes."""

    parameter: str
    most: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """How pages follow each other; `next` is where a cursor lies in an answer, `first` the number of the first page."""

    by: Turning
    parameter: str = ""
    next: At = ()
    first: int = 1
    size_parameter: str = ""
    size: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Where a column stands in what is sent. `list`: as a list of one. `number`: money as a number, not a text."""

    at: At
    list: bool = False
    number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How an API is told to do one verb: `columns` are those that may be given, `fixed` goes along with each call.

    `only`: what a column can become, as in `/runs/{id}/cancel`, which is not sent. `id`: the column that keeps the id
    of a change, as `mark` says, after what else it says; without one a change was made where the row holds what was
    given. `by`: columns that narrow the search for it. `id_header` and `version_header` take a change's id and the
    version of its row. `rows`: where the row lies in the answer; with `answers` false it has none, and is read.
    `statuses` say that it was done, `refusals` that it was not, and why; all others mean what they mean to HTTP.
    """

    method: str
    path: str
    columns: Mapping[str, Sent] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    mark: str = "{id}"
    by: tuple[str, ...] = ()
    id_header: str = ""
    version_header: str = ""
    rows: At = ()
    answers: bool = True
    statuses: tuple[int, ...] = (200, 201, 202, 204)
    refusals: Mapping[int, Code] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Rows lie at `rows` of what `path` answers; `filters` names the parameter that asks for equality, by column.

    Columns that stand in `path`, as in `/repos/{repo}/runs`, must be given by every read, and have no other value.
    `single`: it answers with one row, not with a list. `text`: with a text, which is the row. `each`: where each row of
    the list is found in full, for a list that says too little. `version`: the column that every change makes another.
    """

    name: str
    path: str
    columns: Mapping[str, Held]
    rows: At = ()
    keys: Mapping[str, ByKey] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    order: Ordered | None = None
    limit: Cut | None = None
    paging: Paging | None = None
    single: bool = False
    text: bool = False
    each: str = ""
    writes: Mapping[Verb, Writing] = field(default_factory=dict)
    version: str = ""

    @property
    def given(self) -> tuple[str, ...]:
        """The columns that stand in its path, in their order there."""
        return places(self.path)

    @property
    def bare(self) -> bool:
        """Whether a row is a text or a number by itself, and no object."""
        return not any(held.at for name, held in self.columns.items() if name not in self.given)


def places(path: str) -> tuple[str, ...]:
    return tuple(PLACE.findall(path))


def promise(collection: Collection) -> Can:
    """A limit is always kept: what comes over it is cut. An order is, where no read needs more than one call."""
    return Can(
        columns={name: _column(collection, name, held) for name, held in collection.columns.items()},
        keys=_keys(collection),
        key_columns=_key_columns(collection),
        requires=collection.given,
        limit=True,
    )


def _column(collection: Collection, name: str, held: Held) -> Column:
    orders = collection.order is not None and name in collection.order.columns
    return Column(kind=held.kind, filters=frozenset({Op.EQ} if name in collection.filters else ()), orders=orders)


def _key_columns(collection: Collection) -> frozenset[tuple[str, ...]]:
    alone = {collection.given} if collection.given else set()
    return frozenset(alone | {(*collection.given, name) for name in collection.keys})


def _keys(collection: Collection) -> int:
    if not collection.keys:
        return KEYS if collection.given else 0
    return KEYS if collection.order is None else min(each.most for each in collection.keys.values())


def writes(collection: Collection) -> Writes | None:
    """What may be changed, None where nothing is declared. A new row takes what stands in its path, too."""
    if not collection.writes:
        return None
    return Writes(
        verbs={
            verb: frozenset({*each.columns, *each.only, *(places(each.path) if verb is Verb.CREATE else ())})
            for verb, each in collection.writes.items()
        },
        version=collection.version or None,
    )
