"""An app and where it listens in, requests answered until a signal stops it out; several processes share one port."""

import gc
import multiprocessing
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from auth.mistake import Mistake
from door.protocol import protocol
from door.sockets import sockets
from engine.house import Limits

DRAIN_SECONDS = 30
BACKLOG = 2048
THRESHOLDS = (50_000, 20, 50)
"""Of the garbage collector's three generations."""


def config(app: Any, limits: Limits) -> uvicorn.Config:
    """How Onedoor runs under uvicorn, wherever it is started from."""
    return uvicorn.Config(
        app,
        http=protocol(limits),
        ws=sockets(limits),
        ws_max_size=limits.body_bytes,
        ws_ping_interval=limits.heartbeat_seconds,
        ws_ping_timeout=limits.heartbeat_seconds,
        ws_per_message_deflate=False,
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=BACKLOG,
    )


def bound(host: str, port: int) -> socket.socket:
    """A socket that others of the same user may share, the kernel spreading connections. Raises Mistake."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as reason:
        listener.close()
        raise Mistake(f"port {port} of `{host}` is taken or may not be used: choose another `server.port`") from reason
    listener.set_inheritable(True)
    return listener


def free(host: str, port: int) -> None:
    """Raises Mistake where someone already listens there; SO_REUSEPORT alone would share the port with them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as reason:
            raise Mistake(f"port {port} of `{host}` is taken or may not be used: choose another") from reason


def serve(app: Callable[[], Any], host: str, port: int, limits: Limits, workers: int = 1) -> None:
    """Listens until stopped; ends with 3 when the app cannot open."""
    free(host, port)
    if workers == 1:
        worker(app, host, port, limits)
        return
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=worker, args=(app, host, port, limits)) for _ in range(workers)]
    for each in processes:
        each.start()

    def stop(*_: object) -> None:
        for each in processes:
            each.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    for each in processes:
        each.join()
    if any(each.exitcode for each in processes):
        raise SystemExit(3)


class Server(uvicorn.Server):
    """As uvicorn's; what stands once it has started is never looked through for garbage again.

    A large answer is thousands of objects, none of them in a circle: looked through at every 700, they took a fifth of
    its time, and what stands a tail of 50 ms.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Those who listen would keep the door open for as long as it waits for answers under way."""
        leave = getattr(self.config.app, "leave", None)
        if leave is not None:
            leave()
        await super().shutdown(sockets)


def worker(app: Callable[[], Any], host: str, port: int, limits: Limits) -> None:
    """One process's share: its own socket on the port, its own app, its own journal."""
    server = Server(config(app(), limits))
    server.run(sockets=[bound(host, port)])
    if not server.started:
        raise SystemExit(3)
