"""A source over rows in memory that fails loudly when asked for more than it declares, and keeps what it was asked."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from engine.words import EVERY_ROW, All, Ask, Can, Exists, Not, Op, Row, Some, Test
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
    if set(can.requires) - set(ask.keys.columns if ask.keys else ()):
        yield "no keys it cannot be read without"
    if not filters(source, can, ask.where, top=True):
        yield "a filter it does not take"
    if ask.measures and not can.measures:
        yield "a measure it does not take"
    if not all(can.columns[each.column].orders for each in ask.order):
        yield "an order it does not take"
    if ask.limit is not None and not (can.limit_per_key if ask.keys else can.limit):
        yield "a limit it does not take"
    if ask.measures and (ask.order or ask.limit is not None):
        yield "an order or a limit of measures"
    if not set(ask.columns) <= set(can.columns):
        yield "columns it does not have"


def filters(source: Any, can: Can, where: Any, *, top: bool = False) -> bool:
    """Without `logic`, only an `All` of tests."""
    match where:
        case Test():
            return where.op in can.columns[where.column].filters and shaped(where)
        case All():
            return (can.logic or top) and all(filters(source, can, each) for each in where.parts)
        case Some():
            return can.logic and all(filters(source, can, each) for each in where.parts)
        case Not():
            return can.logic and filters(source, can, where.part)
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
