"""Tables, keys."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from snowflake.connector import ProgrammingError

from onedoor.codegen.models import DescribedColumn, DescribedReference, DescribedTable, SourceDescription
from onedoor.connectors.snowflake.client import (
    SnowflakeSessions,
    SnowflakeSql,
    build_introspection_options,
    normalize_identifier,
    parse_source_settings,
    quote_identifier,
)
from onedoor.errors import ConfigurationError, ConnectorError
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Op, Row
from onedoor.spi.scan import AggregateFunction, TimeUnit

COLUMNS_SQL = (
    "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE FROM INFORMATION_SCHEMA.COLUMNS "
    "WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION"
)

ROW_COUNTS_SQL = "SELECT TABLE_NAME, ROW_COUNT FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ?"

MARKER_TABLE_NAME = "ONEDOOR_CHANGE"
"""The table that keeps what came of each change; it is no collection."""

MAX_KEYS = 1000

MAX_IN_FILTER_KEYS = 10_000

EPOCH_TYPE = "EPOCH"
"""The type of a time that was read as microseconds since 1970; no table has it."""

SNOWFLAKE_COLUMN_TYPES = {
    "TEXT": ColumnType.TEXT,
    "BOOLEAN": ColumnType.BOOLEAN,
    "DATE": ColumnType.DATE,
    "FLOAT": ColumnType.FLOAT,
    "TIMESTAMP_TZ": ColumnType.TIME,
    "TIMESTAMP_LTZ": ColumnType.TIME,
    "TIMESTAMP_NTZ": ColumnType.TIME,
}

EQUALITY_OPS = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.IS_NULL})

ORDERED_OPS = EQUALITY_OPS | {Op.LT, Op.LTE, Op.GT, Op.GTE}

TEXT_OPS = ORDERED_OPS | {Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH}

COUNT_FUNCTIONS = frozenset({AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT})

EXTREME_FUNCTIONS = COUNT_FUNCTIONS | {AggregateFunction.MIN, AggregateFunction.MAX}

AGGREGATES_BY_TYPE = {
    ColumnType.BOOLEAN: COUNT_FUNCTIONS,
    ColumnType.INTEGER: EXTREME_FUNCTIONS | {AggregateFunction.SUM},
    ColumnType.DECIMAL: EXTREME_FUNCTIONS | {AggregateFunction.SUM},
}
"""By kind, EXTREME of the others. A sum of floats depends on their order, so none is promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeColumn:
    """A column as Snowflake has it; precision and scale count decimal digits and are 0 where it holds no NUMBER."""

    name: str
    column_type: ColumnType
    data_type: str
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeTable:
    """A table or view: its real name, its columns by lower-case name, and its promise."""

    name: str
    columns: Mapping[str, SnowflakeColumn]
    capabilities: Capabilities


def build_snowflake_tables(rows: Iterable[Row], sizes: Iterable[Row] = ()) -> Mapping[str, SnowflakeTable]:
    """The tables by lower-case name. Columns of a type that no kind can hold are left out."""
    many = {name: None if count is None else int(count) for name, count in sizes}
    found: dict[str, dict[str, SnowflakeColumn]] = {}
    for table, *column in (each for each in rows if each[0] != MARKER_TABLE_NAME):
        columns = found.setdefault(table, {})
        if (stored := parse_snowflake_column(*column)) is not None:
            columns[stored.name.lower()] = stored
    return {
        name.lower(): SnowflakeTable(
            name=name, columns=columns, capabilities=build_snowflake_capabilities(columns, many.get(name))
        )
        for name, columns in found.items()
    }


def parse_snowflake_column(
    name: str, data_type: str, precision: int | None, scale: int | None
) -> SnowflakeColumn | None:
    if data_type == "NUMBER":
        kind = ColumnType.DECIMAL if scale else ColumnType.INTEGER
        return SnowflakeColumn(
            name=name, column_type=kind, data_type=data_type, precision=precision or 38, scale=scale or 0
        )
    return (
        SnowflakeColumn(name=name, column_type=SNOWFLAKE_COLUMN_TYPES[data_type], data_type=data_type)
        if data_type in SNOWFLAKE_COLUMN_TYPES
        else None
    )


def build_snowflake_capabilities(columns: Mapping[str, SnowflakeColumn], rows: int | None = None) -> Capabilities:
    return Capabilities(
        columns={
            name: Column(
                stored.column_type,
                list_snowflake_operators(stored.column_type),
                True,
                AGGREGATES_BY_TYPE.get(stored.column_type, EXTREME_FUNCTIONS),
            )
            for name, stored in columns.items()
        },
        max_keys=MAX_KEYS,
        boolean_filters=True,
        exists_filters=True,
        max_in_filter_keys=MAX_IN_FILTER_KEYS,
        limit=True,
        limit_per_key=True,
        aggregates=True,
        time_buckets=frozenset(TimeUnit),
        group_ordering_and_limit=True,
        row_count=rows,
    )


def list_snowflake_operators(column_type: ColumnType) -> frozenset[Op]:
    """What Snowflake answers as the words mean it; not the i- forms, its LOWER is not Python's."""
    if column_type is ColumnType.TEXT:
        return TEXT_OPS
    return EQUALITY_OPS if column_type is ColumnType.BOOLEAN else ORDERED_OPS


ColumnNames = tuple[str, ...]

KeysByTable = Mapping[str, tuple[ColumnNames, ...]]

PART_POSITION = itemgetter(0)
"""A part's place in its key, by which alone it is sorted: parts all said to be the first stay as they came."""


def parse_keys(rows: Iterable[Row]) -> KeysByTable:
    """The columns of each key, of the rows of SHOW PRIMARY KEYS or of SHOW UNIQUE KEYS.

    Created, database, schema, table, column, the place in the key, the name of the key, ...
    """
    found: dict[ColumnNames, list[tuple[int, str]]] = defaultdict(list)
    for _, _, _, table, column, place, name, *_ in rows:
        found[table, name].append((place, column.lower()))
    made: dict[str, list[ColumnNames]] = defaultdict(list)
    for (table, _), parts in found.items():
        made[table].append(tuple(column for _, column in sorted(parts, key=PART_POSITION)))
    return {table: tuple(sorted(each, key=lambda key: (len(key), key))) for table, each in made.items()}


def parse_references(rows: Iterable[Row], *unique: KeysByTable) -> Mapping[str, tuple[DescribedReference, ...]]:
    """Within one schema, of the rows of SHOW IMPORTED KEYS.

    Created, then database, schema, table, column of what is led to, the same of what leads, the place in the key,
    rules for updates and for deletes, the name of the reference, ...
    """
    found: dict[ColumnNames, list[tuple[int, str, str]]] = defaultdict(list)
    for _, base, schema, to, there, own_base, own_schema, table, here, place, _, _, name, *_ in rows:
        if (base, schema) == (own_base, own_schema):
            found[table, name, to].append((place, here.lower(), there.lower()))
    made: dict[str, list[DescribedReference]] = defaultdict(list)
    for (table, _, to), parts in found.items():
        _, columns, there = zip(*sorted(parts, key=PART_POSITION), strict=True)
        alone = any(set(key) <= set(columns) for each in unique for key in each.get(table, ()))
        made[table].append(DescribedReference(columns=columns, to=to.lower(), there=there, alone=alone))
    return {table: tuple(sorted(each, key=lambda one: (one.columns, one.to))) for table, each in made.items()}


DESCRIBED_COLUMNS_SQL = (
    "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, IS_NULLABLE, COMMENT "
    "FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION"
)

REFLECTED_FIELDS = 5
"""So many of these are what the source reads of itself."""

DESCRIBED_TABLES_SQL = "SELECT TABLE_NAME, TABLE_TYPE, COMMENT FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ?"

UNLISTED_VIEW = ("VIEW", "")
"""What has columns and is not among the tables can be nothing else."""

SHOWN_KEYS = ("PRIMARY KEYS", "UNIQUE KEYS", "IMPORTED KEYS")

INT32_SAFE_DIGITS = 9
"""Whole numbers of so many digits surely take 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeSchemaMetadata:
    """All that was read of a schema, by the names Snowflake has: `columns` by table and column, `tables` by table."""

    columns: Mapping[tuple[str, str], Sequence[Any]]
    tables: Mapping[str, Sequence[Any]]
    primary_keys: KeysByTable
    unique_keys: KeysByTable
    references: Mapping[str, tuple[DescribedReference, ...]]


async def describe(url: str) -> SourceDescription:
    """Tables and views of the one schema. Raises Mistake where the warehouse does not answer, or shows none."""
    said = parse_source_settings(url)
    place = f"`{said['database']}.{said['schema']}` at `{said['host']}`"
    sessions = SnowflakeSessions(build_introspection_options(said))
    try:
        found = await _describe_schema(
            sessions, normalize_identifier(said["database"]), normalize_identifier(said["schema"])
        )
    except ConnectorError as reason:
        raise ConfigurationError(f"{place} cannot be read: {reason.reason}") from None
    finally:
        await sessions.close()
    if not found.tables:
        raise ConfigurationError(f"{place} shows no tables: see to both names, and to what the user's role may see")
    return found


async def _describe_schema(sessions: SnowflakeSessions, database: str, schema: str) -> SourceDescription:
    columns = await sessions.run(SnowflakeSql(DESCRIBED_COLUMNS_SQL, (schema,)))
    types = await sessions.run(SnowflakeSql(DESCRIBED_TABLES_SQL, (schema,)))
    shown = [
        await _show_keys(sessions, each, f"{quote_identifier(database)}.{quote_identifier(schema)}")
        for each in SHOWN_KEYS
    ]
    (primary, unique), leads = [parse_keys(rows or ()) for rows in shown[:2]], shown[2] or ()
    said = SnowflakeSchemaMetadata(
        columns={(table, name): more for table, name, *more in columns},
        tables={name: more for name, *more in types},
        primary_keys=primary,
        unique_keys=unique,
        references=parse_references(leads, primary, unique),
    )
    held = build_snowflake_tables(row[:REFLECTED_FIELDS] for row in columns)
    refused = [name for name, rows in zip(SHOWN_KEYS, shown, strict=True) if rows is None]
    return SourceDescription(
        tables=tuple(_describe_snowflake_table(name, each, said) for name, each in held.items()),
        notes=(*_report_refused(refused), *_report_omitted_columns(columns)),
    )


async def _show_keys(sessions: SnowflakeSessions, what: str, place: str) -> list[Row] | None:
    """None where the statement is refused, as to a role that may not run it; raises SourceFailed for all else."""
    try:
        return await sessions.run(SnowflakeSql(f"SHOW {what} IN SCHEMA {place}"))
    except ConnectorError as reason:
        if isinstance(reason.__cause__, ProgrammingError):
            return None
        raise


def _report_refused(names: Sequence[str]) -> Iterator[str]:
    for each in names:
        yield f"`SHOW {each}` was refused: what it would have shown is missing"


def _report_omitted_columns(columns: Sequence[Row]) -> Iterator[str]:
    """Named once, with what they hold."""
    found = [
        f"`{row[0]}.{row[1]}` ({row[2]})".lower()
        for row in columns
        if parse_snowflake_column(*row[1:REFLECTED_FIELDS]) is None
    ]
    if found:
        yield f"left out, no field can show them: {', '.join(found)}"


def _describe_snowflake_table(name: str, table: SnowflakeTable, metadata: SnowflakeSchemaMetadata) -> DescribedTable:
    columns = tuple(
        _describe_snowflake_column(called, each, metadata.columns[table.name, each.name])
        for called, each in table.columns.items()
    )
    sort, comment = metadata.tables.get(table.name, UNLISTED_VIEW)
    primary, unique = metadata.primary_keys.get(table.name, ()), metadata.unique_keys.get(table.name, ())
    required = {each.name for each in columns if not each.nullable}
    return DescribedTable(
        name=name,
        columns=columns,
        key=next(iter((*primary, *(each for each in unique if set(each) <= required))), ()),
        references=metadata.references.get(table.name, ()),
        comment=comment or "",
        view="VIEW" in sort,
    )


def _describe_snowflake_column(name: str, column: SnowflakeColumn, more: Sequence[Any]) -> DescribedColumn:
    *_, nullable, comment = more
    return DescribedColumn(
        name=name,
        kind=column.column_type,
        nullable=nullable != "NO",
        large=column.column_type is ColumnType.INTEGER and column.precision > INT32_SAFE_DIGITS,
        comment=comment or "",
    )
