"""A source over rows in memory that fails loudly when asked for more than it declares, and keeps what it was asked."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from onedoor.connectors.memory import MemoryConnector
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Exists, InKeys, Not, Op, Or, Predicate, Row
from onedoor.spi.scan import ScanRequest


class TooMuch(AssertionError):
    """The source was asked for what it does not promise."""


class Strict:
    """The same answers as the memory it is made of."""

    def __init__(self, memory: MemoryConnector) -> None:
        self.memory = memory
        self.asked: list[ScanRequest] = []

    def capabilities(self, collection: str) -> Capabilities:
        return self.memory.capabilities(collection)

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        self.asked.append(ask)
        for complaint in complaints(self, ask):
            raise TooMuch(f"{complaint}: {ask}")
        async for rows in self.memory.scan(ask):
            yield rows

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def complaints(source: Any, ask: ScanRequest) -> Iterator[str]:
    """What the ask says that its collection does not promise."""
    can: Capabilities = source.capabilities(ask.collection)
    if ask.keys and len(ask.keys.values) > can.max_keys:
        yield "more keys than it takes at once"
    if ask.keys and can.key_columns and ask.keys.columns not in can.key_columns:
        yield "keys of columns it is not read by"
    if ask.keys and (not ask.keys.values or len(set(ask.keys.values)) < len(ask.keys.values)):
        yield "no keys, or the same twice"
    if any(None in key for key in (ask.keys.values if ask.keys else ())):
        yield "a null among keys"
    if set(can.required_columns) - {*(ask.keys.columns if ask.keys else ()), *equalled(ask.filter)}:
        yield "no keys it cannot be read without"
    if not filters(source, can, ask.filter, top=True):
        yield "a filter it does not take"
    if not set(ask.columns) <= set(can.columns):
        yield "columns it does not have"
    yield from (grouped if ask.aggregates else plain)(can, ask)


def plain(can: Capabilities, ask: ScanRequest) -> Iterator[str]:
    """What a read of rows says that is not promised."""
    if not all(can.columns[each.column].sortable for each in ask.sort):
        yield "an order it does not take"
    if ask.limit is not None and not (can.limit_per_key if ask.keys else can.limit):
        yield "a limit it does not take"
    if ask.time_buckets or ask.having != ALWAYS_TRUE:
        yield "what is said of groups, without measures"


def grouped(can: Capabilities, ask: ScanRequest) -> Iterator[str]:
    """What a read of groups says that is not promised: `having`, order and limit come all with `arranges`."""
    if not can.aggregates:
        yield "a measure it does not take"
    if not all(each.function in can.columns[each.column].aggregates for each in ask.aggregates if each.column):
        yield "a measure of a column it does not take"
    if not all(Op.EQ in can.columns[each].filters for each in ask.columns):
        yield "a group by a column it does not tell apart"
    if not all(each.unit in can.time_buckets and each.column in ask.columns for each in ask.time_buckets):
        yield "a unit it does not cut to"
    if (ask.having != ALWAYS_TRUE or ask.sort or ask.limit is not None) and (
        ask.keys or not can.group_ordering_and_limit
    ):
        yield "an arrangement of groups"
    known = {*ask.columns, *(each.name for each in ask.aggregates)}
    if not {*named(ask.having), *(each.column for each in ask.sort)} <= known:
        yield "an arrangement by what its groups do not hold"


def named(having: Any) -> Iterator[str]:
    """The columns and measures a `having` names."""
    match having:
        case Comparison():
            yield having.column
        case And() | Or():
            for each in having.parts:
                yield from named(each)
        case Not():
            yield from named(having.part)
        case _:
            yield f"a {type(having).__name__}"


def filters(source: Any, can: Capabilities, where: Any, *, top: bool = False) -> bool:
    """Without `logic`, only an `All` of tests."""
    match where:
        case Comparison():
            held = can.columns[where.column]
            return where.op in held.filters and (shaped(where) or (held.type is ColumnType.LIST and where.op is Op.EQ))
        case And():
            return (can.boolean_filters or top) and all(filters(source, can, each) for each in where.parts)
        case Or():
            return can.boolean_filters and all(filters(source, can, each) for each in where.parts)
        case Not():
            return can.boolean_filters and filters(source, can, where.part)
        case InKeys():
            return len(where.keys) <= can.max_in_filter_keys and not any(None in key for key in where.keys)
        case Exists():
            inner = source.capabilities(where.collection)
            return can.exists_filters and (
                where.filter == ALWAYS_TRUE or filters(source, inner, where.filter, top=True)
            )
        case _:
            return False


def shaped(test: Comparison) -> bool:
    """The operand is what the words say: a tuple without nulls, a boolean, or one value."""
    match test.op:
        case Op.IN | Op.NOT_IN:
            return isinstance(test.value, tuple) and None not in test.value
        case Op.IS_NULL:
            return isinstance(test.value, bool)
        case _:
            return test.value is not None and not isinstance(test.value, tuple | list)


def equalled(where: Predicate) -> Iterator[str]:
    """The columns that can hold one value only."""
    match where:
        case Comparison(column, Op.EQ):
            yield column
        case And():
            for each in where.parts:
                yield from equalled(each)
