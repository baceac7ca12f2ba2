"""Serve tables of the metadata database as collections: filters, sorts, keys and limits become SQL."""

import operator
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    String,
    false,
    func,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.exc import SQLAlchemyError

from onedoor.errors import ConnectorError
from onedoor.jobs.tables import JobDatabase
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Comparison, Op, Row, split_conjuncts
from onedoor.spi.scan import KeyFilter, ScanRequest, SortKey
from onedoor.storage.database import MetadataDatabase

METADATA_SOURCE = "metadata"

EQUALITY_OPS = frozenset({Op.EQ, Op.IN, Op.IS_NULL})

ORDERED_OPS = EQUALITY_OPS | {Op.LT, Op.LTE, Op.GT, Op.GTE}

TEXT_COLUMN, INTEGER_COLUMN = Column(ColumnType.TEXT, EQUALITY_OPS, True), Column(ColumnType.INTEGER, ORDERED_OPS, True)

TIME_COLUMN, FLOAT_COLUMN = Column(ColumnType.TIME, ORDERED_OPS, True), Column(ColumnType.FLOAT, ORDERED_OPS, True)

UNFILTERED_TEXT_COLUMN = Column(ColumnType.TEXT)

MAX_KEYS = 500

COMPARISON_OPERATORS: Mapping[Op, Callable[[Any, Any], Any]] = {
    Op.EQ: operator.eq, Op.LT: operator.lt, Op.LTE: operator.le, Op.GT: operator.gt, Op.GTE: operator.ge,
    Op.IN: lambda column, values: column.in_(values),
    Op.IS_NULL: lambda column, is_null: column.is_(None) if is_null else column.is_not(None),
}  # fmt: skip


def build_capabilities(columns: Mapping[str, Column], *keys: tuple[str, ...]) -> Capabilities:
    """Return what is promised of a table that is looked up by each of these keys."""
    return Capabilities(columns=columns, max_keys=MAX_KEYS, key_columns=frozenset(keys), limit=True, limit_per_key=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataCollection:
    """A table, or a join, of which the columns of `capabilities` are served, and no others."""

    table: FromClause
    capabilities: Capabilities


class MetadataConnector:
    """Serves collections of the metadata database; without a database it only says what it promises."""

    def __init__(self, database: JobDatabase | None, collections: Mapping[str, MetadataCollection]) -> None:
        self.database, self.collections = database, collections

    def capabilities(self, collection: str) -> Capabilities:
        return self.collections[collection].capabilities

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        assert self.database is not None
        table = self.collections[request.collection].table
        try:
            yield await self.database.run_in_db_thread(read_metadata_rows, request, table)
        except SQLAlchemyError:
            raise ConnectorError("users, groups and keys cannot be read now") from None

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def read_metadata_rows(database: MetadataDatabase, request: ScanRequest, table: FromClause) -> list[Row]:
    """Read the rows of a scan; without columns they are wanted for their number alone."""
    columns = [table.c[name] for name in request.columns] or [literal(1).label("row")]
    needs_collation = database.engine.dialect.name == "postgresql"
    statement = select(*columns)
    statement = statement.select_from(table).where(
        *(compile_comparison(table.c[part.column], part) for part in split_conjuncts(request.filter)),
        compile_key_filter(table, request.keys),
    )
    order = [compile_sort_key(table.c[key.column], key, needs_collation=needs_collation) for key in request.sort]
    if request.keys is None or request.limit is None:
        statement = statement.order_by(*order).limit(request.limit)
    else:
        partition = [table.c[name] for name in request.keys.columns]
        statement = limit_per_key(statement, partition, order, limit=request.limit)
    with database.read_connection() as connection:
        return [tuple(row) for row in connection.execute(statement)]


def compile_comparison(column: ColumnElement[Any], comparison: Comparison) -> ColumnElement[bool]:
    value = comparison.value
    if isinstance(value, tuple):
        value = tuple(clamp_integer(column, item) for item in value if is_storable_text(item))
    elif not is_storable_text(value):
        return false()
    compared: ColumnElement[bool] = COMPARISON_OPERATORS[comparison.op](column, clamp_integer(column, value))
    return compared


def compile_key_filter(table: FromClause, keys: KeyFilter | None) -> ColumnElement[bool]:
    if keys is None:
        return true()
    columns = [table.c[name] for name in keys.columns]
    storable = (key for key in keys.values if all(map(is_storable_text, key)))
    values = [tuple(map(clamp_integer, columns, key)) for key in storable]
    if len(columns) == 1:
        matches: ColumnElement[bool] = columns[0].in_([key[0] for key in values])
        return matches
    return tuple_(*columns).in_(values) if values else false()


def compile_sort_key(column: Any, key: SortKey, *, needs_collation: bool) -> Any:
    """Sort by a column; with `needs_collation` a text is sorted by code point only where that is said."""
    if needs_collation and isinstance(column.type, String):
        column = column.collate("C")
    directed = column.desc() if key.descending else column.asc()
    return directed.nulls_first() if key.nulls_first else directed.nulls_last()


def limit_per_key(
    statement: Select[Any], partition: Sequence[ColumnElement[Any]], order: Sequence[Any], *, limit: int
) -> Select[Any]:
    """Take at most `limit` rows for each key, in one statement; keys are the values of the columns of `partition`."""
    place = func.row_number().over(partition_by=partition, order_by=order or None)
    names = [column.name for column in statement.selected_columns]
    inner = statement.add_columns(place.label("place_of_row")).subquery()
    shown = [inner.c[name] for name in names]
    return select(*shown).where(inner.c.place_of_row <= limit).order_by(inner.c.place_of_row)


def is_storable_text(value: Any) -> bool:
    """Say whether a database could hold a text; no row has any other."""
    return not isinstance(value, str) or ("\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value))


def clamp_integer(column: Any, value: Any) -> Any:
    """Clamp a whole number past what the column can hold: it sorts where the largest does, and equals no row's."""
    if type(value) is not int or not isinstance(column.type, Integer):
        return value
    most = 2**63 - 1 if isinstance(column.type, BigInteger) else 2**31 - 1
    return max(-most, min(value, most))
