"""Run the app under uvicorn, in one process or several that share a port."""

import gc
import multiprocessing
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

import uvicorn

from onedoor.errors import ConfigurationError
from onedoor.http.http_protocol import build_http_protocol
from onedoor.http.state import LIFESPAN_KEY
from onedoor.http.websocket_protocol import build_websocket_protocol
from onedoor.model.catalog import Limits

DRAIN_SECONDS = 30

KEEP_ALIVE_SECONDS = 75
"""How long a connection may be idle between requests; proxies are told to give it up before."""

CLOSING_SECONDS = 3.0
"""How long a client may take to close its side of a connection, once all is said."""

BACKLOG = 2048

SWITCH_SECONDS = 0.001
"""How long the event loop waits for a thread that computes, such as one that prepares a document, at each turn."""

GC_THRESHOLDS = (10_000, 10, 30)
"""The thresholds of the garbage collector's three generations."""

WHOLE_COLLECTION_SECONDS = 600.0
"""How often a full collection looks at all objects, which takes 300 ms and more, at most; the others take some."""


class SurvivorFreezer:
    """Sets apart what a full garbage collection has found in use, so that the next looks at what was made since.

    The event loop stands still meanwhile. What is cached is seldom part of a cycle that nobody needs any more; such a
    cycle waits for the collection that looks at all, every WHOLE_COLLECTION_SECONDS.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.whole_at = clock()

    def __call__(self, phase: str, info: Mapping[str, int]) -> None:
        """Act at the end of a full collection."""
        if phase != "stop" or info["generation"] < 2:
            return
        if self.clock() - self.whole_at < WHOLE_COLLECTION_SECONDS:
            gc.freeze()
        else:
            self.whole_at = self.clock()
            gc.unfreeze()


def run_server(app: Callable[[], Any], host: str, port: int, limits: Limits, workers: int = 1) -> None:
    """Listen until stopped. Raises SystemExit with 3 where the app cannot open."""
    require_free_port(host, port)
    if workers == 1:
        run_worker_process(app, host, port, limits)
        return
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=run_worker_process, args=(app, host, port, limits)) for _ in range(workers)]
    for process in processes:
        process.start()

    def stop(*_: object) -> None:
        for process in processes:
            process.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit(3)


def run_worker_process(app: Callable[[], Any], host: str, port: int, limits: Limits) -> None:
    """Serve in this process, with a socket, an app and an audit log of its own."""
    server = UvicornServer(build_uvicorn_config(app(), limits))
    gc.callbacks.append(SurvivorFreezer())
    server.run(sockets=[bind_socket(host, port)])
    if not server.started:
        raise SystemExit(3)


class UvicornServer(uvicorn.Server):
    """A uvicorn server that keeps what exists once it has started out of garbage collection.

    A large result is thousands of objects without a cycle: collecting at every 700 took a fifth of its time, and
    looking through the app itself added a tail of 50 ms.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        sys.setswitchinterval(SWITCH_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the subscriptions first: they would hold the server up for as long as it waits for open requests."""
        hooks = self.lifespan.state.get(LIFESPAN_KEY)
        if hooks is not None:
            hooks.leave()
        await super().shutdown(sockets)


def build_uvicorn_config(
    app: Any,
    limits: Limits,
    *,
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    closing_seconds: float = CLOSING_SECONDS,
) -> uvicorn.Config:
    """Build the configuration with which Onedoor runs under uvicorn, wherever it is started from."""
    return uvicorn.Config(
        app,
        http=build_http_protocol(limits, closing_seconds),
        ws=build_websocket_protocol(limits, closing_seconds),
        ws_max_size=limits.body_bytes,
        ws_ping_interval=limits.heartbeat_seconds,
        ws_ping_timeout=limits.heartbeat_seconds,
        ws_per_message_deflate=False,
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=keep_alive_seconds,  # type: ignore[arg-type]  # handed to call_later
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=BACKLOG,
    )


def bind_socket(host: str, port: int) -> socket.socket:
    """Bind a socket that processes share, the kernel spreading connections. Raises ConfigurationError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once, without Nagle's algorithm, only where it is told that the protocol is TCP
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as reason:
        listener.close()
        raise ConfigurationError(
            f"port {port} of `{host}` is taken or may not be used: choose another `server.port`"
        ) from reason
    listener.set_inheritable(True)
    return listener


def require_free_port(host: str, port: int) -> None:
    """Raise ConfigurationError where another process listens: SO_REUSEPORT alone would share the port with it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as reason:
            raise ConfigurationError(f"port {port} of `{host}` is taken or may not be used: choose another") from reason
