"""A source over rows in memory that fails loudly when asked for more than it declares, and keeps what it was asked."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from engine.words import EVERY_ROW, All, Among, Ask, Can, Exists, Kind, Not, Op, Row, Some, Test, Where
from sources.memory import Memory


class TooMuch(AssertionError):
    """The source was asked for what it does not promise."""


class Strict:
    """The same answers as the memory it is made of."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.asked: list[Ask] = []

    def can(self, collection: str) -> Can:
        return self.memory.can(collection)

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        self.asked.append(ask)
        for complaint in complaints(self, ask):
            raise TooMuch(f"{complaint}: {ask}")
        async for rows in self.memory.read(ask):
            yield rows

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def complaints(source: Any, ask: Ask) -> Iterator[str]:
    """What the ask says that its collection does not promise."""
    can: Can = source.can(ask.collection)
    if ask.keys and len(ask.keys.values) > can.keys:
        yield "more keys than it takes at once"
    if ask.keys and can.key_columns and ask.keys.columns not in can.key_columns:
        yield "keys of columns it is not read by"
    if ask.keys and (not ask.keys.values or len(set(ask.keys.values)) < len(ask.keys.values)):
        yield "no keys, or the same twice"
    if any(None in key for key in (ask.keys.values if ask.keys else ())):
        yield "a null among keys"
    if set(can.requires) - {*(ask.keys.columns if ask.keys else ()), *equalled(ask.where)}:
        yield "no keys it cannot be read without"
    if not filters(source, can, ask.where, top=True):
        yield "a filter it does not take"
    if not set(ask.columns) <= set(can.columns):
        yield "columns it does not have"
    yield from (grouped if ask.measures else plain)(can, ask)


def plain(can: Can, ask: Ask) -> Iterator[str]:
    """What a read of rows says that is not promised."""
    if not all(can.columns[each.column].orders for each in ask.order):
        yield "an order it does not take"
    if ask.limit is not None and not (can.limit_per_key if ask.keys else can.limit):
        yield "a limit it does not take"
    if ask.cuts or ask.having != EVERY_ROW:
        yield "what is said of groups, without measures"


def grouped(can: Can, ask: Ask) -> Iterator[str]:
    """What a read of groups says that is not promised: `having`, order and limit come all with `arranges`."""
    if not can.measures:
        yield "a measure it does not take"
    if not all(each.aggregate in can.columns[each.column].measures for each in ask.measures if each.column):
        yield "a measure of a column it does not take"
    if not all(Op.EQ in can.columns[each].filters for each in ask.columns):
        yield "a group by a column it does not tell apart"
    if not all(each.unit in can.cuts and each.column in ask.columns for each in ask.cuts):
        yield "a unit it does not cut to"
    if (ask.having != EVERY_ROW or ask.order or ask.limit is not None) and (ask.keys or not can.arranges):
        yield "an arrangement of groups"
    known = {*ask.columns, *(each.name for each in ask.measures)}
    if not {*named(ask.having), *(each.column for each in ask.order)} <= known:
        yield "an arrangement by what its groups do not hold"


def named(having: Any) -> Iterator[str]:
    """The columns and measures a `having` names."""
    match having:
        case Test():
            yield having.column
        case All() | Some():
            for each in having.parts:
                yield from named(each)
        case Not():
            yield from named(having.part)
        case _:
            yield f"a {type(having).__name__}"


def filters(source: Any, can: Can, where: Any, *, top: bool = False) -> bool:
    """Without `logic`, only an `All` of tests."""
    match where:
        case Test():
            held = can.columns[where.column]
            return where.op in held.filters and (shaped(where) or (held.kind is Kind.LIST and where.op is Op.EQ))
        case All():
            return (can.logic or top) and all(filters(source, can, each) for each in where.parts)
        case Some():
            return can.logic and all(filters(source, can, each) for each in where.parts)
        case Not():
            return can.logic and filters(source, can, where.part)
        case Among():
            return len(where.keys) <= can.among and not any(None in key for key in where.keys)
        case Exists():
            inner = source.can(where.collection)
            return can.related and (where.where == EVERY_ROW or filters(source, inner, where.where, top=True))
        case _:
            return False


def shaped(test: Test) -> bool:
    """The operand is what the words say: a tuple without nulls, a boolean, or one value."""
    match test.op:
        case Op.IN | Op.NOT_IN:
            return isinstance(test.value, tuple) and None not in test.value
        case Op.IS_NULL:
            return isinstance(test.value, bool)
        case _:
            return test.value is not None and not isinstance(test.value, tuple | list)


def equalled(where: Where) -> Iterator[str]:
    """The columns that can hold one value only."""
    match where:
        case Test(column, Op.EQ):
            yield column
        case All():
            for each in where.parts:
                yield from equalled(each)
