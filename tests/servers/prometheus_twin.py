"""Run the demo's Prometheus on a free port of loopback, over the same series as a real one."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn

from demo.servers.prometheus.app import app
from demo.servers.prometheus.promql import Series
from tests.servers.ports import find_free_port
from tests.servers.prometheus import HOST, ready


@contextmanager
def twin_server(series: Sequence[Series], token: str | None = None) -> Iterator[str]:
    port = find_free_port()
    server = uvicorn.Server(uvicorn.Config(app(series, token), host=HOST, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        ready(f"http://{HOST}:{port}")
        yield f"http://{HOST}:{port}"
    finally:
        server.should_exit = True
        thread.join()
