"""Fork workers of the tests' jobs: `python -m tests.jobs.worker_process`.

Each line on standard input is the database's URL, a folder and the seconds of a lease. It forks a worker, which runs
until SIGTERM, and prints its process id; what is imported takes longer than all else, and is so once for all workers.
"""

import asyncio
import os
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path

from demo.servers.postgresql import follow
from tests.jobs.application import QUICK_SETTINGS, build_small_catalog, open_application
from tests.jobs.sample_jobs import JOBS

POLL_SECONDS = 0.1


async def run_worker(url: str, folder: Path, lease_seconds: float) -> None:
    stopped = asyncio.Event()
    settings = replace(QUICK_SETTINGS, lease_seconds=lease_seconds, poll_seconds=POLL_SECONDS)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with open_application(folder, JOBS, url=url, settings=settings, at_once=True):
        await stopped.wait()


def fork_worker(url: str, folder: str, lease_seconds: str) -> int:
    if process := os.fork():
        return process
    try:
        follow()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        asyncio.run(run_worker(url, Path(folder), float(lease_seconds)))
        os._exit(0)
    finally:
        traceback.print_exc()
        os._exit(1)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the workers here
    build_small_catalog()
    for line in sys.stdin:
        print(fork_worker(*line.split()), flush=True)


if __name__ == "__main__":
    main()
