"""ScanRequest -> SQLAlchemy statement, cached."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    String,
    and_,
    bindparam,
    cast,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.engine.interfaces import Dialect as Compiler

from onedoor.connectors.sql.introspection import (
    SqlColumn,
    SqlTable,
    ValueConverter,
    are_all_storable,
    is_storable,
    resolve_comparison,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import ALWAYS_FALSE, ALWAYS_TRUE, And, Comparison, Exists, InKeys, Not, Op, Or, Row
from onedoor.spi.scan import AggregateCall, AggregateFunction, KeyFilter, ScanRequest, SortKey, TimeBucket, TimeUnit

IS_NOT_NULL = False
"""What IS_NULL is asked for by a test that every value meets."""


class ParameterIndex(int):
    """Where in the values the one stands that belongs here."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return f"v{int(self)}"


class KeyList(NamedTuple):
    """That `columns`, together, are one of many keys, bound as `slots`; of `one` key, each value has its slot."""

    columns: tuple[str, ...]
    parameters: tuple[ParameterIndex, ...]
    single: bool = False


class StatementShape(NamedTuple):
    """An Ask without its values: each is a Slot, and what no row can hold is settled.

    Made and looked up for each ask, so its parts are tuples, which hash fast.
    """

    collection: str
    columns: tuple[str, ...]
    keys: Any
    """Listed, or what no row meets; None: all rows."""
    filter: Any
    """None: every row."""
    aggregates: tuple[AggregateCall, ...]
    time_buckets: tuple[TimeBucket, ...]
    having: Any
    """None: every group."""
    sort: tuple[SortKey, ...]
    limit: ParameterIndex | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterEncoding:
    """How one kind of database takes values. `packed`: encoded keys, a sequence for each column, as they are bound.

    `summed`: a column of sums, made of the column that is summed up.
    """

    pack_keys: Callable[[Sequence[Sequence[Any]], Sequence[SqlColumn]], Sequence[Any]]
    build_sum_column: Callable[[SqlColumn], SqlColumn]


@dataclass(slots=True)
class ShapeBuilder:
    """Takes the values out of one ask, one after the other."""

    encoding: ParameterEncoding
    tables: Mapping[str, SqlTable]
    values: list[Any]

    def add_value(self, value: Any) -> ParameterIndex:
        self.values.append(value)
        return ParameterIndex(len(self.values) - 1)

    def build_key_filter(self, keys: KeyFilter, columns: Mapping[str, SqlColumn]) -> Any:
        if len(keys.values) != 1:
            return self.build_key_list(keys.columns, keys.values, columns)
        slots = []
        for name, value in zip(keys.columns, keys.values[0], strict=True):
            stored = columns[name]
            if not is_storable(value, stored):
                return ALWAYS_FALSE
            slots.append(self.add_value(stored.encode(value) if stored.encode else value))
        return KeyList(keys.columns, tuple(slots), single=True)

    def build_key_list(self, names: tuple[str, ...], keys: Sequence[Row], columns: Mapping[str, SqlColumn]) -> KeyList:
        stored = [columns[each] for each in names]
        by_column = list(zip(*keys, strict=True)) if keys else [()] * len(stored)
        if not all(map(are_all_storable, by_column, stored)):
            kept = [key for key in keys if all(map(is_storable, key, stored))]
            by_column = list(zip(*kept, strict=True)) if kept else [()] * len(stored)
        encoded = [_encode_column_values(part, each) for part, each in zip(by_column, stored, strict=True)]
        return KeyList(names, tuple(map(self.add_value, self.encoding.pack_keys(encoded, stored))))

    def build_predicate(self, predicate: Any, columns: Mapping[str, SqlColumn]) -> Any:
        match predicate:
            case Comparison():
                return self.build_comparison(predicate, columns)
            case And() | Or():
                return type(predicate)(tuple([self.build_predicate(each, columns) for each in predicate.parts]))
            case Not():
                return Not(self.build_predicate(predicate.part, columns))
            case Exists():
                return replace(
                    predicate, filter=self.build_predicate(predicate.filter, self.tables[predicate.collection].columns)
                )
            case InKeys():
                return self.build_key_list(predicate.columns, tuple(predicate.keys), columns)
            case _:
                raise TypeError(f"no source is asked {type(predicate).__name__}")

    def build_having(self, request: ScanRequest, columns: Mapping[str, SqlColumn]) -> Any:
        if request.having is ALWAYS_TRUE or request.having == ALWAYS_TRUE:
            return None
        return self.build_predicate(
            request.having, dict(list_result_columns(request.columns, request.aggregates, columns, self.encoding))
        )

    def build_comparison(self, comparison: Comparison, columns: Mapping[str, SqlColumn]) -> Any:
        stored = columns[comparison.column]
        kept = resolve_comparison(comparison, stored)
        if isinstance(kept, bool):
            return Comparison(comparison.column, Op.IS_NULL, IS_NOT_NULL) if kept else ALWAYS_FALSE
        if kept.op is Op.IS_NULL:
            return kept
        if kept.op in (Op.IN, Op.NOT_IN):
            found = self.build_key_list((kept.column,), [(each,) for each in kept.value], columns)
            return found if kept.op is Op.IN else And((Comparison(kept.column, Op.IS_NULL, IS_NOT_NULL), Not(found)))
        return Comparison(
            kept.column, kept.op, self.add_value(stored.encode(kept.value) if stored.encode else kept.value)
        )


def _encode_column_values(values: Sequence[Any], column: SqlColumn) -> Sequence[Any]:
    return list(map(column.encode, values)) if column.encode else values


def build_statement_shape(
    request: ScanRequest, tables: Mapping[str, SqlTable], encoding: ParameterEncoding
) -> tuple[StatementShape, list[Any]]:
    columns = tables[request.collection].columns
    taking = ShapeBuilder(encoding, tables, [])
    shape = StatementShape(
        collection=request.collection,
        columns=request.columns,
        keys=None if request.keys is None else taking.build_key_filter(request.keys, columns),
        filter=None
        if request.filter is ALWAYS_TRUE or request.filter == ALWAYS_TRUE
        else taking.build_predicate(request.filter, columns),
        aggregates=request.aggregates,
        time_buckets=request.time_buckets,
        having=taking.build_having(request, columns),
        sort=request.sort,
        limit=None if request.limit is None else taking.add_value(request.limit),
    )
    return shape, taking.values


def list_result_columns(
    names: Sequence[str],
    aggregates: Sequence[AggregateCall],
    columns: Mapping[str, SqlColumn],
    encoding: ParameterEncoding,
) -> list[tuple[str, SqlColumn]]:
    """What a row of the answer holds, and its name: `c0`, `c1` ... are its columns, then `m0` ... its measures."""
    by = [(name, _build_result_column(columns[name], f"c{at}")) for at, name in enumerate(names)]
    measured = [
        (each.name, _build_result_column(_build_aggregate_column(each, columns, encoding), f"m{at}"))
        for at, each in enumerate(aggregates)
    ]
    return [*by, *measured]


def _build_result_column(column: SqlColumn, name: str) -> SqlColumn:
    return replace(column, name=name, read_as_text=False, zoneless=False, read_expression=None)


def _build_aggregate_column(
    aggregate: AggregateCall, columns: Mapping[str, SqlColumn], encoding: ParameterEncoding
) -> SqlColumn:
    if aggregate.column is None or aggregate.function in (AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT):
        return SqlColumn(name="", type=ColumnType.INTEGER, nullable=False)
    if aggregate.function is AggregateFunction.SUM:
        return replace(encoding.build_sum_column(columns[aggregate.column]), nullable=True)
    return replace(columns[aggregate.column], nullable=True)


Expression = ColumnElement[Any]

COMPARISON_EXPRESSIONS: Mapping[Op, Callable[[Expression, Any], Expression]] = {
    Op.EQ: lambda column, value: column == value,
    Op.NE: lambda column, value: column != value,
    Op.LT: lambda column, value: column < value,
    Op.LTE: lambda column, value: column <= value,
    Op.GT: lambda column, value: column > value,
    Op.GTE: lambda column, value: column >= value,
}

LITERAL_ONE: Expression = literal_column("1")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlDialect:
    """What databases say each in their own way. Slots give the names of values that are bound, encoded."""

    parameter_encoding: ParameterEncoding
    compile_in_keys: Callable[[Sequence[Expression], Sequence[ParameterIndex], Sequence[SqlColumn]], Expression]
    """Whether columns, together, are one of many keys, bound as `binding.packed` packs them."""
    text_matches: Mapping[Op, Callable[[Expression, Any], Expression]]
    collate_text: Callable[[Expression], Expression]
    """Text compared by code point."""
    bind_parameter: Callable[[ParameterIndex, SqlColumn], Expression]
    """A value as a column is compared with it."""
    compile_read: Callable[[Expression, SqlColumn], Expression]
    """A column as it is read."""
    compile_time_bucket: Callable[[Expression, SqlColumn, TimeUnit], Expression]
    """A column of days or times, as it is read, cut to where its unit begins."""
    compile_sum: Callable[[Expression], Expression]
    """The exact sum of a column of whole numbers or money; null of none."""
    compile_key_rows: Callable[[Sequence[ParameterIndex], Sequence[SqlColumn]], FromClause] | None = None
    """The keys as rows, columns `k0`, `k1` ...; given where a limit for each key may be read by LATERAL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlScope:
    """The table whose columns a condition speaks of."""

    dialect: SqlDialect
    tables: Mapping[str, SqlTable]
    columns: Mapping[str, SqlColumn]
    clause: FromClause
    depth: int = 0

    def compile_column(self, name: str) -> Expression:
        stored = self.columns[name]
        found: Expression = self.clause.c[stored.name]
        if stored.read_expression is not None:
            found = stored.read_expression(found)
        return cast(found, String()) if stored.read_as_text else found

    def compile_comparable(self, name: str) -> Expression:
        """As a column is ordered and compared."""
        found = self.compile_column(name)
        return self.dialect.collate_text(found) if self.columns[name].type is ColumnType.TEXT else found

    def compile_result_column(self, name: str) -> Expression:
        return self.dialect.compile_read(self.compile_column(name), self.columns[name])


def build_scope(collection: str, tables: Mapping[str, SqlTable], dialect: SqlDialect, depth: int = 0) -> SqlScope:
    stock = tables[collection]
    clause = stock.build_from_clause(f"t{depth}")
    return SqlScope(dialect=dialect, tables=tables, columns=stock.columns, clause=clause, depth=depth)


def build_select(shape: StatementShape, tables: Mapping[str, SqlTable], dialect: SqlDialect) -> Select[Any]:
    """Of an ask without measures."""
    scope = build_scope(shape.collection, tables, dialect)
    if not isinstance(shape.keys, KeyList) or shape.keys.single or shape.limit is None:
        made = apply_filters(select_columns(shape, scope), shape, scope).order_by(
            *compile_sql_sort_keys(shape.sort, scope)
        )
        return apply_limit(made, shape.limit)
    indexed = tables[shape.collection].statistics.indexed_columns
    if dialect.compile_key_rows is not None and not indexed.isdisjoint(shape.keys.columns):
        return _build_lateral_select(shape, shape.keys, scope, dialect.compile_key_rows)
    return _build_ranked_select(shape, shape.keys, shape.limit, scope)


def select_columns(shape: StatementShape, scope: SqlScope) -> Select[Any]:
    columns: list[Any] = [scope.compile_result_column(each).label(f"c{at}") for at, each in enumerate(shape.columns)]
    return select(*(columns or [LITERAL_ONE.label("c")])).select_from(scope.clause)


def apply_filters(statement: Select[Any], shape: StatementShape, scope: SqlScope) -> Select[Any]:
    if shape.keys is not None:
        statement = statement.where(compile_sql_predicate(shape.keys, scope))
    return statement if shape.filter is None else statement.where(compile_sql_predicate(shape.filter, scope))


def apply_limit(statement: Select[Any], limit: ParameterIndex | None) -> Select[Any]:
    return statement if limit is None else statement.limit(bind_integer(limit))


def bind_integer(parameter: ParameterIndex) -> Expression:
    return bindparam(parameter.name, type_=BigInteger())


def _build_lateral_select(shape: StatementShape, keys: KeyList, scope: SqlScope, listed: Any) -> Select[Any]:
    """By an index, the first rows of each key; they come key after key."""
    given = listed(keys.parameters, [scope.columns[each] for each in keys.columns])
    equal = [scope.compile_column(each) == given.c[f"k{at}"] for at, each in enumerate(keys.columns)]
    rows = apply_filters(select_columns(shape, scope).where(*equal), shape._replace(keys=None), scope)
    each = apply_limit(rows.order_by(*compile_sql_sort_keys(shape.sort, scope)), shape.limit).lateral("ranked")
    return select(*each.c).select_from(given.join(each, true()))


def _build_ranked_select(shape: StatementShape, keys: KeyList, limit: ParameterIndex, scope: SqlScope) -> Select[Any]:
    """In one go over the table, the first rows of each key, in order; the row numbers stay inside."""
    order = compile_sql_sort_keys(shape.sort, scope)
    number = func.row_number().over(
        partition_by=[scope.compile_column(each) for each in keys.columns], order_by=order or None
    )
    inner = apply_filters(select_columns(shape, scope).add_columns(number.label("number")), shape, scope).subquery(
        "ranked"
    )
    wanted = [each for each in inner.c if each.name != "number"]
    return select(*wanted).where(inner.c.number <= bind_integer(limit)).order_by(inner.c.number)


def compile_sql_sort_keys(order: Sequence[SortKey], scope: SqlScope) -> list[Expression]:
    return [_compile_sql_sort_key(each, scope) for each in order]


def _compile_sql_sort_key(order: SortKey, scope: SqlScope) -> Expression:
    column = scope.compile_comparable(order.column)
    way = column.desc() if order.descending else column.asc()
    if not scope.columns[order.column].nullable:
        return way
    return way.nulls_first() if order.nulls_first else way.nulls_last()


def compile_sql_predicate(predicate: Any, scope: SqlScope) -> Expression:
    match predicate:
        case Comparison():
            return _compile_sql_comparison(predicate, scope)
        case And():
            return and_(true(), *(compile_sql_predicate(each, scope) for each in predicate.parts))
        case Or():
            return or_(
                false(),
                *(compile_sql_predicate(each, scope) for each in predicate.parts if not _is_never_true(each, scope)),
            )
        case Not(Exists() as related):
            return not_(_compile_sql_exists(related, scope))
        case Not():
            return compile_sql_predicate(predicate.part, scope).is_not(true())
        case Exists():
            return _compile_sql_exists(predicate, scope)
        case KeyList(names, slots, single=True):
            pairs = zip(names, slots, strict=True)
            return and_(
                *(
                    scope.compile_column(each) == scope.dialect.bind_parameter(slot, scope.columns[each])
                    for each, slot in pairs
                )
            )
        case KeyList(names, slots):
            stored = [scope.columns[each] for each in names]
            return scope.dialect.compile_in_keys([scope.compile_column(each) for each in names], slots, stored)
        case _:
            raise TypeError(f"no source is asked {type(predicate).__name__}")


def _is_never_true(predicate: Any, scope: SqlScope) -> bool:
    """A null where there is none: said in so many words, it keeps a page from being found by its key's index."""
    null = isinstance(predicate, Comparison) and predicate.op is Op.IS_NULL and predicate.value
    return bool(null) and not scope.columns[predicate.column].nullable


def _compile_sql_comparison(comparison: Comparison, scope: SqlScope) -> Expression:
    column = scope.compile_column(comparison.column)
    if comparison.op is Op.IS_NULL:
        return column.is_(None) if comparison.value else column.is_not(None)
    if comparison.op in scope.dialect.text_matches:
        return scope.dialect.text_matches[comparison.op](column, bindparam(comparison.value.name, type_=String()))
    compared = column if comparison.op in (Op.EQ, Op.NE) else scope.compile_comparable(comparison.column)
    return COMPARISON_EXPRESSIONS[comparison.op](
        compared, scope.dialect.bind_parameter(comparison.value, scope.columns[comparison.column])
    )


def _compile_sql_exists(related: Exists, scope: SqlScope) -> Expression:
    inner = build_scope(related.collection, scope.tables, scope.dialect, scope.depth + 1)
    pairs = zip(related.outer_columns, related.inner_columns, strict=True)
    equal = [inner.compile_column(there) == scope.compile_column(here) for here, there in pairs]
    meets = compile_sql_predicate(related.filter, inner)
    return select(LITERAL_ONE).select_from(inner.clause).where(*equal, meets).correlate(scope.clause).exists()


def build_grouped_select(shape: StatementShape, tables: Mapping[str, SqlTable], dialect: SqlDialect) -> Select[Any]:
    scope = build_scope(shape.collection, tables, dialect)
    by = [_compile_sql_group_key(each, shape, scope) for each in shape.columns]
    measures = [_compile_sql_aggregate(each, scope) for each in shape.aggregates]
    labelled = [each.label(f"c{at}") for at, each in enumerate(by)]
    labelled += [each.label(f"m{at}") for at, each in enumerate(measures)]
    groups = apply_filters(select(*labelled).select_from(scope.clause), shape, scope).group_by(*by)
    if shape.having is None and not shape.sort and shape.limit is None:
        return groups
    return _filter_and_order_groups(groups, shape, scope)


def _filter_and_order_groups(groups: Select[Any], shape: StatementShape, scope: SqlScope) -> Select[Any]:
    """The groups as a table, whose columns `having` and order speak of."""
    clause = groups.subquery("g")
    columns = dict(
        list_result_columns(shape.columns, shape.aggregates, scope.columns, scope.dialect.parameter_encoding)
    )
    outer = replace(scope, columns=columns, clause=clause)
    kept = select(*clause.c)
    if shape.having is not None:
        kept = kept.where(compile_sql_predicate(shape.having, outer))
    return apply_limit(kept.order_by(*compile_sql_sort_keys(shape.sort, outer)), shape.limit)


def _compile_sql_group_key(name: str, shape: StatementShape, scope: SqlScope) -> Expression:
    unit = next((each.unit for each in shape.time_buckets if each.column == name), None)
    shown = scope.compile_result_column(name)
    return shown if unit is None else scope.dialect.compile_time_bucket(shown, scope.columns[name], unit)


EXTREME_SQL: Mapping[AggregateFunction, Callable[[Expression], Expression]] = {
    AggregateFunction.MIN: func.min,
    AggregateFunction.MAX: func.max,
}


def _compile_sql_aggregate(aggregate: AggregateCall, scope: SqlScope) -> Expression:
    if aggregate.column is None:
        return func.count()
    match aggregate.function:
        case AggregateFunction.COUNT:
            return func.count(scope.compile_column(aggregate.column))
        case AggregateFunction.COUNT_DISTINCT:
            return func.count(scope.compile_column(aggregate.column).distinct())
        case AggregateFunction.SUM:
            return scope.dialect.compile_sum(scope.compile_column(aggregate.column))
    extreme = EXTREME_SQL[aggregate.function](scope.compile_comparable(aggregate.column))
    return scope.dialect.compile_read(extreme, scope.columns[aggregate.column])


MAX_CACHED_STATEMENTS = 2000
"""How many are kept; the one that was made first gives way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledStatement:
    """`order`: this ask's values as the statement's marks want them. `decodes`: by place in a row, where needed."""

    text: str
    order_values: Callable[[Sequence[Any]], Sequence[Any]]
    decoders: tuple[tuple[int, ValueConverter], ...]
    without_columns: bool
    """Rows without a value are asked for."""

    def decode_rows(self, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """Raises SourceFailed when a value is none that its column's kind can have."""
        if self.without_columns:
            return [()] * len(rows)
        if not self.decoders or not rows:
            # A slice is the fastest way from a record of asyncpg to a tuple; of a tuple it is the tuple itself.
            return [row[:] for row in rows]  # type: ignore[misc]
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        try:
            for at, convert in self.decoders:
                columns[at] = [None if value is None else convert(value) for value in columns[at]]
        except (ValueError, TypeError, ArithmeticError):
            raise build_unreadable_error() from None
        return list(zip(*columns, strict=True))


class StatementCache:
    """Those of one database, by shape."""

    def __init__(self, tables: Mapping[str, SqlTable], dialect: SqlDialect, compiler: Compiler) -> None:
        self.tables = tables
        self.dialect = dialect
        self.compiler = compiler
        self.compiled_by_shape: dict[StatementShape, CompiledStatement] = {}

    def prepare(self, request: ScanRequest) -> tuple[CompiledStatement, Sequence[Any]]:
        shape, values = build_statement_shape(request, self.tables, self.dialect.parameter_encoding)
        found = self.compiled_by_shape.get(shape) or self._compile_and_store(shape)
        return found, found.order_values(values)

    def _compile_and_store(self, shape: StatementShape) -> CompiledStatement:
        if len(self.compiled_by_shape) >= MAX_CACHED_STATEMENTS:
            del self.compiled_by_shape[next(iter(self.compiled_by_shape))]
        made = self.compiled_by_shape[shape] = compile_statement(shape, self.tables, self.dialect, self.compiler)
        return made


def compile_statement(
    shape: StatementShape, tables: Mapping[str, SqlTable], dialect: SqlDialect, compiler: Compiler
) -> CompiledStatement:
    made = (build_grouped_select if shape.aggregates else build_select)(shape, tables, dialect).compile(
        dialect=compiler
    )
    columns = tables[shape.collection].columns
    read = list_result_columns(shape.columns, shape.aggregates, columns, dialect.parameter_encoding)
    return CompiledStatement(
        text=str(made),
        order_values=build_value_order(made),
        decoders=tuple((at, each.decode) for at, (_, each) in enumerate(read) if each.decode is not None),
        without_columns=not read,
    )


def build_value_order(compiled: Any) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """From values by slot to values by mark; what the statement itself binds is put in."""
    names = tuple(compiled.positiontup or ())
    fixed = [compiled.binds[name].value for name in names if not name[1:].isdecimal()]
    counted = iter(range(-len(fixed), 0))
    places = [int(name[1:]) if name[1:].isdecimal() else next(counted) for name in names]
    pick = itemgetter(*places) if len(places) > 1 else lambda values: tuple([values[at] for at in places])
    return (lambda values: pick((*values, *fixed))) if fixed else pick


def build_unreadable_error() -> ConnectorError:
    return ConnectorError("the database gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)
