"""Compile a ScanRequest to DuckDB SQL, and convert rows to and from the columns of a spill table."""

import math
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from itertools import chain, groupby
from typing import Any

from onedoor.connectors.spill.values import get_decoder, get_encoder
from onedoor.spi.capabilities import ColumnType, ValueType
from onedoor.spi.connector import JoinedColumns
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, InKeys, Op, Predicate, Row, fold_predicate
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, AggregateFunction, ScanRequest, SortKey, TimeBucket
from onedoor.spi.text_types import TextType

EXACT_CONTEXT = Context(prec=200)

INTEGER_LIMIT = 2**127
"""The first whole number that a HUGEINT cannot hold."""

DUCKDB_TYPES: Mapping[ColumnType, str] = {
    ColumnType.TEXT: "BLOB",
    ColumnType.INTEGER: "HUGEINT",
    ColumnType.FLOAT: "DOUBLE",
    ColumnType.DECIMAL: "HUGEINT",
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.DATE: "DATE",
    ColumnType.TIME: "BIGINT",
    ColumnType.LIST: "BLOB",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillColumn:
    """A column, stored in `v<index>`; for a decimal, `e<index>` stores the exponent it was written with.

    A decimal is stored as a whole number of units of `decimal_places` places.
    """

    type: ValueType
    index: int
    decimal_places: int = 0

    @property
    def value_name(self) -> str:
        return f"v{self.index}"

    @property
    def exponent_name(self) -> str:
        return f"e{self.index}"

    @property
    def column_names(self) -> tuple[str, ...]:
        return (self.value_name, self.exponent_name) if self.type is ColumnType.DECIMAL else (self.value_name,)


def format_column_definitions(columns: Sequence[SpillColumn]) -> str:
    """Format the columns of a CREATE TABLE."""
    return ", ".join(f"{name} {get_duckdb_type(name, column)}" for column in columns for name in column.column_names)


def get_duckdb_type(name: str, column: SpillColumn) -> str:
    return _get_duckdb_type(column.type) if name == column.value_name else "SMALLINT"


def _get_duckdb_type(value_type: ValueType) -> str:
    return DUCKDB_TYPES[ColumnType.TEXT if isinstance(value_type, TextType) else value_type]


def count_decimal_places(values: Sequence[Decimal | None]) -> int:
    """Return the most decimal places that a value is written with. Raises ValueError for a value that is not finite."""
    return max((-exponent for exponent in read_exponents(values) if exponent is not None), default=0)


def read_exponents(values: Sequence[Decimal | None]) -> Sequence[int | None]:
    """Return the exponent of each value; nearly always they are the same, which is cheaper to see."""
    first = next((value for value in values if value is not None), None)
    if first is None or all(value is not None and value.same_quantum(first) for value in values):
        return [None if first is None else _read_exponent(first)] * len(values)
    return [None if value is None else _read_exponent(value) for value in values]


def _read_exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError("not a finite number")
    return exponent


def encode_spill_rows(rows: Sequence[Row], spill_columns: Sequence[SpillColumn]) -> Iterable[Row]:
    """Encode rows to the columns in which they are stored, those of one value next to each other."""
    columns = zip(*rows, strict=True)
    encoded = [
        stored
        for values, column in zip(columns, spill_columns, strict=True)
        for stored in _encode_spill_column(values, column)
    ]
    return zip(*encoded, strict=True)


def _encode_spill_column(values: Sequence[Any], column: SpillColumn) -> list[Sequence[Any]]:
    if column.type is ColumnType.DECIMAL:
        places = column.decimal_places
        units = [None if value is None else int(value.scaleb(places, EXACT_CONTEXT)) for value in values]
        return [units, read_exponents(values)]
    encode = get_encoder(column.type)
    if encode is None:
        return [values]
    return [[None if value is None else encode(value) for value in values]]


def decode_spill_rows(rows: Sequence[Row], spill_columns: Sequence[SpillColumn]) -> list[Row]:
    """Decode rows of the columns that `encode_spill_rows` writes."""
    if not rows or not spill_columns:
        return [()] * len(rows)
    columns = iter(list(zip(*rows, strict=True)))
    return list(zip(*[_decode_spill_column(columns, column) for column in spill_columns], strict=True))


def _decode_spill_column(columns: Iterator[Sequence[Any]], column: SpillColumn) -> Sequence[Any]:
    values: Sequence[Any] = next(columns)
    if column.type is ColumnType.DECIMAL:
        return [
            _decode_decimal(units, column.decimal_places, exponent)
            for units, exponent in zip(values, next(columns), strict=True)
        ]
    decode = get_decoder(column.type)
    if decode is None:
        return values
    return [None if value is None else decode(value) for value in values]


def _decode_decimal(units: int | None, places: int, exponent: int) -> Decimal | None:
    return None if units is None else Decimal(units // 10 ** (places + exponent)).scaleb(exponent, EXACT_CONTEXT)


def encode_operand(value: Any, column: SpillColumn) -> Any:
    """Return the stored form of a value, or None where no stored value could equal it."""
    if column.type is ColumnType.DECIMAL:
        units = value.scaleb(column.decimal_places, EXACT_CONTEXT)
        value = int(units) if units == units.to_integral_value() else None
    elif isinstance(column.type, TextType) and not column.type.is_canonical(value):
        return None
    elif (encode := get_encoder(column.type)) is not None:
        value = encode(column.type.spell(value) if isinstance(column.type, TextType) else value)
    is_too_large = isinstance(value, int) and not -INTEGER_LIMIT <= value < INTEGER_LIMIT
    return None if is_too_large else value


@dataclass(frozen=True, slots=True)
class SpillSql:
    """A text, and the values of its question marks in their order."""

    text: str
    binds: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTable:
    """A table of keys, with values as a scan returns them."""

    columns: tuple[SpillColumn, ...]
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMatchTable:
    """A table of the values of `texts` that match `comparison`, which Python decides."""

    columns: tuple[SpillColumn]
    texts: SpillSql
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillFrame:
    """Rows as a table expression, and the columns that a predicate or sort key may name."""

    sql: SpillSql
    columns: Mapping[str, SpillColumn]
    side_tables: list[KeyTable | TextMatchTable]
    """Filled in as predicates are compiled: tables `k0`, `k1` and so on, to be created before the statement runs."""

    def list_column_names(self, columns: Iterable[str]) -> list[str]:
        return [stored for name in columns for stored in self.columns[name].column_names]


def wrap_spill_sql(prefix: str, sql: SpillSql, suffix: str = "") -> SpillSql:
    return SpillSql(f"{prefix}{sql.text}{suffix}", sql.binds)


def join_spill_sql(separator: str, parts: Sequence[SpillSql]) -> SpillSql:
    return SpillSql(
        separator.join(part.text for part in parts), tuple(chain.from_iterable(part.binds for part in parts))
    )


COMPARISON_OPERATORS = {Op.EQ: "=", Op.NE: "<>", Op.LT: "<", Op.LTE: "<=", Op.GT: ">", Op.GTE: ">="}

LESS_THAN_OPS = frozenset({Op.LT, Op.LTE})

GREATER_THAN_OPS = frozenset({Op.GT, Op.GTE})


def compile_spill_predicate(predicate: Predicate, frame: SpillFrame) -> SpillSql:
    return fold_predicate(
        predicate,
        lambda leaf: _compile_spill_leaf(leaf, frame),
        conjunction=lambda parts: _join_bracketed(" AND ", "TRUE", parts),
        disjunction=lambda parts: _join_bracketed(" OR ", "FALSE", parts),
        negation=lambda part: wrap_spill_sql("(", part, " IS NOT TRUE)"),
    )


def _compile_spill_leaf(leaf: Any, frame: SpillFrame) -> SpillSql:
    match leaf:
        case Comparison():
            return _compile_spill_comparison(leaf, frame)
        case InKeys():
            return _compile_spill_in_keys([frame.columns[name] for name in leaf.columns], leaf.keys, frame)
        case _:
            raise TypeError(f"the spill database does not take {type(leaf).__name__}")


def _compile_spill_comparison(comparison: Comparison, frame: SpillFrame) -> SpillSql:
    column = frame.columns[comparison.column]
    has_value = SpillSql(f"{column.value_name} IS NOT NULL")
    match comparison.op:
        case Op.IS_NULL:
            return SpillSql(f"{column.value_name} IS NULL") if comparison.value else has_value
        case Op.IN:
            return _compile_spill_in_keys([column], [(value,) for value in comparison.value], frame)
        case Op.NOT_IN:
            is_listed = _compile_spill_in_keys([column], [(value,) for value in comparison.value], frame)
            return _join_bracketed(" AND ", "TRUE", [has_value, wrap_spill_sql("", is_listed, " IS NOT TRUE")])
        case Op.EQ | Op.NE if encode_operand(comparison.value, column) is None:
            return has_value if comparison.op is Op.NE else SpillSql("FALSE")
        case _ if comparison.op not in COMPARISON_OPERATORS:
            return _compile_text_match(comparison, column, frame)
        case _ if column.type in (ColumnType.INTEGER, ColumnType.DECIMAL):
            return _compile_number_comparison(comparison.op, comparison.value, column)
    return _compile_bound_comparison(comparison.op, encode_operand(comparison.value, column), column)


def _compile_bound_comparison(op: Op, encoded: Any, column: SpillColumn) -> SpillSql:
    text = f"{column.value_name} {COMPARISON_OPERATORS[op]} CAST(? AS {_get_duckdb_type(column.type)})"
    if column.type is ColumnType.FLOAT and op in GREATER_THAN_OPS:
        text = f"({text} AND NOT isnan({column.value_name}))"
    return SpillSql(text, (encoded,))


def _compile_number_comparison(op: Op, value: Any, column: SpillColumn) -> SpillSql:
    """Compare with the largest storable number up to the bound, which divides the rows in the same way."""
    units = value.scaleb(column.decimal_places, EXACT_CONTEXT) if column.type is ColumnType.DECIMAL else value
    lower = math.floor(units)
    if not -INTEGER_LIMIT <= lower < INTEGER_LIMIT:
        return SpillSql(f"{column.value_name} IS NOT NULL" if (units > 0) == (op in LESS_THAN_OPS) else "FALSE")
    if lower != units:
        op = Op.LTE if op in LESS_THAN_OPS else Op.GT
    return _compile_bound_comparison(op, lower, column)


def _compile_spill_in_keys(columns: Sequence[SpillColumn], keys: Iterable[Row], frame: SpillFrame) -> SpillSql:
    key_columns = tuple(replace(column, index=index) for index, column in enumerate(columns))
    rows = [key for key in keys if _is_representable_key(key, key_columns)]
    frame.side_tables.append(KeyTable(columns=key_columns, rows=rows))
    return _compile_in_side_table(columns, key_columns, len(frame.side_tables) - 1)


def _compile_in_side_table(columns: Sequence[SpillColumn], key_columns: Sequence[SpillColumn], table: int) -> SpillSql:
    values = ", ".join(column.value_name for column in columns)
    keys = ", ".join(column.value_name for column in key_columns)
    if len(columns) == 1:
        return SpillSql(f"{values} IN (SELECT {keys} FROM k{table})")
    return SpillSql(f"({values}) IN (SELECT ({keys}) FROM k{table})")


def _compile_text_match(comparison: Comparison, column: SpillColumn, frame: SpillFrame) -> SpillSql:
    key_column = SpillColumn(type=column.type, index=0)
    texts = wrap_spill_sql(
        f"SELECT DISTINCT {column.value_name} AS v FROM ", frame.sql, f" WHERE {column.value_name} IS NOT NULL"
    )
    frame.side_tables.append(TextMatchTable(columns=(key_column,), texts=texts, comparison=comparison))
    return _compile_in_side_table([column], [key_column], len(frame.side_tables) - 1)


def _join_bracketed(separator: str, empty: str, parts: Sequence[SpillSql]) -> SpillSql:
    return wrap_spill_sql("(", join_spill_sql(separator, parts), ")") if parts else SpillSql(empty)


AGGREGATE_SQL = {
    AggregateFunction.COUNT: "count",
    AggregateFunction.SUM: "sum",
    AggregateFunction.MIN: "min",
    AggregateFunction.MAX: "max",
}

EXPONENT_SQL = {
    AggregateFunction.SUM: "min({e})",
    AggregateFunction.MIN: "arg_min({e}, {v})",
    AggregateFunction.MAX: "arg_max({e}, {v})",
}
"""A sum has the exponent of the addend with the most places; a minimum or maximum has its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillStatement:
    """A statement, the columns of its rows, and the tables `k0`, `k1` and so on that it needs, in that order."""

    sql: SpillSql
    columns: tuple[SpillColumn, ...]
    side_tables: tuple[KeyTable | TextMatchTable, ...]


def compile_spill_statement(request: ScanRequest, table: str, columns: Mapping[str, SpillColumn]) -> SpillStatement:
    frame = compile_filtered_frame(
        SpillFrame(sql=SpillSql(table), columns=columns, side_tables=[]), build_row_filter(request)
    )
    names: Sequence[str] = request.columns
    if request.aggregates:
        frame = compile_filtered_frame(compile_grouped_frame(frame, request), request.having)
        names = (*request.columns, *(aggregate.name for aggregate in request.aggregates))
    selected = ", ".join(frame.list_column_names(names)) or "1"
    sql = join_spill_sql(
        " ", [wrap_spill_sql(f"SELECT {selected} FROM ", frame.sql), *_compile_order_and_limit(request, frame)]
    )
    return SpillStatement(
        sql=sql, columns=tuple(frame.columns[name] for name in names), side_tables=tuple(frame.side_tables)
    )


def build_row_filter(request: ScanRequest) -> Predicate:
    if request.keys is None:
        return request.filter
    return And((InKeys(request.keys.columns, frozenset(request.keys.values)), request.filter))


def compile_filtered_frame(frame: SpillFrame, predicate: Predicate) -> SpillFrame:
    if predicate == ALWAYS_TRUE:
        return frame
    filtered = join_spill_sql(
        " WHERE ", [wrap_spill_sql("(SELECT * FROM ", frame.sql), compile_spill_predicate(predicate, frame)]
    )
    return replace(frame, sql=wrap_spill_sql("", filtered, ")"))


def _compile_order_and_limit(request: ScanRequest, frame: SpillFrame) -> list[SpillSql]:
    """Compile sort and limit; with keys, the limit counts for each key anew."""
    order = _compile_spill_order_by(request.sort, frame)
    if request.limit is None or request.keys is None:
        return [order] if request.limit is None else [order, SpillSql("LIMIT ?", (request.limit,))]
    keys = ", ".join(frame.columns[name].value_name for name in request.keys.columns)
    number = f"row_number() OVER (PARTITION BY {keys} {order.text})"
    return [SpillSql(f"QUALIFY {number} <= ?", (request.limit,)), order]


def _compile_spill_order_by(sort: Sequence[SortKey], frame: SpillFrame) -> SpillSql:
    keys = [
        f"{frame.columns[key.column].value_name} {'DESC' if key.descending else 'ASC'}"
        f" NULLS {'FIRST' if key.nulls_first else 'LAST'}"
        for key in sort
    ]
    return SpillSql(f"ORDER BY {', '.join(keys)}" if keys else "")


def compile_grouped_frame(frame: SpillFrame, request: ScanRequest) -> SpillFrame:
    """Compile a row for each group as a table expression whose columns are keys, then aggregates."""
    buckets = {bucket.column: bucket for bucket in request.time_buckets}
    keys = [_compile_spill_group_key(frame.columns[name], buckets.get(name)) for name in request.columns]
    key_columns = [replace(frame.columns[name], index=index) for index, name in enumerate(request.columns)]
    aggregates = [
        _compile_spill_aggregate(aggregate, frame.columns, len(key_columns) + index)
        for index, aggregate in enumerate(request.aggregates)
    ]
    selected = [
        *(f"{key} AS {column.value_name}" for key, column in zip(keys, key_columns, strict=True)),
        *(
            f"min(r.{frame.columns[name].exponent_name}) AS {column.exponent_name}"
            for name, column in zip(request.columns, key_columns, strict=True)
            if column.type is ColumnType.DECIMAL
        ),
        *(part for _, parts in aggregates for part in parts),
    ]
    group_by = f" GROUP BY {', '.join(keys)}" if keys else ""
    names = (*request.columns, *(aggregate.name for aggregate in request.aggregates))
    columns = dict(zip(names, (*key_columns, *(column for column, _ in aggregates)), strict=True))
    sql = wrap_spill_sql(f"(SELECT {', '.join(selected)} FROM ", frame.sql, f" AS r{group_by})")
    return replace(frame, sql=sql, columns=columns)


def _compile_spill_group_key(column: SpillColumn, bucket: TimeBucket | None) -> str:
    if bucket is None:
        return f"r.{column.value_name}"
    if column.type is ColumnType.DATE:
        return f"CAST(date_trunc('{bucket.unit}', r.{column.value_name}) AS DATE)"
    return f"epoch_us(date_trunc('{bucket.unit}', make_timestamp(r.{column.value_name})))"


def _compile_spill_aggregate(
    aggregate: AggregateCall, columns: Mapping[str, SpillColumn], index: int
) -> tuple[SpillColumn, list[str]]:
    """Return the column of an aggregate, and how its value and exponent are computed."""
    if aggregate.column is None:
        return SpillColumn(type=ColumnType.INTEGER, index=index), [f"count(*) AS v{index}"]
    column = columns[aggregate.column]
    value = f"r.{column.value_name}"
    if aggregate.function in (AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT):
        distinct = "DISTINCT " if aggregate.function is AggregateFunction.COUNT_DISTINCT else ""
        return SpillColumn(type=ColumnType.INTEGER, index=index), [f"count({distinct}{value}) AS v{index}"]
    parts = [f"{AGGREGATE_SQL[aggregate.function]}({value}) AS v{index}"]
    if column.type is ColumnType.DECIMAL:
        parts.append(f"{EXPONENT_SQL[aggregate.function].format(e=f'r.{column.exponent_name}', v=value)} AS e{index}")
    return replace(column, index=index), parts


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillJoin:
    """A join: `rows` fill the table `k` of `columns`, and `sql` selects the rows with `added_columns`."""

    columns: tuple[SpillColumn, ...]
    rows: Sequence[Row]
    sql: SpillSql
    added_columns: Mapping[str, SpillColumn]


def compile_spill_join(
    table: str, columns: Mapping[str, SpillColumn], local_columns: Sequence[str], joined: JoinedColumns
) -> SpillJoin:
    """Compile the join of a table to what its keys lead to; a key that no row can hold is left out."""
    keys = [columns[name] for name in local_columns]
    values = [*joined.rows_by_key.values(), joined.absent_row]
    new_columns = [
        SpillColumn(type=column_type, index=index, decimal_places=_count_new_column_places(column_type, index, values))
        for index, column_type in enumerate(joined.column_types.values())
    ]
    is_found = SpillColumn(type=ColumnType.BOOLEAN, index=0)
    key_table = tuple(replace(column, index=index) for index, column in enumerate([*keys, *new_columns, is_found]))
    added = [replace(column, index=len(columns) + index) for index, column in enumerate(new_columns)]
    rows = [(*key, *row, True) for key, row in joined.rows_by_key.items() if _is_representable_key(key, keys)]
    return SpillJoin(
        columns=key_table,
        rows=rows,
        sql=_compile_join_sql(table, keys, key_table, added, joined.absent_row),
        added_columns=dict(zip(joined.column_types, added, strict=True)),
    )


def _count_new_column_places(column_type: ValueType, index: int, rows: Sequence[Row]) -> int:
    return count_decimal_places([row[index] for row in rows]) if column_type is ColumnType.DECIMAL else 0


def _is_representable_key(key: Row, columns: Sequence[SpillColumn]) -> bool:
    return all(encode_operand(value, column) is not None for value, column in zip(key, columns, strict=True))


def _compile_join_sql(
    table: str,
    keys: Sequence[SpillColumn],
    key_table: Sequence[SpillColumn],
    added: Sequence[SpillColumn],
    absent_row: Row,
) -> SpillSql:
    is_found = f"k.{key_table[-1].value_name}"
    joined_columns = key_table[len(keys) : -1]
    (absent_values,) = encode_spill_rows([absent_row], joined_columns)
    selected = [
        f"CASE WHEN {is_found} THEN k.{joined} ELSE CAST(? AS {get_duckdb_type(joined, column)}) END AS {name}"
        for column, added_column in zip(joined_columns, added, strict=True)
        for joined, name in zip(column.column_names, added_column.column_names, strict=True)
    ]
    pairs = zip(keys, key_table[: len(keys)], strict=True)
    equal = " AND ".join(f"r.{key.value_name} = k.{joined.value_name}" for key, joined in pairs)
    return SpillSql(f"SELECT r.*, {', '.join(selected)} FROM {table} r LEFT JOIN k ON {equal}", absent_values)


ScanFunction = Callable[[ScanRequest], AsyncGenerator[Sequence[Row], None]]


def find_float_sums(request: ScanRequest, column_types: Mapping[str, ValueType]) -> tuple[AggregateCall, ...]:
    """Return the sums of floats, which DuckDB would round at each step."""
    sums = (call for call in request.aggregates if call.function is AggregateFunction.SUM and call.column is not None)
    return tuple(call for call in dict.fromkeys(sums) if column_types[call.column or ""] is ColumnType.FLOAT)


async def scan_with_float_sums(
    scan: ScanFunction, request: ScanRequest, sums: Sequence[AggregateCall]
) -> AsyncGenerator[list[Row], None]:
    """Scan the groups, sorted by their keys, without `having`. Raises ArithmeticError and ValueError.

    Beside one scan for the other aggregates, each summed column is scanned value by value in the same order.
    """
    plain = replace(request, having=ALWAYS_TRUE, sort=tuple(map(SortKey, request.columns)), limit=None)
    rest = tuple(call for call in request.aggregates if call not in sums) or (COUNT_ROWS,)
    async with AsyncExitStack() as stack:
        groups = await stack.enter_async_context(aclosing(scan(replace(plain, aggregates=rest))))
        totals = [await stack.enter_async_context(aclosing(_scan_float_totals(scan, plain, call))) for call in sums]
        async for batch in groups:
            yield [
                _merge_group_row(request, rest, row, [await anext(total, None) for total in totals], sums)
                for row in batch
            ]


def _merge_group_row(
    request: ScanRequest,
    rest: Sequence[AggregateCall],
    row: Row,
    totals: Sequence[float | None],
    sums: Sequence[AggregateCall],
) -> Row:
    key_width = len(request.columns)
    values = dict(zip((*rest, *sums), (*row[key_width:], *totals), strict=True))
    return (*row[:key_width], *(values[call] for call in request.aggregates))


async def _scan_float_totals(
    scan: ScanFunction, plain: ScanRequest, aggregate: AggregateCall
) -> AsyncGenerator[float | None, None]:
    """Yield one sum for each group, in their order."""
    columns = tuple(dict.fromkeys((*plain.columns, aggregate.column or "")))
    place, key_width = columns.index(aggregate.column or ""), len(plain.columns)
    key, partials = None, None
    async with aclosing(scan(replace(plain, columns=columns, aggregates=(COUNT_ROWS,)))) as batches:
        async for batch in batches:
            for group, rows in groupby(batch, lambda row: row[:key_width]):
                if key is not None and group != key:
                    yield _compute_float_total(partials)
                    partials = None
                counted = [(row[place], row[-1]) for row in rows if row[place] is not None]
                key, partials = group, add_exact_partials(partials, counted)
    if key is not None:
        yield _compute_float_total(partials)


def _compute_float_total(partials: Sequence[float] | None) -> float | None:
    return None if partials is None else math.fsum(partials)


def add_exact_partials(partials: Sequence[float] | None, counted: Sequence[tuple[float, int]]) -> list[float] | None:
    """Return a few floats with the exact sum of `partials` and of each value times its count; None for no values."""
    if not counted:
        return None if partials is None else list(partials)
    values = [*(partials or ()), *chain.from_iterable(_split_multiple(value, count) for value, count in counted)]
    sums: list[float] = []
    while rest := math.fsum(chain(values, (-partial for partial in sums))):
        sums.append(rest)
        if not math.isfinite(rest):
            break
    return sums


def _split_multiple(value: float, count: int) -> Sequence[float]:
    """Return one value for each bit of the count: a float times a power of two is exact."""
    if count == 1:
        return (value,)
    return [math.ldexp(value, place) for place in range(count.bit_length()) if count >> place & 1]
