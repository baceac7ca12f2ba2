"""Processes that change things and are killed, one after the other, at any time; what is there afterwards, as JSON.

    python -m tests.changing.killing <folder> <kills> <seed>

Each child is forked, so that a kill costs no start. A client's ledger remembers what was acknowledged; what was not is
asked again with the same key, by the next child.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import text

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.mutations.recovery import recover_intents
from onedoor.storage.database import open_database
from tests.mutations.bank import FREE, Bank
from tests.mutations.world import PEPPER, World, world

CLIENTS = 4
LEASE_SECONDS = 0.5
LONGEST_SECONDS = 0.8
KEYS = 12
"""Asked in each round."""
ASK_AGAIN = (ErrorCode.CHANGE_UNSETTLED, ErrorCode.SOURCE_UNAVAILABLE)
UNTIL_ALL = 120.0


def mutation(key: str) -> tuple[str, dict[str, Any]]:
    """Every third is a saga over two sources."""
    number = int(key[1:])
    name = "createAccount" if number % 3 else "moveIn"
    return name, {"name": key, "idempotencyKey": key} | ({} if number % 3 else {"number": str(FREE + number)})


async def child(url: str, folder: Path, keys: list[str], told: int) -> None:
    """Settles what was left, and asks for every key until it has its answer."""
    state = open_database(url, PEPPER)
    here = world(state, folder / "bank.sqlite", lease_seconds=LEASE_SECONDS)
    settling = asyncio.create_task(settles(here))
    left = list(keys)
    await asyncio.gather(*(client(here, left, told) for _ in range(CLIENTS)))
    settling.cancel()
    while is_open(state):
        await recover_intents(here.shop, here.kept)
        await asyncio.sleep(0.05)


async def settles(here: World) -> None:
    while True:
        await recover_intents(here.shop, here.kept)
        await asyncio.sleep(0.1)


async def client(here: World, left: list[str], told: int) -> None:
    while left:
        key = left.pop(0)
        name, given = mutation(key)
        while True:
            try:
                acted = await here.ask(name, **given)
            except ConnectorError as failure:
                if failure.code not in ASK_AGAIN:
                    raise
            else:
                os.write(told, f"{key} {acted.row_id}\n".encode())
                break


def is_open(state: Any) -> bool:
    with state.read_connection() as connection:
        return bool(connection.execute(text("SELECT count(*) FROM intent WHERE state = 'OPEN'")).scalar())


def run(url: str, folder: Path, keys: list[str], seconds: float) -> dict[str, str]:
    """What one child acknowledged before it was killed, or had done everything."""
    reads, writes = os.pipe()
    process = os.fork()
    if not process:
        os.close(reads)
        try:
            asyncio.run(child(url, folder, keys, writes))
            os._exit(0)
        finally:
            os._exit(traceback.print_exc() or 1)
    os.close(writes)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not (ended := os.waitpid(process, os.WNOHANG))[0]:
        time.sleep(0.001)
    if not ended[0]:
        os.kill(process, signal.SIGKILL)
        ended = os.waitpid(process, 0)
    assert ended[1] in (0, signal.SIGKILL), "a child failed"
    with open(reads, encoding="utf-8") as lines:
        return dict(line.split() for line in lines.read().splitlines())


def main(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    url = f"sqlite:///{folder}/state.sqlite"
    open_database(url, PEPPER).close()
    acknowledged: dict[str, str] = {}
    wrong, asked = [], 0
    for _ in range(kills):
        asked += KEYS
        before = [f"k{number}" for number in range(asked) if f"k{number}" not in acknowledged]
        acknowledged |= run(url, folder, before, chance.uniform(0.02, LONGEST_SECONDS))
        wrong += missing(folder, acknowledged)
    every = [f"k{number}" for number in range(asked)]
    first = dict(acknowledged)
    acknowledged |= run(url, folder, every, UNTIL_ALL)
    return {
        "seed": seed, "kills": kills, "asked": asked, "acknowledged before a kill": len(first),
        "answered otherwise": sum(acknowledged[each] != first[each] for each in first),
        "acknowledged and not there once": len(wrong) + len(missing(folder, dict.fromkeys(every, ""))), **states(url),
    }  # fmt: skip


def missing(folder: Path, acknowledged: dict[str, str]) -> list[str]:
    """Those that are not there exactly once, in every source that they change."""
    bank = Bank(folder / "bank.sqlite")
    accounts = bank.all("account")
    names = Counter(each["name"] for each in accounts)
    lockers = Counter(each["account_id"] for each in Bank(folder / "bank.vault").all("entry"))
    moved = {each["name"]: each["id"] for each in accounts}
    return [
        each for each in acknowledged
        if names[each] != 1 or (mutation(each)[0] == "moveIn" and lockers[moved[each]] != 1)
    ]  # fmt: skip


def states(url: str) -> dict[str, Any]:
    state = open_database(url, PEPPER)
    with state.read_connection() as connection:
        found = connection.execute(text("SELECT state, count(*) FROM intent GROUP BY state")).all()
        history = connection.execute(
            text("SELECT count(*) FROM change WHERE state = 'DONE' AND verb = 'create'")
        ).scalar()
    state.close()
    return {"intents": dict(sorted((name, count) for name, count in found)), "created, by history": history}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
