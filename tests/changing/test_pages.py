"""Pages of the history: what is tested, ordered and cut off by the state is what would be by us."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from auth.state import opened
from demo.postgresql import PostgresqlServer
from engine.change.bindings import SOURCE
from engine.words import COUNT, EVERY_ROW, All, Ask, Keys, Not, Op, Order, Some, Test
from sources.memory import Collection, answered
from tests.changing.world import PEPPER, world

DOWN = (Order("at", descending=True), Order("id"))
ORDERS = ((), (Order("id", descending=True),), DOWN, (Order("row"), Order("id", descending=True)))
TESTS = (
    EVERY_ROW,
    Test("row", Op.EQ, "7"),
    Test("verb", Op.IN, ("create", "delete", "a\0b")),
    Not(Some((Test("row", Op.EQ, "7"), Test("verb", Op.EQ, "update")))),
    Some((Test("row", Op.GT, "7"), All((Test("row", Op.EQ, "7"), Test("verb", Op.LT, "update"))))),
    Some(()),
    Test("row", Op.LT, "8\0"),
    Test("row", Op.GT, "7\ud800"),
)
COUNTS = tuple(
    Ask(collection="Account", columns=by, where=where, measures=(COUNT,))
    for where in TESTS
    for by in ((), ("verb",), ("row", "state"))
)
ASKS = (
    COUNTS
    + tuple(
        Ask(collection="Account", columns=("id", "row", "verb", "row_id"), where=where, order=order, limit=limit)
        for where in TESTS
        for order in ORDERS
        for limit in (None, 0, 2)
        if limit is None or order
    )
    + (Ask(collection="Account", columns=("id",), keys=Keys(("row_id",), ((7,), (9,))), order=DOWN),)
)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_a_page_of_the_history_is_what_it_says(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    state = opened(url(database, request, tmp_path), PEPPER)
    here = world(state, tmp_path / "bank.sqlite")
    try:
        for id in ("7", "10", "9"):
            await here.ask("createAccount", id=id, name="Ada")
            await here.ask("updateAccount", id=id, name="Eve")
        await here.ask("deleteAccount", id="9")
        source: Any = here.shop.house.sources[SOURCE]
        can = source.can("Account")
        every = await read(source, Ask(collection="Account", columns=tuple(can.columns)))
        held = {"Account": Collection(can=can, rows=tuple(every))}
        found = [(await read(source, each), list(answered(held, each))) for each in ASKS]
        assert [(each, *both) for each, both in zip(ASKS, found, strict=True) if differ(each, *both)] == []
        assert len(every) == 7
    finally:
        here.shop.ledger.close()
        await asyncio.to_thread(state.close)


def url(database: str, request: pytest.FixtureRequest, folder: Path) -> str:
    if database == "sqlite":
        return f"sqlite:///{folder}/state.sqlite"
    server: PostgresqlServer = request.getfixturevalue("postgresql_started")
    return server.emptied("ledger")


async def read(source: Any, ask: Ask) -> list[Any]:
    return [row async for batch in source.read(ask) for row in batch]


def differ(ask: Ask, found: Sequence[Any], meant: Sequence[Any]) -> bool:
    """Rows without an order may come in any."""
    return sorted(found) != sorted(meant) if not ask.order else list(found) != list(meant)
