"""Asks in, statements out: one for a shape, with no value in it, however many values there are."""

from collections.abc import Mapping
from typing import Any

import pytest

from engine.words import Ask, Keys, Op, Some
from engine.words import Test as Check  # pytest would take `Test` for a class of tests
from sources.sql import compiled
from sources.sql.columns import Stock
from sources.sql.compiled import Statements
from sources.sql.dialects import postgresql, sqlite
from tests.sql.stocks import POSTGRESQL, SQLITE, text


@pytest.mark.parametrize("count", [0, 2, 10, 1000])
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


@pytest.mark.parametrize(
    ("module", "tables"), [(sqlite, SQLITE), (postgresql, POSTGRESQL)], ids=["sqlite", "postgresql"]
)
def test_asks_of_one_shape_share_one_statement(module: Any, tables: Mapping[str, Stock]) -> None:
    statements = Statements(tables, module.DIALECT, module.COMPILER)
    wheres = [Some((Check("id", Op.LT, each), Check("note", Op.EQ, str(each)))) for each in range(5)]
    made = [statements.of(Ask(collection="orders", columns=("id",), where=each, limit=7)) for each in wheres]
    assert len({id(statement) for statement, _ in made}) == len(statements.known) == 1
    assert [list(values)[:3] for _, values in made] == [[each, str(each), 7] for each in range(5)]


def test_no_more_shapes_are_kept_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "SHAPES", 3)
    statements = Statements(SQLITE, sqlite.DIALECT, sqlite.COMPILER)
    asks = [Ask(collection="orders", columns=("id",) * count) for count in range(6)]
    texts = [statements.of(each)[0].text for each in (*asks, asks[0])]
    assert (len(statements.known), texts[0]) == (3, texts[-1])
