"""A state on each kind of database, a bank on a file, and worlds that stand on both."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from onedoor.storage.database import MetadataDatabase, open_database
from tests.mutations.world import PEPPER, Open, World, world


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state.sqlite"


@pytest.fixture
def state(url: str) -> Iterator[MetadataDatabase]:
    made = open_database(url, PEPPER)
    yield made
    made.close()


@pytest.fixture
async def opens(state: MetadataDatabase, tmp_path: Path) -> AsyncIterator[Open]:
    """Another process's world, on the same state and the same bank."""
    made: list[World] = []

    def one(**more: Any) -> World:
        made.append(world(state, tmp_path / "bank.sqlite", **more))
        return made[-1]

    yield one
    for each in made:
        each.shop.ledger.close()


@pytest.fixture
def here(opens: Open) -> World:
    return opens()
