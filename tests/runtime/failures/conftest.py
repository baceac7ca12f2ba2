"""The whole house, its door open on a free port, over a hundredth of Acme behind servers that may be killed."""

import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn

from demo import run
from demo.data.files import write_folder
from demo.data.seed_sql import seed
from demo.run import INTERNAL_FILE, SECRETS, settings
from demo.servers.run import NAMES, Running, address, servers
from onedoor.app import App
from onedoor.config import load_settings
from onedoor.storage.database import open_database
from tests import acme

PEPPER = "a pepper of more than thirty-two characters"
READY_SECONDS = 20.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """An open house: where it listens, what opens it, and its insides to look at."""

    port: int
    keys: Mapping[str, str] = field(repr=False)
    app: App
    folder: Path

    def calls(self, source: str) -> int:
        assert self.app.app_state is not None
        return self.app.app_state.engine.connectors[source].counters["calls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    data: Any
    errors: list[dict[str, Any]]

    def failed(self) -> dict[str, tuple[str, str]]:
        """Code and message of each error, by its path."""
        return {
            "/".join(map(str, each.get("path", ()))): (each["extensions"]["code"], each["message"])
            for each in self.errors
        }


Ask = Callable[..., Awaitable[Reply]]


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """Servers to be killed; every test leaves them answering."""
    with servers(scale=acme.SCALE, environment=SECRETS) as made:
        yield made


@pytest.fixture(scope="module")
def door(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with standing(running, tmp_path_factory.mktemp("house")) as made:
        yield made


@contextmanager
def standing(running: Running, folder: Path, more: str = "", **elsewhere: tuple[str, int]) -> Iterator[Door]:
    """A house over these servers, but for those that are `elsewhere`, with `more` said in its settings."""
    (folder / "records").mkdir()
    seed(f"sqlite:///{folder / INTERNAL_FILE}", acme.SCALE)
    write_folder(folder, acme.SCALE)
    with closing(open_database(f"sqlite:///{folder}/state.sqlite", PEPPER.encode())) as state:
        keys = run.keys(state)
    addresses = {name: address(running, name) for name in NAMES} | elsewhere
    said = settings(folder=folder, port=0, addresses=addresses)
    (folder / "onedoor.toml").write_text(f"{said}\n{more}", encoding="utf-8")
    app = App(load_settings(folder / "onedoor.toml", {**SECRETS, "ONEDOOR_PEPPER": PEPPER}), acme.company())
    with listening(app) as port:
        yield Door(port=port, keys=keys, app=app, folder=folder)


@contextmanager
def listening(app: App) -> Iterator[int]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="on", timeout_keep_alive=75))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not server.started:
            assert thread.is_alive(), "the door did not open"
            assert time.monotonic() < deadline, f"the door did not open within {READY_SECONDS:g} s"
            time.sleep(POLL_SECONDS)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
async def ask(door: Door) -> AsyncIterator[Ask]:
    """What the door tells someone of a group."""
    async with asking(door) as asked:
        yield asked


@asynccontextmanager
async def asking(door: Door) -> AsyncIterator[Ask]:
    # a server may take longer to be back than the door keeps a connection that nobody uses
    anew = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{door.port}", connector=anew) as session:

        async def asked(text: str, group: str = "sales") -> Reply:
            headers = {"Authorization": f"Bearer {door.keys[group]}"}
            async with session.post("/graphql", json={"query": text}, headers=headers) as response:
                body = await response.json()
                return Reply(status=response.status, data=body.get("data"), errors=body.get("errors", []))

        yield asked


@contextmanager
def hanging(running: Running, name: str) -> Iterator[None]:
    """The server's port takes connections, and nobody answers there."""
    pid = running.processes[name].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
