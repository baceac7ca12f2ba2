"""What a source declares of a collection in, all grouped asks worth asking of it out; one function for each law."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from onedoor.spi.capabilities import Column, ColumnType
from onedoor.spi.predicates import (
    ALWAYS_TRUE,
    And,
    Comparison,
    Not,
    Op,
    Or,
)
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, AggregateFunction, ScanRequest, SortKey, TimeBucket, TimeUnit
from tests.contract.asks import HOSTILE, LIMITS, Told, asked, keys, nests, spread
from tests.contract.meaning import meant

COUNTS = (AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT)
COMPARING = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.IS_NULL, Op.LT, Op.LTE, Op.GT, Op.GTE})
"""What `having` may ask of any count and sum; of a least and a greatest, what its column takes in a filter."""

SOME = 90
"""Of all that can be asked of some groups; their columns, measures and units make it many all the same."""


def able(told: Told) -> list[str]:
    """The columns that can be grouped by."""
    return [name for name, column in told.can.columns.items() if Op.EQ in column.filters]


def declared(told: Told) -> list[AggregateCall]:
    return [
        AggregateCall(each, name) for name, column in told.can.columns.items() for each in sorted(column.aggregates)
    ]


def measures(told: Told) -> Iterator[ScanRequest]:
    """Each measure of each column, alone and together, of all rows, by a column, by two, under filters, by keys."""
    if not told.can.aggregates:
        return
    every = (COUNT_ROWS, *declared(told))
    names = able(told)
    groups = [(), *((each,) for each in names), tuple(names[:2]), tuple(names[-3:])]
    wheres = [ALWAYS_TRUE, Or(()), *spread([each.filter for each in nests(told)], 4)]
    for columns in groups:
        yield from (asked(told, columns, filter=where, aggregates=every) for where in wheres)
        yield asked(told, columns, aggregates=every[::-1])
        yield from (asked(told, columns, aggregates=(each,)) for each in every)
    for base in keys(told):
        assert base.keys is not None
        if set(base.keys.columns) <= set(names):
            yield asked(told, base.keys.columns, keys=base.keys, aggregates=every)
            yield asked(told, base.keys.columns, keys=base.keys, filter=wheres[-1], aggregates=every[:3])


def cuts(told: Told) -> Iterator[ScanRequest]:
    """Each column of days or times by each unit, alone, beside another column and beside another cut."""
    if not told.can.aggregates:
        return
    few = (COUNT_ROWS, *spread(declared(told), 4))
    found = [cut for name in able(told) for cut in units(told.can.columns[name], name, told.can.time_buckets)]
    for cut, other in zip(found, [*found[3:], *found[:3]], strict=True):
        beside = next(name for name in told.can.columns if name != cut.column)
        yield asked(told, (cut.column,), time_buckets=(cut,), aggregates=few)
        yield asked(told, (beside, cut.column), time_buckets=(cut,), aggregates=(COUNT_ROWS,))
        yield asked(told, (cut.column,), time_buckets=(cut,), aggregates=(AggregateCall(AggregateFunction.COUNT, cut.column),))
        if other.column != cut.column:
            yield asked(told, (cut.column, other.column), time_buckets=(cut, other), aggregates=few)


def units(column: Column, name: str, taken: frozenset[TimeUnit]) -> list[TimeBucket]:
    if column.type not in (ColumnType.DATE, ColumnType.TIME):
        return []
    return [
        TimeBucket(name, each) for each in sorted(taken) if column.type is ColumnType.TIME or each is not TimeUnit.HOUR
    ]


def arranged(told: Told) -> Iterator[ScanRequest]:
    """Groups picked by what was computed of them, in the order of it, no more than some; ties by what is grouped by."""
    if not (told.can.aggregates and told.can.group_ordering_and_limit):
        return
    for base in bases(told):
        yield from having(told, base)
        yield from ordered(base)


def bases(told: Told) -> Iterator[ScanRequest]:
    every = (COUNT_ROWS, *declared(told))
    cut = [cut for name in able(told) for cut in units(told.can.columns[name], name, told.can.time_buckets)]
    for columns in [(), *((each,) for each in able(told)), tuple(able(told)[:2])]:
        yield asked(told, columns, aggregates=every)
    yield from (asked(told, (each.column,), aggregates=every, time_buckets=(each,)) for each in cut)


def having(told: Told, base: ScanRequest) -> Iterator[ScanRequest]:
    rows = [dict(zip(names(base), row, strict=True)) for row in meant(base, {told.name: told.rows})]
    few = [
        Comparison(each, op, value)
        for each, ops, hostile in askable(told, base)
        for op in ops
        for value in operands(op, spread([row[each] for row in rows if row[each] is not None], 2), hostile)
    ]
    some = spread(few, SOME)
    yield from (replace(base, having=each) for each in some)
    for one, two in zip(some[::5], some[2::5], strict=False):
        yield replace(base, having=Or((Not(one), two)))
        yield replace(base, having=Not(And((one, Not(two)))))


def askable(told: Told, base: ScanRequest) -> Iterator[tuple[str, Sequence[Op], Sequence[Any]]]:
    """What stands in a row of the answer, with the operators it takes and values no row has."""
    for name in base.columns:
        column = told.can.columns[name]
        yield name, sorted(column.filters), HOSTILE[column.type][:4]
    for each in base.aggregates:
        if each.column is None or each.function in COUNTS:
            yield each.name, sorted(COMPARING), HOSTILE[ColumnType.INTEGER]
            continue
        column = told.can.columns[each.column]
        ops = COMPARING if each.function is AggregateFunction.SUM else column.filters
        yield each.name, sorted(ops), HOSTILE[column.type][-3:]


def operands(op: Op, found: Sequence[Any], hostile: Sequence[Any]) -> list[Any]:
    if op is Op.IS_NULL:
        return [True, False]
    return [tuple(found), tuple(hostile), (*found, *hostile)] if op in (Op.IN, Op.NOT_IN) else [*found, *hostile]


def ordered(base: ScanRequest) -> Iterator[ScanRequest]:
    """Each both ways, nulls last and first, alone and before the rest; then the first of them."""
    ties = tuple(map(SortKey, base.columns))
    every = [SortKey(each, down, first) for each in names(base) for down in (False, True) for first in (False, True)]
    ways = spread(every, SOME // 3)
    for one, two in zip(ways, [*ways[5:], *ways[:5]], strict=True):
        yield replace(base, sort=(one,))
        whole = once((one, two, *ties))
        yield from (replace(base, sort=whole, limit=limit) for limit in (None, *LIMITS))


def once(order: Sequence[SortKey]) -> tuple[SortKey, ...]:
    """No column is ordered by twice."""
    return tuple({each.column: each for each in reversed(order)}.values())[::-1]


def names(ask: ScanRequest) -> Mapping[str, int]:
    """What stands in a row of the answer, by its place."""
    return {each: at for at, each in enumerate((*ask.columns, *(each.name for each in ask.aggregates)))}
