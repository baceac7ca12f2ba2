"""Serve applications over a real wire, and open ports where nothing good listens."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from starlette.types import ASGIApp

from tests.servers.serving import open_listener, serve_in_thread


@pytest.fixture(scope="session")
def serve() -> Callable[[ASGIApp], "contextmanager[int]"]:  # type: ignore[valid-type]
    """An ASGI app to its port, for as long as the context lasts."""
    return serve_in_thread


class Restartable:
    """A server process behind a port that stays open, so that nobody needs to wait for it to listen."""

    def __init__(self, app: str) -> None:
        self.app = app
        self.ear = open_listener()
        self.port: int = self.ear.getsockname()[1]
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "uvicorn", self.app, "--fd", str(self.ear.fileno())]
        self.process = subprocess.Popen(
            [*command, "--log-level", "critical"], pass_fds=[self.ear.fileno()], stderr=subprocess.DEVNULL
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()


@pytest.fixture(scope="module")
def fakesnow() -> Iterator[Restartable]:
    server = Restartable("fakesnow.server:app")
    yield server
    server.stop()
    server.ear.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never answers."""
    with closing(open_listener()) as ear:
        yield ear.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with closing(open_listener()) as ear:
        return int(ear.getsockname()[1])


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
