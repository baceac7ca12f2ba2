"""`python -m tests.writing.crashing <source> <place> <rounds>`: writers that are killed in the middle of a change.

Tells each change's number before it is made, and `done` after; each round is a process of its own, killed with -9.
"""

import asyncio
import os
import random
import signal
import sys
import time

from onedoor.spi.connector import ChangeRejected
from tests.connectors.writing.changes import created, part
from tests.connectors.writing.conftest import connected

STEP = 10_000


def main() -> None:
    name, place, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    draw = random.Random(name)
    for turn in range(rounds):
        ready, told = os.pipe()
        child = os.fork()
        if not child:
            asyncio.run(written(name, place, turn * STEP, told))
        os.close(told)
        os.read(ready, 1)
        time.sleep(draw.uniform(0.0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)


async def written(name: str, place: str, first: int, told: int) -> None:
    """Two rows of two tables in each change, for ever."""
    source = await connected(name, place)
    os.write(told, b"!")
    for number in range(first + 1, first + STEP):
        os.write(1, f"{number}\n".encode())
        try:
            await source.apply([pair(number), part(number, told=f"part-{number}")])
        except ChangeRejected:
            continue
        os.write(1, f"{number} done\n".encode())


def pair(number: int) -> object:
    return created(number, told=f"crash-{number}")


if __name__ == "__main__":
    main()
