"""Names of the demo's servers to running processes on free ports of loopback, and their end, whatever happens."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

from demo.serving import HOST

NAMES = (
    "s3", "slack", "snowflake", "azure", "drive", "prometheus", "datadog", "github", "directory",
)  # fmt: skip
ROOT = Path(__file__).parent.parent
READY_SECONDS = 30.0
STOP_SECONDS = 3.0
POLL_SECONDS = 0.02


class NotReady(Exception):
    """A server did not come up; the message names it and says what it said last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The servers of one start: `processes` changes as they are killed and restarted, their ports never do."""

    ports: Mapping[str, int]
    commands: Mapping[str, tuple[str, ...]]
    environment: Mapping[str, str]
    said: Mapping[str, IO[bytes]]
    processes: dict[str, subprocess.Popen[bytes]]


@contextmanager
def servers(
    names: Sequence[str] = NAMES,
    *,
    scale: Fraction | float = 1,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Running]:
    """Started side by side and answering; all stopped at the end. Raises NotReady.

    `environment` is added to ours; `options` are further arguments of one server by name, as `--rate`.
    """
    with started(names, scale=scale, environment=environment, options=options) as running:
        wait_ready(running)
        yield running


@contextmanager
def started(
    names: Sequence[str] = NAMES,
    *,
    scale: Fraction | float = 1,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Running]:
    """As `servers`, but not waited for. Call it on a thread that outlives them: they end when it does."""
    with ExitStack() as stack:
        ports = {name: reserved_port(stack) for name in names}
        running = Running(
            ports=ports,
            commands={name: command(name, port, scale, (options or {}).get(name, ())) for name, port in ports.items()},
            environment={**os.environ, **(environment or {})},
            said={name: stack.enter_context(tempfile.TemporaryFile()) for name in names},
            processes={},
        )
        stack.callback(stop_all, running)
        for name in names:
            start(running, name)
        yield running


def address(running: Running, name: str) -> tuple[str, int]:
    """Host and port."""
    return HOST, running.ports[name]


def kill(running: Running, name: str) -> None:
    """Ends one server at once, without a goodbye; its port stays reserved and refuses connections."""
    process = running.processes[name]
    process.kill()
    process.wait()


def restart(running: Running, name: str) -> None:
    """A new process on the same port, seeded anew and answering. Raises NotReady."""
    kill(running, name)
    start(running, name)
    wait_ready(running, (name,))


def wait_ready(running: Running, names: Sequence[str] = (), seconds: float = READY_SECONDS) -> None:
    """Until each accepts connections, which it does once it is seeded. Raises NotReady."""
    deadline = time.monotonic() + seconds
    for name in names or tuple(running.processes):
        while not accepts(running.ports[name]):
            if running.processes[name].poll() is not None:
                raise NotReady(f"the `{name}` server stopped at its start{last_words(running, name)}")
            if time.monotonic() > deadline:
                late = f"the `{name}` server did not answer within {seconds:.0f} seconds"
                raise NotReady(late + last_words(running, name))
            time.sleep(POLL_SECONDS)


def start(running: Running, name: str) -> None:
    """In a process group of its own: a Ctrl-C is for us, and we stop the servers in order."""
    running.processes[name] = subprocess.Popen(
        running.commands[name],
        cwd=ROOT,
        env=running.environment,
        stdin=subprocess.DEVNULL,
        stdout=running.said[name],
        stderr=running.said[name],
        process_group=0,
    )


def stop_all(running: Running) -> None:
    for process in running.processes.values():
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in running.processes.values():
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def command(name: str, port: int, scale: Fraction | float, more: Sequence[str]) -> tuple[str, ...]:
    given = ("--port", str(port), "--scale", str(float(scale)), "--parent", str(os.getpid()))
    return sys.executable, "-m", f"demo.{name}", *given, *more


def reserved_port(stack: ExitStack) -> int:
    """A free port, held by a socket that never listens: a server may listen beside it, nobody is given its port."""
    held = stack.enter_context(socket.socket())
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((HOST, 0))
    return int(held.getsockname()[1])


def accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def last_words(running: Running, name: str) -> str:
    running.said[name].seek(0)
    lines = running.said[name].read().decode("utf-8", "replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return f": {said[-1]}" if said else ""
