"""Each request compiles to one statement, golden in the SQL of SQLite and PostgreSQL."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from onedoor.connectors.sql.dialects.postgresql import POSTGRESQL_DIALECT
from onedoor.connectors.sql.dialects.sqlite import SQLITE_DIALECT
from onedoor.spi.predicates import (
    And,
    Comparison,
    Exists,
    InKeys,
    Not,
    Op,
    Or,
)
from onedoor.spi.scan import (
    COUNT_ROWS,
    AggregateCall,
    AggregateFunction,
    Join,
    KeyFilter,
    ScanRequest,
    SortKey,
    TimeBucket,
    TimeUnit,
)
from tests.connectors.sql.stocks import POSTGRESQL, SQLITE, compiled_text

ORDER_OF_ITEM = Join(
    collection="orders", outer_columns=("order_id",), inner_columns=("id",), columns=("status",),
    output_columns=("order.status",),
)  # fmt: skip
COUNT_OF_ITEMS = Join(
    collection="order_item", outer_columns=("id",), inner_columns=("order_id",), aggregates=(COUNT_ROWS,),
    output_columns=("items.count()",),
)  # fmt: skip


def golden(name: str, in_sqlite: str, in_postgresql: str, **ask: Any) -> Any:
    return pytest.param(
        ScanRequest(**({"collection": "orders", "columns": ("id",)} | ask)), in_sqlite, in_postgresql, id=name
    )


def where(name: str, where: Any, in_sqlite: str, in_postgresql: str) -> Any:
    start = "SELECT t0.id AS c0 FROM {}orders AS t0 WHERE "
    return golden(name, start.format("") + in_sqlite, start.format("public.") + in_postgresql, filter=where)


@pytest.mark.parametrize(
    ("ask", "in_sqlite", "in_postgresql"),
    [
        golden(
            "columns",
            "SELECT t0.note AS c0, t0.id AS c1 FROM orders AS t0",
            "SELECT t0.note AS c0, t0.id AS c1 FROM public.orders AS t0",
            columns=("note", "id"),
        ),
        golden(
            "an order by a joined column",
            "SELECT t0.line AS c0 FROM order_item AS t0 LEFT OUTER JOIN orders AS j0 ON j0.id = t0.order_id "
            "ORDER BY j0.status ASC NULLS LAST LIMIT ? OFFSET ?",
            "SELECT t0.line AS c0 FROM public.order_item AS t0 LEFT OUTER JOIN public.orders AS j0 "
            'ON j0.id = t0.order_id ORDER BY j0.status COLLATE "C" ASC NULLS LAST LIMIT 2',
            collection="order_item",
            columns=("line",),
            joins=(ORDER_OF_ITEM,),
            sort=(SortKey("order.status"),),
            limit=2,
        ),
        golden(
            "an order by an aggregate, of all rows in one pass",
            "SELECT t0.id AS c0 FROM orders AS t0 LEFT OUTER JOIN (SELECT j0.order_id AS k0, count(*) AS m0 "
            "FROM order_item AS j0 GROUP BY j0.order_id) AS g0 ON g0.k0 = t0.id ORDER BY coalesce(g0.m0, 0) DESC",
            "SELECT t0.id AS c0 FROM public.orders AS t0 LEFT OUTER JOIN (SELECT j0.order_id AS k0, count(*) AS m0 "
            "FROM public.order_item AS j0 GROUP BY j0.order_id) AS g0 ON g0.k0 = t0.id "
            "ORDER BY coalesce(g0.m0, 0) DESC",
            joins=(COUNT_OF_ITEMS,),
            sort=(SortKey("items.count()", descending=True),),
        ),
        golden(
            "groups by a joined column, which SQLite counts before it joins",
            "SELECT j0.status AS c0, sum(p.m0) AS m0 FROM (SELECT t0.order_id AS c0, count(*) AS m0 "
            "FROM order_item AS t0 GROUP BY t0.order_id) AS p LEFT OUTER JOIN orders AS j0 ON j0.id = p.c0 "
            "GROUP BY j0.status",
            "SELECT j0.status AS c0, count(*) AS m0 FROM public.order_item AS t0 LEFT OUTER JOIN public.orders AS j0 "
            "ON j0.id = t0.order_id GROUP BY j0.status",
            collection="order_item",
            columns=("order.status",),
            joins=(ORDER_OF_ITEM,),
            aggregates=(COUNT_ROWS,),
        ),
        golden("no columns", "SELECT 1 AS c FROM orders AS t0", "SELECT 1 AS c FROM public.orders AS t0", columns=()),
        golden(
            "order and limit",
            "SELECT t0.id AS c0 FROM orders AS t0 ORDER BY t0.note DESC NULLS LAST, t0.id ASC LIMIT ? OFFSET ?",
            'SELECT t0.id AS c0 FROM public.orders AS t0 ORDER BY t0.note COLLATE "C" DESC NULLS LAST, t0.id ASC '
            "LIMIT 10",
            sort=(SortKey("note", descending=True), SortKey("id")),
            limit=10,
        ),
        golden(
            "nulls first, where there can be any",
            "SELECT t0.id AS c0 FROM orders AS t0 ORDER BY t0.placed_on ASC NULLS FIRST, t0.id DESC",
            "SELECT t0.id AS c0 FROM public.orders AS t0 ORDER BY t0.placed_on ASC NULLS FIRST, t0.id DESC",
            sort=(SortKey("placed_on", nulls_first=True), SortKey("id", descending=True, nulls_first=True)),
        ),
        where(
            "what comes after a key asks for no null, so that its index finds it",
            Or((And((Or((Comparison("id", Op.GT, 7), Comparison("id", Op.IS_NULL, True))),)),)),
            "t0.id > ?",
            "t0.id > $1::BIGINT",
        ),
        where(
            "what comes after a value that may be null does",
            Or((Comparison("note", Op.GT, "a"), Comparison("note", Op.IS_NULL, True))),
            "t0.note > ? OR t0.note IS NULL",
            '(t0.note COLLATE "C") > $1::VARCHAR OR t0.note IS NULL',
        ),
        golden(
            "keys are one value",
            "SELECT t0.id AS c0 FROM orders AS t0 WHERE t0.id IN (SELECT anon_1.value FROM json_each(?) AS anon_1)",
            "SELECT t0.id AS c0 FROM public.orders AS t0 WHERE t0.id = any($1::BIGINT[])",
            keys=KeyFilter(("id",), ((1,), (2,))),
        ),
        golden(
            "one key is compared",
            "SELECT t0.line AS c0 FROM order_item AS t0 WHERE t0.order_id = ? AND t0.line = ?",
            "SELECT t0.line AS c0 FROM public.order_item AS t0 WHERE t0.order_id = $1::BIGINT AND t0.line = $2::BIGINT",
            collection="order_item",
            columns=("line",),
            keys=KeyFilter(("order_id", "line"), ((1, 2),)),
        ),
        golden(
            "a limit for one key",
            "SELECT t0.id AS c0 FROM orders AS t0 WHERE t0.status = ? ORDER BY t0.id ASC LIMIT ? OFFSET ?",
            "SELECT t0.id AS c0 FROM public.orders AS t0 WHERE t0.status = $1::VARCHAR ORDER BY t0.id ASC "
            "LIMIT $2::BIGINT",
            keys=KeyFilter(("status",), (("PAID",),)),
            sort=(SortKey("id"),),
            limit=3,
        ),
        golden(
            "a limit for each key of an index",
            "SELECT ranked.c0 FROM (SELECT t0.line AS c0, row_number() OVER (PARTITION BY t0.order_id "
            "ORDER BY t0.line DESC) AS number FROM order_item AS t0 WHERE t0.order_id IN "
            "(SELECT anon_1.value FROM json_each(?) AS anon_1) AND t0.line > ?) AS ranked "
            "WHERE ranked.number <= ? ORDER BY ranked.number",
            "SELECT ranked.c0 FROM unnest($1::BIGINT[]) AS k(k0) JOIN LATERAL (SELECT t0.line AS c0 "
            "FROM public.order_item AS t0 WHERE t0.order_id = k.k0 AND t0.line > $2::BIGINT "
            "ORDER BY t0.line DESC LIMIT 3) AS ranked ON true",
            collection="order_item",
            columns=("line",),
            keys=KeyFilter(("order_id",), ((1,), (2,))),
            filter=Comparison("line", Op.GT, 1),
            sort=(SortKey("line", descending=True),),
            limit=3,
        ),
        golden(
            "days as keys are written out",
            "SELECT t0.id AS c0 FROM orders AS t0 "
            "WHERE t0.placed_on IN (SELECT anon_1.value FROM json_each(?) AS anon_1)",
            "SELECT t0.id AS c0 FROM public.orders AS t0 WHERE t0.placed_on = any(CAST($1::VARCHAR[] AS DATE[]))",
            keys=KeyFilter(("placed_on",), ((date(2026, 1, 2),), (date(2026, 1, 3),))),
        ),
        golden(
            "keys of two columns",
            "SELECT t0.line AS c0 FROM order_item AS t0 WHERE (t0.order_id, t0.line) IN "
            "(SELECT json_extract(anon_1.value, '$[0]') AS json_extract_1, "
            "json_extract(anon_1.value, '$[1]') AS json_extract_2 FROM json_each(?) AS anon_1)",
            "SELECT t0.line AS c0 FROM public.order_item AS t0 WHERE (t0.order_id, t0.line) IN "
            "(SELECT k.k0, k.k1 FROM unnest($1::BIGINT[], $2::BIGINT[]) AS k(k0, k1))",
            collection="order_item",
            columns=("line",),
            keys=KeyFilter(("order_id", "line"), ((1, 2), (3, 4))),
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
            "WHERE ranked.number <= 3 ORDER BY ranked.number",
            columns=("id", "status"),
            keys=KeyFilter(("status",), (("PAID",), ("SHIPPED",))),
            sort=(SortKey("id"),),
            limit=3,
        ),
        golden(
            "a count of all",
            "SELECT count(*) AS m0 FROM orders AS t0",
            "SELECT count(*) AS m0 FROM public.orders AS t0",
            columns=(),
            aggregates=(COUNT_ROWS,),
        ),
        golden(
            "counts by keys",
            "SELECT t0.status AS c0, count(*) AS m0 FROM orders AS t0 "
            "WHERE t0.status IN (SELECT anon_1.value FROM json_each(?) AS anon_1) AND t0.id > ? GROUP BY t0.status",
            "SELECT t0.status AS c0, count(*) AS m0 FROM public.orders AS t0 "
            "WHERE t0.status = any($1::VARCHAR[]) AND t0.id > $2::BIGINT GROUP BY t0.status",
            columns=("status",),
            keys=KeyFilter(("status",), (("PAID",), ("SHIPPED",))),
            filter=Comparison("id", Op.GT, 5),
            aggregates=(COUNT_ROWS,),
        ),
        golden(
            "measures by month, picked, ordered, the first of them",
            "SELECT g.c0, g.m0, g.m1, g.m2 FROM (SELECT date(t0.placed_on, 'start of month') AS c0, "
            "CASE WHEN (count(t0.total) > 0) THEN printf('%019lld%010lld', "
            "sum(t0.total >> 32) + (sum(t0.total & 4294967295) >> 32) + 4611686018427387904, "
            "sum(t0.total & 4294967295) & 4294967295) END AS m0, count(DISTINCT t0.status) AS m1, min(t0.note) AS m2 "
            "FROM orders AS t0 GROUP BY date(t0.placed_on, 'start of month')) AS g "
            "WHERE g.m0 > ? AND g.m2 < ? ORDER BY g.m1 DESC, g.m2 ASC NULLS LAST LIMIT ? OFFSET ?",
            "SELECT g.c0, g.m0, g.m1, g.m2 FROM (SELECT CAST(date_trunc('month', CAST(t0.placed_on AS TIMESTAMP "
            "WITHOUT TIME ZONE)) AS DATE) AS c0, sum(t0.total) AS m0, count(DISTINCT t0.status) AS m1, "
            'min(t0.note COLLATE "C") AS m2 FROM public.orders AS t0 '
            "GROUP BY CAST(date_trunc('month', CAST(t0.placed_on AS TIMESTAMP WITHOUT TIME ZONE)) AS DATE)) AS g "
            'WHERE g.m0 > $1::NUMERIC AND (g.m2 COLLATE "C") < $2::VARCHAR '
            'ORDER BY g.m1 DESC, g.m2 COLLATE "C" ASC NULLS LAST LIMIT $3::BIGINT',
            columns=("placed_on",),
            aggregates=(
                AggregateCall(AggregateFunction.SUM, "total"),
                AggregateCall(AggregateFunction.COUNT_DISTINCT, "status"),
                AggregateCall(AggregateFunction.MIN, "note"),
            ),
            time_buckets=(TimeBucket("placed_on", TimeUnit.MONTH),),
            having=And((Comparison("sum(total)", Op.GT, Decimal(7)), Comparison("min(note)", Op.LT, "m"))),
            sort=(SortKey("countDistinct(status)", descending=True), SortKey("min(note)")),
            limit=5,
        ),
        where(
            "text by code point", Comparison("note", Op.LT, "m"), "t0.note < ?", '(t0.note COLLATE "C") < $1::VARCHAR'
        ),
        where(
            "a part of a text, no pattern",
            And((Comparison("note", Op.CONTAINS, "%"), Comparison("note", Op.ENDS_WITH, "_"))),
            "instr(t0.note, ?) > 0 AND length(t0.note) >= length(?) "
            "AND substr(t0.note, (length(t0.note) - length(?)) + 1) = ?",
            "strpos(t0.note, $1::VARCHAR) > 0 AND right(t0.note, length($2::VARCHAR)) = $2::VARCHAR",
        ),
        where("money", Comparison("total", Op.GTE, Decimal("5.00")), "t0.total >= ?", "t0.total >= $1::NUMERIC"),
        where(
            "a day",
            Comparison("placed_on", Op.EQ, date.max),
            "t0.placed_on = ?",
            "t0.placed_on = CAST($1::VARCHAR AS DATE)",
        ),
        where(
            "none of many",
            Comparison("status", Op.NOT_IN, ("PAID", "SHIPPED")),
            "t0.status IS NOT NULL AND (t0.status IN (SELECT anon_1.value FROM json_each(?) AS anon_1)) IS NOT 1",
            "t0.status IS NOT NULL AND (t0.status = any($1::VARCHAR[])) IS NOT true",
        ),
        where(
            "or, and not as the complement",
            Or((Not(Comparison("note", Op.EQ, "x")), Comparison("note", Op.IS_NULL, True))),
            "(t0.note = ?) IS NOT 1 OR t0.note IS NULL",
            "(t0.note = $1::VARCHAR) IS NOT true OR t0.note IS NULL",
        ),
        where(
            "many keys at once",
            Not(InKeys(("id", "status"), frozenset({(1, "PAID")}))),
            "((t0.id, t0.status) IN (SELECT json_extract(anon_1.value, '$[0]') AS json_extract_1, "
            "json_extract(anon_1.value, '$[1]') AS json_extract_2 FROM json_each(?) AS anon_1)) IS NOT 1",
            "((t0.id, t0.status) IN (SELECT k.k0, k.k1 FROM unnest($1::BIGINT[], $2::VARCHAR[]) AS k(k0, k1))) "
            "IS NOT true",
        ),
        where("none", Or(()), "0 = 1", "false"),
        where("what no row can hold", Comparison("note", Op.EQ, "\0"), "0 = 1", "false"),
        where(
            "related",
            Not(Exists("order_item", ("id",), ("order_id",), Comparison("line", Op.EQ, 1))),
            "(t0.id IN (SELECT t1.order_id FROM order_item AS t1 WHERE t1.line = ?)) IS NOT 1",
            "NOT (EXISTS (SELECT 1 FROM public.order_item AS t1 WHERE t1.order_id = t0.id AND t1.line = $1::BIGINT))",
        ),
    ],
)
def test_a_request_is_one_statement(ask: ScanRequest, in_sqlite: str, in_postgresql: str) -> None:
    assert (compiled_text(ask, SQLITE, SQLITE_DIALECT), compiled_text(ask, POSTGRESQL, POSTGRESQL_DIALECT)) == (
        in_sqlite,
        in_postgresql,
    )
