"""Give tests a metadata database on SQLite and worlds that share it and one bank."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from onedoor.storage.database import MetadataDatabase, open_database
from tests.metadata import copy_sqlite
from tests.mutations.world import PEPPER, OpenWorld, World, build_world


@pytest.fixture
def url(tmp_path: Path) -> str:
    return copy_sqlite(tmp_path)


@pytest.fixture
def state(url: str) -> Iterator[MetadataDatabase]:
    database = open_database(url, PEPPER)
    yield database
    database.close()


@pytest.fixture
async def open_world(state: MetadataDatabase, tmp_path: Path) -> AsyncIterator[OpenWorld]:
    """Open the world of another process on the same database and the same bank."""
    worlds: list[World] = []

    def build(**options: Any) -> World:
        worlds.append(build_world(state, tmp_path / "bank.sqlite", **options))
        return worlds[-1]

    yield build
    for world in worlds:
        world.context.ledger.close()


@pytest.fixture
def world(open_world: OpenWorld) -> World:
    return open_world()
