"""After any changes, everybody sees those of the rows that they see, and saw before and after the change."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from auth.authentication import Principal
from tests.query.rules.world import DESK, STAFF, VENDOR, World, open_world, person

SEEDS = (1, 2)
CHANGES = 24
ASKED_EACH = 4
"""After how many changes everybody asks."""
IDS = ("5", "6", "7")
REGIONS = ("EU", "US", None)
PEOPLE: Sequence[tuple[Principal, frozenset[str]]] = (
    (VENDOR, frozenset({"EU"})),
    (DESK, frozenset({"EU"})),
    (person("vendor", region="US"), frozenset({"US"})),
    (person("vendor", region="US EU"), frozenset({"US", "EU"})),
    (person("vendor"), frozenset()),
)
"""The regions whose accounts each of them sees."""
HISTORY = "{ accountChanges(first: 30) { totalCount nodes { id row before { region } after { region } } } }"
AT_ROWS = "{ accounts { nodes { id history(first: 30) { totalCount nodes { id } } } } }"


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_history_is_that_of_the_model(world: World, seed: int) -> None:
    random, rows = Random(seed), dict[str, str | None]()
    for number in range(1, CHANGES + 1):
        await world.ask(STAFF, f"mutation {{ {draw_change(random, rows)} {{ id }} }}")
        if number % ASKED_EACH == 0:
            history = await read_nodes(world, STAFF, HISTORY, "accountChanges")
            assert len(history) == number
            for who, regions in PEOPLE:
                expected = {change["id"]: change["row"] for change in history if is_seen(change, rows, regions)}
                assert await read_changes(world, who) == (expected, expected, len(expected)), (number, who)


def draw_change(random: Random, rows: dict[str, str | None]) -> str:
    """Draw a change of an account that goes well, and make it of the rows, which are regions by id."""
    id, region = random.choice(IDS), random.choice(REGIONS)
    given = f'input: {{id: "{id}", region: {json.dumps(region)}}}'
    if id not in rows:
        rows[id] = region
        return f"createAccount({given})"
    if random.random() < 0.3:
        del rows[id]
        return f'deleteAccount(input: {{id: "{id}"}})'
    rows[id] = region
    return f"updateAccount({given})"


def is_seen(change: Mapping[str, Any], rows: Mapping[str, str | None], regions: frozenset[str]) -> bool:
    sides = [change[side]["region"] for side in ("before", "after") if change[side] is not None]
    return all(region in regions for region in (*sides, rows.get(change["row"])))


async def read_changes(world: World, who: Principal) -> tuple[Mapping[str, str], Mapping[str, str], int]:
    """Return the changes that somebody sees with their rows, in the list and at the rows, and their number."""
    answer = await world.ask(who, HISTORY)
    listed = (answer.data or {})["accountChanges"]
    at_rows = {
        change["id"]: row["id"]
        for row in await read_nodes(world, who, AT_ROWS, "accounts")
        for change in row["history"]["nodes"]
    }
    return {change["id"]: change["row"] for change in listed["nodes"]}, at_rows, listed["totalCount"]


async def read_nodes(world: World, who: Principal, text: str, field: str) -> list[dict[str, Any]]:
    answer = await world.ask(who, text)
    assert answer.errors == []
    nodes: list[dict[str, Any]] = (answer.data or {})[field]["nodes"]
    return nodes
