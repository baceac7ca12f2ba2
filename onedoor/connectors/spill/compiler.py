"""ScanRequest -> DuckDB SQL."""

import math
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from itertools import chain, groupby
from typing import Any

from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import JoinedColumns
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, InKeys, Not, Op, Or, Predicate, Row
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, AggregateFunction, ScanRequest, SortKey, TimeBucket

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MICROSECOND = timedelta(microseconds=1)

EXACT_CONTEXT = Context(prec=200)

INTEGER_LIMIT = 2**127
"""Where whole numbers end in the scratch database."""

DUCKDB_TYPES: Mapping[ColumnType, str] = {
    ColumnType.TEXT: "BLOB",
    ColumnType.INTEGER: "HUGEINT",
    ColumnType.FLOAT: "DOUBLE",
    ColumnType.DECIMAL: "HUGEINT",
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.DATE: "DATE",
    ColumnType.TIME: "BIGINT",
    ColumnType.LIST: "BLOB[]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillColumn:
    """One of our columns: it is kept in `v<at>`; of money, `e<at>` keeps the exponent it was written with."""

    type: ColumnType
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
    """The columns of a table for such values."""
    types = ((name, DUCKDB_TYPES[field.type], field) for field in columns for name in field.column_names)
    return ", ".join(f"{name} {type if name == field.value_name else 'SMALLINT'}" for name, type, field in types)


def encode_text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def decode_text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")


def encode_time(value: datetime) -> int:
    return (value - EPOCH) // MICROSECOND


ENCODERS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.TEXT: encode_text,
    ColumnType.TIME: encode_time,
    ColumnType.LIST: lambda values: [*map(encode_text, values)],
}

DECODERS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.TEXT: decode_text,
    ColumnType.TIME: lambda value: EPOCH + value * MICROSECOND,
    ColumnType.LIST: lambda values: tuple(map(decode_text, values)),
}


def count_decimal_places(values: Sequence[Decimal | None]) -> int:
    """After the point, of the one written with the most; ValueError for what is no number."""
    return max((-each for each in read_exponents(values) if each is not None), default=0)


def read_exponents(values: Sequence[Decimal | None]) -> Sequence[int | None]:
    """Nearly always all are written alike, which is seen sooner than how each is."""
    first = next((each for each in values if each is not None), None)
    if first is None or all(each is not None and each.same_quantum(first) for each in values):
        return [None if first is None else _read_exponent(first)] * len(values)
    return [None if each is None else _read_exponent(each) for each in values]


def _read_exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError("no finite number")
    return exponent


def encode_spill_rows(rows: Sequence[Row], spill_columns: Sequence[SpillColumn]) -> Iterable[Row]:
    """As many columns as the fields keep, a field's next to each other."""
    columns = zip(*rows, strict=True)
    kept = [
        each
        for values, field in zip(columns, spill_columns, strict=True)
        for each in _encode_spill_column(values, field)
    ]
    return zip(*kept, strict=True)


def _encode_spill_column(values: Sequence[Any], column: SpillColumn) -> list[Sequence[Any]]:
    if column.type is ColumnType.DECIMAL:
        whole = [None if each is None else int(each.scaleb(column.decimal_places, EXACT_CONTEXT)) for each in values]
        return [whole, read_exponents(values)]
    if column.type not in ENCODERS:
        return [values]
    encode = ENCODERS[column.type]
    return [[None if each is None else encode(each) for each in values]]


def decode_spill_rows(rows: Sequence[Row], spill_columns: Sequence[SpillColumn]) -> list[Row]:
    """The rows, of columns as `encoded` gives them."""
    if not rows or not spill_columns:
        return [()] * len(rows)
    columns = iter(list(zip(*rows, strict=True)))
    return list(zip(*[_decode_spill_column(columns, field) for field in spill_columns], strict=True))


def _decode_spill_column(columns: Any, column: SpillColumn) -> Sequence[Any]:
    values: Sequence[Any] = next(columns)
    if column.type is ColumnType.DECIMAL:
        return [
            _decode_decimal(each, column.decimal_places, exponent)
            for each, exponent in zip(values, next(columns), strict=True)
        ]
    if column.type not in DECODERS:
        return values
    decode = DECODERS[column.type]
    return [None if each is None else decode(each) for each in values]


def _decode_decimal(units: int | None, places: int, exponent: int) -> Decimal | None:
    return None if units is None else Decimal(units // 10 ** (places + exponent)).scaleb(exponent, EXACT_CONTEXT)


def encode_operand(value: Any, column: SpillColumn) -> Any:
    """As one value of the field is kept; None where none could be just this."""
    if column.type is ColumnType.DECIMAL:
        units = value.scaleb(column.decimal_places, EXACT_CONTEXT)
        value = int(units) if units == units.to_integral_value() else None
    elif column.type in ENCODERS:
        value = ENCODERS[column.type](value)
    beyond = isinstance(value, int) and not -INTEGER_LIMIT <= value < INTEGER_LIMIT
    return None if beyond else value


@dataclass(frozen=True, slots=True)
class SpillSql:
    """Text, and the values of its question marks in their order."""

    text: str
    binds: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTable:
    """A table of keys, each value as our sources give it."""

    columns: tuple[SpillColumn, ...]
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMatchTable:
    """A table of those values that `found` gives which meet `test`: text is matched by us."""

    columns: tuple[SpillColumn]
    texts: SpillSql
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillFrame:
    """Rows that a condition or an order speaks of, and what they are called."""

    sql: SpillSql
    columns: Mapping[str, SpillColumn]
    side_tables: list[KeyTable | TextMatchTable]

    def list_column_names(self, columns: Iterable[str]) -> list[str]:
        return [each for name in columns for each in self.columns[name].column_names]


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
    match predicate:
        case Comparison():
            return _compile_spill_comparison(predicate, frame)
        case And():
            return _join_bracketed(" AND ", "TRUE", [compile_spill_predicate(each, frame) for each in predicate.parts])
        case Or():
            return _join_bracketed(" OR ", "FALSE", [compile_spill_predicate(each, frame) for each in predicate.parts])
        case Not():
            return wrap_spill_sql("(", compile_spill_predicate(predicate.part, frame), " IS NOT TRUE)")
        case InKeys():
            return _compile_spill_in_keys([frame.columns[each] for each in predicate.columns], predicate.keys, frame)
        case _:
            raise TypeError(f"the scratch database is not asked {type(predicate).__name__}")


def _compile_spill_comparison(comparison: Comparison, frame: SpillFrame) -> SpillSql:
    field = frame.columns[comparison.column]
    filled = SpillSql(f"{field.value_name} IS NOT NULL")
    match comparison.op:
        case Op.IS_NULL:
            return SpillSql(f"{field.value_name} IS NULL") if comparison.value else filled
        case Op.IN:
            return _compile_spill_in_keys([field], [(each,) for each in comparison.value], frame)
        case Op.NOT_IN:
            found = compile_spill_predicate(Comparison(comparison.column, Op.IN, comparison.value), frame)
            return _join_bracketed(" AND ", "TRUE", [filled, wrap_spill_sql("", found, " IS NOT TRUE")])
        case Op.EQ | Op.NE if encode_operand(comparison.value, field) is None:
            return filled if comparison.op is Op.NE else SpillSql("FALSE")
        case _ if comparison.op not in COMPARISON_OPERATORS:
            return _compile_text_match(comparison, field, frame)
        case _ if field.type in (ColumnType.INTEGER, ColumnType.DECIMAL):
            return _compile_number_comparison(comparison.op, comparison.value, field)
    return _compile_bound_comparison(comparison.op, encode_operand(comparison.value, field), field)


def _compile_bound_comparison(op: Op, encoded: Any, column: SpillColumn) -> SpillSql:
    text = f"{column.value_name} {COMPARISON_OPERATORS[op]} CAST(? AS {DUCKDB_TYPES[column.type]})"
    if column.type is ColumnType.FLOAT and op in GREATER_THAN_OPS:
        text = f"({text} AND NOT isnan({column.value_name}))"
    return SpillSql(text, (encoded,))


def _compile_number_comparison(op: Op, value: Any, column: SpillColumn) -> SpillSql:
    """Between two neighbours a column can hold, the lower one parts the rows alike."""
    units = value.scaleb(column.decimal_places, EXACT_CONTEXT) if column.type is ColumnType.DECIMAL else value
    lower = math.floor(units)
    if not -INTEGER_LIMIT <= lower < INTEGER_LIMIT:
        return SpillSql(f"{column.value_name} IS NOT NULL" if (units > 0) == (op in LESS_THAN_OPS) else "FALSE")
    if lower != units:
        op = Op.LTE if op in LESS_THAN_OPS else Op.GT
    return _compile_bound_comparison(op, lower, column)


def _compile_spill_in_keys(columns: Sequence[SpillColumn], keys: Iterable[Row], frame: SpillFrame) -> SpillSql:
    here = tuple(replace(field, index=at) for at, field in enumerate(columns))
    rows = [
        key
        for key in keys
        if all(encode_operand(value, field) is not None for value, field in zip(key, here, strict=True))
    ]
    frame.side_tables.append(KeyTable(columns=here, rows=rows))
    return _compile_in_side_table(columns, here, len(frame.side_tables) - 1)


def _compile_in_side_table(columns: Sequence[SpillColumn], here: Sequence[SpillColumn], table: int) -> SpillSql:
    mine, theirs = (", ".join(each.value_name for each in every) for every in (columns, here))
    if len(columns) == 1:
        return SpillSql(f"{mine} IN (SELECT {theirs} FROM k{table})")
    return SpillSql(f"({mine}) IN (SELECT ({theirs}) FROM k{table})")


def _compile_text_match(comparison: Comparison, column: SpillColumn, frame: SpillFrame) -> SpillSql:
    here = SpillColumn(type=column.type, index=0)
    found = wrap_spill_sql(
        f"SELECT DISTINCT {column.value_name} AS v FROM ", frame.sql, f" WHERE {column.value_name} IS NOT NULL"
    )
    frame.side_tables.append(TextMatchTable(columns=(here,), texts=found, comparison=comparison))
    return _compile_in_side_table([column], [here], len(frame.side_tables) - 1)


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
"""The exponent of a sum is that of the addend with the most places; of a minimum its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillStatement:
    """What gives the rows, `fields` next to each other; `beside` are the tables `k0`, `k1`, made before, in order."""

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
        names = (*request.columns, *(each.name for each in request.aggregates))
    shown = ", ".join(frame.list_column_names(names)) or "1"
    sql = join_spill_sql(
        " ", [wrap_spill_sql(f"SELECT {shown} FROM ", frame.sql), *_compile_order_and_limit(request, frame)]
    )
    return SpillStatement(
        sql=sql, columns=tuple(frame.columns[each] for each in names), side_tables=tuple(frame.side_tables)
    )


def build_row_filter(request: ScanRequest) -> Predicate:
    if request.keys is None:
        return request.filter
    return And((InKeys(request.keys.columns, frozenset(request.keys.values)), request.filter))


def compile_filtered_frame(frame: SpillFrame, predicate: Predicate) -> SpillFrame:
    if predicate == ALWAYS_TRUE:
        return frame
    met = join_spill_sql(
        " WHERE ", [wrap_spill_sql("(SELECT * FROM ", frame.sql), compile_spill_predicate(predicate, frame)]
    )
    return replace(frame, sql=wrap_spill_sql("", met, ")"))


def _compile_order_and_limit(request: ScanRequest, frame: SpillFrame) -> list[SpillSql]:
    """Order and limit: for each key anew where there are keys."""
    order = _compile_spill_order_by(request.sort, frame)
    if request.limit is None or request.keys is None:
        return [order] if request.limit is None else [order, SpillSql("LIMIT ?", (request.limit,))]
    keys = ", ".join(frame.columns[each].value_name for each in request.keys.columns)
    number = f"row_number() OVER (PARTITION BY {keys} {order.text})"
    return [SpillSql(f"QUALIFY {number} <= ?", (request.limit,)), order]


def _compile_spill_order_by(order: Sequence[SortKey], frame: SpillFrame) -> SpillSql:
    ways = [
        f"{frame.columns[each.column].value_name} {'DESC' if each.descending else 'ASC'}"
        f" NULLS {'FIRST' if each.nulls_first else 'LAST'}"
        for each in order
    ]
    return SpillSql(f"ORDER BY {', '.join(ways)}" if ways else "")


def compile_grouped_frame(frame: SpillFrame, request: ScanRequest) -> SpillFrame:
    units = {each.column: each for each in request.time_buckets}
    keys = [_compile_spill_group_key(frame.columns[each], units.get(each)) for each in request.columns]
    held = [replace(frame.columns[name], index=at) for at, name in enumerate(request.columns)]
    taken = [
        _compile_spill_aggregate(each, frame.columns, len(held) + at) for at, each in enumerate(request.aggregates)
    ]
    parts = [
        *(f"{key} AS {field.value_name}" for key, field in zip(keys, held, strict=True)),
        *(
            f"min(r.{frame.columns[name].exponent_name}) AS {field.exponent_name}"
            for name, field in _list_decimal_columns(request.columns, held)
        ),
        *(part for _, parts in taken for part in parts),
    ]
    by = f" GROUP BY {', '.join(keys)}" if keys else ""
    names = (*request.columns, *(each.name for each in request.aggregates))
    fields = dict(zip(names, (*held, *(field for field, _ in taken)), strict=True))
    return replace(
        frame, sql=wrap_spill_sql(f"(SELECT {', '.join(parts)} FROM ", frame.sql, f" AS r{by})"), columns=fields
    )


def _list_decimal_columns(names: Sequence[str], columns: Sequence[SpillColumn]) -> list[tuple[str, SpillColumn]]:
    return [(name, field) for name, field in zip(names, columns, strict=True) if field.type is ColumnType.DECIMAL]


def _compile_spill_group_key(column: SpillColumn, cut: TimeBucket | None) -> str:
    if cut is None:
        return f"r.{column.value_name}"
    if column.type is ColumnType.DATE:
        return f"CAST(date_trunc('{cut.unit}', r.{column.value_name}) AS DATE)"
    return f"epoch_us(date_trunc('{cut.unit}', make_timestamp(r.{column.value_name})))"


def _compile_spill_aggregate(
    aggregate: AggregateCall, columns: Mapping[str, SpillColumn], at: int
) -> tuple[SpillColumn, list[str]]:
    """What the measure is, and how it and its exponent are computed."""
    if aggregate.column is None:
        return SpillColumn(type=ColumnType.INTEGER, index=at), [f"count(*) AS v{at}"]
    field = columns[aggregate.column]
    value = f"r.{field.value_name}"
    if aggregate.function in (AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT):
        distinct = "DISTINCT " if aggregate.function is AggregateFunction.COUNT_DISTINCT else ""
        return SpillColumn(type=ColumnType.INTEGER, index=at), [f"count({distinct}{value}) AS v{at}"]
    parts = [f"{AGGREGATE_SQL[aggregate.function]}({value}) AS v{at}"]
    if field.type is ColumnType.DECIMAL:
        parts.append(f"{EXPONENT_SQL[aggregate.function].format(e=f'r.{field.exponent_name}', v=value)} AS e{at}")
    return replace(field, index=at), parts


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillJoin:
    """`rows` of `fields` are the table of keys `k`, made before; `sql` gives the longer rows, `added` what is new."""

    columns: tuple[SpillColumn, ...]
    rows: Sequence[Row]
    sql: SpillSql
    added_columns: Mapping[str, SpillColumn]


def compile_spill_join(
    table: str, columns: Mapping[str, SpillColumn], local_columns: Sequence[str], joined: JoinedColumns
) -> SpillJoin:
    """No value of a column is like a key that cannot be kept as one, so that it is left out."""
    keys = [columns[each] for each in local_columns]
    values = [*joined.rows_by_key.values(), joined.absent_row]
    new = [
        SpillColumn(type=kind, index=at, decimal_places=_count_new_column_places(kind, at, values))
        for at, kind in enumerate(joined.column_types.values())
    ]
    there = [*keys, *new, SpillColumn(type=ColumnType.BOOLEAN, index=0)]
    kept = tuple(_place_column_at(field, at) for at, field in enumerate(there))
    added = [_place_column_at(field, len(columns) + at) for at, field in enumerate(new)]
    rows = [(*key, *values, True) for key, values in joined.rows_by_key.items() if _is_representable_key(key, keys)]
    return SpillJoin(
        columns=kept,
        rows=rows,
        sql=_compile_join_sql(table, keys, kept, added, joined.absent_row),
        added_columns=dict(zip(joined.column_types, added, strict=True)),
    )


def _count_new_column_places(kind: ColumnType, at: int, rows: Sequence[Row]) -> int:
    return count_decimal_places([row[at] for row in rows]) if kind is ColumnType.DECIMAL else 0


def _place_column_at(column: SpillColumn, at: int) -> SpillColumn:
    return SpillColumn(type=column.type, index=at, decimal_places=column.decimal_places)


def _is_representable_key(key: Row, columns: Sequence[SpillColumn]) -> bool:
    return all(encode_operand(value, field) is not None for value, field in zip(key, columns, strict=True))


def _compile_join_sql(
    table: str, keys: Sequence[SpillColumn], there: Sequence[SpillColumn], added: Sequence[SpillColumn], absent: Row
) -> SpillSql:
    hit = f"k.{there[-1].value_name}"
    beyond = there[len(keys) : -1]
    (nothing,) = encode_spill_rows([absent], beyond)
    taken = [
        f"CASE WHEN {hit} THEN k.{theirs} ELSE CAST(? AS {DUCKDB_TYPES[old.type] if theirs == old.value_name else 'SMALLINT'}) END"
        f" AS {mine}"
        for old, new in zip(beyond, added, strict=True)
        for theirs, mine in zip(old.column_names, new.column_names, strict=True)
    ]
    equal = " AND ".join(f"r.{mine.value_name} = k.{its.value_name}" for mine, its in zip(keys, there, strict=False))
    return SpillSql(f"SELECT r.*, {', '.join(taken)} FROM {table} r LEFT JOIN k ON {equal}", nothing)


ScanFunction = Callable[[ScanRequest], AsyncGenerator[Sequence[Row], None]]


def find_float_sums(request: ScanRequest, column_types: Mapping[str, ColumnType]) -> tuple[AggregateCall, ...]:
    found = (each for each in request.aggregates if each.function is AggregateFunction.SUM and each.column is not None)
    return tuple(each for each in dict.fromkeys(found) if column_types[each.column or ""] is ColumnType.FLOAT)


async def scan_with_float_sums(
    scan: ScanFunction, request: ScanRequest, sums: Sequence[AggregateCall]
) -> AsyncGenerator[list[Row], None]:
    """The groups before `having`, in order of what they are grouped by; raises ArithmeticError and ValueError.

    Beside the rest of the measures, read once, each summed column is read value by value in the same order.
    """
    plain = replace(request, having=ALWAYS_TRUE, sort=tuple(map(SortKey, request.columns)), limit=None)
    rest = tuple(each for each in request.aggregates if each not in sums) or (COUNT_ROWS,)
    async with AsyncExitStack() as stack:
        groups = await stack.enter_async_context(aclosing(scan(replace(plain, aggregates=rest))))
        totals = [await stack.enter_async_context(aclosing(_scan_float_totals(scan, plain, each))) for each in sums]
        async for batch in groups:
            yield [
                _merge_group_row(request, rest, row, [await anext(each, None) for each in totals], sums)
                for row in batch
            ]


def _merge_group_row(
    request: ScanRequest,
    rest: Sequence[AggregateCall],
    row: Row,
    totals: Sequence[float | None],
    sums: Sequence[AggregateCall],
) -> Row:
    by = len(request.columns)
    known = dict(zip((*rest, *sums), (*row[by:], *totals), strict=True))
    return (*row[:by], *(known[each] for each in request.aggregates))


async def _scan_float_totals(
    read: ScanFunction, plain: ScanRequest, aggregate: AggregateCall
) -> AsyncGenerator[float | None, None]:
    """One sum a group, in their order."""
    columns = tuple(dict.fromkeys((*plain.columns, aggregate.column or "")))
    at, by = columns.index(aggregate.column or ""), len(plain.columns)
    key, parts = None, None
    async with aclosing(read(replace(plain, columns=columns, aggregates=(COUNT_ROWS,)))) as batches:
        async for batch in batches:
            for group, rows in groupby(batch, lambda row: row[:by]):
                if key is not None and group != key:
                    yield compute_float_total(parts)
                    parts = None
                key, parts = (
                    group,
                    add_exact_partials(parts, [(row[at], row[-1]) for row in rows if row[at] is not None]),
                )
    if key is not None:
        yield compute_float_total(parts)


def compute_float_total(parts: Sequence[float] | None) -> float | None:
    return None if parts is None else math.fsum(parts)


def add_exact_partials(parts: Sequence[float] | None, counted: Sequence[tuple[float, int]]) -> list[float] | None:
    """A few floats whose exact sum is that of `parts` and of each value so many times; None of no values."""
    if not counted:
        return None if parts is None else list(parts)
    values = [*(parts or ()), *chain.from_iterable(_split_multiple(value, count) for value, count in counted)]
    made: list[float] = []
    while rest := math.fsum(chain(values, (-each for each in made))):
        made.append(rest)
        if not math.isfinite(rest):
            break
    return made


def _split_multiple(value: float, count: int) -> Sequence[float]:
    """As many values as the count has bits set: a power of two times a float is exact."""
    if count == 1:
        return (value,)
    return [math.ldexp(value, place) for place in range(count.bit_length()) if count >> place & 1]
