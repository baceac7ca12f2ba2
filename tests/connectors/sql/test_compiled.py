"""Requests of one shape share one statement, which holds no value, however many keys there are."""

from collections.abc import Mapping

import pytest

from onedoor.connectors.sql import compiler
from onedoor.connectors.sql.compiler import StatementCache
from onedoor.connectors.sql.dialects.postgresql import POSTGRESQL_DIALECT
from onedoor.connectors.sql.dialects.sqlite import SQLITE_DIALECT
from onedoor.connectors.sql.scope import SqlDialect
from onedoor.connectors.sql.tables import SqlTable
from onedoor.spi.predicates import (
    Comparison,
    Op,
    Or,
)
from onedoor.spi.scan import KeyFilter, ScanRequest
from tests.connectors.sql.stocks import POSTGRESQL, SQLITE, compiled_text


@pytest.mark.parametrize("count", [0, 2, 10, 1000])
def test_the_text_is_the_same_for_any_number_of_keys(count: int) -> None:
    def asked(count: int) -> ScanRequest:
        keys = KeyFilter(("id",), tuple((number,) for number in range(count)))
        return ScanRequest(collection="orders", columns=("id",), keys=keys)

    texts = [
        (compiled_text(asked(item), SQLITE, SQLITE_DIALECT), compiled_text(asked(item), POSTGRESQL, POSTGRESQL_DIALECT))
        for item in (2, count)
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("dialect", "tables"), [(SQLITE_DIALECT, SQLITE), (POSTGRESQL_DIALECT, POSTGRESQL)], ids=["sqlite", "postgresql"]
)
def test_no_value_stands_in_the_text(dialect: SqlDialect, tables: Mapping[str, SqlTable]) -> None:
    hostile = "'; DROP TABLE orders; --"
    tests = [
        Comparison("note", op, (hostile,) if op is Op.IN else hostile) for op in (Op.EQ, Op.IN, Op.LT, Op.CONTAINS)
    ]
    ask = ScanRequest(
        collection="orders", columns=("id",), filter=Or(tuple(tests)), keys=KeyFilter(("status",), ((hostile,),))
    )
    assert "DROP" not in compiled_text(ask, tables, dialect)


@pytest.mark.parametrize(
    ("dialect", "tables"), [(SQLITE_DIALECT, SQLITE), (POSTGRESQL_DIALECT, POSTGRESQL)], ids=["sqlite", "postgresql"]
)
def test_requests_of_one_shape_share_one_statement(dialect: SqlDialect, tables: Mapping[str, SqlTable]) -> None:
    statements = StatementCache(tables, dialect)
    wheres = [Or((Comparison("id", Op.LT, number), Comparison("note", Op.EQ, str(number)))) for number in range(5)]
    prepared = [
        statements.prepare(ScanRequest(collection="orders", columns=("id",), filter=where_, limit=7))
        for where_ in wheres
    ]
    assert len({id(statement) for statement, _ in prepared}) == len(statements.compiled_by_shape) == 1
    assert [list(values)[:3] for _, values in prepared] == [[number, str(number), 7] for number in range(5)]


def test_the_cache_keeps_no_more_statements_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "MAX_CACHED_STATEMENTS", 3)
    statements = StatementCache(SQLITE, SQLITE_DIALECT)
    asks = [ScanRequest(collection="orders", columns=("id",) * count) for count in range(6)]
    texts = [statements.prepare(item)[0].text for item in (*asks, asks[0])]
    assert (len(statements.compiled_by_shape), texts[0]) == (3, texts[-1])
