"""Compile columns of a table, and of what is joined to it, to the forms in which they are read, compared and sorted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, FromClause, String, and_, case, cast, true
from sqlalchemy.engine.interfaces import Dialect

from onedoor.connectors.sql.shape import ParameterEncoding, ParameterIndex
from onedoor.connectors.sql.tables import SqlColumn, SqlTable
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import Op
from onedoor.spi.scan import TimeUnit

Expression = ColumnElement[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlDialect:
    """What each kind of database expresses in its own way. A ParameterIndex names a bound, encoded value."""

    compiler: Dialect
    """Renders a SQLAlchemy expression as text."""
    parameter_encoding: ParameterEncoding
    compile_in_keys: Callable[[Sequence[Expression], Sequence[ParameterIndex], Sequence[SqlColumn]], Expression]
    """Tests whether columns, as a tuple, are one of many keys, bound as `pack_keys` packs them.

    A key is made what the `native_type` of its column compares."""
    text_matches: Mapping[Op, Callable[[Expression, Any], Expression]]
    collate_text: Callable[[Expression], Expression]
    """Makes text compare by code point."""
    bind_parameter: Callable[[ParameterIndex, SqlColumn], Expression]
    """Binds a value in the form that a column is compared with, by its `native_type` if it has one."""
    compile_read: Callable[[Expression, SqlColumn], Expression]
    """Selects a column in the form that its decoder takes."""
    compile_time_bucket: Callable[[Expression, SqlColumn, TimeUnit], Expression]
    """Truncates a date or time, as it is selected, to the start of its unit."""
    compile_sum: Callable[[Expression], Expression]
    """Sums whole numbers or money exactly; null where there are none."""
    live_columns_sql: str
    """Selects the names of the columns that a table has now, by its schema and its name."""
    runs_subqueries_once: bool = False
    """Whether a subquery that names no column of the rows it filters runs once, and any other one for each row.

    False: the database's planner turns either into a join.
    """
    compile_key_rows: Callable[[Sequence[ParameterIndex], Sequence[SqlColumn]], FromClause] | None = None
    """Lists keys as rows with columns `k0`, `k1` and so on, where LATERAL may read the first rows of each key."""
    rewrite_predicate: Callable[[Any], Any] = lambda predicate: predicate
    """Arranges a filter for the database, without changing which rows match it."""
    negate: Callable[[Expression], Expression] = lambda expression: expression.is_not(true())
    """Makes a test true of the other rows: of those where it is false, and of those where it is null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlScope:
    """The table, and what is joined to it, whose columns a predicate or sort key names."""

    dialect: SqlDialect
    tables: Mapping[str, SqlTable]
    columns: Mapping[str, SqlColumn]
    clause: FromClause
    """The table itself."""
    joined: Mapping[str, Expression] = field(default_factory=dict)
    """The columns that joins add, as they are stored."""
    from_clause: FromClause | None = None
    """The table with its joins, where it has any."""
    depth: int = 0
    guarded: frozenset[str] = frozenset()
    """The columns whose invalid values are null in orders, groups and extremes, as in StatementShape."""
    tests_row_by_row: bool = False
    """Whether an Exists is looked up for each row, and not computed for all rows at once."""

    @property
    def rows(self) -> FromClause:
        return self.clause if self.from_clause is None else self.from_clause

    def compile_column(self, name: str) -> Expression:
        """Compile a column in the form in which it is read."""
        column = self.columns[name]
        expression = self._get_bare_column(name)
        if column.read_expression is not None:
            expression = column.read_expression(expression)
        return cast(expression, String()) if column.read_as_text else expression

    def compile_validity(self, name: str) -> Expression | None:
        """Test whether a value is one that its column can hold; None where each is."""
        column = self.columns[name]
        validity = column.strict_validity if column.strict_validity and name in self.guarded else column.validity
        return None if validity is None else validity(self._get_bare_column(name))

    def guard(self, name: str, expression: Expression) -> Expression:
        """Compile to null where the column has a value that it cannot hold."""
        valid = self.compile_validity(name)
        return expression if valid is None else case((valid, expression))

    def compile_key(self, name: str) -> Expression:
        """Compile a column in the form in which equal values are equal."""
        native = self.columns[name].native_type
        return self._get_bare_column(name) if native is not None and native.equality else self.compile_column(name)

    def compile_sortable(self, name: str) -> Expression:
        """Compile a column in the form in which it is ordered; guarded, invalid values are null."""
        column = self.columns[name]
        if column.native_type is not None and column.native_type.order:
            return self._get_bare_column(name)
        if column.rank_expression is not None:
            rank: Expression = column.rank_expression(self._get_bare_column(name))
            return rank
        return self.compile_comparable(name)

    def compile_comparable(self, name: str) -> Expression:
        """Compile a column in the form in which it is read, ordered by code point if it is a text.

        Guarded, invalid values are null.
        """
        column, expression = self.columns[name], self.compile_column(name)
        if column.type is ColumnType.TEXT and not column.in_code_point_order:
            expression = self.dialect.collate_text(expression)
        return self.guard(name, expression) if name in self.guarded else expression

    def compile_equal(self, name: str, parameter: ParameterIndex) -> Expression:
        """Test whether a column has a value; through an index, also where that finds other values, too."""
        column = self.columns[name]
        equal: Expression = self.compile_key(name) == self.dialect.bind_parameter(parameter, get_key_column(column))
        if not _is_coarse(column):
            return equal
        return and_(self._get_bare_column(name) == self.dialect.bind_parameter(parameter, column), equal)

    def compile_in_keys(self, names: Sequence[str], parameters: Sequence[ParameterIndex]) -> Expression:
        """Test whether columns, as a tuple, are one of many keys; through an index as `compile_equal` does."""
        columns = [self.columns[name] for name in names]
        keys = [get_key_column(column) for column in columns]
        among = self.dialect.compile_in_keys([self.compile_key(name) for name in names], parameters, keys)
        if not any(map(_is_coarse, columns)):
            return among
        bare = [
            self._get_bare_column(name) if self.columns[name].native_type else self.compile_key(name) for name in names
        ]
        return and_(self.dialect.compile_in_keys(bare, parameters, columns), among)

    def compile_equal_columns(self, name: str, other: "SqlScope", other_name: str) -> Expression:
        """Test whether a column equals one of another table; those of different types compare as texts."""
        native = self.columns[name].native_type
        if native is None or native != other.columns[other_name].native_type:
            return self.compile_column(name) == other.compile_column(other_name)
        bare: Expression = self._get_bare_column(name) == other._get_bare_column(other_name)
        return bare if native.equality else and_(bare, self.compile_column(name) == other.compile_column(other_name))

    def compile_equal_key(self, name: str, key: Expression) -> Expression:
        """Test whether a column equals a value of a list of keys."""
        column = self.columns[name]
        bare: Expression = (self._get_bare_column(name) if column.native_type else self.compile_column(name)) == key
        return and_(bare, self.compile_column(name) == cast(key, String())) if _is_coarse(column) else bare

    def compile_shared_key(self, name: str, other: "SqlScope", other_name: str) -> Expression:
        """Compile a column in the form in which it equals one of another table, in that form too."""
        native = self.columns[name].native_type
        is_shared = native is not None and native.equality and native == other.columns[other_name].native_type
        return self._get_bare_column(name) if is_shared else self.compile_column(name)

    def _get_bare_column(self, name: str) -> Expression:
        joined = self.joined.get(name)
        column: Expression = self.clause.c[self.columns[name].name] if joined is None else joined
        return column

    def compile_row_value(self, name: str) -> Expression:
        """Compile a column as rows are read."""
        read = self.columns[name].choose_row_read(is_guarded=name in self.guarded)
        return self.compile_result_column(name) if read is None else read.expression(self._get_bare_column(name))

    def compile_result_column(self, name: str) -> Expression:
        return self.dialect.compile_read(self.compile_column(name), self.columns[name])


def _is_coarse(column: SqlColumn) -> bool:
    """Whether the database by itself takes different values of a column for equal."""
    return column.native_type is not None and not column.native_type.equality


def get_key_column(column: SqlColumn) -> SqlColumn:
    """Return a column as `SqlScope.compile_key` compares it."""
    return replace(column, native_type=None) if _is_coarse(column) else column


def build_scope(collection: str, tables: Mapping[str, SqlTable], dialect: SqlDialect, depth: int = 0) -> SqlScope:
    table = tables[collection]
    clause = table.build_from_clause(f"t{depth}")
    return SqlScope(dialect=dialect, tables=tables, columns=table.columns, clause=clause, depth=depth)
