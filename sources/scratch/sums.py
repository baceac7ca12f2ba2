"""A grouped read with sums of floats in, its groups out: no database adds floats as exactly as `math.fsum` does."""

import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from itertools import chain, groupby

from engine.words import COUNT, EVERY_ROW, Aggregate, Ask, Kind, Measure, Order, Row

Read = Callable[[Ask], AsyncGenerator[Sequence[Row], None]]


def of_floats(ask: Ask, kinds: Mapping[str, Kind]) -> tuple[Measure, ...]:
    found = (each for each in ask.measures if each.aggregate is Aggregate.SUM and each.column is not None)
    return tuple(each for each in dict.fromkeys(found) if kinds[each.column or ""] is Kind.FLOAT)


async def summed(read: Read, ask: Ask, sums: Sequence[Measure]) -> AsyncGenerator[list[Row], None]:
    """The groups before `having`, in order of what they are grouped by; raises ArithmeticError and ValueError.

    Beside the rest of the measures, read once, each summed column is read value by value in the same order.
    """
    plain = replace(ask, having=EVERY_ROW, order=tuple(map(Order, ask.columns)), limit=None)
    rest = tuple(each for each in ask.measures if each not in sums) or (COUNT,)
    async with AsyncExitStack() as stack:
        groups = await stack.enter_async_context(aclosing(read(replace(plain, measures=rest))))
        totals = [await stack.enter_async_context(aclosing(_totals(read, plain, each))) for each in sums]
        async for batch in groups:
            yield [_row(ask, rest, row, [await anext(each, None) for each in totals], sums) for row in batch]


def _row(ask: Ask, rest: Sequence[Measure], row: Row, totals: Sequence[float | None], sums: Sequence[Measure]) -> Row:
    by = len(ask.columns)
    known = dict(zip((*rest, *sums), (*row[by:], *totals), strict=True))
    return (*row[:by], *(known[each] for each in ask.measures))


async def _totals(read: Read, plain: Ask, measure: Measure) -> AsyncGenerator[float | None, None]:
    """One sum a group, in their order."""
    columns = tuple(dict.fromkeys((*plain.columns, measure.column or "")))
    at, by = columns.index(measure.column or ""), len(plain.columns)
    key, parts = None, None
    async with aclosing(read(replace(plain, columns=columns, measures=(COUNT,)))) as batches:
        async for batch in batches:
            for group, rows in groupby(batch, lambda row: row[:by]):
                if key is not None and group != key:
                    yield total(parts)
                    parts = None
                key, parts = group, added(parts, [(row[at], row[-1]) for row in rows if row[at] is not None])
    if key is not None:
        yield total(parts)


def total(parts: Sequence[float] | None) -> float | None:
    return None if parts is None else math.fsum(parts)


def added(parts: Sequence[float] | None, counted: Sequence[tuple[float, int]]) -> list[float] | None:
    """A few floats whose exact sum is that of `parts` and of each value so many times; None of no values."""
    if not counted:
        return None if parts is None else list(parts)
    values = [*(parts or ()), *chain.from_iterable(_times(value, count) for value, count in counted)]
    made: list[float] = []
    while rest := math.fsum(chain(values, (-each for each in made))):
        made.append(rest)
        if not math.isfinite(rest):
            break
    return made


def _times(value: float, count: int) -> Sequence[float]:
    """As many values as the count has bits set: a power of two times a float is exact."""
    if count == 1:
        return (value,)
    return [math.ldexp(value, place) for place in range(count.bit_length()) if count >> place & 1]
