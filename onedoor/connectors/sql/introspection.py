"""Describe the tables of a SQL database, with their keys and references, for the code generator."""

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import ARRAY, BigInteger, Connection, Enum, Inspector, create_engine, inspect, text
from sqlalchemy.exc import SAWarning, SQLAlchemyError
from sqlalchemy.pool import NullPool

from onedoor.codegen.apply import UNREADABLE_URL
from onedoor.codegen.models import (
    DescribedColumn,
    DescribedReference,
    DescribedTable,
    SourceDescription,
    Withheld,
    WithheldColumn,
)
from onedoor.codegen.secrets import looks_like_secret
from onedoor.connectors.registry import load_kind
from onedoor.connectors.sql.tables import SqlColumn, SqlTable
from onedoor.errors import ConfigurationError, ConnectorError
from onedoor.spi.capabilities import ColumnType

KINDS_AND_DRIVERS_BY_SCHEME: Mapping[str, tuple[str, str]] = {
    "sqlite": ("sqlite", "sqlite"),
    "postgresql": ("postgresql", "postgresql+psycopg"),
    "postgres": ("postgresql", "postgresql+psycopg"),
    "mysql": ("mysql", "mysql+pymysql"),
    "mariadb": ("mysql", "mysql+pymysql"),
}
"""The connector's kind and SQLAlchemy's name for the driver, by the scheme of a URL."""

CHECK_LIST_PATTERN = re.compile(
    r"""^\W*(?P<column>\w+)[\])`"\s]*(?:::\w+[\s)]*)?\s*(?:IN|=\s*ANY)\s*\(+(?:ARRAY\[)?(?P<values>[^\[\]]*?)\]?"""
    r"""(?:::[\w\s]+(?:\[\])?|[)\s])*$""",
    re.IGNORECASE | re.DOTALL,
)
"""Matches `column IN ('a', 'b')` as SQLite and MySQL return it, and the `= ANY (ARRAY[...])` of PostgreSQL."""

TablePlace = tuple[str | None, str]
"""A schema and the name of a table in it."""

ASIDES_SQL: Mapping[str, str] = {
    "sqlite": """
        SELECT NULL, name, 'what virtual tables keep their index in', NULL, NULL
        FROM pragma_table_list WHERE type = 'shadow' AND schema = 'main' ORDER BY name
    """,
    "postgresql": """
        SELECT n.nspname, c.relname, CASE WHEN c.relispartition THEN 'partitions of `{}`'
            ELSE concat('its rows are among those of `{}`', (
                SELECT concat(', where these columns are not: ', string_agg(a.attname, ', ' ORDER BY a.attnum))
                FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attinhcount = 0
                HAVING count(*) > 0)) END,
            tn.nspname, t.relname
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL (
            SELECT inhparent FROM pg_inherits WHERE inhrelid = c.oid ORDER BY inhseqno LIMIT 1) AS i
        JOIN pg_class t ON t.oid = CASE WHEN c.relispartition THEN pg_partition_root(c.oid) ELSE i.inhparent END
        JOIN pg_namespace tn ON tn.oid = t.relnamespace
        WHERE c.relkind IN ('r', 'p', 'f') ORDER BY n.nspname, c.relname
    """,
    "mysql": """
        SELECT NULL, table_name, 'a sequence', NULL, NULL FROM information_schema.tables
        WHERE table_schema = DATABASE() AND table_type = 'SEQUENCE'
    """,
}
"""By dialect, the tables whose rows belong to others: schema, name, reason, and the schema and name of the parent."""

JSON_CHECK_PATTERN = re.compile(r"""^\W*json_valid\(\W*(?P<column>\w+)\W*$""", re.IGNORECASE)
"""Matches the check by which MariaDB declares JSON, and SQLite's users do."""

MARIADB_JSON_COLUMNS_SQL = """
    SELECT table_name, constraint_name FROM information_schema.check_constraints
    WHERE constraint_schema = DATABASE() AND level = 'Column' AND check_clause LIKE 'json_valid(%'
"""

UNREADABLE_TABLE = {"all of it": "its columns cannot be read"}

SMALL_SQLITE_INTEGERS = frozenset({"INT", "INT2", "INT4", "SMALLINT", "TINYINT", "MEDIUMINT"})

TEXT_LITERAL_PATTERN = re.compile(r"(?:_?utf8mb[34])?'((?:[^']|'')*)'(?:::[\w\s]+)?")


def parse_source_settings(url: str) -> Mapping[str, str]:
    """Return the settings of `[sources.<name>]` that open this URL."""
    scheme, _, rest = url.partition("://")
    kind, _ = KINDS_AND_DRIVERS_BY_SCHEME[scheme]
    return {"kind": kind, **({"path": rest.removeprefix("/")} if kind == "sqlite" else {"url": url})}


async def describe(url: str) -> SourceDescription:
    """Describe tables and views under the names of their collections.

    Raises ConfigurationError where the database does not answer.
    """
    settings = dict(parse_source_settings(url))
    kind = load_kind(settings.pop("kind"))
    try:
        connector = await kind.connect(kind.options(**settings))
        await connector.close()
        with warnings.catch_warnings(category=SAWarning, action="ignore"):  # about columns that no collection has
            return SourceDescription(tables=tuple(_describe_sql_tables(_build_sqlalchemy_url(url), connector.tables)))
    except ValueError:
        raise ConfigurationError(UNREADABLE_URL) from None
    except (ConnectorError, SQLAlchemyError) as error:
        reason = error.reason if isinstance(error, ConnectorError) else "it does not answer"
        raise ConfigurationError(f"the database cannot be read: {reason}") from None


def _build_sqlalchemy_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=KINDS_AND_DRIVERS_BY_SCHEME[parts.scheme][1])).replace(
        ":/", ":///", 1 - bool(parts.netloc)
    )


def _describe_sql_tables(url: str, tables: Mapping[str, SqlTable]) -> Iterator[DescribedTable]:
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            database = _read_database(connection, {(table.schema, table.name): name for name, table in tables.items()})
            for collection, table in tables.items():
                yield _describe_table(database, collection, table)
    finally:
        engine.dispose()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Database:
    """What is read of a database once: `collections` has the names of the tables that its connector reads."""

    inspector: Inspector
    collections: Mapping[TablePlace, str]
    views: Set[TablePlace]
    asides: Mapping[TablePlace, str]
    """Why a table is no type of its own."""
    json_columns: Mapping[TablePlace, Set[str]]
    """What is declared as JSON and reflected as text."""


def _read_database(connection: Connection, collections: Mapping[TablePlace, str]) -> _Database:
    inspector = inspect(connection)
    schemas = {schema for schema, _ in collections}
    views = {(schema, name) for schema in schemas for name in _list_view_names(inspector, schema)}
    asides = connection.execute(text(ASIDES_SQL[connection.dialect.name])).all()
    is_mariadb = getattr(connection.dialect, "is_mariadb", False)
    json_columns = connection.execute(text(MARIADB_JSON_COLUMNS_SQL)).all() if is_mariadb else ()
    json_by_table = defaultdict[TablePlace, set[str]](set)
    for table, column in json_columns:
        json_by_table[None, table].add(column)
    return _Database(
        inspector=inspector,
        collections=collections,
        views=views,
        asides={
            (schema, name): reason if parent is None else reason.format(collections[parent_schema, parent])
            for schema, name, reason, parent_schema, parent in asides
            if parent is None or (parent_schema, parent) in collections
        },
        json_columns=json_by_table,
    )


def _list_view_names(inspector: Inspector, schema: str | None) -> Sequence[str]:
    if inspector.dialect.name != "postgresql":
        return inspector.get_view_names(schema)
    return [*inspector.get_view_names(schema), *inspector.get_materialized_view_names(schema)]


def _describe_table(database: _Database, collection: str, table: SqlTable) -> DescribedTable:
    place = (table.schema, table.name)
    omitted = {name: declared for name, declared in table.declared_types.items() if name not in table.columns}
    aside = database.asides.get(place, "")
    if not table.columns:
        return DescribedTable(name=collection, columns=(), omitted=omitted or UNREADABLE_TABLE, aside=aside)
    described = _TableInspector(database, table, place in database.views).describe(collection)
    withheld = dict(_find_withheld(table, described.columns))
    return replace(described, omitted=omitted, withheld=withheld, aside=aside)


def _find_withheld(table: SqlTable, columns: Sequence[DescribedColumn]) -> Iterator[tuple[str, WithheldColumn]]:
    for column in columns:
        declared_type = table.declared_types[column.name]
        if column.kind is ColumnType.TEXT and not column.values and looks_like_secret(column.name):
            yield column.name, WithheldColumn(declared_type, Withheld.SECRET)
        elif table.columns[column.name].binary:
            yield column.name, WithheldColumn(declared_type, Withheld.BINARY)


class _TableInspector:
    """Reads one table through SQLAlchemy's inspector."""

    def __init__(self, database: "_Database", table: SqlTable, is_view: bool) -> None:
        self.inspector = database.inspector
        self.collections = database.collections
        self.json_columns = database.json_columns
        self.table = table
        self.is_view = is_view
        self.table_arguments: dict[str, Any] = {"table_name": table.name, "schema": table.schema}

    def describe(self, collection: str) -> DescribedTable:
        primary_key = tuple(self.inspector.get_pk_constraint(**self.table_arguments)["constrained_columns"])
        unique_keys = [] if self.is_view else self._read_unique_keys()
        checks = [] if self.is_view else self._read_checks()
        values_by_column = {column: values for column, values in map(parse_check_values, checks) if values}
        json_columns = {match["column"] for match in map(JSON_CHECK_PATTERN.match, checks) if match}
        json_columns |= self.json_columns.get((self.table.schema, self.table.name), frozenset())
        columns = tuple(
            self._describe_column(
                self.table.columns[name], reflected, values_by_column.get(name, ()), is_json=name in json_columns
            )
            for reflected in self.inspector.get_columns(**self.table_arguments)
            if (name := reflected["name"]) in self.table.columns
        )
        required = {column.name for column in columns if not column.nullable}
        return DescribedTable(
            name=collection,
            columns=columns,
            key=primary_key or next((key for key in unique_keys if set(key) <= required), ()),
            references=tuple(self._read_references((primary_key, *unique_keys))),
            comment=self._read_comment(),
            view=self.is_view,
        )

    def _describe_column(
        self, column: SqlColumn, reflected: Mapping[str, Any], allowed_values: tuple[str, ...], *, is_json: bool
    ) -> DescribedColumn:
        """Describe a column. JSON may be null wherever it is: `null` is a value of it."""
        reflected_type: Any = reflected["type"]
        sql_type = reflected_type.item_type if column.items and isinstance(reflected_type, ARRAY) else reflected_type
        values = tuple(sql_type.enums) if isinstance(sql_type, Enum) and sql_type.enums else allowed_values
        holds_text = ColumnType.TEXT in (column.type, column.items)
        json = column.json or (is_json and column.type is ColumnType.TEXT)
        return DescribedColumn(
            name=column.name,
            kind=column.type,
            nullable=column.nullable or json,
            large=ColumnType.INTEGER in (column.type, column.items) and self._is_large_integer(column, sql_type),
            comment=reflected.get("comment") or "",
            values=values if holds_text and not json else (),
            enum=(sql_type.name or "") if isinstance(sql_type, Enum) and values else "",
            items=column.items,
            json=json,
        )

    def _is_large_integer(self, column: SqlColumn, sql_type: Any) -> bool:
        """Return whether the type holds more than 32 bits with a sign; SQLite's hold 64, unless a name says fewer."""
        if self.inspector.dialect.name == "sqlite":
            return self.table.declared_types[column.name].upper().partition("(")[0].strip() not in SMALL_SQLITE_INTEGERS
        return isinstance(sql_type, BigInteger) or (
            bool(getattr(sql_type, "unsigned", False)) and str(sql_type).upper().startswith("INT")
        )

    def _read_comment(self) -> str:
        try:
            return self.inspector.get_table_comment(**self.table_arguments)["text"] or ""
        except NotImplementedError:
            return ""

    def _read_unique_keys(self) -> list[tuple[str, ...]]:
        """Return unique constraints and unique indexes on columns alone, the shortest first.

        SQLAlchemy names the condition of a partial index in its dialect options; where there is one, no index counts.
        """
        constraints = self.inspector.get_unique_constraints(**self.table_arguments)
        indexes = [index for index in self.inspector.get_indexes(**self.table_arguments) if index["unique"]]
        is_partial = any(
            str(option).endswith("_where") for index in indexes for option in index.get("dialect_options", {})
        )
        keys = {tuple(constraint["column_names"]) for constraint in constraints}
        if not is_partial:
            names = [index["column_names"] for index in indexes]
            keys |= {tuple(map(str, columns)) for columns in names if None not in columns}
        return sorted(keys, key=len)

    def _read_checks(self) -> list[str]:
        checks = self.inspector.get_check_constraints(**self.table_arguments)
        return [str(check["sqltext"]) for check in checks]

    def _read_references(self, unique_keys: Sequence[tuple[str, ...]]) -> Iterator[DescribedReference]:
        """Yield the references to tables that are read; one without a schema leads to the default one."""
        foreign_keys = self.inspector.get_foreign_keys(**self.table_arguments)
        for foreign_key in sorted(foreign_keys, key=lambda key: key["constrained_columns"]):
            schema = foreign_key["referred_schema"] or (self.table.schema and self.inspector.default_schema_name)
            collection = self.collections.get((schema, foreign_key["referred_table"]))
            columns, referred = tuple(foreign_key["constrained_columns"]), tuple(foreign_key["referred_columns"])
            if collection is not None and len(columns) == len(referred):
                is_unique = any(set(key) <= set(columns) for key in unique_keys if key)
                yield DescribedReference(columns=columns, to=collection, there=referred, alone=is_unique)


def parse_check_values(check: str) -> tuple[str, tuple[str, ...]]:
    """Return the column of a check and the texts it allows; no texts where the check says anything else."""
    match = CHECK_LIST_PATTERN.match(check.replace("\\'", "'"))
    if match is None or TEXT_LITERAL_PATTERN.sub("", match["values"]).replace(",", "").strip():
        return "", ()
    return match["column"], tuple(text.replace("''", "'") for text in TEXT_LITERAL_PATTERN.findall(match["values"]))
