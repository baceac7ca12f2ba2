"""Measure what one key, or none, can do to the others: `python -m benchmarks.crowd`.

One shape of small requests after the other is sent at ten times the rate that is allowed, while another person asks a
cheap question every 60 ms. One worker of the demo answers; the load comes from loopback.
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import aiohttp

from benchmarks.crowd_shapes import KEYLESS, SHAPES, CrowdRequest
from demo.servers.run import ROOT

ASK_SECONDS = 0.06
QUESTION = "{ employees(first: 1) { nodes { id } } }"
BYSTANDER = "support"
REQUESTS_A_SECOND = 200
"""Ten times the 1,200 a minute that one key may send."""
CONNECTIONS = 100
ADDRESSES = ("127.0.0.2", "127.0.0.3")
START_SECONDS = 180
SETTLE_SECONDS = 2.0
GIVE_UP_SECONDS = 20.0
KEY_PATTERN = re.compile(r"^(\w+) - .*\n  (od_\S+)", re.MULTILINE)
HEAD = (
    "| shape | p50 ms | p99 ms | max ms | of alone | failed | growth MB | longest step ms (of the clock) |\n"
    "| --- | --: | --: | --: | --: | --: | --: | --: |"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """The demo, answering with one worker."""

    url: str
    pid: int
    keys: Mapping[str, str]
    steps: Path

    def memory(self) -> float:
        """Return the resident memory of the server, in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a bystander saw, in milliseconds, and what it cost the server."""

    p50: float
    p99: float
    longest: float
    failed: Sequence[str]
    asked: int
    growth: float
    step: tuple[float, float]


def main() -> None:
    """Run all shapes, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description="What one key can do to others.")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the bystander asks beside each shape")
    parser.add_argument("--shape", choices=SHAPES, action="append", default=[])
    parser.add_argument("--mixtures", type=int, default=3, help="how many random mixtures of all shapes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose demo is measured")
    chosen = parser.parse_args()
    with start_demo(chosen.root) as demo:
        print_table(demo, chosen.shape, chosen.seconds, chosen.mixtures, chosen.seed)


def print_table(demo: Demo, names: Sequence[str], seconds: float, mixtures: int, seed: int) -> None:
    runs = {name: [name] for name in names or SHAPES}
    if not names:
        dice = random.Random(seed)
        runs |= {f"mixture {number}": dice.sample(list(SHAPES), 4) for number in range(mixtures)}
    measure(demo, (), "", min(seconds, 5.0))
    alone = measure(demo, (), "", seconds)
    print(HEAD)
    print(format_row("alone", alone, alone), flush=True)
    attackers = [group for group in demo.keys if group != BYSTANDER]
    for number, (name, shapes) in enumerate(runs.items()):
        key = demo.keys["finance" if "links" in " ".join(shapes) else attackers[number % len(attackers)]]
        title = name if len(shapes) == 1 else f"{name}: {', '.join(shapes)}"
        print(format_row(title, measure(demo, shapes, key, seconds), alone), flush=True)
        time.sleep(SETTLE_SECONDS)


def format_row(name: str, figures: Figures, alone: Figures) -> str:
    failed = f"{len(figures.failed)} of {figures.asked}"
    if figures.failed:
        failed += f" ({', '.join(sorted(set(figures.failed)))})"
    cells = (
        f"{figures.p50:.0f}", f"{figures.p99:.0f}", f"{figures.longest:.0f}", f"{figures.p99 / alone.p99:.1f}", failed,
        f"{figures.growth:.0f}", f"{figures.step[0]:.0f} ({figures.step[1]:.0f})",
    )  # fmt: skip
    return f"| {name} | {' | '.join(cells)} |"


@contextmanager
def start_demo(root: Path) -> Iterator[Demo]:
    """Start the demo of a checkout on a port of its own, and end it with all its servers."""
    with tempfile.TemporaryDirectory(prefix="onedoor-crowd-") as folder:
        steps, output = Path(folder, "steps"), Path(folder, "output")
        port = str(random.randrange(20_000, 30_000))
        probe = str(ROOT / "benchmarks/loop_probe.py")
        with output.open("wb") as file:
            process = subprocess.Popen(
                (sys.executable, probe, str(steps), "demo", "--port", port, "--folder", f"{folder}/demo"),
                cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stdout=file, stderr=file, process_group=0,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + START_SECONDS
            while "Ctrl-C" not in output.read_text(encoding="utf-8"):
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(output.read_text(encoding="utf-8"))
                time.sleep(0.2)
            keys = dict(KEY_PATTERN.findall(output.read_text(encoding="utf-8")))
            yield Demo(url=f"http://127.0.0.1:{port}", pid=process.pid, keys=keys, steps=steps)
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def measure(demo: Demo, shapes: Sequence[str], key: str, seconds: float) -> Figures:
    """Ask as the bystander while a crowd of another process sends these shapes."""
    memory, offset = demo.memory(), demo.steps.stat().st_size if demo.steps.exists() else 0
    crowd = multiprocessing.get_context("spawn").Process(target=send_crowd, args=(demo.url, key, shapes, seconds))
    if shapes:
        crowd.start()
        time.sleep(1.0)
    latencies, failed = asyncio.run(ask_steadily(demo, seconds))
    if shapes:
        crowd.join()
    lines = demo.steps.read_text(encoding="ascii")[offset:].splitlines() if demo.steps.exists() else []
    steps = [tuple(float(part) * 1000 for part in line.split()) for line in lines]
    cuts = quantiles(latencies, n=100)
    return Figures(
        p50=cuts[49] * 1000, p99=cuts[98] * 1000, longest=max(latencies) * 1000, failed=failed, asked=len(latencies),
        growth=demo.memory() - memory,
        step=(max((step[0] for step in steps), default=0.0), max((step[1] for step in steps), default=0.0)),
    )  # fmt: skip


async def ask_steadily(demo: Demo, seconds: float) -> tuple[list[float], list[str]]:
    """Return how long each answer took from when it was due, and what failed."""
    latencies, failed = list[float](), list[str]()
    headers = {"authorization": f"Bearer {demo.keys[BYSTANDER]}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(GIVE_UP_SECONDS)) as session:

        async def ask(due: float) -> None:
            try:
                async with session.post(f"{demo.url}/graphql", json={"query": QUESTION}) as response:
                    body = await response.json(content_type=None)
                    if errors := body.get("errors"):
                        failed.append(f"{response.status} {errors[0]['extensions']['code']}")
            except (aiohttp.ClientError, TimeoutError) as error:
                failed.append(type(error).__name__)
            latencies.append(time.perf_counter() - due)

        began, tasks = time.perf_counter(), list[asyncio.Task[None]]()
        for number in range(int(seconds / ASK_SECONDS)):
            due = began + number * ASK_SECONDS
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(ask(due)))
        await asyncio.gather(*tasks)
    return latencies, failed


def send_crowd(url: str, key: str, names: Sequence[str], seconds: float) -> None:
    """Send the shapes by turns, REQUESTS_A_SECOND of them, until the time is over."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_send_all(url, key, names, time.monotonic() + seconds + 1.0))


async def _send_all(url: str, key: str, names: Sequence[str], until: float) -> None:
    numbers = iter(range(10**9))
    began = time.monotonic()
    sessions = [
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, local_addr=(address, 0)), auto_decompress=False)
        for address in ADDRESSES
    ]

    async def send_by_turns(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            await asyncio.sleep(max(0.0, began + number / REQUESTS_A_SECOND - time.monotonic()))
            if time.monotonic() > until:
                return
            name = names[number % len(names)]
            await _send(session, url, "" if name in KEYLESS else key, SHAPES[name](number))

    workers = [asyncio.create_task(send_by_turns(session)) for session in sessions for _ in range(CONNECTIONS)]
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*workers), until - time.monotonic() + 1.0)
    for session in sessions:
        await session.close()


async def _send(session: aiohttp.ClientSession, url: str, key: str, request: CrowdRequest) -> None:
    authorization = {"authorization": f"Bearer {key}"} if key else {}
    headers = {"content-type": "application/json", **authorization, **request.headers}
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        if request.sent_bytes is not None:
            await _send_half(session, url, headers, request)
            return
        async with session.request(request.method, url + request.path, data=request.body, headers=headers) as response:
            await response.read()


async def _send_half(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], request: CrowdRequest
) -> None:
    """Send the first bytes of a body, and nothing more until the server has had enough."""

    async def begin() -> AsyncIterator[bytes]:
        yield request.body[: request.sent_bytes]
        await asyncio.sleep(GIVE_UP_SECONDS)

    async with session.post(url + request.path, data=begin(), headers=headers) as response:
        await response.read()


if __name__ == "__main__":
    main()
