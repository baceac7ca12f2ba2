"""A file is for whoever started its export, with their present permissions; for anyone else it does not exist."""

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
from tests.exports.conftest import Exporter, FakeHost
from tests.http.conftest import Keys, keys, serve_app, state

__all__ = ["keys", "state"]
TEXT = "{ customers(first: 15) { nodes { id name } } }"


async def test_whoever_started_an_export_downloads_its_file(exporter: Exporter) -> None:
    summary = await exporter.export(TEXT, Format.JSONL, "sales")
    download = await open_download(exporter.executor, exporter.store, acme.caller("sales"), "e1", "export.jsonl")
    assert download is not None
    assert b"".join([chunk async for chunk in download.chunks]) == await exporter.read_file(summary)
    record = exporter.records()[-1]
    assert (record["surface"], record["bytes"], record["outcome"]) == ("export", summary.files[0].bytes, "answered")
    assert record["fields"][:4] == ["Query.customers", "CustomerConnection.nodes", "Customer.id", "Customer.name"]


OTHERS = [
    pytest.param(replace(acme.caller("sales"), person_id="P2"), "e1", "export.jsonl", id="another person"),
    pytest.param(acme.caller("sales"), "e2", "export.jsonl", id="another export"),
    pytest.param(acme.caller("sales"), "e1", "export.csv", id="another file"),
    pytest.param(acme.caller("sales"), "../e1", "export.jsonl", id="a way out"),
    pytest.param(acme.caller(), "e1", "export.jsonl", id="who left the group since"),
]


@pytest.mark.parametrize(("caller", "id", "name"), OTHERS)
async def test_for_anyone_else_the_file_does_not_exist(exporter: Exporter, caller: Any, id: str, name: str) -> None:
    await exporter.export(TEXT, Format.JSONL, "sales")
    assert await open_download(exporter.executor, exporter.store, caller, id, name) is None


async def test_a_file_is_closed_once_one_of_its_columns_is_denied(exporter: Exporter) -> None:
    text = "{ customers(first: 5) { nodes { id creditLimit } } }"
    await exporter.export(text, Format.CSV, "sales", "finance")
    assert await open_download(exporter.executor, exporter.store, acme.caller("sales"), "e1", "export.csv") is None
    record = exporter.records()[-1]
    assert (record["outcome"], record["bytes"], record["fields"]) == ("refused", 0, [])
    assert record["withheld"] == [{"field": "Customer.creditLimit", "reason": "Customer.creditLimit"}]


async def test_an_export_that_is_not_done_has_no_file(exporter: Exporter) -> None:
    plan = await exporter.start(TEXT, Format.JSONL, "sales")
    assert await open_download(exporter.executor, exporter.store, acme.caller("sales"), "e1", "export.jsonl") is None
    await run_export(exporter.build_run(plan, FakeHost(lambda looks: None)))
    assert await open_download(exporter.executor, exporter.store, acme.caller("sales"), "e1", "export.jsonl") is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    url: str
    exporter: Exporter
    keys: Mapping[str, str]


@pytest.fixture
async def server(exporter: Exporter, state: MetadataDatabase, keys: Keys) -> AsyncIterator[Server]:
    """Serve an export of sales over HTTP."""
    known = open_authenticator(state, acme.GROUPS)
    app = App(None, None)  # type: ignore[arg-type]
    app.app_state = AppState(
        executor=exporter.executor,
        authenticator=known,
        rate_limiter=RateLimiter(acme.UNLIMITED_RATES),
        export_store=exporter.store,
    )
    caller = await known.authenticate(keys.of["sales"])
    assert caller is not None
    plan = await start_export(
        exporter.executor, exporter.store, caller, "e1", ExportRequest(text=TEXT, format=Format.CSV)
    )
    await run_export(exporter.build_run(plan, FakeHost(lambda looks: caller)))

    async with serve_app(app) as port:
        yield Server(url=f"http://127.0.0.1:{port}/exports", exporter=exporter, keys=keys.of)
    known.close()


async def request(
    server: Server, path: str, who: str | None, method: str = "GET"
) -> tuple[int, bytes, Mapping[str, str]]:
    headers = {"authorization": f"Bearer {server.keys[who]}"} if who else {}
    async with aiohttp.ClientSession() as session, session.request(method, server.url + path, headers=headers) as reply:
        return reply.status, await reply.read(), reply.headers


async def test_a_file_is_served_over_http(server: Server) -> None:
    status, body, headers = await request(server, "/e1/export.csv", "sales")
    assert (status, body.splitlines()[0], len(body.splitlines())) == (200, b"id,name", 16)
    assert (headers["content-type"], headers["cache-control"]) == (
        "text/csv; charset=utf-8; header=present",
        "private, no-store",
    )
    assert headers["content-disposition"] == 'attachment; filename="export.csv"'


REFUSED = [
    pytest.param("/e1/export.csv", None, "GET", 401, "unauthenticated", id="no key"),
    pytest.param("/e1/export.csv", "finance", "GET", 404, "refused", id="another's"),
    pytest.param("/e2/export.csv", "sales", "GET", 404, "refused", id="none"),
    pytest.param("/e1/..%2f..%2fjournal", "sales", "GET", 404, "refused", id="a way out"),
    pytest.param("/e1/export.csv", "sales", "DELETE", 405, "refused", id="another method"),
]


@pytest.mark.parametrize(("path", "who", "method", "status", "outcome"), REFUSED)
async def test_a_refused_download_leaves_a_record(
    server: Server, path: str, who: str | None, method: str, status: int, outcome: str
) -> None:
    before = len(server.exporter.records())
    response = await request(server, path, who, method)
    records = server.exporter.records()[before:]
    assert (response[0], [(record["status"], record["outcome"]) for record in records]) == (status, [(status, outcome)])


async def test_a_file_that_is_not_what_was_written_is_cut_off(server: Server) -> None:
    part = server.exporter.store.folder / "e1/range-0001/part-00001"
    part.write_bytes(part.read_bytes().replace(b",", b";", 1))
    with pytest.raises(aiohttp.ClientPayloadError):
        await request(server, "/e1/export.csv", "sales")
