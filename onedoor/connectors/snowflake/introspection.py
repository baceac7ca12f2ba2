"""Describe the tables of a Snowflake schema, with their keys and references, for the code generator."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from onedoor.codegen.models import DescribedColumn, DescribedReference, DescribedTable, SourceDescription
from onedoor.connectors.snowflake.client import (
    SnowflakeSessions,
    StatementRefused,
    normalize_identifier,
    quote_identifier,
)
from onedoor.connectors.snowflake.options import build_introspection_options, parse_source_settings
from onedoor.connectors.snowflake.tables import (
    SnowflakeColumn,
    SnowflakeTable,
    build_snowflake_tables,
    parse_snowflake_column,
)
from onedoor.errors import ConfigurationError, ConnectorError
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import Row

ColumnNames = tuple[str, ...]

KeysByTable = Mapping[str, tuple[ColumnNames, ...]]

PART_POSITION = itemgetter(0)
"""The place of a part in its key, and nothing else: parts that all claim to be the first keep their order."""

DESCRIBED_COLUMNS_SQL = (
    "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, IS_NULLABLE, COMMENT "
    "FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION"
)

REFLECTED_FIELDS = 5
"""How many of these fields `build_snowflake_tables` takes."""

DESCRIBED_TABLES_SQL = "SELECT TABLE_NAME, TABLE_TYPE, COMMENT FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ?"

UNLISTED_VIEW = ("VIEW", "")
"""The facts about what has columns and is not listed as a table."""

SHOWN_KEYS = ("PRIMARY KEYS", "UNIQUE KEYS", "IMPORTED KEYS")

INT32_SAFE_DIGITS = 9
"""The most digits of a whole number that always fits 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeSchemaMetadata:
    """The metadata of a schema by real names: `columns` by table and column, the rest by table."""

    columns: Mapping[tuple[str, str], Sequence[Any]]
    tables: Mapping[str, Sequence[Any]]
    primary_keys: KeysByTable
    unique_keys: KeysByTable
    references: Mapping[str, tuple[DescribedReference, ...]]


async def describe(url: str) -> SourceDescription:
    """Describe tables and views of one schema.

    Raises ConfigurationError where Snowflake does not answer, or shows no table.
    """
    settings = parse_source_settings(url)
    place = f"`{settings['database']}.{settings['schema']}` at `{settings['host']}`"
    sessions = SnowflakeSessions(build_introspection_options(settings))
    try:
        description = await _describe_schema(
            sessions, normalize_identifier(settings["database"]), normalize_identifier(settings["schema"])
        )
    except ConnectorError as error:
        raise ConfigurationError(f"{place} cannot be read: {error.reason}") from None
    finally:
        await sessions.close()
    if not description.tables:
        raise ConfigurationError(f"{place} shows no tables: see to both names, and to what the user's role may see")
    return description


async def _describe_schema(sessions: SnowflakeSessions, database: str, schema: str) -> SourceDescription:
    columns = await sessions.run(DESCRIBED_COLUMNS_SQL, (schema,))
    table_types = await sessions.run(DESCRIBED_TABLES_SQL, (schema,))
    place = f"{quote_identifier(database)}.{quote_identifier(schema)}"
    shown = {name: await _show_keys(sessions, name, place) for name in SHOWN_KEYS}
    primary_keys = parse_keys(shown["PRIMARY KEYS"] or ())
    unique_keys = parse_keys(shown["UNIQUE KEYS"] or ())
    metadata = SnowflakeSchemaMetadata(
        columns={(table, name): facts for table, name, *facts in columns},
        tables={name: facts for name, *facts in table_types},
        primary_keys=primary_keys,
        unique_keys=unique_keys,
        references=parse_references(shown["IMPORTED KEYS"] or (), primary_keys, unique_keys),
    )
    tables = build_snowflake_tables(row[:REFLECTED_FIELDS] for row in columns)
    refused = [name for name, rows in shown.items() if rows is None]
    return SourceDescription(
        tables=tuple(_describe_snowflake_table(name, table, metadata) for name, table in tables.items()),
        notes=(*_report_refused(refused), *_report_omitted_columns(columns)),
    )


async def _show_keys(sessions: SnowflakeSessions, keys: str, place: str) -> list[Row] | None:
    """Return None where the statement is refused, as for a role that may not run it."""
    try:
        return await sessions.run(f"SHOW {keys} IN SCHEMA {place}")
    except StatementRefused:
        return None


def _report_refused(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield f"`SHOW {name}` was refused: what it would have shown is missing"


def _report_omitted_columns(columns: Sequence[Row]) -> Iterator[str]:
    omitted = [
        f"`{row[0]}.{row[1]}` ({row[2]})".lower()
        for row in columns
        if parse_snowflake_column(*row[1:REFLECTED_FIELDS]) is None
    ]
    if omitted:
        yield f"left out, no field can show them: {', '.join(omitted)}"


def parse_keys(rows: Iterable[Row]) -> KeysByTable:
    """Return the columns of each key from the rows of SHOW PRIMARY KEYS or SHOW UNIQUE KEYS.

    A row holds: created, database, schema, table, column, place in the key, name of the key, ...
    """
    parts_by_key: dict[ColumnNames, list[tuple[int, str]]] = defaultdict(list)
    for _, _, _, table, column, place, name, *_ in rows:
        parts_by_key[table, name].append((place, column.lower()))
    keys_by_table: dict[str, list[ColumnNames]] = defaultdict(list)
    for (table, _), parts in parts_by_key.items():
        keys_by_table[table].append(tuple(column for _, column in sorted(parts, key=PART_POSITION)))
    return {table: tuple(sorted(keys, key=lambda key: (len(key), key))) for table, keys in keys_by_table.items()}


def parse_references(rows: Iterable[Row], *unique_keys: KeysByTable) -> Mapping[str, tuple[DescribedReference, ...]]:
    """Return the references within one schema from the rows of SHOW IMPORTED KEYS.

    A row holds: created, then database, schema, table and column of the referenced key, the same of the reference,
    place in the key, rules for updates and deletes, name of the reference, ...
    """
    parts_by_reference: dict[ColumnNames, list[tuple[int, str, str]]] = defaultdict(list)
    for (
        _, database, schema, referenced_table, referenced_column, own_database, own_schema, table, column, place, _, _,
        name, *_,
    ) in rows:  # fmt: skip
        if (database, schema) == (own_database, own_schema):
            parts_by_reference[table, name, referenced_table].append((place, column.lower(), referenced_column.lower()))
    references: dict[str, list[DescribedReference]] = defaultdict(list)
    for (table, _, referenced_table), parts in parts_by_reference.items():
        _, columns, there = zip(*sorted(parts, key=PART_POSITION), strict=True)
        is_unique = any(set(key) <= set(columns) for keys in unique_keys for key in keys.get(table, ()))
        references[table].append(
            DescribedReference(columns=columns, to=referenced_table.lower(), there=there, alone=is_unique)
        )
    return {
        table: tuple(sorted(table_references, key=lambda reference: (reference.columns, reference.to)))
        for table, table_references in references.items()
    }


def _describe_snowflake_table(name: str, table: SnowflakeTable, metadata: SnowflakeSchemaMetadata) -> DescribedTable:
    columns = tuple(
        _describe_snowflake_column(column_name, column, metadata.columns[table.name, column.name])
        for column_name, column in table.columns.items()
    )
    table_type, comment = metadata.tables.get(table.name, UNLISTED_VIEW)
    primary_keys, unique_keys = metadata.primary_keys.get(table.name, ()), metadata.unique_keys.get(table.name, ())
    required = {column.name for column in columns if not column.nullable}
    return DescribedTable(
        name=name,
        columns=columns,
        key=next(iter((*primary_keys, *(key for key in unique_keys if set(key) <= required))), ()),
        references=metadata.references.get(table.name, ()),
        comment=comment or "",
        view="VIEW" in table_type,
    )


def _describe_snowflake_column(name: str, column: SnowflakeColumn, facts: Sequence[Any]) -> DescribedColumn:
    *_, nullable, comment = facts
    return DescribedColumn(
        name=name,
        kind=column.type,
        nullable=nullable != "NO",
        large=column.type is ColumnType.INTEGER and column.precision > INT32_SAFE_DIGITS,
        comment=comment or "",
    )
