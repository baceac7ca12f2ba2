"""Clients that leave and servers that are killed at random: every row that changed is named by exactly one record."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import psycopg
import pytest

from demo.data.seed_sql import seed
from demo.run import IN_POSTGRESQL, INTERNAL_URL
from demo.servers.postgresql import PostgresqlServer
from demo.servers.run import HOST, RunningServers
from onedoor.audit.reader import read_records
from onedoor.audit.record import derive_redaction_key, hash_scalar
from onedoor.audit.verification import verify_folder
from tests.e2e.stopping.server_process import (
    PEPPER,
    ServerProcess,
    has_no_open_intents,
    prepare_company,
    read_rows,
    start_server,
    wait_until,
)
from tests.servers.ports import find_free_port

CREATE = "mutation ($input: CreateProductInput!) { createProduct(input: $input) { id } }"
PRODUCTS = "SELECT id FROM product WHERE sku LIKE 'I-%'"
AT_ONCE = 8
LEAVE_SECONDS = 0.04
"""The longest that a client waits before it leaves."""

Client: TypeAlias = Callable[[ServerProcess, str, random.Random], Coroutine[Any, Any, None]]


def build_request(sku: str) -> dict[str, Any]:
    values = {"sku": sku, "name": sku, "category": "SOFTWARE", "price": "1.00", "discontinued": False}
    return {"query": CREATE, "variables": {"input": values}}


async def request_and_leave(server: ServerProcess, sku: str, chance: random.Random) -> None:
    """Send a mutation over HTTP, and close the connection some time after, whatever has come by then."""
    body = json.dumps(build_request(sku))
    head = f"POST /graphql HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {server.key}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(HOST, server.port)
    try:
        writer.write((head + body).encode())
        await writer.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(chance.uniform(0, LEAVE_SECONDS)):
                await reader.readline()
    finally:
        writer.transport.abort()


async def request_and_wait(server: ServerProcess, sku: str, chance: random.Random) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {"authorization": f"Bearer {server.key}"}
        url = f"http://{HOST}:{server.port}/graphql"
        async with session.post(url, json=build_request(sku), headers=headers) as reply:
            await reply.read()


async def subscribe_and_complete(server: ServerProcess, sku: str, chance: random.Random) -> None:
    """Send a mutation over a WebSocket, and end it or the connection some time after."""
    url, headers = f"http://{HOST}:{server.port}/graphql", {"authorization": f"Bearer {server.key}"}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=("graphql-transport-ws",), headers=headers) as socket,
    ):
        await socket.send_json({"type": "connection_init"})
        await socket.receive()
        await socket.send_json({"type": "subscribe", "id": "1", "payload": build_request(sku)})
        with suppress(TimeoutError):
            async with asyncio.timeout(chance.uniform(0, LEAVE_SECONDS)):
                await socket.receive()
        if chance.random() < 0.5:
            await socket.send_json({"type": "complete", "id": "1"})
            await socket.ping()


CLIENTS: Sequence[Client] = (request_and_leave, request_and_wait, subscribe_and_complete)


async def run_clients(server: ServerProcess, skus: Sequence[str], chance: random.Random) -> None:
    async for _ in start_clients(server, skus, chance):
        pass


async def run_and_kill(server: ServerProcess, skus: Sequence[str], chance: random.Random) -> None:
    """Kill the server when some of the clients are done and others have just begun."""
    last = chance.randrange(1, len(skus))
    async for done in start_clients(server, skus, chance):
        if done == last:
            await asyncio.sleep(chance.uniform(0, LEAVE_SECONDS))
            server.process.kill()


async def start_clients(server: ServerProcess, skus: Sequence[str], chance: random.Random) -> AsyncIterator[int]:
    """Run a client for each product, AT_ONCE beside one another, and yield how many are done."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def run_client(sku: str) -> None:
        async with slots:
            with suppress(OSError, aiohttp.ClientError, TypeError):  # the server is killed meanwhile
                await chance.choice(CLIENTS)(server, sku, chance)

    for done, client in enumerate(asyncio.as_completed([run_client(sku) for sku in skus]), 1):
        await client
        yield done


@pytest.fixture
def internal(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[str | None, Callable[[], list[Any]]]:
    """Return Acme's tables as a source, and what reads the ids of the products that were made."""
    if request.param == "sqlite":
        return None, lambda: read_rows(tmp_path / "internal.sqlite", PRODUCTS)
    server: PostgresqlServer = request.getfixturevalue("postgresql_started")
    url = server.emptied("interleavings")
    seed(url, 0.01)
    monkeypatch.setenv(INTERNAL_URL, url)

    def read_products() -> list[Any]:
        with psycopg.connect(url) as connection:
            return connection.execute(PRODUCTS).fetchall()

    return IN_POSTGRESQL, read_products


@pytest.mark.long
@pytest.mark.parametrize("internal", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize(("requests", "kills"), [(80, 1), (1000, 200)])
def test_every_row_that_changed_is_named_by_exactly_one_record(
    tmp_path: Path,
    acme_servers: RunningServers,
    internal: tuple[str | None, Callable[[], list[Any]]],
    requests: int,
    kills: int,
) -> None:
    source, read_products = internal
    seed_number = random.randrange(10**6)
    print(f"seed {seed_number}")
    chance, port = random.Random(seed_number), find_free_port()
    key = prepare_company(tmp_path, acme_servers, port, source)
    with (tmp_path / "onedoor.toml").open("a") as settings:
        settings.write("\n[limits]\nrequests_a_minute = 1000000\n")
    skus = [f"I-{number}" for number in range(requests)]
    share = requests // (kills + 1)
    for number in range(kills):
        with start_server(tmp_path, port, key) as server:
            asyncio.run(run_and_kill(server, skus[number * share : (number + 1) * share], chance))
    with start_server(tmp_path, port, key) as server:
        asyncio.run(run_clients(server, skus[kills * share :], chance))
        wait_until(lambda: has_no_open_intents(tmp_path), "some intents are open")
        wait_until(lambda: count_unmarked_files(tmp_path) == 1, "the records of the killed servers have no end")
        server.process.terminate()
        server.process.wait(60)
    redaction_key = derive_redaction_key(PEPPER.encode())
    made = {hash_scalar("text", str(id), redaction_key) for (id,) in read_products()}
    records = list(read_records(tmp_path / "records"))
    naming = Counter(change["row"] for record in records for change in record["changes"] if change["type"] == "Product")
    outcomes = Counter(record["outcome"] for record in records)
    print(f"{requests} requests, {kills} kills, {len(made)} rows made, records by outcome {dict(outcomes)}")
    assert len(made) > requests // 4
    assert naming == Counter(made)
    assert outcomes["begun"] == 0
    assert not verify_folder(tmp_path / "records").is_altered


def count_unmarked_files(folder: Path) -> int:
    files = {path.name for path in (folder / "records").iterdir()}
    return sum(name.endswith(".jsonl") and f"{name}.closed" not in files for name in files)
