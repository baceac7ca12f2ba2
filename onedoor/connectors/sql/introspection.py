"""Describe the tables of a SQL database, with their keys and references, for the code generator."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import BigInteger, Enum, Inspector, create_engine, inspect
from sqlalchemy.exc import SAWarning, SQLAlchemyError
from sqlalchemy.pool import NullPool

from onedoor.codegen.apply import UNREADABLE_URL
from onedoor.codegen.models import DescribedColumn, DescribedReference, DescribedTable, SourceDescription
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
        inspector = inspect(engine)
        collections = {(table.schema, table.name): collection for collection, table in tables.items()}
        schemas = {schema for schema, _ in collections}
        views = {(schema, name) for schema in schemas for name in inspector.get_view_names(schema)}
        for place, collection in collections.items():
            yield _TableInspector(inspector, tables[collection], collections, place in views).describe(collection)
    finally:
        engine.dispose()


class _TableInspector:
    """Reads one table through SQLAlchemy's inspector."""

    def __init__(
        self, inspector: Inspector, table: SqlTable, collections: Mapping[tuple[str | None, str], str], is_view: bool
    ) -> None:
        self.inspector = inspector
        self.table = table
        self.collections = collections
        self.is_view = is_view
        self.table_arguments: dict[str, Any] = {"table_name": table.name, "schema": table.schema}

    def describe(self, collection: str) -> DescribedTable:
        primary_key = tuple(self.inspector.get_pk_constraint(**self.table_arguments)["constrained_columns"])
        unique_keys = [] if self.is_view else self._read_unique_keys()
        values_by_column = {} if self.is_view else self._read_check_values()
        columns = tuple(
            _describe_sql_column(self.table.columns[name], reflected, values_by_column.get(name, ()))
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

    def _read_check_values(self) -> dict[str, tuple[str, ...]]:
        """Return, by column, the values that a check lists."""
        checks = self.inspector.get_check_constraints(**self.table_arguments)
        return {column: values for column, values in (parse_check_values(str(c["sqltext"])) for c in checks) if values}

    def _read_references(self, unique_keys: Sequence[tuple[str, ...]]) -> Iterator[DescribedReference]:
        foreign_keys = self.inspector.get_foreign_keys(**self.table_arguments)
        for foreign_key in sorted(foreign_keys, key=lambda key: key["constrained_columns"]):
            schema = foreign_key["referred_schema"] or self.table.schema
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


def _describe_sql_column(
    column: SqlColumn, reflected: Mapping[str, Any], allowed_values: tuple[str, ...]
) -> DescribedColumn:
    sql_type: Any = reflected["type"]
    values = tuple(sql_type.enums) if isinstance(sql_type, Enum) and sql_type.enums else allowed_values
    return DescribedColumn(
        name=column.name,
        kind=column.type,
        nullable=column.nullable,
        large=column.type is ColumnType.INTEGER and _is_large_integer(sql_type),
        comment=reflected.get("comment") or "",
        values=values if column.type is ColumnType.TEXT else (),
        enum=(sql_type.name or "") if isinstance(sql_type, Enum) and values else "",
    )


def _is_large_integer(sql_type: Any) -> bool:
    """Return whether the type holds more than 32 bits with a sign."""
    return isinstance(sql_type, BigInteger) or (
        bool(getattr(sql_type, "unsigned", False)) and str(sql_type).upper().startswith("INT")
    )
