"""Unmodified clients come back by themselves from whatever passes: restarts, networks that were away, limits."""

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from onedoor.model.catalog import Limits
from tests import acme
from tests.e2e.clients.conftest import HERE, NODE, ROOT
from tests.http.live.conftest import NAMES, SECONDS, OpenServer, RunningServer, wait_until
from tests.metadata import copy_sqlite

SOCKETS = ("graphql-ws", "Apollo Client")
CLIENTS = (*SOCKETS, "graphql-sse")


@dataclass(slots=True)
class Watch:
    """What each client saw so far, in its order."""

    seen: dict[str, list[str]] = field(default_factory=lambda: {client: [] for client in CLIENTS})

    async def read(self, output: asyncio.StreamReader) -> None:
        async for line in output:
            client, what = json.loads(line)
            self.seen[client].append(what)

    async def wait_for(self, what: str, clients: tuple[str, ...]) -> None:
        await wait_until(lambda: all(what in self.seen[client] for client in clients))


@asynccontextmanager
async def watch(url: str, key: str, *clients: str) -> AsyncIterator[Watch]:
    """Have the clients watch the names of customers."""
    given = {"PATH": os.environ["PATH"], "ONEDOOR_URL": url, "ONEDOOR_KEY": key}
    command = (NODE, "--import", HERE / "vendored.mjs", HERE / "watch.mjs", NAMES, *clients)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=given, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    watching = Watch()
    reading = asyncio.create_task(watching.read(process.stdout))
    try:
        yield watching
        process.stdin.close()
        async with asyncio.timeout(SECONDS):
            await reading
            assert await process.wait() == 0
    finally:
        reading.cancel()
        with suppress(ProcessLookupError):
            process.kill()


def count_subscriptions(*servers: RunningServer) -> int:
    """How many subscriptions have begun and not ended."""
    records = [record for server in servers for record in server.records("subscription")]
    begun = {record["id"] for record in records if record["id"] == record["subscription"]}
    return len(begun - {record["subscription"] for record in records if record["events"] is not None})


async def test_a_rolling_restart_of_two_workers_is_seen_as_a_break_and_no_event_after_it_is_missed(
    open_server: OpenServer, tmp_path: Path
) -> None:
    url = copy_sqlite(tmp_path)
    workers: list[RunningServer] = []

    async def start_worker() -> None:
        folder = tmp_path / str(len(workers))
        folder.mkdir()
        workers.append(await open_server(url=url, port=workers[0].port if workers else 0, folder=folder))

    await start_worker()
    await start_worker()
    async with watch(workers[0].url, workers[0].key("sales").text, *CLIENTS) as watching:
        for id, old in (("1", None), ("2", workers[0]), ("3", workers[1])):
            if old is not None:
                await start_worker()
                await old.uvicorn_server.shutdown()
            await wait_until(lambda: count_subscriptions(*workers) == len(CLIENTS))
            await workers[-1].publish_change(id)
            await watching.wait_for(f"event {id}", CLIENTS)
    for client, seen in watching.seen.items():
        print(f"{client}: {', '.join(seen)}")
        events = [what for what in seen if what.startswith("event")]
        assert events == ["event 1", "event 2", "event 3"]
        assert set(seen) - set(events) <= ({"connected", "closed 1001"} if client in SOCKETS else {"connected"})


async def test_clients_come_back_once_the_only_server_is_back(open_server: OpenServer, tmp_path: Path) -> None:
    url = copy_sqlite(tmp_path)
    server: RunningServer = await open_server(url=url)
    async with watch(server.url, server.key("sales").text, *CLIENTS) as watching:
        await wait_until(lambda: count_subscriptions(server) == len(CLIENTS))
        await server.uvicorn_server.shutdown()
        await watching.wait_for("closed 1006", SOCKETS)  # nobody listens
        server = await open_server(url=url, port=server.port, folder=make_folder(tmp_path))
        await wait_until(lambda: count_subscriptions(server) == len(CLIENTS))
        await server.publish_change("1")
        await watching.wait_for("event 1", CLIENTS)
    assert all(what.startswith(("connected", "closed", "event")) for seen in watching.seen.values() for what in seen)


def make_folder(within: Path) -> Path:
    folder = within / "later"
    folder.mkdir()
    return folder


async def test_clients_come_back_once_their_key_is_under_its_rate(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=replace(acme.UNLIMITED_RATES, requests_a_minute=1000))
    key = server.key("sales")
    requests = server.app_state.rate_limiter.requests
    async with watch(server.url, key.text, *SOCKETS) as watching:
        await wait_until(lambda: count_subscriptions(server) == len(SOCKETS))
        while requests.try_acquire(key.id) is None:
            pass
        await watching.wait_for("closed 1013", SOCKETS)
        requests.arrivals.clear()
        await wait_until(lambda: count_subscriptions(server) == len(SOCKETS))
        await server.publish_change("1")
        await watching.wait_for("event 1", SOCKETS)
    assert all(what in ("connected", "closed 1013", "event 1") for seen in watching.seen.values() for what in seen)


async def test_a_subscription_that_begins_over_the_rate_begins_later(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=replace(acme.UNLIMITED_RATES, requests_a_minute=1))
    requests = server.app_state.rate_limiter.requests
    async with watch(server.url, server.key("sales").text, *CLIENTS) as watching:
        await watching.wait_for("closed 1013", SOCKETS)
        requests.limit = 1000
        await wait_until(lambda: count_subscriptions(server) == len(CLIENTS))
        await server.publish_change("1")
        await watching.wait_for("event 1", CLIENTS)
    assert all(what in ("connected", "closed 1013", "event 1") for seen in watching.seen.values() for what in seen)


async def test_a_client_whose_pongs_were_lost_comes_back(open_server: OpenServer) -> None:
    """A network that passes nothing on to the server for a while, as when a laptop sleeps."""
    server: RunningServer = await open_server(limits=Limits(heartbeat_seconds=0.2))
    async with (
        forward(server.port) as (port, network),
        watch(server.url.replace(str(server.port), str(port)), server.key("sales").text, "graphql-ws") as watching,
    ):
        await wait_until(lambda: count_subscriptions(server) == 1)
        network.clear()
        await watching.wait_for("closed 1013", ("graphql-ws",))
        network.set()
        await wait_until(lambda: count_subscriptions(server) == 1)
        await server.publish_change("1")
        await watching.wait_for("event 1", ("graphql-ws",))


@asynccontextmanager
async def forward(port: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A port before this one; while the event is not set, nothing that clients send comes through."""
    network = asyncio.Event()
    network.set()

    async def pass_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_open: Callable[[], Awaitable[object]]
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(2**16):
                await is_open()
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            pass_on(reader, far_writer, network.wait), pass_on(far_reader, writer, partial(asyncio.sleep, 0))
        )

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1], network
