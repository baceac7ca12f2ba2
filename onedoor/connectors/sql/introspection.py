"""Tables, columns, capabilities."""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import BigInteger, Enum, FromClause, Inspector, column, create_engine, inspect, table
from sqlalchemy.exc import SAWarning, SQLAlchemyError
from sqlalchemy.pool import NullPool

from onedoor.codegen.apply import UNREADABLE_URL
from onedoor.codegen.models import DescribedColumn, DescribedReference, DescribedTable, SourceDescription
from onedoor.connectors.registry import load_kind
from onedoor.errors import ConfigurationError, ConnectorError
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Comparison, Op
from onedoor.spi.scan import AggregateFunction, TimeUnit

EQUALITY_OPS = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.IS_NULL})

ORDERED_OPS = EQUALITY_OPS | {Op.LT, Op.LTE, Op.GT, Op.GTE}

TEXT_OPS = ORDERED_OPS | {Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH}

CASE_INSENSITIVE_OPS = TEXT_OPS | {Op.I_CONTAINS, Op.I_STARTS_WITH, Op.I_ENDS_WITH}

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
"""By kind. A sum of floats depends on their order in a database, so none is promised."""

INTEGER_LIMIT = 2**63
"""Where whole numbers end in a database."""

ValueConverter = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlColumn:
    """One column as its database keeps it."""

    name: str
    type: ColumnType
    nullable: bool
    scale: int = 0
    """Decimal places of a column that keeps numbers as whole minor units."""
    minor_units: bool = False
    exclusive_limit: int = INTEGER_LIMIT
    """No whole number, and no number of minor units, is as large as this; nor, below zero, beyond it."""
    incomparable: bool = False
    """Kept in a form that the database itself cannot compare; filtered and ordered by us."""
    read_as_text: bool = False
    """Of a type of the database's own that is read as text."""
    zoneless: bool = False
    """A time in UTC of a type that does not say so."""
    encode: ValueConverter | None = None
    decode: ValueConverter | None = None
    read_expression: Callable[[Any], Any] | None = None
    """How a statement speaks of the column, where not by its name alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStatistics:
    """What a database knows of a table: about how many rows it has, and the columns that an index of it begins with."""

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

    def build_from_clause(self, alias: str) -> FromClause:
        return table(self.name, *(column(each.name) for each in self.columns.values()), schema=self.schema).alias(alias)


def build_sql_table(
    schema: str | None,
    name: str,
    columns: Mapping[str, SqlColumn],
    *,
    max_keys: int,
    folds_case: bool,
    statistics: TableStatistics = TableStatistics(),
) -> SqlTable:
    """`folds`: the database compares whatever the case as Python's `str.lower()` does."""
    can = Capabilities(
        columns={each.name: build_column_capabilities(each, folds_case=folds_case) for each in columns.values()},
        max_keys=max_keys,
        boolean_filters=True,
        exists_filters=True,
        max_in_filter_keys=max_keys,
        limit=True,
        limit_per_key=True,
        aggregates=True,
        time_buckets=frozenset(TimeUnit),
        group_ordering_and_limit=True,
        row_count=statistics.row_count,
    )
    return SqlTable(schema=schema, name=name, columns=columns, capabilities=can, statistics=statistics)


def build_column_capabilities(sql_column: SqlColumn, *, folds_case: bool) -> Column:
    if sql_column.incomparable:
        return Column(sql_column.type, frozenset({Op.IS_NULL}), aggregates=COUNT_ONLY)
    if sql_column.read_as_text:
        return Column(sql_column.type, EQUALITY_OPS, aggregates=COUNT_FUNCTIONS)
    orders = sql_column.type is not ColumnType.LIST
    return Column(
        sql_column.type,
        list_sql_operators(sql_column.type, folds_case=folds_case),
        orders,
        AGGREGATES_BY_TYPE[sql_column.type],
    )


def list_sql_operators(column_type: ColumnType, *, folds_case: bool) -> frozenset[Op]:
    match column_type:
        case ColumnType.LIST:
            return frozenset({Op.IS_NULL})
        case ColumnType.TEXT:
            return CASE_INSENSITIVE_OPS if folds_case else TEXT_OPS
        case _:
            return ORDERED_OPS


KINDS_AND_DRIVERS_BY_SCHEME: Mapping[str, tuple[str, str]] = {
    "sqlite": ("sqlite", "sqlite"),
    "postgresql": ("postgresql", "postgresql+psycopg"),
    "postgres": ("postgresql", "postgresql+psycopg"),
    "mysql": ("mysql", "mysql+pymysql"),
    "mariadb": ("mysql", "mysql+pymysql"),
}
"""By the scheme of a URL, the kind of source and what SQLAlchemy calls its driver."""

CHECK_LIST_PATTERN = re.compile(
    r"""^\W*(?P<column>\w+)[\])`"\s]*(?:::\w+[\s)]*)?\s*(?:IN|=\s*ANY)\s*\(+(?:ARRAY\[)?(?P<values>[^\[\]]*?)\]?"""
    r"""(?:::[\w\s]+(?:\[\])?|[)\s])*$""",
    re.IGNORECASE | re.DOTALL,
)
"""`column IN ('a', 'b')` as SQLite and MySQL give it back, and what PostgreSQL makes of it."""

TEXT_LITERAL_PATTERN = re.compile(r"(?:_?utf8mb[34])?'((?:[^']|'')*)'(?:::[\w\s]+)?")

DEFAULT_SCHEMA = "public"


def parse_source_settings(url: str) -> Mapping[str, str]:
    """What stands under `[sources.<name>]` in the file of settings."""
    scheme, _, rest = url.partition("://")
    kind, _ = KINDS_AND_DRIVERS_BY_SCHEME[scheme]
    return {"kind": kind, **({"path": rest.removeprefix("/")} if kind == "sqlite" else {"url": url})}


async def describe(url: str) -> SourceDescription:
    """Tables and views by the names of their collections. Raises Mistake where the database does not answer."""
    said = dict(parse_source_settings(url))
    kind = load_kind(said.pop("kind"))
    try:
        source = await kind.connect(kind.options(**said))
        await source.close()
        with warnings.catch_warnings(category=SAWarning, action="ignore"):  # of columns that are left out
            return SourceDescription(tables=tuple(_describe_sql_tables(_build_sqlalchemy_url(url), source.tables)))
    except ValueError:
        raise ConfigurationError(UNREADABLE_URL) from None
    except (ConnectorError, SQLAlchemyError) as reason:
        told = reason.reason if isinstance(reason, ConnectorError) else "it does not answer"
        raise ConfigurationError(f"the database cannot be read: {told}") from None


def _build_sqlalchemy_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=KINDS_AND_DRIVERS_BY_SCHEME[parts.scheme][1])).replace(
        ":/", ":///", 1 - bool(parts.netloc)
    )


def _describe_sql_tables(url: str, tables: Mapping[str, SqlTable]) -> Iterator[DescribedTable]:
    engine = create_engine(url, poolclass=NullPool)
    try:
        inspector = inspect(engine)
        names = {(each.schema, each.name): name for name, each in tables.items()}
        views = {(schema, name) for schema in {s for s, _ in names} for name in inspector.get_view_names(schema)}
        for (schema, name), called in names.items():
            yield _TableInspector(inspector, tables[called], names, (schema, name) in views).describe(called)
    finally:
        engine.dispose()


class _TableInspector:
    """One table, asked of the inspector."""

    def __init__(
        self, inspector: Inspector, table: SqlTable, collections: Mapping[tuple[str | None, str], str], is_view: bool
    ) -> None:
        self.inspector = inspector
        self.table = table
        self.collections = collections
        self.is_view = is_view
        self.table_arguments: dict[str, Any] = {"table_name": table.name, "schema": table.schema}

    def describe(self, collection: str) -> DescribedTable:
        key = tuple(self.inspector.get_pk_constraint(**self.table_arguments)["constrained_columns"])
        unique = [] if self.is_view else self._read_unique_keys()
        checked = {} if self.is_view else self._read_check_values()
        columns = tuple(
            _describe_sql_column(self.table.columns[each["name"]], each, checked.get(each["name"], ()))
            for each in self.inspector.get_columns(**self.table_arguments)
            if each["name"] in self.table.columns
        )
        required = {each.name for each in columns if not each.nullable}
        return DescribedTable(
            name=collection,
            columns=columns,
            key=key or next((each for each in unique if set(each) <= required), ()),
            references=tuple(self._read_references((key, *unique))),
            comment=self._read_comment(),
            view=self.is_view,
        )

    def _read_comment(self) -> str:
        try:
            return self.inspector.get_table_comment(**self.table_arguments)["text"] or ""
        except NotImplementedError:
            return ""

    def _read_unique_keys(self) -> list[tuple[str, ...]]:
        found = [tuple(each["column_names"]) for each in self.inspector.get_unique_constraints(**self.table_arguments)]
        indices = [each for each in self.inspector.get_indexes(**self.table_arguments) if each["unique"]]
        whole = [tuple(map(str, each["column_names"])) for each in indices if None not in each["column_names"]]
        partial = {str(key) for each in indices for key in each.get("dialect_options", {}) if key.endswith("_where")}
        return sorted({*found, *(() if partial else whole)}, key=len)

    def _read_check_values(self) -> dict[str, tuple[str, ...]]:
        """By column, the values a check lists."""
        found: dict[str, tuple[str, ...]] = {}
        for each in self.inspector.get_check_constraints(**self.table_arguments):
            column, values = parse_check_values(str(each["sqltext"]))
            if values:
                found[column] = values
        return found

    def _read_references(self, unique: Sequence[tuple[str, ...]]) -> Iterator[DescribedReference]:
        found = self.inspector.get_foreign_keys(**self.table_arguments)
        for each in sorted(found, key=lambda one: one["constrained_columns"]):
            schema = each["referred_schema"] or self.table.schema
            to = self.collections.get((schema, each["referred_table"]))
            columns, there = tuple(each["constrained_columns"]), tuple(each["referred_columns"])
            if to is not None and len(columns) == len(there):
                yield DescribedReference(
                    columns=columns, to=to, there=there, alone=any(set(one) <= set(columns) for one in unique if one)
                )


def parse_check_values(check: str) -> tuple[str, tuple[str, ...]]:
    """The column a check is about and the texts it may hold; none where it says anything else."""
    found = CHECK_LIST_PATTERN.match(check.replace("\\'", "'"))
    if found is None:
        return "", ()
    values = TEXT_LITERAL_PATTERN.findall(found["values"])
    rest = TEXT_LITERAL_PATTERN.sub("", found["values"]).replace(",", "").strip()
    return (found["column"], tuple(each.replace("''", "'") for each in values)) if not rest else ("", ())


def _describe_sql_column(
    column: SqlColumn, reflected: Mapping[str, Any], allowed_values: tuple[str, ...]
) -> DescribedColumn:
    kind: Any = reflected["type"]
    values = tuple(kind.enums) if isinstance(kind, Enum) and kind.enums else allowed_values
    return DescribedColumn(
        name=column.name,
        kind=column.type,
        nullable=column.nullable,
        large=column.type is ColumnType.INTEGER and _is_large_integer(kind),
        comment=reflected.get("comment") or "",
        values=values if column.type is ColumnType.TEXT else (),
        enum=(kind.name or "") if isinstance(kind, Enum) and values else "",
    )


def _is_large_integer(kind: Any) -> bool:
    """Past 32 bits with a sign."""
    return isinstance(kind, BigInteger) or (
        bool(getattr(kind, "unsigned", False)) and str(kind).upper().startswith("INT")
    )


EXACT_CONTEXT = Context(prec=100)

LESS_THAN_OPS = frozenset({Op.LT, Op.LTE})

RANGE_OPS = frozenset({Op.LT, Op.LTE, Op.GT, Op.GTE})

NEGATIVE_OPS = frozenset({Op.NE, Op.NOT_IN})


def resolve_comparison(comparison: Comparison, column: SqlColumn) -> Comparison | bool:
    """The same test with a value the column can hold; True: every row with a value meets it, False: none does."""
    if comparison.op is Op.IS_NULL:
        return comparison
    if comparison.op in (Op.IN, Op.NOT_IN):
        values = tuple(each for each in comparison.value if is_storable(each, column))
        return replace(comparison, value=values) if values else comparison.op is Op.NOT_IN
    if is_storable(comparison.value, column):
        return comparison
    if comparison.op in RANGE_OPS:
        return (
            resolve_text_bound(comparison)
            if column.type is ColumnType.TEXT
            else resolve_number_bound(comparison, column)
        )
    return comparison.op in NEGATIVE_OPS


def is_storable(value: Any, column: SqlColumn) -> bool:
    """Whether some row could hold just this."""
    if isinstance(value, str):
        return find_unstorable_character(value) == len(value)
    if column.minor_units:
        scaled = floor_to_minor_units(value, column)
        return (
            -column.exclusive_limit <= scaled < column.exclusive_limit
            and decimal_from_minor_units(scaled, column) == value
        )
    return column.type is not ColumnType.INTEGER or bool(-column.exclusive_limit <= value < column.exclusive_limit)


def are_all_storable(values: Sequence[Any], column: SqlColumn) -> bool:
    """Of many at once, where that is quick to tell; else False, and each is to be looked at."""
    match column.type:
        case ColumnType.INTEGER:
            return not values or bool(-column.exclusive_limit <= min(values) and max(values) < column.exclusive_limit)
        case ColumnType.TEXT:
            joined = "".join(values)
            return joined.isascii() and "\0" not in joined
        case _:
            return not column.minor_units


def resolve_text_bound(comparison: Comparison) -> Comparison:
    """No stored text holds a NUL or a lone surrogate; what may follow in their place parts the rows alike."""
    place = find_unstorable_character(comparison.value)
    before = comparison.value[:place]
    if comparison.value[place] == "\0":
        return Comparison(comparison.column, Op.LTE if comparison.op in LESS_THAN_OPS else Op.GT, before)
    return Comparison(comparison.column, Op.LT if comparison.op in LESS_THAN_OPS else Op.GTE, before + "\ue000")


def find_unstorable_character(text: str) -> int:
    """Where the first letter stands that no database keeps; the length of the text when there is none."""
    if text.isascii() and "\0" not in text:
        return len(text)
    lost = (place for place, letter in enumerate(text) if letter == "\0" or "\ud800" <= letter <= "\udfff")
    return next(lost, len(text))


def resolve_number_bound(comparison: Comparison, column: SqlColumn) -> Comparison | bool:
    """Between two neighbours a column can hold, the lower one parts the rows alike."""
    scaled = floor_to_minor_units(comparison.value, column) if column.minor_units else comparison.value
    if not -column.exclusive_limit <= scaled < column.exclusive_limit:
        return bool(comparison.value > 0) == (comparison.op in LESS_THAN_OPS)
    return Comparison(
        comparison.column, Op.LTE if comparison.op in LESS_THAN_OPS else Op.GT, decimal_from_minor_units(scaled, column)
    )


def floor_to_minor_units(value: Decimal, column: SqlColumn) -> int:
    """Whole minor units, rounded down."""
    return int(value.scaleb(column.scale, EXACT_CONTEXT).quantize(Decimal(1), ROUND_FLOOR, EXACT_CONTEXT))


def decimal_from_minor_units(minor: int, column: SqlColumn) -> Decimal:
    return Decimal(minor).scaleb(-column.scale, EXACT_CONTEXT)
