"""Two tables as each database would tell of them, and the text of what is asked of them."""

from collections.abc import Mapping
from typing import Any

from engine.words import Ask
from sources.sql.columns import Facts, Stock, stock
from sources.sql.compiled import Statements
from sources.sql.dialects import postgresql, sqlite

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
SQLITE: Mapping[str, Stock] = {
    name: stock(
        None,
        name,
        {each: sqlite.stored(each, kind, nullable=nullable) for each, (kind, _, nullable) in columns.items()},  # type: ignore[misc]
        keys=10,
        folds=True,
    )
    for name, columns in DECLARED.items()
}
POSTGRESQL: Mapping[str, Stock] = {
    name: stock(
        "public",
        name,
        {each: postgresql.stored(each, kind, nullable=nullable) for each, (_, kind, nullable) in columns.items()},  # type: ignore[misc]
        keys=10,
        folds=False,
        facts=Facts(indexed=frozenset({"id", "order_id"})),
    )
    for name, columns in DECLARED.items()
}


def text(ask: Ask, tables: Mapping[str, Stock], module: Any) -> str:
    made, _ = Statements(tables, module.DIALECT, module.COMPILER).of(ask)
    return " ".join(made.text.split())
