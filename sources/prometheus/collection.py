"""What a collection of time series is, as plain data, and what it promises."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.words import Can, Column, Kind, Op

SELECTORS, WINDOW = "{selectors}", "{window}"
"""Where the filters of a read go into a query, and the stretch of time it looks at."""
NAMED = frozenset({Op.EQ, Op.IN})
SPAN = frozenset({Op.EQ, Op.LT, Op.LTE, Op.GT, Op.GTE})
KEYS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """With `steps` its rows are samples, one each so many seconds; without, the values at one instant."""

    name: str
    query: str
    labels: Mapping[str, Kind]
    """The labels its series differ in, text or whole numbers; each is a column."""
    windows: tuple[str, ...] = ()
    """What may stand for `{window}`, each with rows of its own."""
    steps: tuple[int, ...] = ()
    """In seconds, each with rows of its own."""
    history: int = 3600
    """How many seconds back the samples go."""

    @property
    def columns(self) -> Mapping[str, Kind]:
        return {
            **self.labels,
            **({"window": Kind.TEXT} if self.windows else {}),
            **({"step": Kind.INTEGER} if self.steps else {}),
            "time": Kind.TIME,
            "value": Kind.FLOAT,
        }


def promise(collection: Collection) -> Can:
    """Labels become matchers where the query has a place for them; window, step and time decide what is asked at all.

    It takes any columns as keys: labels narrow the query, times and windows are calls of their own, and what comes back
    is held against the keys.
    """
    labels = dict.fromkeys(collection.labels, NAMED if SELECTORS in collection.query else frozenset())
    filters = {**labels, "window": NAMED, "step": NAMED, "time": SPAN if collection.steps else NAMED}
    return Can(
        columns={name: Column(kind, filters.get(name, frozenset())) for name, kind in collection.columns.items()},
        keys=KEYS,
    )
