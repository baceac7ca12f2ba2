"""Run a worker of the tests' jobs until SIGTERM: `python -m tests.jobs.worker_process URL FOLDER LEASE_SECONDS`."""

import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path

from tests.jobs.application import QUICK_SETTINGS, open_application
from tests.jobs.sample_jobs import JOBS


async def main(url: str, folder: Path, lease_seconds: float) -> None:
    stopped = asyncio.Event()
    settings = replace(QUICK_SETTINGS, lease_seconds=lease_seconds)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with open_application(folder, JOBS, url=url, settings=settings, at_once=True):
        print("ready", flush=True)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
