"""Compile predicates, sort keys and aggregates to SQLAlchemy expressions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import String, and_, bindparam, false, func, literal_column, not_, or_, select, true, tuple_

from onedoor.connectors.sql.scope import Expression, SqlScope, build_scope, get_key_column
from onedoor.connectors.sql.shape import KeyList
from onedoor.connectors.sql.tables import SqlColumn
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import Comparison, Exists, Op, fold_predicate
from onedoor.spi.scan import AggregateCall, AggregateFunction, SortKey

LITERAL_ONE: Expression = literal_column("1")

COMPARISON_EXPRESSIONS: Mapping[Op, Callable[[Expression, Any], Expression]] = {
    Op.EQ: lambda column, value: column == value,
    Op.NE: lambda column, value: column != value,
    Op.LT: lambda column, value: column < value,
    Op.LTE: lambda column, value: column <= value,
    Op.GT: lambda column, value: column > value,
    Op.GTE: lambda column, value: column >= value,
}

EXTREME_FUNCTIONS: Mapping[AggregateFunction, Callable[[Expression], Expression]] = {
    AggregateFunction.MIN: func.min,
    AggregateFunction.MAX: func.max,
}


def compile_sql_predicate(predicate: Any, scope: SqlScope) -> Expression:
    """Compile a predicate whose values are each a ParameterIndex."""
    return fold_predicate(
        scope.dialect.rewrite_predicate(predicate),
        lambda leaf: _compile_sql_leaf(leaf, scope),
        conjunction=lambda parts: and_(true(), *parts),
        disjunction=lambda parts: or_(false(), *parts),
        negation=scope.dialect.negate,
        negated_leaf=lambda leaf: _compile_negated_leaf(leaf, scope),
    )


def _compile_negated_leaf(leaf: Any, scope: SqlScope) -> Expression:
    expression = _compile_sql_leaf(leaf, scope)
    return not_(expression) if isinstance(leaf, Exists) and scope.tests_row_by_row else scope.dialect.negate(expression)


def _compile_sql_leaf(leaf: Any, scope: SqlScope) -> Expression:
    match leaf:
        case Comparison():
            return _compile_sql_comparison(leaf, scope)
        case Exists():
            return _compile_sql_exists(leaf, scope)
        case KeyList(names, parameters, single=True):
            return and_(*map(scope.compile_equal, names, parameters))
        case KeyList(names, parameters):
            return scope.compile_in_keys(names, parameters)
        case _:
            raise TypeError(f"a SQL database does not take {type(leaf).__name__}")


def _compile_sql_comparison(comparison: Comparison, scope: SqlScope) -> Expression:
    """Compile a comparison; a value that its column cannot hold meets none, as null does."""
    valid = scope.compile_validity(comparison.column)
    if comparison.op is Op.IS_NULL:
        return _compile_null_test(comparison, scope, valid)
    expression = _compile_value_comparison(comparison, scope)
    return expression if valid is None or comparison.op is Op.EQ else and_(expression, valid)


def _compile_null_test(comparison: Comparison, scope: SqlScope, valid: Expression | None) -> Expression:
    column = scope.compile_key(comparison.column)
    if not comparison.value:
        return column.is_not(None) if valid is None else valid
    if valid is not None:
        return scope.dialect.negate(valid)
    if not scope.columns[comparison.column].nullable:
        return false()  # written as a test, it would hide the key's index from a page that begins after a key
    return column.is_(None)


def _compile_value_comparison(comparison: Comparison, scope: SqlScope) -> Expression:
    if comparison.op in scope.dialect.text_matches:
        text = scope.compile_column(comparison.column)
        return scope.dialect.text_matches[comparison.op](text, bindparam(comparison.value.name, type_=String()))
    if comparison.op is Op.EQ:
        return scope.compile_equal(comparison.column, comparison.value)
    stored = scope.columns[comparison.column]
    if comparison.op is Op.NE:
        column = scope.compile_key(comparison.column)
        return column != scope.dialect.bind_parameter(comparison.value, get_key_column(stored))
    bound = scope.dialect.bind_parameter(comparison.value, _get_sortable_column(stored))
    return COMPARISON_EXPRESSIONS[comparison.op](scope.compile_sortable(comparison.column), bound)


def _get_sortable_column(column: SqlColumn) -> SqlColumn:
    """Return a column as `SqlScope.compile_sortable` compares it."""
    if column.encode_rank is not None:
        return replace(column, type=ColumnType.INTEGER, native_type=None)
    return column if column.native_type is not None and column.native_type.order else replace(column, native_type=None)


def _compile_sql_exists(exists: Exists, scope: SqlScope) -> Expression:
    inner = replace(
        build_scope(exists.collection, scope.tables, scope.dialect, scope.depth + 1),
        tests_row_by_row=scope.tests_row_by_row,
    )
    if not scope.tests_row_by_row:
        return _compile_sql_semi_join(exists, inner, scope)
    equal = compile_equal_columns(inner, exists.inner_columns, scope, exists.outer_columns)
    matches = compile_sql_predicate(exists.filter, inner)
    return select(LITERAL_ONE).select_from(inner.clause).where(*equal, matches).correlate(scope.clause).exists()


def _compile_sql_semi_join(exists: Exists, inner: SqlScope, scope: SqlScope) -> Expression:
    """Compare with the keys of all matching rows, which are read first; of nulls among them, Not makes no false."""
    matches = compile_sql_predicate(exists.filter, inner)
    pairs = list(zip(exists.inner_columns, exists.outer_columns, strict=True))
    keys = select(*(inner.compile_shared_key(there, scope, here) for there, here in pairs)).select_from(inner.clause)
    columns = [scope.compile_shared_key(here, inner, there) for there, here in pairs]
    outer = columns[0] if len(columns) == 1 else tuple_(*columns)
    among: Expression = outer.in_(keys.where(*compile_all_validity(inner, exists.inner_columns), matches))
    return among


def compile_sql_sort_keys(sort: Sequence[SortKey], scope: SqlScope) -> list[Expression]:
    return [_compile_sql_sort_key(key, scope) for key in sort]


def _compile_sql_sort_key(key: SortKey, scope: SqlScope) -> Expression:
    column = scope.compile_sortable(key.column)
    directed = column.desc() if key.descending else column.asc()
    if not scope.columns[key.column].nullable and key.column not in scope.guarded:
        return directed
    return directed.nulls_first() if key.nulls_first else directed.nulls_last()


def compile_sql_aggregate(aggregate: AggregateCall, scope: SqlScope) -> Expression:
    if aggregate.column is None:
        return func.count()
    match aggregate.function:
        case AggregateFunction.COUNT:
            return func.count(scope.guard(aggregate.column, scope.compile_column(aggregate.column)))
        case AggregateFunction.COUNT_DISTINCT:
            return func.count(scope.guard(aggregate.column, scope.compile_key(aggregate.column)).distinct())
        case AggregateFunction.SUM:
            return scope.dialect.compile_sum(scope.guard(aggregate.column, scope.compile_column(aggregate.column)))
    extreme = EXTREME_FUNCTIONS[aggregate.function](scope.compile_comparable(aggregate.column))
    return scope.dialect.compile_read(extreme, scope.columns[aggregate.column])


def compile_equal_columns(
    inner: SqlScope, inner_columns: Sequence[str], outer: SqlScope, outer_columns: Sequence[str]
) -> list[Expression]:
    """Test whether columns are equal, and have values that they can hold."""
    pairs = zip(inner_columns, outer_columns, strict=True)
    equal = [inner.compile_equal_columns(there, outer, here) for there, here in pairs]
    return [*equal, *compile_all_validity(inner, inner_columns)]


def compile_all_validity(scope: SqlScope, names: Sequence[str]) -> list[Expression]:
    return [valid for name in names if (valid := scope.compile_validity(name)) is not None]
