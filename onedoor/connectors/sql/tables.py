"""Model the tables of a SQL database: their columns, what each can be asked, and which values it can hold."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Context, Decimal
from functools import partial
from math import isfinite
from types import MappingProxyType
from typing import Any

from sqlalchemy import FromClause, column, table

from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Comparison, Op
from onedoor.spi.scan import AggregateFunction, TimeUnit
from onedoor.spi.text_types import MAC_ADDRESS, MAC_ADDRESS_64, PADDED_TEXT, UUID, TextType

EQUALITY_OPS = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.IS_NULL})

RANGE_OPS = frozenset({Op.LT, Op.LTE, Op.GT, Op.GTE})

ORDERED_OPS = EQUALITY_OPS | RANGE_OPS

EXACT_PART_OPS = frozenset({Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH})

PART_OPS = EXACT_PART_OPS | {Op.I_CONTAINS, Op.I_STARTS_WITH, Op.I_ENDS_WITH}
"""Compare with a part of a text, which need not itself be of the text's type."""

TEXT_OPS = ORDERED_OPS | EXACT_PART_OPS

CASE_INSENSITIVE_OPS = ORDERED_OPS | PART_OPS

LESS_THAN_OPS = frozenset({Op.LT, Op.LTE})

NEGATIVE_OPS = frozenset({Op.NE, Op.NOT_IN})

COUNT_ONLY = frozenset({AggregateFunction.COUNT})

COUNT_FUNCTIONS = COUNT_ONLY | {AggregateFunction.COUNT_DISTINCT}

EXTREME_FUNCTIONS = COUNT_FUNCTIONS | {AggregateFunction.MIN, AggregateFunction.MAX}

AGGREGATES_BY_TYPE: Mapping[ColumnType, frozenset[AggregateFunction]] = {
    ColumnType.INTEGER: EXTREME_FUNCTIONS | {AggregateFunction.SUM},
    ColumnType.DECIMAL: EXTREME_FUNCTIONS | {AggregateFunction.SUM},
    ColumnType.FLOAT: EXTREME_FUNCTIONS,
    ColumnType.TEXT: EXTREME_FUNCTIONS,
    ColumnType.DATE: EXTREME_FUNCTIONS,
    ColumnType.TIME: EXTREME_FUNCTIONS,
    ColumnType.BOOLEAN: COUNT_FUNCTIONS,
    ColumnType.LIST: COUNT_ONLY,
}
"""No sum of floats: in a database it depends on the order of the rows."""

SPELLED_ALIKE = frozenset({UUID, MAC_ADDRESS, MAC_ADDRESS_64, PADDED_TEXT})
"""The types whose texts a database spells as Onedoor does, so that it can search them and sort them by code point."""

INTEGER_LIMIT = 2**63
"""The first whole number that a 64-bit column cannot hold."""

EXACT_CONTEXT = Context(prec=200_000)

ValueConverter = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeType:
    """How a database compares a column by itself, without a cast or a collation, and so by the column's indexes."""

    name: str
    """What values that are compared with the column are made: a type, or a collation."""
    equality: bool = True
    """Whether equality is that of the column's values; otherwise it holds for equal values, and for others too."""
    order: bool = False
    """Whether the order is that of the column's values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlColumn:
    """One column as its database stores it."""

    name: str
    type: ColumnType
    nullable: bool
    scale: int = 0
    """Decimal places of a column that stores numbers as whole minor units."""
    minor_units: bool = False
    exclusive_limit: int = INTEGER_LIMIT
    """The column holds whole numbers, or minor units, from `-exclusive_limit` up to but not including it."""
    incomparable: bool = False
    """The database cannot compare the stored form, so the engine filters and sorts by it."""
    read_as_text: bool = False
    """The type is the database's own, and is cast to text when it is read."""
    native_type: NativeType | None = None
    """What compares the bare column, where its values are not compared in the form in which they are read."""
    text_type: TextType | None = None
    """What the texts mean, where that is not their code points."""
    in_code_point_order: bool = False
    """The database orders the texts by code point without being told to, and so by an index."""
    zoneless: bool = False
    """A time in UTC whose type has no zone."""
    items: ColumnType | None = None
    """What the values of a list are."""
    json: bool = False
    """The text is JSON."""
    binary: bool = False
    """The text is base64, of a type that holds bytes."""
    nearest: ValueConverter | None = None
    """Returns the number nearest to another among those that the column shows; None: it can hold all of its type."""
    is_summable: bool = True
    """The database sums the stored form exactly."""
    encode: ValueConverter | None = None
    encode_rank: ValueConverter | None = None
    """Encodes a value whose place in the order is asked for, where that is compared in another form."""
    rank_expression: Callable[[Any], Any] | None = None
    """Computes that form of a value in a subquery, where the column has lost its own order."""
    decode: ValueConverter | None = None
    read_expression: Callable[[Any], Any] | None = None
    """Wraps the column in every statement, where its bare name does not do."""
    validity: Callable[[Any], Any] | None = None
    """Tests whether a value is one that the column's type can have; None: the database lets in no other."""
    strict_validity: Callable[[Any], Any] | None = None
    """The same at a greater cost, for a column that is known to have values that the cheap test lets through."""
    doubtful_values: frozenset[Any] = frozenset()
    """What the driver gives for values that it cannot represent, and may give for others too."""
    row_read: "RowRead | None" = None
    """How rows are read where not as the column is compared."""
    guarded_read: "RowRead | None" = None
    """How rows are read once the column is known to have values that its type cannot have."""

    def choose_row_read(self, *, is_guarded: bool) -> "RowRead | None":
        """Return how rows are read; None: as the column is compared."""
        return self.guarded_read if is_guarded and self.guarded_read is not None else self.row_read

    def can_store(self, value: Any) -> bool:
        """Return whether some row could hold exactly this value."""
        if self.text_type is not None and not self.text_type.is_canonical(value):
            return False
        if isinstance(value, str):
            return find_unstorable_character(value) == len(value)
        if self.nearest is not None:
            return bool(self.nearest(value) == value)
        if self.minor_units:
            scaled = self.floor_to_minor_units(value)
            return -self.exclusive_limit <= scaled < self.exclusive_limit and self.from_minor_units(scaled) == value
        return self.type is not ColumnType.INTEGER or bool(-self.exclusive_limit <= value < self.exclusive_limit)

    def can_store_part(self, part: str) -> bool:
        """Return whether the text of some row could have this part, which need not itself be of the text's type."""
        return find_unstorable_character(part) == len(part)

    def can_store_all(self, values: Sequence[Any]) -> bool:
        """Return True only if that is cheap to see for all values at once; False means `can_store` decides on each."""
        match self.type:
            case ColumnType.INTEGER:
                return not values or bool(-self.exclusive_limit <= min(values) and max(values) < self.exclusive_limit)
            case ColumnType.TEXT if self.text_type is None:
                joined = "".join(values)
                return joined.isascii() and "\0" not in joined
            case _:
                return not self.minor_units and self.text_type is None and self.nearest is None

    def resolve_bound(self, comparison: Comparison) -> Comparison | bool:
        """Replace a bound that no row can hold by one that divides the rows in the same way."""
        if self.type is ColumnType.TEXT:
            return self.text_type is None and _resolve_text_bound(comparison)
        if self.nearest is not None:
            return _resolve_to_nearest(comparison, self.nearest(comparison.value))
        scaled = self.floor_to_minor_units(comparison.value) if self.minor_units else comparison.value
        if not -self.exclusive_limit <= scaled < self.exclusive_limit:
            return bool(comparison.value > 0) == (comparison.op in LESS_THAN_OPS)
        return floor_bound(comparison, self.from_minor_units(scaled))

    def floor_to_minor_units(self, value: Decimal) -> int:
        return int(value.scaleb(self.scale, EXACT_CONTEXT).quantize(Decimal(1), ROUND_FLOOR, EXACT_CONTEXT))

    def from_minor_units(self, minor_units: int) -> Decimal:
        return Decimal(minor_units).scaleb(-self.scale, EXACT_CONTEXT)


@dataclass(frozen=True, slots=True)
class RowRead:
    """Select a column in a form in which the driver changes and refuses no value, and decode that."""

    expression: Callable[[Any], Any]
    decode: ValueConverter


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStatistics:
    """What a database knows about a table: its approximate size, and the first column of each of its indexes."""

    row_count: int | None = None
    indexed_columns: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlTable:
    """One table or view."""

    schema: str | None
    name: str
    columns: Mapping[str, SqlColumn]
    capabilities: Capabilities
    statistics: TableStatistics = TableStatistics()
    declared_types: Mapping[str, str] = field(default_factory=dict)
    """By name, the types of all columns, also of those that are not read."""

    def build_from_clause(self, alias: str) -> FromClause:
        return table(self.name, *map(column, self.columns), schema=self.schema).alias(alias)


def build_sql_table(
    schema: str | None,
    name: str,
    columns: Mapping[str, SqlColumn],
    *,
    max_keys: int,
    folds_case: bool,
    code_point_collation: str,
    statistics: TableStatistics = TableStatistics(),
    declared_types: Mapping[str, str] = MappingProxyType({}),
) -> SqlTable:
    """Build a table and its capabilities.

    `folds_case`: the database ignores case exactly as Python's `str.casefold()` does.
    """
    build_column = partial(_build_column_capabilities, folds_case=folds_case, code_point_collation=code_point_collation)
    capabilities = build_table_capabilities(
        {name: build_column(column) for name, column in columns.items()},
        max_keys=max_keys,
        max_in_filter_keys=max_keys,
        row_count=statistics.row_count,
        joins=True,
        checks_values=True,
        unkeyed_columns=frozenset(name for name, column in columns.items() if column.incomparable),
    )
    return SqlTable(
        schema=schema,
        name=name,
        columns=columns,
        capabilities=capabilities,
        statistics=statistics,
        declared_types=declared_types,
    )


def build_table_capabilities(
    columns: Mapping[str, Column],
    *,
    max_keys: int,
    max_in_filter_keys: int,
    row_count: int | None,
    joins: bool = False,
    checks_values: bool = False,
    unkeyed_columns: frozenset[str] = frozenset(),
) -> Capabilities:
    """Declare what every SQL database does with a table, and what most do."""
    return Capabilities(
        columns=columns,
        max_keys=max_keys,
        boolean_filters=True,
        exists_filters=True,
        joins=joins,
        max_in_filter_keys=max_in_filter_keys,
        limit=True,
        limit_per_key=True,
        aggregates=True,
        time_buckets=frozenset(TimeUnit),
        group_ordering_and_limit=True,
        row_count=row_count,
        checks_values=checks_values,
        unkeyed_columns=unkeyed_columns,
    )


def _build_column_capabilities(stored: SqlColumn, *, folds_case: bool, code_point_collation: str) -> Column:
    if stored.incomparable:
        return Column(stored.type, frozenset({Op.IS_NULL}), aggregates=COUNT_ONLY, text_type=stored.text_type)
    if stored.read_as_text and stored.native_type is None:
        return Column(stored.type, EQUALITY_OPS, aggregates=COUNT_FUNCTIONS, text_type=stored.text_type)
    filters = list_sql_operators(stored.type, folds_case=folds_case)
    is_ordered = stored.native_type is not None and stored.native_type.order
    if stored.text_type is not None and stored.text_type not in SPELLED_ALIKE:
        filters = ORDERED_OPS if is_ordered else EQUALITY_OPS
    is_indexed = stored.type is not ColumnType.TEXT or stored.in_code_point_order or is_ordered
    return Column(
        stored.type,
        filters,
        filters >= RANGE_OPS,
        _list_column_aggregates(stored),
        text_type=stored.text_type,
        unindexed_sort=None
        if is_indexed
        else f"an index serves this order only in the collation `{code_point_collation}`",
    )


def _list_column_aggregates(stored: SqlColumn) -> frozenset[AggregateFunction]:
    if stored.text_type not in (None, PADDED_TEXT):
        return COUNT_FUNCTIONS
    functions = AGGREGATES_BY_TYPE[stored.type]
    return functions if stored.is_summable else functions - {AggregateFunction.SUM}


def list_sql_operators(column_type: ColumnType, *, folds_case: bool) -> frozenset[Op]:
    match column_type:
        case ColumnType.LIST:
            return frozenset({Op.IS_NULL})
        case ColumnType.TEXT:
            return CASE_INSENSITIVE_OPS if folds_case else TEXT_OPS
        case _:
            return ORDERED_OPS


def resolve_comparison(comparison: Comparison, column: SqlColumn) -> Comparison | bool:
    """Rewrite a comparison so that the column can hold its value.

    Returns True where every row that has a value matches, and False where none does.
    """
    if comparison.op is Op.IS_NULL:
        return comparison
    if comparison.op in PART_OPS:
        return column.can_store_part(comparison.value) and comparison
    if comparison.op in (Op.IN, Op.NOT_IN):
        values = tuple(value for value in comparison.value if column.can_store(value))
        return replace(comparison, value=values) if values else comparison.op is Op.NOT_IN
    if column.can_store(comparison.value):
        return comparison
    return column.resolve_bound(comparison) if comparison.op in RANGE_OPS else comparison.op in NEGATIVE_OPS


def floor_bound(comparison: Comparison, lower: Any) -> Comparison:
    """Compare with `lower`, the largest storable value below a bound that lies between two storable values."""
    return Comparison(comparison.column, Op.LTE if comparison.op in LESS_THAN_OPS else Op.GT, lower)


def _resolve_to_nearest(comparison: Comparison, nearest: Any) -> Comparison | bool:
    """Compare with the storable value that is nearest to a bound; beyond all of them that is an infinity."""
    if not isfinite(nearest):
        return bool(nearest > 0) == (comparison.op in LESS_THAN_OPS)
    if nearest < comparison.value:
        return floor_bound(comparison, nearest)
    return Comparison(comparison.column, Op.LT if comparison.op in LESS_THAN_OPS else Op.GTE, nearest)


def _resolve_text_bound(comparison: Comparison) -> Comparison:
    """Cut the bound before its first NUL or lone surrogate, which no stored text holds.

    Text sorts by code point: NUL is the lowest, and U+E000 is the next one after the surrogates.
    """
    place = find_unstorable_character(comparison.value)
    prefix = comparison.value[:place]
    if comparison.value[place] == "\0":
        return floor_bound(comparison, prefix)
    return Comparison(comparison.column, Op.LT if comparison.op in LESS_THAN_OPS else Op.GTE, prefix + "\ue000")


def format_utc_time(value: datetime) -> str:
    """Format a time in UTC as databases write one without a zone."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


def encode_base64(value: bytes | str) -> str:
    """Return bytes as base64, and text, which some databases store in place of bytes, as that of its UTF-8."""
    return b64encode(value.encode() if isinstance(value, str) else value).decode("ascii")


def find_unstorable_character(text: str) -> int:
    """Return the place of the first NUL or lone surrogate, or the length of the text if there is none."""
    if text.isascii() and "\0" not in text:
        return len(text)
    places = (place for place, letter in enumerate(text) if letter == "\0" or "\ud800" <= letter <= "\udfff")
    return next(places, len(text))
