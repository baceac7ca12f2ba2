"""Serve applications on a free port of loopback, in this event loop or in a thread, and stop without waiting."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from typing import Any

import uvicorn

HOST = "127.0.0.1"
LOOK_SECONDS = 0.001
KEEP_ALIVE_SECONDS = 75
"""As Onedoor's own: a client that takes up a connection just as it is closed for idleness sees an error."""


class PromptServer(uvicorn.Server):
    """Stops once its requests are answered; uvicorn's own looks ten times a second, and then sleeps for a tenth."""

    def __init__(self, app: Any, **options: Any) -> None:
        defaults = {
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        }
        config = uvicorn.Config(app, **{**defaults, **options})
        super().__init__(config)
        config.load()
        self.lifespan = config.lifespan_class(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - they tell nobody
                    await asyncio.sleep(LOOK_SECONDS)
        unfinished = list(self.server_state.tasks)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        await self.lifespan.shutdown()


def open_listener() -> socket.socket:
    """Clients may connect from now on; they are answered once somebody accepts.

    Where a socket names its protocol, asyncio sends what is small at once, and does not wait for the client's word.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind((HOST, 0))
    listener.listen()
    return listener


@asynccontextmanager
async def serve_in_loop(app: Any, *, graceful_seconds: int = 0, **options: Any) -> AsyncIterator[int]:
    """The port of an app that answers in this event loop; its requests have so long to end at the end."""
    server = PromptServer(app, timeout_graceful_shutdown=graceful_seconds, **options)
    with closing(open_listener()) as listener:
        await server.startup(sockets=[listener])
        try:
            yield listener.getsockname()[1]
        finally:
            await server.shutdown()


@contextmanager
def serve_in_thread(app: Any, *, graceful_seconds: int = 1, **options: Any) -> Iterator[int]:
    """The port of an app that answers in a thread of its own; who comes before it, waits."""
    with (
        closing(open_listener()) as listener,
        answer_in_thread(app, listener, graceful_seconds=graceful_seconds, **options),
    ):
        yield listener.getsockname()[1]


@contextmanager
def answer_in_thread(app: Any, listener: socket.socket, *, graceful_seconds: int = 1, **options: Any) -> Iterator[None]:
    """Answer at a listener, which stays open; the connections end with the context."""
    loop, stopped = asyncio.new_event_loop(), asyncio.Event()
    server = PromptServer(app, timeout_graceful_shutdown=graceful_seconds, **options)

    async def serve() -> None:
        await server.startup(sockets=[listener.dup()])
        await stopped.wait()
        await server.shutdown()

    thread = threading.Thread(target=run_to_end, args=(loop, serve()))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()


def run_to_end(loop: asyncio.AbstractEventLoop, work: Any) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work)
