"""A server that stops tells its subscribers, and does not wait for them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from onedoor import app as app_module
from onedoor.http.server import UvicornServer, bind_socket, build_uvicorn_config
from onedoor.http.state import AppState
from onedoor.model.catalog import Limits
from tests.http.live.conftest import CHANGED, EventStreamClient, RunningServer, wait_until

WITHIN = 15.0
"""Not the 30 s that answers under way are waited for."""


async def test_sockets_are_closed_with_1001_and_streams_end_without_being_complete(server: RunningServer) -> None:
    key = server.key("sales").text
    websocket, stream = await server.socket(key), await server.stream(key, CHANGED)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: len(server.records()) == 2)
    began = time.monotonic()
    stopping = asyncio.create_task(server.uvicorn_server.shutdown())
    assert await websocket.wait_closed() == (1001, "the server is stopping, connect again")
    assert await stream.receive() == ("end", None)
    await stopping
    assert time.monotonic() - began < WITHIN
    assert sorted(server.outcomes()) == ["answered", "answered", "cancelled", "cancelled"]


async def test_an_app_that_another_app_wraps_hears_of_the_stop(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def open_app(*_: object) -> AsyncIterator[AppState]:
        yield server.app_state

    monkeypatch.setattr(app_module, "open_app", open_app)
    app = app_module.App(None, None)  # type: ignore[arg-type]

    async def wrap(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    config = build_uvicorn_config(wrap, Limits())
    config.load()
    wrapping = UvicornServer(config)
    wrapping.lifespan = config.lifespan_class(config)
    listener = bind_socket("127.0.0.1", 0)
    await wrapping.startup(sockets=[listener])
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
    headers = {"accept": "text/event-stream", "x-api-key": server.key("sales").text}
    reply = await server.session.post(url, json={"query": CHANGED}, headers=headers)
    stream = EventStreamClient(reply)
    await stream.comment()
    began = time.monotonic()
    stopping = asyncio.create_task(wrapping.shutdown())
    assert await stream.receive() == ("end", None)
    await stopping
    assert time.monotonic() - began < WITHIN
