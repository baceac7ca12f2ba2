"""The shape of an Ask with measures in, one statement out: a row for each group, its columns and then its measures."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, func, select

from engine.words import Aggregate, Measure
from sources.sql.columns import Stock
from sources.sql.shape import Shape, results
from sources.sql.statement import Dialect, Expression, Scope, condition, directions, filtered, scope_of, within


def grouped(shape: Shape, tables: Mapping[str, Stock], dialect: Dialect) -> Select[Any]:
    scope = scope_of(shape.collection, tables, dialect)
    by = [_cut(each, shape, scope) for each in shape.columns]
    measures = [_measured(each, scope) for each in shape.measures]
    labelled = [each.label(f"c{at}") for at, each in enumerate(by)]
    labelled += [each.label(f"m{at}") for at, each in enumerate(measures)]
    groups = filtered(select(*labelled).select_from(scope.clause), shape, scope).group_by(*by)
    if shape.having is None and not shape.order and shape.limit is None:
        return groups
    return _arranged(groups, shape, scope)


def _arranged(groups: Select[Any], shape: Shape, scope: Scope) -> Select[Any]:
    """The groups as a table, whose columns `having` and order speak of."""
    clause = groups.subquery("g")
    columns = dict(results(shape.columns, shape.measures, scope.columns, scope.dialect.binding))
    outer = replace(scope, columns=columns, clause=clause)
    kept = select(*clause.c)
    if shape.having is not None:
        kept = kept.where(condition(shape.having, outer))
    return within(kept.order_by(*directions(shape.order, outer)), shape.limit)


def _cut(name: str, shape: Shape, scope: Scope) -> Expression:
    unit = next((each.unit for each in shape.cuts if each.column == name), None)
    shown = scope.shown(name)
    return shown if unit is None else scope.dialect.cut(shown, scope.columns[name], unit)


EXTREME: Mapping[Aggregate, Callable[[Expression], Expression]] = {Aggregate.MIN: func.min, Aggregate.MAX: func.max}


def _measured(measure: Measure, scope: Scope) -> Expression:
    if measure.column is None:
        return func.count()
    match measure.aggregate:
        case Aggregate.COUNT:
            return func.count(scope.column(measure.column))
        case Aggregate.COUNT_DISTINCT:
            return func.count(scope.column(measure.column).distinct())
        case Aggregate.SUM:
            return scope.dialect.total(scope.column(measure.column))
    extreme = EXTREME[measure.aggregate](scope.compared(measure.column))
    return scope.dialect.shown(extreme, scope.columns[measure.column])
