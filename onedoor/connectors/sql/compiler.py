"""Compile a ScanRequest to the text of a statement, and cache it by the request's shape."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from onedoor.connectors.sql.scope import SqlDialect
from onedoor.connectors.sql.selects import build_grouped_select, build_select
from onedoor.connectors.sql.shape import StatementShape, build_statement_shape, list_columns, list_result_columns
from onedoor.connectors.sql.tables import SqlTable, ValueConverter
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

MAX_CACHED_STATEMENTS = 2000
"""Past it, the statement that was compiled first is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledStatement:
    """The text of a statement, and how its values and rows are converted."""

    text: str
    order_values: Callable[[Sequence[Any]], Sequence[Any]]
    """Arranges the values of a request in the order of the statement's placeholders."""
    decoders: tuple[tuple[int, ValueConverter], ...]
    """By place in the row, for the columns that need one."""
    without_columns: bool
    """The request wants rows without any value."""

    def decode_rows(self, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Raise ConnectorError for a value that its column's type cannot have."""
        if self.without_columns:
            return [()] * len(rows)
        if not self.decoders or not rows:
            # A slice is the fastest way from a record of asyncpg to a tuple; of a tuple it is the tuple itself.
            return [row[:] for row in rows]  # type: ignore[misc]
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        try:
            for place, decode in self.decoders:
                columns[place] = [None if value is None else decode(value) for value in columns[place]]
        except (ValueError, TypeError, ArithmeticError):
            raise build_unreadable_error() from None
        return list(zip(*columns, strict=True))


class StatementCache:
    """The compiled statements of one database, by shape."""

    def __init__(self, tables: Mapping[str, SqlTable], dialect: SqlDialect) -> None:
        self.tables = tables
        self.dialect = dialect
        self.compiled_by_shape: dict[StatementShape, CompiledStatement] = {}

    def prepare(self, request: ScanRequest) -> tuple[CompiledStatement, Sequence[Any]]:
        """Return the statement of a request, and its values in the order of the placeholders."""
        shape, values = build_statement_shape(request, self.tables, self.dialect.parameter_encoding)
        statement = self.compiled_by_shape.get(shape) or self._compile_and_store(shape)
        return statement, statement.order_values(values)

    def _compile_and_store(self, shape: StatementShape) -> CompiledStatement:
        if len(self.compiled_by_shape) >= MAX_CACHED_STATEMENTS:
            del self.compiled_by_shape[next(iter(self.compiled_by_shape))]
        statement = self.compiled_by_shape[shape] = compile_statement(shape, self.tables, self.dialect)
        return statement


def compile_statement(shape: StatementShape, tables: Mapping[str, SqlTable], dialect: SqlDialect) -> CompiledStatement:
    build = build_grouped_select if shape.aggregates else build_select
    compiled = build(shape, tables, dialect).compile(dialect=dialect.compiler)
    columns = list_columns(shape.collection, shape.joins, tables, dialect.parameter_encoding)
    results = list_result_columns(shape.columns, shape.aggregates, columns, dialect.parameter_encoding)
    return CompiledStatement(
        text=str(compiled),
        order_values=build_value_order(compiled),
        decoders=tuple(
            (place, column.decode) for place, (_, column) in enumerate(results) if column.decode is not None
        ),
        without_columns=not results,
    )


def build_value_order(compiled: Any) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Map values by ParameterIndex to values by placeholder, adding what the statement itself binds."""
    names = tuple(compiled.positiontup or ())
    constants = [compiled.binds[name].value for name in names if not name[1:].isdecimal()]
    constant_places = iter(range(-len(constants), 0))
    places = [int(name[1:]) if name[1:].isdecimal() else next(constant_places) for name in names]
    pick = itemgetter(*places) if len(places) > 1 else lambda values: tuple([values[place] for place in places])
    return (lambda values: pick((*values, *constants))) if constants else pick


def build_unreadable_error() -> ConnectorError:
    return ConnectorError("the database gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)
