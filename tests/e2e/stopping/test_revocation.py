"""A key that one process revokes opens nothing in any other, and what is under way with it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from auth import api_keys, users
from demo.servers.run import HOST
from onedoor.audit.reader import list_log_files, read_file_records
from onedoor.storage.database import open_database
from tests.companies import make_company, read_settings, run_server
from tests.servers.ports import find_free_port
from tests.test_company import JOB

REVOKE = 'mutation { revokeApiKey(input: {key: "ada@example.com", reason: "lost"}) { id } }'
WORKERS = 2
SECONDS = 30.0
"""The deadline is for what never happens."""
FOLLOW = 'subscription { jobChanged(id: "none") { id } }'


def create_keys(folder: Path) -> tuple[api_keys.IssuedKey, api_keys.IssuedKey]:
    """The keys of an administrator and of somebody else."""
    settings = read_settings(folder)
    with closing(open_database(settings.state.url, settings.state.pepper.encode())) as database:
        for name in ("root", "ada"):
            users.create_user(database, first_name=name, last_name="Example", email=f"{name}@example.com")
        users.join_group(database, "root@example.com", "user-administration")
        return (
            api_keys.create_key(database, "root@example.com"),
            api_keys.create_key(database, "ada@example.com"),
        )


def list_following_processes(folder: Path, person_key: str) -> set[str]:
    """The log files, one of each process, in which a subscription of the key began."""
    return {
        path.name
        for path in list_log_files(read_settings(folder).records.folder)
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


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[tuple[aiohttp.ClientSession, Path]]:
    folder, port = make_company(tmp_path / "company", {"jobs/sweep.py": JOB}), find_free_port()
    command = ["onedoor", "--company", str(folder), "serve", "--workers", str(WORKERS), "--port", str(port)]
    with run_server(command, port, tmp_path):
        async with aiohttp.ClientSession(f"http://{HOST}:{port}") as session:
            yield session, folder


async def test_a_key_revoked_in_one_process_ends_in_all(session: tuple[aiohttp.ClientSession, Path]) -> None:
    client, folder = session
    root, ada = await asyncio.to_thread(create_keys, folder)
    sockets: list[aiohttp.ClientWebSocketResponse] = []
    async with asyncio.timeout(SECONDS):
        while len(list_following_processes(folder, ada.id)) < WORKERS:
            sockets.append(await follow(client, ada.text))
            await asyncio.sleep(0.05)
        events = await stream(client, ada.text)
        revoked = await ask(client, root.text, REVOKE)
        assert revoked["data"]["revokeApiKey"]["id"] == ada.id
        assert {await wait_closed(socket) for socket in sockets} == {4403}
        assert "UNAUTHENTICATED" in (await events.text())
        while await ask_often(client, ada.text) != "UNAUTHENTICATED":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await ask(client, root.text, "{ me { firstName } }"))["data"] == {"me": {"firstName": "root"}}


async def wait_closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
        pass
    return socket.close_code
