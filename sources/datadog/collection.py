"""What one of Datadog's collections is: its columns and how each is read of an item; and tags as columns."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from engine.words import All, Ask, Can, Column, Kind, Op, Test, Value
from sources.datadog.calls import Calls
from sources.patterns import INTEGER

Item: TypeAlias = Mapping[str, Any]
Read: TypeAlias = Callable[[Item], Value]
Columns: TypeAlias = Mapping[str, tuple[Kind, Read]]
Fetch: TypeAlias = Callable[[Calls, Ask], AsyncIterator[Sequence[Item]]]

NAMED = frozenset({Op.EQ, Op.IN})
SPAN = frozenset({Op.EQ, Op.LT, Op.LTE, Op.GT, Op.GTE})
KEYS = 50
WHOLE = re.compile(INTEGER)
TAG = re.compile(r"(?P<name>[a-z][a-z0-9_]*)(?P<whole>:int)?")
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,199}")
"""Values that mean themselves in a search; others are looked for by us."""
WORDS = frozenset({"AND", "OR", "NOT"})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """`fetch` gives every item that an ask means; it may give others, which the source drops."""

    columns: Columns
    fetch: Fetch
    filters: Mapping[str, frozenset[Op]] = field(default_factory=dict)


def promise(collection: Collection) -> Can:
    """Filters and keys narrow the search where they can; the source holds what comes back against them."""
    return Can(
        columns={
            name: Column(kind, collection.filters.get(name, frozenset()))
            for name, (kind, _) in collection.columns.items()
        },
        keys=KEYS,
    )


def declared(tags: Sequence[str], taken: Sequence[str]) -> Mapping[str, Kind]:
    """`service` for text, `customer_id:int` for whole numbers. ValueError: no tag can be called so."""
    found: dict[str, Kind] = {}
    for each in tags:
        tag = TAG.fullmatch(each)
        if tag is None or tag["name"] in found or tag["name"] in taken:
            raise ValueError("`tags` must be the keys of tags, each once, as `service` or `customer_id:int`")
        found[tag["name"]] = Kind.INTEGER if tag["whole"] else Kind.TEXT
    return found


def of_tag(name: str, kind: Kind, at: Callable[[Item], Sequence[str]]) -> Read:
    """The value of the first tag with this key."""

    def read(item: Item) -> Value:
        said = next((each.partition(":")[2] for each in at(item) if each.startswith(f"{name}:")), "")
        if kind is Kind.TEXT:
            return said or None
        return int(said) if WHOLE.fullmatch(said) else None

    return read


def moment(text: str) -> datetime:
    """`2026-10-31T12:00:00.123Z`."""
    return datetime.fromisoformat(text).astimezone(UTC)


def named(column: str, ask: Ask) -> frozenset[Any] | None:
    """The values that tests and keys leave to a column; None: any."""
    left = [
        frozenset((each.value,) if each.op is Op.EQ else each.value)
        for each in tests(ask.where)
        if each.column == column and each.op in NAMED
    ]
    if ask.keys is not None and column in ask.keys.columns:
        at = ask.keys.columns.index(column)
        left.append(frozenset(key[at] for key in ask.keys.values))
    return frozenset.intersection(*left) if left else None


def tests(where: Any) -> Sequence[Test]:
    """Of an `All` of tests, which is all that was promised."""
    if isinstance(where, All):
        return [found for each in where.parts for found in tests(each)]
    return [where]


def safe(values: frozenset[Any]) -> list[str] | None:
    """As they stand in a search, in order; None where one of them would not mean itself."""
    texts = sorted(map(str, values))
    return texts if all(SAFE.fullmatch(each) and each not in WORDS for each in texts) else None


def span(ask: Ask, low: datetime, high: datetime | None) -> tuple[datetime, datetime | None]:
    """Between which moments all lies that is meant; some that is not may, too. None: without an end."""
    for each in tests(ask.where):
        if each.column == "time":
            if each.op in (Op.EQ, Op.GT, Op.GTE):
                low = max(low, each.value)
            if each.op in (Op.EQ, Op.LT, Op.LTE):
                high = each.value if high is None else min(high, each.value)
    return low, high
