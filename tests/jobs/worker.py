"""`python -m tests.jobs.worker URL FOLDER`: a worker of the tests' jobs, until SIGTERM."""

import asyncio
import signal
import sys
from pathlib import Path

from tests.jobs.declared import JOBS
from tests.jobs.houses import QUICK, house


async def main(url: str, folder: Path) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with house(folder, JOBS, url=url, running=QUICK, at_once=True):
        print("ready", flush=True)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
