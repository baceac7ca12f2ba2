"""A filter over the rows of a frame in, SQL out; lists of values, and text that we match, become tables beside.

It may be null where it is not met; what is not is said with IS NOT TRUE.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from engine.words import All, Among, Kind, Not, Op, Row, Some, Test, Where
from sources.scratch.values import EXACT, MOST, TYPES, Field, operand
from sources.scratch.words import Frame, Given, Matched, Sql, joined, prefixed

COMPARE = {Op.EQ: "=", Op.NE: "<>", Op.LT: "<", Op.LTE: "<=", Op.GT: ">", Op.GTE: ">="}
BELOW = frozenset({Op.LT, Op.LTE})
ABOVE = frozenset({Op.GT, Op.GTE})


def condition(where: Where, frame: Frame) -> Sql:
    match where:
        case Test():
            return _test(where, frame)
        case All():
            return _bracketed(" AND ", "TRUE", [condition(each, frame) for each in where.parts])
        case Some():
            return _bracketed(" OR ", "FALSE", [condition(each, frame) for each in where.parts])
        case Not():
            return prefixed("(", condition(where.part, frame), " IS NOT TRUE)")
        case Among():
            return _among([frame.fields[each] for each in where.columns], where.keys, frame)
        case _:
            raise TypeError(f"the scratch database is not asked {type(where).__name__}")


def _test(test: Test, frame: Frame) -> Sql:
    field = frame.fields[test.column]
    filled = Sql(f"{field.value} IS NOT NULL")
    match test.op:
        case Op.IS_NULL:
            return Sql(f"{field.value} IS NULL") if test.value else filled
        case Op.IN:
            return _among([field], [(each,) for each in test.value], frame)
        case Op.NOT_IN:
            found = condition(Test(test.column, Op.IN, test.value), frame)
            return _bracketed(" AND ", "TRUE", [filled, prefixed("", found, " IS NOT TRUE")])
        case Op.EQ | Op.NE if operand(test.value, field) is None:
            return filled if test.op is Op.NE else Sql("FALSE")
        case _ if test.op not in COMPARE:
            return _matched(test, field, frame)
        case _ if field.kind in (Kind.INTEGER, Kind.DECIMAL):
            return _number(test.op, test.value, field)
    return _compared(test.op, operand(test.value, field), field)


def _compared(op: Op, kept: Any, field: Field) -> Sql:
    text = f"{field.value} {COMPARE[op]} CAST(? AS {TYPES[field.kind]})"
    if field.kind is Kind.FLOAT and op in ABOVE:
        text = f"({text} AND NOT isnan({field.value}))"
    return Sql(text, (kept,))


def _number(op: Op, value: Any, field: Field) -> Sql:
    """Between two neighbours a column can hold, the lower one parts the rows alike."""
    units = value.scaleb(field.places, EXACT) if field.kind is Kind.DECIMAL else value
    lower = math.floor(units)
    if not -MOST <= lower < MOST:
        return Sql(f"{field.value} IS NOT NULL" if (units > 0) == (op in BELOW) else "FALSE")
    if lower != units:
        op = Op.LTE if op in BELOW else Op.GT
    return _compared(op, lower, field)


def _among(fields: Sequence[Field], keys: Iterable[Row], frame: Frame) -> Sql:
    here = tuple(replace(field, at=at) for at, field in enumerate(fields))
    rows = [
        key for key in keys if all(operand(value, field) is not None for value, field in zip(key, here, strict=True))
    ]
    frame.beside.append(Given(fields=here, rows=rows))
    return _within(fields, here, len(frame.beside) - 1)


def _within(fields: Sequence[Field], here: Sequence[Field], table: int) -> Sql:
    mine, theirs = (", ".join(each.value for each in every) for every in (fields, here))
    if len(fields) == 1:
        return Sql(f"{mine} IN (SELECT {theirs} FROM k{table})")
    return Sql(f"({mine}) IN (SELECT ({theirs}) FROM k{table})")


def _matched(test: Test, field: Field, frame: Frame) -> Sql:
    here = Field(kind=field.kind, at=0)
    found = prefixed(f"SELECT DISTINCT {field.value} AS v FROM ", frame.sql, f" WHERE {field.value} IS NOT NULL")
    frame.beside.append(Matched(fields=(here,), found=found, test=test))
    return _within([field], [here], len(frame.beside) - 1)


def _bracketed(between: str, none: str, parts: Sequence[Sql]) -> Sql:
    return prefixed("(", joined(between, parts), ")") if parts else Sql(none)
