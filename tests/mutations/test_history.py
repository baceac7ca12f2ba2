"""The database filters, sorts, limits and counts the history as the reference operators do."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from demo.servers.postgresql import PostgresqlServer
from onedoor.connectors.memory import MemoryCollection, answer_scan
from onedoor.mutations.history import HISTORY_CONNECTOR
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Not, Op, Or
from onedoor.spi.scan import COUNT_ROWS, KeyFilter, ScanRequest, SortKey
from onedoor.storage.database import open_database
from tests.mutations.world import PEPPER, build_world

DOWN = (SortKey("at", descending=True), SortKey("id"))
ORDERS = ((), (SortKey("id", descending=True),), DOWN, (SortKey("row"), SortKey("id", descending=True)))
TESTS = (
    ALWAYS_TRUE,
    Comparison("row", Op.EQ, "7"),
    Comparison("verb", Op.IN, ("create", "delete", "a\0b")),
    Not(Or((Comparison("row", Op.EQ, "7"), Comparison("verb", Op.EQ, "update")))),
    Or((Comparison("row", Op.GT, "7"), And((Comparison("row", Op.EQ, "7"), Comparison("verb", Op.LT, "update"))))),
    Or(()),
    Comparison("row", Op.LT, "8\0"),
    Comparison("row", Op.GT, "7\ud800"),
)
COUNTS = tuple(
    ScanRequest(collection="Account", columns=by, filter=where, aggregates=(COUNT_ROWS,))
    for where in TESTS
    for by in ((), ("verb",), ("row", "state"))
)
ASKS = (
    COUNTS
    + tuple(
        ScanRequest(
            collection="Account", columns=("id", "row", "verb", "row_id"), filter=where, sort=order, limit=limit
        )
        for where in TESTS
        for order in ORDERS
        for limit in (None, 0, 2)
        if limit is None or order
    )
    + (ScanRequest(collection="Account", columns=("id",), keys=KeyFilter(("row_id",), ((7,), (9,))), sort=DOWN),)
)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_the_history_is_what_the_reference_operators_give(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    state = open_database(url(database, request, tmp_path), PEPPER)
    world = build_world(state, tmp_path / "bank.sqlite")
    try:
        for id in ("7", "10", "9"):
            await world.mutate("createAccount", id=id, name="Ada")
            await world.mutate("updateAccount", id=id, name="Eve")
        await world.mutate("deleteAccount", id="9")
        source: Any = world.context.catalog.connectors[HISTORY_CONNECTOR]
        can = source.capabilities("Account")
        every = await scan_rows(source, ScanRequest(collection="Account", columns=tuple(can.columns)))
        held = {"Account": MemoryCollection(capabilities=can, rows=tuple(every))}
        results = [(await scan_rows(source, item), list(answer_scan(held, item))) for item in ASKS]
        assert [(item, *both) for item, both in zip(ASKS, results, strict=True) if differ(item, *both)] == []
        assert len(every) == 7
    finally:
        world.context.ledger.close()
        await asyncio.to_thread(state.close)


def url(database: str, request: pytest.FixtureRequest, folder: Path) -> str:
    if database == "sqlite":
        return f"sqlite:///{folder}/state.sqlite"
    server: PostgresqlServer = request.getfixturevalue("postgresql_started")
    return server.emptied("ledger")


async def scan_rows(source: Any, ask: ScanRequest) -> list[Any]:
    return [row async for batch in source.scan(ask) for row in batch]


def differ(ask: ScanRequest, rows: Sequence[Any], expected: Sequence[Any]) -> bool:
    """Return whether the rows differ, in any order where none was requested."""
    return sorted(rows) != sorted(expected) if not ask.sort else list(rows) != list(expected)
