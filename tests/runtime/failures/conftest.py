"""Run a whole server on a free port over a hundredth of Acme, behind servers that may be killed."""

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
from demo.servers.run import NAMES, RunningServers, address, servers
from onedoor.app import App
from onedoor.config import load_settings
from onedoor.storage.database import open_database
from tests import acme
from tests.audit.sealed_logs import PRIVATE_KEY

PEPPER = "a pepper of more than thirty-two characters"
READY_SECONDS = 20.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A running server: its port, the key of each group, and its app to inspect."""

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

    def errors_by_path(self) -> dict[str, tuple[str, str]]:
        """Code and message of each error, by its path."""
        return {
            "/".join(map(str, error.get("path", ()))): (error["extensions"]["code"], error["message"])
            for error in self.errors
        }


Ask = Callable[..., Awaitable[Reply]]


@pytest.fixture(scope="session")
def killable_servers() -> Iterator[RunningServers]:
    """Servers to be killed; every test leaves them answering."""
    with servers(scale=acme.SCALE, environment=SECRETS) as running:
        yield running


@pytest.fixture(scope="module")
def server(killable_servers: RunningServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with run_server(killable_servers, tmp_path_factory.mktemp("company")) as running:
        yield running


@contextmanager
def run_server(
    killable_servers: RunningServers, folder: Path, more: str = "", **elsewhere: tuple[str, int]
) -> Iterator[RunningServer]:
    """Run a server over these servers, except those that are `elsewhere`; `more` is appended to its settings."""
    (folder / "records").mkdir()
    seed(f"sqlite:///{folder / INTERNAL_FILE}", acme.SCALE)
    write_folder(folder, acme.SCALE)
    with closing(open_database(f"sqlite:///{folder}/state.sqlite", PEPPER.encode())) as state:
        keys = run.keys(state)
    addresses = {name: address(killable_servers, name) for name in NAMES} | elsewhere
    result = settings(folder=folder, port=0, addresses=addresses)
    (folder / "onedoor.toml").write_text(f"{result}\n{more}", encoding="utf-8")
    app = App(
        load_settings(
            folder / "onedoor.toml", {**SECRETS, "ONEDOOR_PEPPER": PEPPER, "ONEDOOR_CHECKPOINT_KEY": PRIVATE_KEY}
        ),
        acme.company(),
    )
    with serve_app(app) as port:
        yield RunningServer(port=port, keys=keys, app=app, folder=folder)


@contextmanager
def serve_app(app: App) -> Iterator[int]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="on", timeout_keep_alive=75))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, f"the server did not start within {READY_SECONDS:g} s"
            time.sleep(POLL_SECONDS)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
async def ask(server: RunningServer) -> AsyncIterator[Ask]:
    """Execute queries as a member of a group."""
    async with open_client(server) as client:
        yield client


@asynccontextmanager
async def open_client(server: RunningServer) -> AsyncIterator[Ask]:
    # a server may take longer to be back than Onedoor keeps an unused connection
    anew = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}", connector=anew) as session:

        async def asked(text: str, group: str = "sales") -> Reply:
            headers = {"Authorization": f"Bearer {server.keys[group]}"}
            async with session.post("/graphql", json={"query": text}, headers=headers) as response:
                body = await response.json()
                return Reply(status=response.status, data=body.get("data"), errors=body.get("errors", []))

        yield asked


@contextmanager
def suspend_server(killable_servers: RunningServers, name: str) -> Iterator[None]:
    """The server's port takes connections, and nobody answers there."""
    pid = killable_servers.processes[name].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
