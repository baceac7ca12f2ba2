"""A plan as plain data: branches (what the question asks for) and reads (what a source is asked)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.select import Pick
from engine.words import EVERY_ROW, Batch, Measure, Order, Where


@dataclass(frozen=True, slots=True)
class Carried:
    """Stands in a `Where` for `Among` keys that are read first: `carries[index]` of the read it is in."""

    here: tuple[str, ...]
    read: "Read"
    index: int = -1


@dataclass(frozen=True, slots=True)
class Seek:
    """Stands in a `Where` for the rows that come after a cursor in this order, or before it."""

    page: "Page"
    after: bool

    @property
    def cursor(self) -> Any:
        """The text of the cursor, or its slot."""
        return self.page.after if self.after else self.page.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One planned read: what the source takes, and what is finished by us.

    Rows begin with `columns`.
    """

    source: str
    collection: str
    columns: tuple[str, ...]
    asked: tuple[str, ...]
    """What the source is asked for: `columns`, then what only the finishing needs."""
    keyed: tuple[str, ...] = ()
    batch: int = 0
    """Keys a source takes at once; 0: it is read whole and the keys are picked out by us."""
    pushed: Where = EVERY_ROW
    rest: Where = EVERY_ROW
    measures: tuple[Measure, ...] = ()
    order: tuple[Order, ...] = ()
    limit: Any = None
    """Rows, for each key; None: all. A number or a slot."""
    pushes_measures: bool = False
    pushes_order: bool = False
    pushes_limit: bool = False
    carries: tuple["Read", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which rows of a list are wanted: a window over a steady order that ends in a key."""

    coordinate: str
    order: tuple[Order, ...]
    first: Any
    last: Any
    after: Any
    before: Any
    where: Any
    """The filter as it was given, to which cursors are bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One field that leads to rows: its reads, and the branches below it.

    `here` are columns of the parent's rows and `there` columns of these; at the root `here` is empty.
    """

    pick: Pick
    type: str
    many: bool
    here: tuple[str, ...]
    there: tuple[str, ...]
    named: Any = None
    """The id of a row asked for by id, as the client wrote it, or its slot."""
    page: Page | None = None
    rows: Read | None = None
    count: Read | None = None
    passed: Read | None = None
    """Whether rows come before what `after` lets in."""
    ahead: Read | None = None
    """Whether rows come after what `before` lets in."""
    batches: Mapping[int, Batch] | None = None
    """By pick number, the fields computed of all rows at once."""
    needs: Mapping[int, tuple[str, ...]] | None = None
    """By pick number, the columns such a field is computed of."""
    branches: tuple["Branch", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    branches: tuple[Branch, ...]
