"""What a statement is made of: text with its values, the rows it speaks of, and the tables of keys beside them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from engine.words import Row, Test
from sources.scratch.values import Field


@dataclass(frozen=True, slots=True)
class Sql:
    """Text, and the values of its question marks in their order."""

    text: str
    binds: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A table of keys, each value as our sources give it."""

    fields: tuple[Field, ...]
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """A table of those values that `found` gives which meet `test`: text is matched by us."""

    fields: tuple[Field]
    found: Sql
    test: Test


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Rows that a condition or an order speaks of, and what they are called."""

    sql: Sql
    fields: Mapping[str, Field]
    beside: list[Given | Matched]

    def kept(self, columns: Iterable[str]) -> list[str]:
        return [each for name in columns for each in self.fields[name].kept]


def prefixed(before: str, sql: Sql, after: str = "") -> Sql:
    return Sql(f"{before}{sql.text}{after}", sql.binds)


def joined(between: str, parts: Sequence[Sql]) -> Sql:
    return Sql(between.join(part.text for part in parts), tuple(chain.from_iterable(part.binds for part in parts)))
