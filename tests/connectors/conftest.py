"""Serve applications over a real wire, and open ports where nothing good listens."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import uvicorn
from starlette.types import ASGIApp

HOST = "127.0.0.1"


def open_listener() -> socket.socket:
    """Clients may connect from now on; they are answered once somebody accepts."""
    result = socket.socket()
    result.bind((HOST, 0))
    result.listen(64)
    return result


@pytest.fixture(scope="session")
def serve() -> Callable[[ASGIApp], "contextmanager[int]"]:  # type: ignore[valid-type]
    """An ASGI app to its port, for as long as the context lasts."""

    @contextmanager
    def serving(app: ASGIApp) -> Iterator[int]:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
        with closing(open_listener()) as ear:
            thread = threading.Thread(target=server.run, kwargs={"sockets": [ear]})
            thread.start()
            try:
                yield ear.getsockname()[1]
            finally:
                server.should_exit = True
                thread.join()

    return serving


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
