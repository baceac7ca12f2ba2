"""Compile a ScanRequest to the text of a statement, and cache it by the request's shape."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from onedoor.connectors.sql.decoding import DecodedColumn, RowDecoder
from onedoor.connectors.sql.scope import SqlDialect
from onedoor.connectors.sql.selects import build_grouped_select, build_select
from onedoor.connectors.sql.shape import (
    StatementShape,
    build_statement_shape,
    list_columns,
    list_fallible_columns,
    list_joined_origins,
    list_result_columns,
)
from onedoor.connectors.sql.tables import SqlColumn, SqlTable
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
    row_decoder: RowDecoder

    def decode_rows(self, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Return the rows, flawed where they have values that their columns cannot hold."""
        return self.row_decoder.decode(rows).rows


class StatementCache:
    """The compiled statements of one database, by shape."""

    def __init__(self, tables: Mapping[str, SqlTable], dialect: SqlDialect) -> None:
        self.tables = tables
        self.dialect = dialect
        self.compiled_by_shape: dict[StatementShape, CompiledStatement] = {}
        self.flawed_columns: set[tuple[str, str]] = set()
        """By collection and name, the columns in which invalid values were read."""

    def prepare(self, request: ScanRequest) -> tuple[CompiledStatement, Sequence[Any]]:
        """Return the statement of a request, and its values in the order of the placeholders."""
        shape, values = build_statement_shape(
            request, self.tables, self.dialect.parameter_encoding, self.flawed_columns
        )
        statement = self.compiled_by_shape.get(shape) or self._compile_and_store(shape)
        return statement, statement.order_values(values)

    def guard(self, request: ScanRequest, names: Iterable[str]) -> bool:
        """Take invalid values of these columns for null from now on; return whether that changes the statement."""
        origins = self._list_fallible_origins(request)
        added = {origins[name] for name in names if name in origins} - self.flawed_columns
        self.flawed_columns |= added
        return bool(added)

    def guard_all(self, request: ScanRequest) -> bool:
        """Take invalid values of all columns of a request for null; return whether that changes its statement."""
        return self.guard(request, self._list_fallible_origins(request))

    def _list_fallible_origins(self, request: ScanRequest) -> Mapping[str, tuple[str, str]]:
        """Return the collection and the name there of each column of a request that may have invalid values."""
        columns = list_columns(request.collection, request.joins, self.tables, self.dialect.parameter_encoding)
        joined = list_joined_origins(request)
        return {name: joined.get(name, (request.collection, name)) for name in list_fallible_columns(request, columns)}

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
        row_decoder=_build_row_decoder(shape, columns, results),
    )


def _build_row_decoder(
    shape: StatementShape, columns: Mapping[str, SqlColumn], results: Sequence[tuple[str, SqlColumn]]
) -> RowDecoder:
    """Build the decoder of the results that are decoded, or are read from columns that may have invalid values."""
    sources = (*shape.columns, *(call.column for call in shape.aggregates))
    decoded = []
    for place, (source, (_, result)) in enumerate(zip(sources, results, strict=True)):
        if source is None:
            continue
        column, is_guarded = columns[source], source in shape.guarded
        read = None if shape.aggregates else column.choose_row_read(is_guarded=is_guarded)
        decode = result.decode if read is None else read.decode
        is_fallible = (
            column.validity is not None and result.type is column.type and not (shape.aggregates and is_guarded)
        )
        if decode is not None or is_fallible:
            decoded.append(DecodedColumn(place=place, name=source, column=result, decode=decode))
    return RowDecoder(columns=tuple(decoded), has_values=bool(results))


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
