"""Serve applications over a real wire, and open ports where nothing good listens."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from starlette.types import ASGIApp

from tests.servers.serving import open_listener, serve_in_thread


@pytest.fixture(scope="session")
def serve() -> Callable[[ASGIApp], "contextmanager[int]"]:  # type: ignore[valid-type]
    """An ASGI app to its port, for as long as the context lasts."""
    return serve_in_thread


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
