"""Serve Redis over a real wire: one written in Python, and the real one where it is installed."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

from fakeredis import TcpFakeServer

REAL = shutil.which("redis-server")
HOST = "127.0.0.1"
READY_SECONDS = 10.0


@contextmanager
def in_python() -> Iterator[str]:
    server = TcpFakeServer((HOST, 0), server_type="redis")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"redis://{HOST}:{server.server_address[1]}/0"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def real(folder: Path) -> Iterator[str]:
    with closing(socket.create_server((HOST, 0))) as free:
        port = free.getsockname()[1]
    command = [str(REAL), "--port", str(port), "--bind", HOST, "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_listening(port)
        yield f"redis://{HOST}:{port}/0"
    finally:
        process.terminate()
        process.wait()


def _wait_until_listening(port: int) -> None:
    deadline = monotonic() + READY_SECONDS
    while monotonic() < deadline:
        with closing(socket.socket()) as tried:
            if tried.connect_ex((HOST, port)) == 0:
                return
        sleep(0.02)
    raise AssertionError("redis-server did not listen")
