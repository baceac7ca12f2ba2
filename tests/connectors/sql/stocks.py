"""Describe two tables as SQLite and PostgreSQL would reflect them, and compile requests to their text."""

from collections.abc import Mapping

from onedoor.connectors.sql.compiler import StatementCache
from onedoor.connectors.sql.dialects import postgresql, sqlite
from onedoor.connectors.sql.scope import SqlDialect
from onedoor.connectors.sql.tables import SqlTable, TableStatistics, build_sql_table
from onedoor.spi.scan import ScanRequest

DECLARED = {
    "orders": {
        "id": ("INTEGER", "bigint", False),
        "status": ("TEXT", "text", False),
        "note": ("TEXT", "text", True),
        "total": ("MINOR_UNITS_INT", "numeric", False),
        "placed_on": ("DATE", "date", True),
    },
    "order_item": {"order_id": ("INTEGER", "bigint", False), "line": ("INTEGER", "integer", False)},
}
SQLITE: Mapping[str, SqlTable] = {
    name: build_sql_table(
        None,
        name,
        {
            column: sqlite.map_sqlite_column(column, declared, nullable=nullable)
            for column, (declared, _, nullable) in columns.items()
        },  # type: ignore[misc]
        max_keys=10,
        folds_case=True,
        code_point_collation="C",
    )
    for name, columns in DECLARED.items()
}
POSTGRESQL: Mapping[str, SqlTable] = {
    name: build_sql_table(
        "public",
        name,
        {
            column: postgresql.map_postgresql_column(column, data_type, nullable=nullable)
            for column, (_, data_type, nullable) in columns.items()
        },  # type: ignore[misc]
        max_keys=10,
        folds_case=False,
        code_point_collation="C",
        statistics=TableStatistics(indexed_columns=frozenset({"id", "order_id"})),
    )
    for name, columns in DECLARED.items()
}


def compiled_text(request: ScanRequest, tables: Mapping[str, SqlTable], dialect: SqlDialect) -> str:
    statement, _ = StatementCache(tables, dialect).prepare(request)
    return " ".join(statement.text.split())
