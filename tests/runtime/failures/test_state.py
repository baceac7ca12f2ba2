"""The state of people and keys is taken away while the door is open: 503 and soon, then right again by itself."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from auth import authentication
from demo.servers.run import Running
from onedoor.storage import database
from tests.runtime.failures.conftest import Ask, Door, Reply, asking, standing

ME = "{ me { firstName } }"
TIMEOUT = 0.5
"""What the state may take, in these tests."""
PATIENCE = 5.0
UNAVAILABLE = {"": ("INTERNAL", "keys cannot be checked now, ask again")}


@pytest.fixture(scope="module")
def door(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "TIMEOUT_SECONDS", TIMEOUT)
        patched.setattr(authentication, "TIMEOUT_SECONDS", TIMEOUT)
        with standing(running, tmp_path_factory.mktemp("house")) as made:
            yield made


@pytest.fixture
async def ask(door: Door) -> AsyncIterator[Ask]:
    async with asking(door) as asked:
        yield asked
        await until(asked, 200)


@contextmanager
def removed(file: Path) -> Iterator[None]:
    away = file.with_suffix(".away")
    file.rename(away)
    yield
    away.rename(file)


@contextmanager
def replaced(file: Path) -> Iterator[None]:
    """By an empty one."""
    with removed(file):
        file.touch()
        yield


@contextmanager
def garbled(file: Path) -> Iterator[None]:
    kept = file.read_bytes()
    with file.open("r+b") as opened:
        opened.write(b"garbage" * 1000)
    yield
    with file.open("r+b") as opened:
        opened.write(kept)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def without_a_table(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE key RENAME TO elsewhere")
        yield
        connection.execute("ALTER TABLE elsewhere RENAME TO key")


@pytest.mark.parametrize("lost", [removed, replaced, garbled, locked, without_a_table], ids=lambda each: each.__name__)
async def test_nobody_is_let_in_and_nobody_waits(
    door: Door, ask: Ask, lost: Callable[[Path], AbstractContextManager[None]]
) -> None:
    await until(ask, 200)
    with lost(door.folder / "state.sqlite"):
        answer = await until(ask, 503)
        began = time.monotonic()
        answers = await asyncio.gather(*(ask(ME) for _ in range(20)))
        waited = time.monotonic() - began
    again = await until(ask, 200)

    assert {each.status for each in answers} == {503}
    assert answer.failed() == UNAVAILABLE
    assert waited < PATIENCE
    assert again.data == {"me": {"firstName": again.data["me"]["firstName"]}}


async def test_many_who_come_with_keys_of_their_own_do_not_wait_for_each_other(door: Door) -> None:
    keys = {str(number): f"od_{number:012}_{'x' * 43}_000000" for number in range(40)}
    with locked(door.folder / "state.sqlite"):
        async with asking(replace(door, keys=keys)) as ask, asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*(ask(ME, each) for each in keys))
    assert {each.status for each in answers} <= {401, 503}


async def test_a_file_that_was_taken_away_is_not_made_anew(door: Door, ask: Ask) -> None:
    file = door.folder / "state.sqlite"
    with removed(file):
        await until(ask, 503)
        made = file.exists()
    assert not made


async def until(ask: Ask, status: int) -> Reply:
    """A key's verdict is believed for a second."""
    deadline = time.monotonic() + PATIENCE
    while (answer := await ask(ME)).status != status:
        assert time.monotonic() < deadline, f"not {status} within {PATIENCE:g} s: {answer.errors}"
        await asyncio.sleep(0.05)
    return answer
