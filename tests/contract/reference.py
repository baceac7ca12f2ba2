"""Evaluate a request over all rows in the plainest way.

It shares no code with `onedoor/spi/operators.py`, so that an error in one shows against the other.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from functools import cmp_to_key
from typing import Any

from onedoor.spi.predicates import (
    And,
    Comparison,
    Exists,
    InKeys,
    Not,
    Op,
    Or,
    Row,
)
from onedoor.spi.scan import AggregateCall, AggregateFunction, Join, ScanRequest, SortKey, TimeUnit

FOLDED = {
    Op.I_CONTAINS: Op.CONTAINS,
    Op.I_STARTS_WITH: Op.STARTS_WITH,
    Op.I_ENDS_WITH: Op.ENDS_WITH,
}
Record = Mapping[str, Any]
Tables = Mapping[str, Sequence[Record]]


def evaluate(scan_request: ScanRequest, tables: Tables) -> list[Row]:
    rows = [
        row
        for row in joined_rows(scan_request, tables)
        if keyed(scan_request, row) and meets(scan_request.filter, row, tables)
    ]
    if scan_request.aggregates:
        return group_rows(scan_request, rows)
    rows = sorted(rows, key=cmp_to_key(lambda one, other: compare_records(scan_request.sort, one, other)))
    return [tuple(row[name] for name in scan_request.columns) for row in within(scan_request, rows)]


def joined_rows(scan_request: ScanRequest, tables: Tables) -> Sequence[Record]:
    rows = tables[scan_request.collection]
    for join in scan_request.joins:
        related = Exists(join.collection, join.outer_columns, join.inner_columns, None)
        rows = [
            {**row, **added_values(join, [other for other in tables[join.collection] if joined(related, row, other)])}
            for row in rows
        ]
    return rows


def added_values(join: Join, related: Sequence[Record]) -> Record:
    if join.aggregates:
        values = [aggregate(call, related) for call in join.aggregates]
    else:
        values = [related[0][column] if related else None for column in join.columns]
    return dict(zip(join.output_columns, values, strict=True))


def keyed(scan_request: ScanRequest, row: Record) -> bool:
    return scan_request.keys is None or any(
        equals(row, scan_request.keys.columns, key) for key in scan_request.keys.values
    )


def equals(row: Record, columns: Sequence[str], key: Row) -> bool:
    return all(row[name] is not None and row[name] == value for name, value in zip(columns, key, strict=True))


def group_rows(scan_request: ScanRequest, rows: Sequence[Record]) -> list[Row]:
    """Compute a row for each group, or one for all rows, then filter, sort and limit the groups as rows."""
    units = {bucket.column: bucket.unit for bucket in scan_request.time_buckets}
    keys = [tuple(truncate(row[name], units.get(name)) for name in scan_request.columns) for row in rows]
    results = []
    for key in dict.fromkeys(keys if scan_request.columns else [()]):
        members = [row for row, own in zip(rows, keys, strict=True) if own == key]
        measures = {item.name: aggregate(item, members) for item in scan_request.aggregates}
        results.append(dict(zip(scan_request.columns, key, strict=True)) | measures)
    matching = [result for result in results if meets(scan_request.having, result, {})]
    matching.sort(key=cmp_to_key(lambda one, other: compare_records(scan_request.sort, one, other)))
    return [tuple(item.values()) for item in within(scan_request, matching)]


def truncate(value: Any, unit: TimeUnit | None) -> Any:
    """Truncate a date, or a time in UTC, by the calendar."""
    if value is None or unit is None:
        return value
    if not isinstance(value, datetime):
        return UNIT_STARTS[unit](value)
    result = value.astimezone(UTC)
    if unit is TimeUnit.HOUR:
        return datetime(result.year, result.month, result.day, result.hour, tzinfo=UTC)
    return datetime.combine(UNIT_STARTS[unit](result.date()), time(), UTC)


UNIT_STARTS: Mapping[TimeUnit, Callable[[date], date]] = {
    TimeUnit.DAY: lambda day: day,
    TimeUnit.WEEK: lambda day: date.fromisocalendar(*day.isocalendar()[:2], 1),
    TimeUnit.MONTH: lambda day: date(day.year, day.month, 1),
    TimeUnit.QUARTER: lambda day: date(day.year, {0: 1, 1: 4, 2: 7, 3: 10}[(day.month + 2) // 3 - 1], 1),
    TimeUnit.YEAR: lambda day: date(day.year, 1, 1),
}


def aggregate(call: AggregateCall, rows: Sequence[Record]) -> Any:
    if call.column is None:
        return len(rows)
    values = sorted(row[call.column] for row in rows if row[call.column] is not None)
    match call.function:
        case AggregateFunction.COUNT:
            return len(values)
        case AggregateFunction.COUNT_DISTINCT:
            return len([value for index, value in enumerate(values) if index == 0 or values[index - 1] != value])
        case AggregateFunction.MIN:
            return values[0] if values else None
        case AggregateFunction.MAX:
            return values[-1] if values else None
    return summed(values)


def summed(values: Sequence[Any]) -> Any:
    """Sum as fractions, so that only a float is rounded, and only once; money keeps its places."""
    if not values:
        return None
    exact = sum(map(Fraction, values))
    if not isinstance(values[0], Decimal):
        return type(values[0])(exact)
    places = max(-int(value.as_tuple().exponent) for value in values)
    return Decimal(int(exact * 10**places)).scaleb(-places)


def within(scan_request: ScanRequest, rows: Sequence[Record]) -> list[Record]:
    records: list[Record] = []
    for row in rows:
        alike = [
            record for record in records if scan_request.keys is None or same(scan_request.keys.columns, record, row)
        ]
        if scan_request.limit is None or len(alike) < scan_request.limit:
            records.append(row)
    return records


def same(columns: Sequence[str], one: Record, other: Record) -> bool:
    return all(one[name] == other[name] for name in columns)


def compare_records(order: Sequence[SortKey], one: Record, other: Record) -> int:
    for sort_key in order:
        mine, theirs = one[sort_key.column], other[sort_key.column]
        if mine == theirs:
            continue
        if mine is None or theirs is None:
            return -1 if (mine is None) == sort_key.nulls_first else 1
        return -1 if (mine < theirs) != sort_key.descending else 1
    return 0


def meets(where: Any, row: Record, tables: Tables) -> bool:
    if isinstance(where, And):
        return all(meets(part, row, tables) for part in where.parts)
    if isinstance(where, Or):
        return any(meets(part, row, tables) for part in where.parts)
    if isinstance(where, Not):
        return not meets(where.part, row, tables)
    if isinstance(where, Exists):
        return any(
            joined(where, row, table) and meets(where.filter, table, tables) for table in tables[where.collection]
        )
    if isinstance(where, InKeys):
        return any(equals(row, where.columns, key) for key in where.keys)
    assert isinstance(where, Comparison)
    return passes(where.op, row[where.column], where.value)


def joined(where: Exists, row: Record, other: Record) -> bool:
    pairs = [(row[here], other[there]) for here, there in zip(where.outer_columns, where.inner_columns, strict=True)]
    return all(mine is not None and theirs is not None and mine == theirs for mine, theirs in pairs)


def passes(op: Op, value: Any, given: Any) -> bool:
    if op is Op.IS_NULL:
        return (value is None) == given
    if value is None:
        return False
    match op:
        case Op.EQ | Op.NE:
            return (value == given) == (op is Op.EQ)
        case Op.IN | Op.NOT_IN:
            return any(value == item for item in given) == (op is Op.IN)
        case Op.LT | Op.GTE:
            return (value < given) == (op is Op.LT)
        case Op.GT | Op.LTE:
            return (value > given) == (op is Op.GT)
        case Op.CONTAINS:
            return value.find(given) >= 0
        case Op.STARTS_WITH:
            return value[: len(given)] == given
        case Op.ENDS_WITH:
            return value[max(0, len(value) - len(given)) :] == given
    return passes(FOLDED[op], value.casefold(), given.casefold())
