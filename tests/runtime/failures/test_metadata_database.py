"""The metadata database goes away while the server runs: replies are 503 at once, and right again by themselves."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from auth import authentication
from demo.servers.run import RunningServers
from onedoor.storage import database
from tests.runtime.failures.conftest import Ask, Reply, RunningServer, open_client, run_server

ME = "{ me { firstName } }"
TIMEOUT = 0.5
"""What the state may take, in these tests."""
PATIENCE = 15.0
UNAVAILABLE = {"": ("INTERNAL", "keys cannot be checked now, ask again")}


@pytest.fixture(scope="module")
def server(killable_servers: RunningServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "TIMEOUT_SECONDS", TIMEOUT)
        patched.setattr(authentication, "TIMEOUT_SECONDS", TIMEOUT)
        with run_server(killable_servers, tmp_path_factory.mktemp("company")) as running:
            yield running


@pytest.fixture
async def ask(server: RunningServer) -> AsyncIterator[Ask]:
    async with open_client(server) as client:
        yield client
        await wait_until(client, 200)


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
    content = file.read_bytes()
    with file.open("r+b") as opened:
        opened.write(b"garbage" * 1000)
    yield
    with file.open("r+b") as opened:
        opened.write(content)


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


@pytest.mark.parametrize("lost", [removed, replaced, garbled, locked, without_a_table], ids=lambda item: item.__name__)
async def test_nobody_is_let_in_and_nobody_waits(
    server: RunningServer, ask: Ask, lost: Callable[[Path], AbstractContextManager[None]]
) -> None:
    await wait_until(ask, 200)
    with lost(server.folder / "state.sqlite"):
        answer = await wait_until(ask, 503)
        began = time.monotonic()
        answers = await asyncio.gather(*(ask(ME) for _ in range(20)))
        waited = time.monotonic() - began
    again = await wait_until(ask, 200)

    assert {item.status for item in answers} == {503}
    assert answer.errors_by_path() == UNAVAILABLE
    assert waited < PATIENCE
    assert again.data == {"me": {"firstName": again.data["me"]["firstName"]}}


async def test_many_who_come_with_keys_of_their_own_do_not_wait_for_each_other(server: RunningServer) -> None:
    keys = {str(number): f"od_{number:012}_{'x' * 43}_000000" for number in range(40)}
    with locked(server.folder / "state.sqlite"):
        async with open_client(replace(server, keys=keys)) as ask, asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*(ask(ME, key) for key in keys))
    assert {answer.status for answer in answers} <= {401, 503}


async def test_a_removed_file_is_not_created_again(server: RunningServer, ask: Ask) -> None:
    file = server.folder / "state.sqlite"
    with removed(file):
        await wait_until(ask, 503)
        result = file.exists()
    assert not result


async def wait_until(ask: Ask, status: int) -> Reply:
    """A key's verdict is believed for a second."""
    deadline = time.monotonic() + PATIENCE
    while (answer := await ask(ME)).status != status:
        assert time.monotonic() < deadline, f"not {status} within {PATIENCE:g} s: {answer.errors}"
        await asyncio.sleep(0.05)
    return answer
