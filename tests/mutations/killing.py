"""Kill processes that change rows, and print as JSON what is there afterwards.

    python -m tests.mutations.killing random <folder> <kills> <seed>
    python -m tests.mutations.killing steps <folder> <vault fault>

Each child is forked, so that a kill costs no start. The parent remembers what a child acknowledged; the next child
requests what was not acknowledged again with the same idempotency key.
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
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import event, text

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.mutations.context import MutationError
from onedoor.mutations.recovery import recover_intents
from onedoor.storage.database import MetadataDatabase, open_database
from tests.mutations import bank
from tests.mutations.bank import FREE, Bank
from tests.mutations.world import PEPPER, World, build_world

CLIENTS = 4
LEASE_SECONDS = 0.5
MAX_LIFE_SECONDS = 0.8
KEYS_PER_ROUND = 12
RETRYABLE_CODES = (ErrorCode.CHANGE_UNSETTLED, ErrorCode.SOURCE_UNAVAILABLE)
LAST_CHILD_SECONDS = 120.0


def build_mutation(key: str) -> tuple[str, dict[str, Any]]:
    """Return the mutation and the input of a key: every third is a saga over two sources."""
    number = int(key[1:])
    if number % 3:
        return "createAccount", {"name": key, "idempotencyKey": key}
    return "moveIn", {"name": key, "idempotencyKey": key, "number": str(FREE + number)}


def kill_at_random(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    url = create_database(folder)
    acknowledged: dict[str, str] = {}
    wrong, requested = [], 0
    for _ in range(kills):
        requested += KEYS_PER_ROUND
        missing_keys = [key for key in list_keys(requested) if key not in acknowledged]
        acknowledged |= run_child(url, folder, missing_keys, chance.uniform(0.02, MAX_LIFE_SECONDS))
        wrong += list_wrong(folder, acknowledged)
    before_last = dict(acknowledged)
    acknowledged |= run_child(url, folder, list_keys(requested), LAST_CHILD_SECONDS)
    return {
        "acknowledged before a kill": len(before_last),
        "answered otherwise": sum(acknowledged[key] != row_id for key, row_id in before_last.items()),
        "not there once": len(wrong) + len(list_wrong(folder, list_keys(requested))),
        **count_states(url),
    }


def list_keys(requested: int) -> list[str]:
    return [f"k{number}" for number in range(requested)]


def run_child(url: str, folder: Path, keys: list[str], seconds: float) -> dict[str, str]:
    """Fork a child that requests the keys, kill it after `seconds`, and return what it acknowledged."""
    reads, writes = os.pipe()
    process = fork_child(request_all(url, folder, keys, writes))
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


def fork_child(work: Coroutine[Any, Any, None]) -> int:
    process = os.fork()
    if process:
        work.close()
        return process
    try:
        asyncio.run(work)
        os._exit(0)
    finally:
        traceback.print_exc()
        os._exit(1)


async def request_all(url: str, folder: Path, keys: list[str], acknowledgements: int) -> None:
    """Recover what was left open and request every key until it is acknowledged."""
    database = open_database(url, PEPPER)
    world = build_world(database, folder / "bank.sqlite", lease_seconds=LEASE_SECONDS)
    recovering = asyncio.create_task(keep_recovering(world))
    waiting = list(keys)
    await asyncio.gather(*(request_each(world, waiting, acknowledgements) for _ in range(CLIENTS)))
    recovering.cancel()
    await recover_all(world, database)


async def keep_recovering(world: World) -> None:
    while True:
        await recover_intents(world.context, world.append_record)
        await asyncio.sleep(0.1)


async def request_each(world: World, waiting: list[str], acknowledgements: int) -> None:
    while waiting:
        key = waiting.pop(0)
        result = await request_until_settled(world, key)
        os.write(acknowledgements, f"{key} {result}\n".encode())


async def request_until_settled(world: World, key: str) -> str | None:
    name, fields = build_mutation(key)
    while True:
        try:
            return (await world.mutate(name, **fields)).row_id
        except ConnectorError as failure:
            if failure.code not in RETRYABLE_CODES:
                raise


async def recover_all(world: World, database: MetadataDatabase) -> None:
    while has_open_intents(database):
        world.clock.advance(LEASE_SECONDS)
        await recover_intents(world.context, world.append_record)


def has_open_intents(database: MetadataDatabase) -> bool:
    with database.read_connection() as connection:
        return bool(connection.execute(text("SELECT count(*) FROM intent WHERE state = 'OPEN'")).scalar())


def kill_before_each_step(folder: Path, vault_fault: str) -> dict[str, Any]:
    """Kill one process before its first durable step, the next before its second, and so on to one that ends.

    A durable step is a commit, in the ledger or in a source. A second process recovers and requests the same again.
    """
    url = create_database(folder)
    wrong = []
    for step in count(1):
        key = f"k{3 * step}"
        killed = wait_child(fork_child(request_once(url, folder, key, vault_fault, step)))
        assert wait_child(fork_child(recover_and_repeat(url, folder, key))) == 0, "a child failed"
        wrong += list_wrong(folder, [key])
        if killed == 0:
            return {"steps": step - 1, "not there once": len(wrong), **count_states(url)}
        assert killed == signal.SIGKILL, "a child failed"
    raise AssertionError("unreachable")


async def request_once(url: str, folder: Path, key: str, vault_fault: str, step: int) -> None:
    database = open_database(url, PEPPER)
    world = build_world(database, folder / "bank.sqlite")
    if vault_fault:
        world.vault.faults = [getattr(bank, vault_fault)]
    count_down = build_killer(step)
    event.listen(database.engine, "commit", lambda _: count_down())
    world.bank.inner.before_commit = world.vault.inner.before_commit = count_down
    name, fields = build_mutation(key)
    with suppress(MutationError):
        await world.mutate(name, **fields)


def build_killer(step: int) -> Callable[[], None]:
    """Return a function that kills this process when it is called for the `step`th time."""
    remaining = iter(range(step - 1))

    def count_down() -> None:
        if next(remaining, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    return count_down


async def recover_and_repeat(url: str, folder: Path, key: str) -> None:
    database = open_database(url, PEPPER)
    world = build_world(database, folder / "bank.sqlite")
    world.clock.advance(world.context.ledger.lease_seconds)
    await recover_all(world, database)
    await request_until_settled(world, key)


def wait_child(process: int) -> int:
    return os.waitpid(process, 0)[1]


def create_database(folder: Path) -> str:
    url = f"sqlite:///{folder}/state.sqlite"
    open_database(url, PEPPER).close()
    return url


def list_wrong(folder: Path, keys: Iterable[str]) -> list[str]:
    """Return the keys whose rows are not there exactly once in every source that they change."""
    accounts = Bank(folder / "bank.sqlite").all("account")
    names = Counter(account["name"] for account in accounts)
    lockers = Counter(entry["account_id"] for entry in Bank(folder / "bank.vault").all("entry"))
    ids = {account["name"]: account["id"] for account in accounts}
    return [key for key in keys if names[key] != 1 or (build_mutation(key)[0] == "moveIn" and lockers[ids[key]] != 1)]


def count_states(url: str) -> dict[str, Any]:
    database = open_database(url, PEPPER)
    with database.read_connection() as connection:
        states = connection.execute(text("SELECT state, count(*) FROM intent GROUP BY state")).all()
    database.close()
    return {"intents": dict(sorted((name, number) for name, number in states))}


if __name__ == "__main__":
    mode, folder, *arguments = sys.argv[1:]
    if mode == "random":
        reply = kill_at_random(Path(folder), int(arguments[0]), int(arguments[1]))
    else:
        reply = kill_before_each_step(Path(folder), arguments[0])
    print(json.dumps(reply))
