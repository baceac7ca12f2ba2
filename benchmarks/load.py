"""Load a server with wrk, and return its requests a second and latencies."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.servers import NotRunning
from benchmarks.sides import HttpRequest, Side
from demo.servers.run import ROOT

SCRIPT = ROOT / "benchmarks/load.lua"
MICROSECONDS = 1_000_000
CONNECTIONS = 16
LONGEST = 80.0
"""The longest load, in seconds."""


class NoGenerator(Exception):
    """wrk is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Latencies in milliseconds."""

    per_second: float
    median: float
    p99: float


def generator() -> str:
    """Return the path of wrk. Raises NoGenerator."""
    result = shutil.which("wrk")
    if result is None:
        raise NoGenerator("the load comes from `wrk`, which is not installed: `apt-get install wrk` on Debian")
    return result


def load(side: Side, requests: Sequence[HttpRequest], *, seconds: float, connections: int = CONNECTIONS) -> Load:
    """Longer than was wished where no answer came in that time. Raises NotRunning when any answer is not 200."""
    headers = [word for name, value in side.headers.items() for word in ("-H", f"{name}: {value}")]
    with tempfile.NamedTemporaryFile("w", suffix=".requests") as file:
        file.writelines(
            f"{scan_request.method}\t{scan_request.path}\t{scan_request.body}\n" for scan_request in requests
        )
        file.flush()
        words = (f"-c{connections}", *headers, "-s", str(SCRIPT), side.server.url, "--", file.name)
        figures_line = None
        while figures_line is None:
            figures_line = figures(side.name, run_wrk(f"-d{max(1, round(seconds))}s", *words))
            seconds *= 2
            if figures_line is None and seconds > LONGEST:
                raise NotRunning(f"`{side.name}` gave no answer within {LONGEST:g} s under load")
    return figures_line


def run_wrk(*words: str) -> str:
    """Run one process of wrk with one thread and return what it prints."""
    command = (generator(), "-t1", "--timeout", f"{LONGEST:g}s", *words)
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def figures(name: str, output: str) -> Load | None:
    """None: there was no answer at all."""
    results = [line.split()[1:] for line in output.splitlines() if line.startswith("figures ")]
    if not results:
        raise NotRunning(f"wrk said nothing of `{name}`")
    requests, duration, median, p99, failed = map(int, results[0])
    if failed and requests:
        raise NotRunning(f"`{name}` failed {failed} of {requests} requests under load")
    if not requests:
        return None
    return Load(per_second=requests * MICROSECONDS / duration, median=median / 1000, p99=p99 / 1000)
