"""What a grouped read names in; the SQL of its columns, cut to units of time, and of its measures out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.words import Aggregate, Ask, Kind, Measure, Unit
from sources.snowflake.tables import EPOCH, Stored

COUNTED = Stored(name="", kind=Kind.INTEGER, type="NUMBER", precision=38)
WIDEST = 38
"""Digits of a sum. Snowflake fails on more; it never rounds."""
EXTREME = {Aggregate.MIN: "MIN", Aggregate.MAX: "MAX"}
DAY = 86_400_000_000
SPANS = {Unit.HOUR: (DAY // 24, 0), Unit.DAY: (DAY, 0), Unit.WEEK: (7 * DAY, 3 * DAY)}
"""In microseconds, and how long before 1970 one began."""
FIRST_DAY = "DATE '1970-01-01'"


def results(ask: Ask, columns: Mapping[str, Stored]) -> Sequence[tuple[str, Stored]]:
    """What a row of the answer holds, and its name: `c0`, `c1` ... are its columns, then `m0` ... its measures.

    Times are microseconds since 1970.
    """
    by = [(name, replace(read(columns[name]), name=f"c{at}")) for at, name in enumerate(ask.columns)]
    measured = [(each.name, replace(_measured(each, columns), name=f"m{at}")) for at, each in enumerate(ask.measures)]
    return [*by, *measured]


def read(stored: Stored) -> Stored:
    return replace(stored, type=EPOCH) if stored.kind is Kind.TIME else stored


def _measured(measure: Measure, columns: Mapping[str, Stored]) -> Stored:
    if measure.column is None or measure.aggregate in (Aggregate.COUNT, Aggregate.COUNT_DISTINCT):
        return COUNTED
    stored = read(columns[measure.column])
    return replace(stored, precision=WIDEST) if measure.aggregate is Aggregate.SUM else stored


def computed(measure: Measure, column: str, columns: Mapping[str, Stored]) -> str:
    """`column`: as it is read. A sum is of numbers as wide as there are, whatever the column's own width."""
    match measure.aggregate:
        case Aggregate.COUNT:
            return f"COUNT({column})"
        case Aggregate.COUNT_DISTINCT:
            return f"COUNT(DISTINCT {column})"
        case Aggregate.SUM:
            assert measure.column is not None
            return f"SUM(CAST({column} AS NUMBER({WIDEST}, {columns[measure.column].scale})))"
    return f"{EXTREME[measure.aggregate]}({column})"


def cut(column: str, kind: Kind, unit: Unit) -> str:
    """By arithmetic and the calendar: the session's zone and the day its weeks begin with have no say."""
    if kind is Kind.DATE:
        return _day_cut(column, unit)
    if unit in SPANS:
        return _floor(column, *SPANS[unit])
    day = f"DATEADD(DAY, CAST({_floor(column, *SPANS[Unit.DAY])} / {DAY} AS NUMBER(38, 0)), {FIRST_DAY})"
    return f"(DATEDIFF(DAY, {FIRST_DAY}, {_day_cut(day, unit)}) * {DAY})"


def _day_cut(day: str, unit: Unit) -> str:
    if unit is Unit.DAY:
        return day
    if unit is Unit.WEEK:
        return f"CAST(DATEADD(DAY, 1 - DAYOFWEEKISO({day}), {day}) AS DATE)"
    return f"CAST(DATE_TRUNC('{unit}', {day}) AS DATE)"


def _floor(column: str, span: int, before: int) -> str:
    """Rounded down, below zero too."""
    return f"({column} - MOD(MOD({column} + {before}, {span}) + {span}, {span}))"
