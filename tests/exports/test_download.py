"""A file is for who started its export, judged again each time; to anyone else there is none. One record each."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest

from auth.authentication import open_authenticator
from onedoor.app import App
from onedoor.exports.job import open_download
from onedoor.exports.models import ExportRequest, Format
from onedoor.exports.plan import start_export
from onedoor.exports.writer import run_export
from onedoor.http.rate_limit import RateLimiter
from onedoor.http.state import AppState
from onedoor.storage.database import MetadataDatabase
from tests import acme
from tests.exports.conftest import Room, Works
from tests.http.conftest import Keys, keys, served, state

__all__ = ["keys", "state"]
TEXT = "{ customers(first: 15) { nodes { id name } } }"


async def test_who_started_it_reads_it(room: Room) -> None:
    made = await room.made(TEXT, Format.JSONL, "sales")
    found = await open_download(room.clerk, room.store, acme.caller("sales"), "e1", "export.jsonl")
    assert found is not None
    assert b"".join([each async for each in found.chunks]) == await room.body(made)
    record = room.records()[-1]
    assert (record["surface"], record["bytes"], record["outcome"]) == ("export", made.files[0].bytes, "answered")
    assert record["fields"][:4] == ["Query.customers", "CustomerConnection.nodes", "Customer.id", "Customer.name"]


NOBODYS = [
    pytest.param(replace(acme.caller("sales"), person_id="P2"), "e1", "export.jsonl", id="another person"),
    pytest.param(acme.caller("sales"), "e2", "export.jsonl", id="another export"),
    pytest.param(acme.caller("sales"), "e1", "export.csv", id="another file"),
    pytest.param(acme.caller("sales"), "../e1", "export.jsonl", id="a way out"),
    pytest.param(acme.caller(), "e1", "export.jsonl", id="who left the group since"),
]


@pytest.mark.parametrize(("caller", "id", "name"), NOBODYS)
async def test_to_anyone_else_there_is_none(room: Room, caller: Any, id: str, name: str) -> None:
    await room.made(TEXT, Format.JSONL, "sales")
    assert await open_download(room.clerk, room.store, caller, id, name) is None


async def test_who_may_see_one_column_no_longer_reads_none(room: Room) -> None:
    text = "{ customers(first: 5) { nodes { id creditLimit } } }"
    await room.made(text, Format.CSV, "sales", "finance")
    assert await open_download(room.clerk, room.store, acme.caller("sales"), "e1", "export.csv") is None
    record = room.records()[-1]
    assert (record["outcome"], record["bytes"], record["fields"]) == ("refused", 0, [])
    assert record["withheld"] == [{"field": "Customer.creditLimit", "reason": "Customer.creditLimit"}]


async def test_what_is_not_done_has_no_file(room: Room) -> None:
    stated = await room.stated(TEXT, Format.JSONL, "sales")
    assert await open_download(room.clerk, room.store, acme.caller("sales"), "e1", "export.jsonl") is None
    await run_export(room.exporting(stated, Works(lambda looks: None)))
    assert await open_download(room.clerk, room.store, acme.caller("sales"), "e1", "export.jsonl") is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    url: str
    room: Room
    keys: Mapping[str, str]


@pytest.fixture
async def door(room: Room, state: MetadataDatabase, keys: Keys) -> AsyncIterator[Door]:
    """Over HTTP, an export of sales behind it."""
    known = open_authenticator(state, acme.GROUPS)
    app = App(None, None)  # type: ignore[arg-type]
    app.app_state = AppState(
        executor=room.clerk,
        authenticator=known,
        rate_limiter=RateLimiter(acme.UNCOUNTED),
        export_store=room.store,
    )
    caller = await known.authenticate(keys.of["sales"])
    assert caller is not None
    stated = await start_export(room.clerk, room.store, caller, "e1", ExportRequest(text=TEXT, format=Format.CSV))
    await run_export(room.exporting(stated, Works(lambda looks: caller)))

    async with served(app) as port:
        yield Door(url=f"http://127.0.0.1:{port}/exports", room=room, keys=keys.of)
    known.close()


async def asked(door: Door, path: str, who: str | None, method: str = "GET") -> tuple[int, bytes, Mapping[str, str]]:
    headers = {"authorization": f"Bearer {door.keys[who]}"} if who else {}
    async with aiohttp.ClientSession() as session, session.request(method, door.url + path, headers=headers) as reply:
        return reply.status, await reply.read(), reply.headers


async def test_a_file_comes_over_http(door: Door) -> None:
    status, body, headers = await asked(door, "/e1/export.csv", "sales")
    assert (status, body.splitlines()[0], len(body.splitlines())) == (200, b"id,name", 16)
    assert (headers["content-type"], headers["cache-control"]) == (
        "text/csv; charset=utf-8; header=present",
        "private, no-store",
    )
    assert headers["content-disposition"] == 'attachment; filename="export.csv"'


SHUT = [
    pytest.param("/e1/export.csv", None, "GET", 401, "unauthenticated", id="no key"),
    pytest.param("/e1/export.csv", "finance", "GET", 404, "refused", id="another's"),
    pytest.param("/e2/export.csv", "sales", "GET", 404, "refused", id="none"),
    pytest.param("/e1/..%2f..%2fjournal", "sales", "GET", 404, "refused", id="a way out"),
    pytest.param("/e1/export.csv", "sales", "DELETE", 405, "refused", id="another method"),
]


@pytest.mark.parametrize(("path", "who", "method", "status", "outcome"), SHUT)
async def test_who_gets_no_file_leaves_a_record(
    door: Door, path: str, who: str | None, method: str, status: int, outcome: str
) -> None:
    before = len(door.room.records())
    found = await asked(door, path, who, method)
    records = door.room.records()[before:]
    assert (found[0], [(each["status"], each["outcome"]) for each in records]) == (status, [(status, outcome)])


async def test_a_file_that_is_not_what_was_written_is_cut_off(door: Door) -> None:
    part = door.room.store.folder / "e1/range-0001/part-00001"
    part.write_bytes(part.read_bytes().replace(b",", b";", 1))
    with pytest.raises(aiohttp.ClientPayloadError):
        await asked(door, "/e1/export.csv", "sales")
