"""Find a port for a server that a test starts, which no other process of the run is given."""

import os
import socket
from itertools import count

HOST = "127.0.0.1"
FIRST_PORT = 12_000
"""Below the ports that the kernel gives to whoever asks for any."""
PORTS_PER_PROCESS = 2_000
NUMBERS = count()


def find_free_port() -> int:
    """Return a port of this process's own range that nobody listens on: servers of two tests never share one."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
    while True:
        port = FIRST_PORT + PORTS_PER_PROCESS * worker + next(NUMBERS) % PORTS_PER_PROCESS
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) != 0:
                return port
