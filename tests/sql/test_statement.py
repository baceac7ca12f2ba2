"""Asks in, the text of one statement out: golden, in the SQL of each database."""

from collections.abc import Mapping
from typing import Any

import pytest

from engine.words import All, Ask, Exists, Keys, Measure, Not, Op, Order, Some
from engine.words import Test as Check  # pytest would take `Test` for a class of tests
from sources.sql import postgresql, sqlite
from sources.sql.columns import Stock, stock
from sources.sql.statement import statement

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
    )
    for name, columns in DECLARED.items()
}


def asked(**ask: Any) -> Ask:
    return Ask(**({"collection": "orders", "columns": ("id",)} | ask))


ASKS = {
    "columns": asked(columns=("note", "id")),
    "no columns": asked(columns=()),
    "order and limit": asked(order=(Order("note", descending=True), Order("id")), limit=10),
    "nulls first": asked(order=(Order("placed_on", nulls_first=True), Order("id", descending=True, nulls_first=True))),
    "keys": asked(keys=Keys(("id",), ((1,), (2,)))),
    "days as keys": asked(keys=Keys(("placed_on",), ())),
    "keys of two columns": asked(collection="order_item", columns=(), keys=Keys(("order_id", "line"), ((1, 2),))),
    "a limit for each key": asked(
        columns=("id", "status"), keys=Keys(("status",), (("PAID",),)), order=(Order("id"),), limit=3
    ),
    "a count": asked(columns=(), measures=(Measure.COUNT,)),
    "counts by keys": asked(
        columns=("status",), keys=Keys(("status",), ()), where=Check("id", Op.GT, 5), measures=(Measure.COUNT,)
    ),
    "text by code point": asked(where=Check("note", Op.LT, "m")),
    "text within": asked(where=All((Check("note", Op.CONTAINS, "%"), Check("note", Op.ENDS_WITH, "_")))),
    "money": asked(where=Check("total", Op.GTE, __import__("decimal").Decimal("5.00"))),
    "one of many": asked(where=Check("status", Op.NOT_IN, ("PAID", "SHIPPED"))),
    "or and not": asked(where=Some((Not(Check("note", Op.EQ, "x")), Check("note", Op.IS_NULL, True)))),
    "nothing": asked(where=Some(())),
    "what no row can hold": asked(where=Check("note", Op.EQ, "\0")),
    "related": asked(where=Not(Exists("order_item", ("id",), ("order_id",), Check("line", Op.EQ, 1)))),
}
for name, ask in ASKS.items():
    print("####", name)
    for module, tables in ((sqlite, SQLITE), (postgresql, POSTGRESQL)):
        c = statement(ask, tables, module.DIALECT).compile(dialect=module.COMPILED, compile_kwargs={"render_postcompile": True})
        print(" ".join(str(c).split())); 
