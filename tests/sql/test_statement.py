"""Asks in, the text of one statement out: golden, in the SQL of each database."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from engine.words import COUNT, All, Ask, Exists, Keys, Not, Op, Order, Some
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


def golden(name: str, in_sqlite: str, in_postgresql: str, **ask: Any) -> Any:
    return pytest.param(Ask(**({"collection": "orders", "columns": ("id",)} | ask)), in_sqlite, in_postgresql, id=name)


def where(name: str, where: Any, in_sqlite: str, in_postgresql: str) -> Any:
    start = "SELECT t0.id AS c0 FROM {}orders AS t0 WHERE "
    return golden(name, start.format("") + in_sqlite, start.format("public.") + in_postgresql, where=where)


@pytest.mark.parametrize(
    ("ask", "in_sqlite", "in_postgresql"),
    [
        golden(
            "columns",
            "SELECT t0.note AS c0, t0.id AS c1 FROM orders AS t0",
            "SELECT t0.note AS c0, t0.id AS c1 FROM public.orders AS t0",
            columns=("note", "id"),
        ),
        golden("no columns", "SELECT 1 FROM orders AS t0", "SELECT 1 FROM public.orders AS t0", columns=()),
        golden(
            "order and limit",
            "SELECT t0.id AS c0 FROM orders AS t0 ORDER BY t0.note DESC NULLS LAST, t0.id ASC LIMIT ? OFFSET ?",
            'SELECT t0.id AS c0 FROM public.orders AS t0 ORDER BY t0.note COLLATE "C" DESC NULLS LAST, t0.id ASC '
            "LIMIT $1::INTEGER",
            order=(Order("note", descending=True), Order("id")),
            limit=10,
        ),
        golden(
            "nulls first, where there can be any",
            "SELECT t0.id AS c0 FROM orders AS t0 ORDER BY t0.placed_on ASC NULLS FIRST, t0.id DESC",
            "SELECT t0.id AS c0 FROM public.orders AS t0 ORDER BY t0.placed_on ASC NULLS FIRST, t0.id DESC",
            order=(Order("placed_on", nulls_first=True), Order("id", descending=True, nulls_first=True)),
        ),
        golden(
            "keys are one value",
            "SELECT t0.id AS c0 FROM orders AS t0 WHERE t0.id IN (SELECT anon_1.value FROM json_each(?) AS anon_1)",
            "SELECT t0.id AS c0 FROM public.orders AS t0 WHERE t0.id = any($1::BIGINT[])",
            keys=Keys(("id",), ((1,), (2,))),
        ),
        golden(
            "days as keys are written out",
            "SELECT t0.id AS c0 FROM orders AS t0 "
            "WHERE t0.placed_on IN (SELECT anon_1.value FROM json_each(?) AS anon_1)",
            "SELECT t0.id AS c0 FROM public.orders AS t0 WHERE t0.placed_on = any(CAST($1::VARCHAR[] AS DATE[]))",
            keys=Keys(("placed_on",), ((date(2026, 1, 2),),)),
        ),
        golden(
            "keys of two columns",
            "SELECT t0.line AS c0 FROM order_item AS t0 WHERE (t0.order_id, t0.line) IN "
            "(SELECT json_extract(anon_1.value, '$[0]') AS json_extract_1, "
            "json_extract(anon_1.value, '$[1]') AS json_extract_2 FROM json_each(?) AS anon_1)",
            "SELECT t0.line AS c0 FROM public.order_item AS t0 WHERE (t0.order_id, t0.line) IN "
            "(SELECT anon_1.k0, anon_1.k1 FROM unnest($1::BIGINT[], $2::BIGINT[]) AS anon_1(k0, k1))",
            collection="order_item",
            columns=("line",),
            keys=Keys(("order_id", "line"), ((1, 2),)),
        ),
        golden(
            "a limit for each key",
            "SELECT ranked.c0, ranked.c1 FROM (SELECT t0.id AS c0, t0.status AS c1, "
            "row_number() OVER (PARTITION BY t0.status ORDER BY t0.id ASC) AS number FROM orders AS t0 "
            "WHERE t0.status IN (SELECT anon_1.value FROM json_each(?) AS anon_1)) AS ranked "
            "WHERE ranked.number <= ? ORDER BY ranked.number",
            "SELECT ranked.c0, ranked.c1 FROM (SELECT t0.id AS c0, t0.status AS c1, "
            "row_number() OVER (PARTITION BY t0.status ORDER BY t0.id ASC) AS number FROM public.orders AS t0 "
            "WHERE t0.status = any($1::VARCHAR[])) AS ranked "
            "WHERE ranked.number <= $2::INTEGER ORDER BY ranked.number",
            columns=("id", "status"),
            keys=Keys(("status",), (("PAID",),)),
            order=(Order("id"),),
            limit=3,
        ),
        golden(
            "a count of all",
            "SELECT count(*) AS count_1 FROM orders AS t0",
            "SELECT count(*) AS count_1 FROM public.orders AS t0",
            columns=(),
            measures=(COUNT,),
        ),
        golden(
            "counts by keys",
            "SELECT t0.status AS c0, count(*) AS count_1 FROM orders AS t0 "
            "WHERE t0.status IN (SELECT anon_1.value FROM json_each(?) AS anon_1) AND t0.id > ? GROUP BY t0.status",
            "SELECT t0.status AS c0, count(*) AS count_1 FROM public.orders AS t0 "
            "WHERE t0.status = any($1::VARCHAR[]) AND t0.id > $2::BIGINT GROUP BY t0.status",
            columns=("status",),
            keys=Keys(("status",), (("PAID",),)),
            where=Check("id", Op.GT, 5),
            measures=(COUNT,),
        ),
        where("text by code point", Check("note", Op.LT, "m"), "t0.note < ?", '(t0.note COLLATE "C") < $1::VARCHAR'),
        where(
            "a part of a text, no pattern",
            All((Check("note", Op.CONTAINS, "%"), Check("note", Op.ENDS_WITH, "_"))),
            "instr(t0.note, ?) > ? AND length(t0.note) >= length(?) "
            "AND substr(t0.note, (length(t0.note) - length(?)) + ?) = ?",
            "strpos(t0.note, $1::VARCHAR) > $2::INTEGER AND right(t0.note, length($3::VARCHAR)) = $3::VARCHAR",
        ),
        where("money", Check("total", Op.GTE, Decimal("5.00")), "t0.total >= ?", "t0.total >= $1::NUMERIC"),
        where(
            "a day",
            Check("placed_on", Op.EQ, date.max),
            "t0.placed_on = ?",
            "t0.placed_on = CAST($1::VARCHAR AS DATE)",
        ),
        where(
            "none of many",
            Check("status", Op.NOT_IN, ("PAID", "SHIPPED")),
            "t0.status IS NOT NULL AND (t0.status NOT IN (SELECT anon_1.value FROM json_each(?) AS anon_1))",
            "t0.status IS NOT NULL AND NOT (t0.status = any($1::VARCHAR[]))",
        ),
        where(
            "or, and not as the complement",
            Some((Not(Check("note", Op.EQ, "x")), Check("note", Op.IS_NULL, True))),
            "(t0.note = ?) IS NOT 1 OR t0.note IS NULL",
            "(t0.note = $1::VARCHAR) IS NOT true OR t0.note IS NULL",
        ),
        where("none", Some(()), "0 = 1", "false"),
        where("what no row can hold", Check("note", Op.EQ, "\0"), "0 = 1", "false"),
        where(
            "related",
            Not(Exists("order_item", ("id",), ("order_id",), Check("line", Op.EQ, 1))),
            "NOT (EXISTS (SELECT 1 FROM order_item AS t1 WHERE t1.order_id = t0.id AND t1.line = ?))",
            "NOT (EXISTS (SELECT 1 FROM public.order_item AS t1 WHERE t1.order_id = t0.id AND t1.line = $1::BIGINT))",
        ),
    ],
)
def test_an_ask_is_one_statement(ask: Ask, in_sqlite: str, in_postgresql: str) -> None:
    assert (text(ask, SQLITE, sqlite), text(ask, POSTGRESQL, postgresql)) == (in_sqlite, in_postgresql)


def text(ask: Ask, tables: Mapping[str, Stock], module: Any) -> str:
    return " ".join(str(compiled(ask, tables, module)).split())


def compiled(ask: Ask, tables: Mapping[str, Stock], module: Any) -> Any:
    made = statement(ask, tables, module.DIALECT)
    return made.compile(dialect=module.COMPILED, compile_kwargs={"render_postcompile": True})


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_the_text_is_the_same_for_any_number_of_keys(count: int) -> None:
    def asked(count: int) -> Ask:
        keys = Keys(("id",), tuple((number,) for number in range(count)))
        return Ask(collection="orders", columns=("id",), keys=keys)

    texts = [(text(asked(each), SQLITE, sqlite), text(asked(each), POSTGRESQL, postgresql)) for each in (2, count)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("module", "tables"), [(sqlite, SQLITE), (postgresql, POSTGRESQL)], ids=["sqlite", "postgresql"]
)
def test_no_value_stands_in_the_text(module: Any, tables: Mapping[str, Stock]) -> None:
    hostile = "'; DROP TABLE orders; --"
    tests = [Check("note", op, (hostile,) if op is Op.IN else hostile) for op in (Op.EQ, Op.IN, Op.LT, Op.CONTAINS)]
    ask = Ask(collection="orders", columns=("id",), where=Some(tuple(tests)), keys=Keys(("status",), ((hostile,),)))
    assert "DROP" not in text(ask, tables, module)
