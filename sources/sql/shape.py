"""An Ask in, its shape, which one statement answers whatever the values, and those values out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from engine.words import (
    EVERY_ROW,
    NO_ROW,
    Aggregate,
    All,
    Among,
    Ask,
    Cut,
    Exists,
    Keys,
    Kind,
    Measure,
    Not,
    Op,
    Order,
    Row,
    Some,
    Test,
)
from sources.sql.columns import Stock, Stored
from sources.sql.values import all_holdable, holdable, settled

NOT_NULL = False
"""What IS_NULL is asked for by a test that every value meets."""


class Slot(int):
    """Where in the values the one stands that belongs here."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return f"v{int(self)}"


class Listed(NamedTuple):
    """That `columns`, together, are one of many keys, bound as `slots`; of `one` key, each value has its slot."""

    columns: tuple[str, ...]
    slots: tuple[Slot, ...]
    one: bool = False


class Shape(NamedTuple):
    """An Ask without its values: each is a Slot, and what no row can hold is settled.

    Made and looked up for each ask, so its parts are tuples, which hash fast.
    """

    collection: str
    columns: tuple[str, ...]
    keys: Any
    """Listed, or what no row meets; None: all rows."""
    where: Any
    """None: every row."""
    measures: tuple[Measure, ...]
    cuts: tuple[Cut, ...]
    having: Any
    """None: every group."""
    order: tuple[Order, ...]
    limit: Slot | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """How one kind of database takes values. `packed`: encoded keys, a sequence for each column, as they are bound.

    `summed`: a column of sums, made of the column that is summed up.
    """

    packed: Callable[[Sequence[Sequence[Any]], Sequence[Stored]], Sequence[Any]]
    summed: Callable[[Stored], Stored]


@dataclass(slots=True)
class Taking:
    """Takes the values out of one ask, one after the other."""

    binding: Binding
    tables: Mapping[str, Stock]
    values: list[Any]

    def slot(self, value: Any) -> Slot:
        self.values.append(value)
        return Slot(len(self.values) - 1)

    def keys(self, keys: Keys, columns: Mapping[str, Stored]) -> Any:
        if len(keys.values) != 1:
            return self.listed(keys.columns, keys.values, columns)
        slots = []
        for name, value in zip(keys.columns, keys.values[0], strict=True):
            stored = columns[name]
            if not holdable(value, stored):
                return NO_ROW
            slots.append(self.slot(stored.encode(value) if stored.encode else value))
        return Listed(keys.columns, tuple(slots), one=True)

    def listed(self, names: tuple[str, ...], keys: Sequence[Row], columns: Mapping[str, Stored]) -> Listed:
        stored = [columns[each] for each in names]
        by_column = list(zip(*keys, strict=True)) if keys else [()] * len(stored)
        if not all(map(all_holdable, by_column, stored)):
            kept = [key for key in keys if all(map(holdable, key, stored))]
            by_column = list(zip(*kept, strict=True)) if kept else [()] * len(stored)
        encoded = [_encoded(part, each) for part, each in zip(by_column, stored, strict=True)]
        return Listed(names, tuple(map(self.slot, self.binding.packed(encoded, stored))))

    def where(self, where: Any, columns: Mapping[str, Stored]) -> Any:
        match where:
            case Test():
                return self.test(where, columns)
            case All() | Some():
                return type(where)(tuple([self.where(each, columns) for each in where.parts]))
            case Not():
                return Not(self.where(where.part, columns))
            case Exists():
                return replace(where, where=self.where(where.where, self.tables[where.collection].columns))
            case Among():
                return self.listed(where.columns, tuple(where.keys), columns)
            case _:
                raise TypeError(f"no source is asked {type(where).__name__}")

    def having(self, ask: Ask, columns: Mapping[str, Stored]) -> Any:
        if ask.having is EVERY_ROW or ask.having == EVERY_ROW:
            return None
        return self.where(ask.having, dict(results(ask.columns, ask.measures, columns, self.binding)))

    def test(self, test: Test, columns: Mapping[str, Stored]) -> Any:
        stored = columns[test.column]
        kept = settled(test, stored)
        if isinstance(kept, bool):
            return Test(test.column, Op.IS_NULL, NOT_NULL) if kept else NO_ROW
        if kept.op is Op.IS_NULL:
            return kept
        if kept.op in (Op.IN, Op.NOT_IN):
            found = self.listed((kept.column,), [(each,) for each in kept.value], columns)
            return found if kept.op is Op.IN else All((Test(kept.column, Op.IS_NULL, NOT_NULL), Not(found)))
        return Test(kept.column, kept.op, self.slot(stored.encode(kept.value) if stored.encode else kept.value))


def _encoded(values: Sequence[Any], stored: Stored) -> Sequence[Any]:
    return list(map(stored.encode, values)) if stored.encode else values


def shaped(ask: Ask, tables: Mapping[str, Stock], binding: Binding) -> tuple[Shape, list[Any]]:
    columns = tables[ask.collection].columns
    taking = Taking(binding, tables, [])
    shape = Shape(
        collection=ask.collection,
        columns=ask.columns,
        keys=None if ask.keys is None else taking.keys(ask.keys, columns),
        where=None if ask.where is EVERY_ROW or ask.where == EVERY_ROW else taking.where(ask.where, columns),
        measures=ask.measures,
        cuts=ask.cuts,
        having=taking.having(ask, columns),
        order=ask.order,
        limit=None if ask.limit is None else taking.slot(ask.limit),
    )
    return shape, taking.values


def results(
    names: Sequence[str], measures: Sequence[Measure], columns: Mapping[str, Stored], binding: Binding
) -> list[tuple[str, Stored]]:
    """What a row of the answer holds, and its name: `c0`, `c1` ... are its columns, then `m0` ... its measures."""
    by = [(name, _read(columns[name], f"c{at}")) for at, name in enumerate(names)]
    measured = [(each.name, _read(_measured(each, columns, binding), f"m{at}")) for at, each in enumerate(measures)]
    return [*by, *measured]


def _read(stored: Stored, name: str) -> Stored:
    return replace(stored, name=name, as_text=False, zoneless=False, read=None)


def _measured(measure: Measure, columns: Mapping[str, Stored], binding: Binding) -> Stored:
    if measure.column is None or measure.aggregate in (Aggregate.COUNT, Aggregate.COUNT_DISTINCT):
        return Stored(name="", kind=Kind.INTEGER, nullable=False)
    if measure.aggregate is Aggregate.SUM:
        return replace(binding.summed(columns[measure.column]), nullable=True)
    return replace(columns[measure.column], nullable=True)
