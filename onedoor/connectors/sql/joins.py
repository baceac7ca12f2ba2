"""Join to a table what a request reads through its links: one related row, or aggregates of many."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import and_, func, literal_column, select

from onedoor.connectors.sql.expressions import compile_all_validity, compile_equal_columns, compile_sql_aggregate
from onedoor.connectors.sql.scope import Expression, SqlDialect, SqlScope, build_scope
from onedoor.connectors.sql.shape import KeyList, StatementShape, list_columns
from onedoor.connectors.sql.tables import COUNT_FUNCTIONS, SqlTable
from onedoor.spi.predicates import split_conjuncts
from onedoor.spi.scan import Join

LITERAL_ZERO: Expression = literal_column("0")


def build_joined_scope(shape: StatementShape, tables: Mapping[str, SqlTable], dialect: SqlDialect) -> SqlScope:
    scope = replace(build_scope(shape.collection, tables, dialect), guarded=shape.guarded)
    scope = replace(scope, tests_row_by_row=not dialect.runs_subqueries_once or _reads_few_rows(shape, tables))
    if not shape.joins:
        return scope
    columns = list_columns(shape.collection, shape.joins, tables, dialect.parameter_encoding)
    reads_all_rows = shape.keys is None and shape.filter is None
    return add_joins(shape.joins, replace(scope, columns=columns), reads_all_rows=reads_all_rows)


def _reads_few_rows(shape: StatementShape, tables: Mapping[str, SqlTable]) -> bool:
    """Whether the request names the keys of its rows, or values of an indexed column."""
    indexed = tables[shape.collection].statistics.indexed_columns
    conjuncts = () if shape.filter is None else split_conjuncts(shape.filter)
    return shape.keys is not None or any(
        isinstance(part, KeyList) and not indexed.isdisjoint(part.columns) for part in conjuncts
    )


def add_joins(joins: Sequence[Join], scope: SqlScope, *, reads_all_rows: bool = True) -> SqlScope:
    """Join each in turn; aggregates are computed row by row where few rows are read and an index leads to theirs."""
    for index, join in enumerate(joins):
        table = scope.tables[join.collection]
        inner = replace(
            build_scope(join.collection, scope.tables, scope.dialect),
            clause=table.build_from_clause(f"j{index}"),
            guarded=frozenset(call.column for call in join.aggregates if call.column is not None),
        )
        if not join.aggregates:
            scope = _join_row(join, inner, scope)
        elif reads_all_rows or table.statistics.indexed_columns.isdisjoint(join.inner_columns):
            scope = _join_groups(join, inner, scope, f"g{index}")
        else:
            scope = _compute_by_row(join, inner, scope)
    return scope


def _join_row(join: Join, inner: SqlScope, scope: SqlScope) -> SqlScope:
    """Join the one related row, or nulls."""
    added = {
        name: inner.clause.c[inner.columns[column].name]
        for name, column in zip(join.output_columns, join.columns, strict=True)
    }
    matches = compile_equal_columns(inner, join.inner_columns, scope, join.outer_columns)
    return replace(
        scope, joined={**scope.joined, **added}, from_clause=scope.rows.outerjoin(inner.clause, and_(*matches))
    )


def _join_groups(join: Join, inner: SqlScope, scope: SqlScope, alias: str) -> SqlScope:
    """Join aggregates that are computed of all groups in one pass over the inner table."""
    pairs = list(zip(join.inner_columns, join.outer_columns, strict=True))
    keys = [
        inner.compile_shared_key(there, scope, here).label(f"k{index}") for index, (there, here) in enumerate(pairs)
    ]
    calls = [compile_sql_aggregate(call, inner).label(f"m{index}") for index, call in enumerate(join.aggregates)]
    rows = select(*keys, *calls).select_from(inner.clause).where(*compile_all_validity(inner, join.inner_columns))
    groups = rows.group_by(*(key.element for key in keys)).subquery(alias)
    matches = [
        groups.c[f"k{index}"] == scope.compile_shared_key(here, inner, there)
        for index, (there, here) in enumerate(pairs)
    ]
    values = [groups.c[f"m{index}"] for index in range(len(calls))]
    added = {
        name: func.coalesce(value, LITERAL_ZERO) if call.function in COUNT_FUNCTIONS else value
        for name, call, value in zip(join.output_columns, join.aggregates, values, strict=True)
    }
    return replace(scope, joined={**scope.joined, **added}, from_clause=scope.rows.outerjoin(groups, and_(*matches)))


def _compute_by_row(join: Join, inner: SqlScope, scope: SqlScope) -> SqlScope:
    """Compute aggregates for each row that is read, through an index."""
    matches = compile_equal_columns(inner, join.inner_columns, scope, join.outer_columns)
    added = {
        name: select(compile_sql_aggregate(call, inner))
        .select_from(inner.clause)
        .where(*matches)
        .correlate_except(inner.clause)
        .scalar_subquery()
        for name, call in zip(join.output_columns, join.aggregates, strict=True)
    }
    return replace(scope, joined={**scope.joined, **added})
