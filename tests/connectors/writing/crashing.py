"""Kill writers in the middle of a change: `python -m tests.connectors.writing.crashing`.

Each line on standard input is a source, its place and a number of rounds. It prints each change's number before it is
applied, and `done` after, and `end` at last; each round is a process of its own, killed with -9.
"""

import asyncio
import os
import random
import signal
import sys
import time

from onedoor.spi.connector import ChangeRejected
from tests.connectors.writing.changes import build_creation, build_part_change
from tests.connectors.writing.conftest import connect_to

STEP = 10_000


END = "end"


def main() -> None:
    for line in sys.stdin:
        name, place, rounds = line.split()
        kill_writers(name, place, int(rounds))
        print(END, flush=True)


def kill_writers(name: str, place: str, rounds: int) -> None:
    draw = random.Random(name)
    for turn in range(rounds):
        ready, result = os.pipe()
        child = os.fork()
        if not child:
            asyncio.run(write_until_killed(name, place, turn * STEP, result))
        os.close(result)
        os.read(ready, 1)
        time.sleep(draw.uniform(0.0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)


async def write_until_killed(name: str, place: str, first: int, reported: int) -> None:
    """Two rows of two tables in each change, for ever."""
    source = await connect_to(name, place)
    os.write(reported, b"!")
    for number in range(first + 1, first + STEP):
        os.write(1, f"{number}\n".encode())
        try:
            await source.apply([build_pair(number), build_part_change(number, told=f"part-{number}")])
        except ChangeRejected:
            continue
        os.write(1, f"{number} done\n".encode())


def build_pair(number: int) -> object:
    return build_creation(number, told=f"crash-{number}")


if __name__ == "__main__":
    main()
