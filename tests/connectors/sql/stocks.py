"""Two tables as each database would tell of them, and the text of what is asked of them."""

from collections.abc import Mapping
from typing import Any

from onedoor.connectors.sql.compiler import StatementCache
from onedoor.connectors.sql.dialects import postgresql, sqlite
from onedoor.connectors.sql.introspection import SqlTable, TableStatistics, build_sql_table
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
            each: sqlite.map_sqlite_column(each, kind, nullable=nullable)
            for each, (kind, _, nullable) in columns.items()
        },  # type: ignore[misc]
        max_keys=10,
        folds_case=True,
    )
    for name, columns in DECLARED.items()
}
POSTGRESQL: Mapping[str, SqlTable] = {
    name: build_sql_table(
        "public",
        name,
        {
            each: postgresql.map_postgresql_column(each, kind, nullable=nullable)
            for each, (_, kind, nullable) in columns.items()
        },  # type: ignore[misc]
        max_keys=10,
        folds_case=False,
        statistics=TableStatistics(indexed_columns=frozenset({"id", "order_id"})),
    )
    for name, columns in DECLARED.items()
}


def text(ask: ScanRequest, tables: Mapping[str, SqlTable], module: Any) -> str:
    made, _ = StatementCache(tables, module.DIALECT, module.COMPILER).prepare(ask)
    return " ".join(made.text.split())
