"""Processes share a port evenly; a key that one revokes opens nothing in any other, and ends what is under way."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from auth import api_keys, users
from demo.servers.run import HOST
from onedoor.audit.reader import list_log_files, read_file_records
from onedoor.storage.database import open_database
from tests.companies import make_company, read_settings, run_server
from tests.e2e.stopping.server_process import Clients
from tests.servers.ports import find_free_port
from tests.test_company import JOB

REVOKE = 'mutation { revokeApiKey(input: {key: "ada@example.com", reason: "lost"}) { id } }'
WORKERS = 2
THREADS = 8
REQUESTS = 400
"""Enough that a fair spread gives neither of two workers less than a third of them, but once in a million million."""
SECONDS = 30.0
"""The deadline is for what never happens."""
FOLLOW = 'subscription { jobChanged(id: "none") { id } }'


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A company that several processes serve on one port."""

    folder: Path
    records: Path
    port: int


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    path, port = tmp_path_factory.mktemp("workers"), find_free_port()
    folder = make_company(path / "company", {"jobs/sweep.py": JOB})
    with (folder / "onedoor.toml").open("a") as settings:
        settings.write("\n[limits]\nrequests_a_minute = 1000000\n")
    command = ["onedoor", "--company", str(folder), "serve", "--workers", str(WORKERS), "--port", str(port)]
    with run_server(command, port, path):
        yield Company(folder=folder, records=read_settings(folder).records.folder, port=port)


@pytest.fixture
async def session(company: Company) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://{HOST}:{company.port}") as session:
        yield session


def create_key(folder: Path, name: str, *groups: str) -> api_keys.IssuedKey:
    """The key of a new person of this name in these groups."""
    settings, email = read_settings(folder), f"{name}@example.com"
    with closing(open_database(settings.state.url, settings.state.pepper.encode())) as database:
        users.create_user(database, first_name=name, last_name="Example", email=email)
        for group in groups:
            users.join_group(database, email, group)
        return api_keys.create_key(database, email)


def test_several_workers_share_a_port_evenly_and_each_writes_its_own_audit_log(company: Company) -> None:
    key = create_key(company.folder, "grace").text
    clients = Clients(port=company.port, key=key, query="{ me { firstName } }", reconnects=True)
    threads = clients.start(THREADS, until=1)
    try:
        deadline = time.monotonic() + 60
        while len(begun := count_records(company.records)) < WORKERS or min(begun) < 2:
            assert time.monotonic() < deadline, "one worker answered nothing"
            time.sleep(0.02)
        while sum(count_records(company.records)) - sum(begun) < REQUESTS:
            assert time.monotonic() < deadline, "the workers are too slow"
            time.sleep(0.02)
        got = [now - then for now, then in zip(count_records(company.records), begun, strict=True)]
    finally:
        clients.stopped.set()
        for thread in threads:
            thread.join()
    assert min(got) > sum(got) / 3, got


def count_records(records: Path) -> list[int]:
    """Return the number of lines in each worker's audit log."""
    return [path.read_bytes().count(b"\n") for path in sorted(records.glob("*.jsonl"))]


def list_following_processes(records: Path, person_key: str) -> set[str]:
    """The log files, one of each process, in which a subscription of the key began."""
    return {
        path.name
        for path in list_log_files(records)
        for record in read_file_records(path)
        if record["surface"] == "subscription" and record["key_id"] == person_key
    }


async def ask(session: aiohttp.ClientSession, key: str, query: str) -> Any:
    """Over a connection of its own, which any process may take."""
    headers = {"authorization": f"Bearer {key}", "connection": "close"}
    async with session.post("/graphql", json={"query": query}, headers=headers) as reply:
        return await reply.json()


async def ask_often(session: aiohttp.ClientSession, key: str) -> str:
    """Ask so often that every process is asked, and return the code of all answers, or nothing where they differ."""
    answers = [await ask(session, key, "{ me { id } }") for _ in range(4 * WORKERS)]
    codes = {answer["errors"][0]["extensions"]["code"] if "errors" in answer else "" for answer in answers}
    return codes.pop() if len(codes) == 1 else ""


async def follow(session: aiohttp.ClientSession, key: str) -> aiohttp.ClientWebSocketResponse:
    socket = await session.ws_connect("/graphql", protocols=("graphql-transport-ws",))
    await socket.send_json({"type": "connection_init", "payload": {"Authorization": f"Bearer {key}"}})
    assert (await socket.receive_json())["type"] == "connection_ack"
    await socket.send_json({"type": "subscribe", "id": "1", "payload": {"query": FOLLOW}})
    return socket


async def stream(session: aiohttp.ClientSession, key: str) -> aiohttp.ClientResponse:
    headers = {"authorization": f"Bearer {key}", "accept": "text/event-stream"}
    return await session.post("/graphql", json={"query": FOLLOW}, headers=headers)


async def test_a_key_revoked_in_one_process_ends_in_all(company: Company, session: aiohttp.ClientSession) -> None:
    root = await asyncio.to_thread(create_key, company.folder, "root", "user-administration")
    ada = await asyncio.to_thread(create_key, company.folder, "ada")
    sockets: list[aiohttp.ClientWebSocketResponse] = []
    async with asyncio.timeout(SECONDS):
        while len(list_following_processes(company.records, ada.id)) < WORKERS:
            sockets.append(await follow(session, ada.text))
            await asyncio.sleep(0.05)
        events = await stream(session, ada.text)
        revoked = await ask(session, root.text, REVOKE)
        assert revoked["data"]["revokeApiKey"]["id"] == ada.id
        assert {await wait_closed(socket) for socket in sockets} == {4403}
        assert "UNAUTHENTICATED" in (await events.text())
        while await ask_often(session, ada.text) != "UNAUTHENTICATED":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await ask(session, root.text, "{ me { firstName } }"))["data"] == {"me": {"firstName": "root"}}


async def wait_closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
        pass
    return socket.close_code
