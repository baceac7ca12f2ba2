"""Open a metadata database of each kind, with a clock that only the tests move."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from onedoor.storage.database import MetadataDatabase, open_database
from tests.metadata import copy_postgresql, copy_sqlite

PEPPER = b"a pepper of at least thirty-two characters"
STORES = ("sqlite", "postgresql")


@dataclass
class Clock:
    """Both clocks of a process."""

    seconds: float = 0.0

    def now(self) -> datetime:
        """The wall clock."""
        return datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """Seconds since some start."""
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database's URL."""
    makers: dict[str, Callable[[], str]] = {
        "sqlite": lambda: copy_sqlite(tmp_path),
        "postgresql": lambda: copy_postgresql(request.getfixturevalue("postgresql_started"), "state"),
    }
    return makers[request.param]()


@pytest.fixture(params=STORES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without a table."""
    makers: dict[str, Callable[[], str]] = {
        "sqlite": lambda: f"sqlite:///{tmp_path}/state.sqlite",
        "postgresql": lambda: request.getfixturevalue("postgresql_started").emptied("state"),
    }
    return makers[request.param]()


@pytest.fixture
def state(url: str, clock: Clock) -> Iterator[MetadataDatabase]:
    database = open_database(url, PEPPER, now=clock.now)
    yield database
    database.close()
