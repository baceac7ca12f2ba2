"""Every route except /graphql replies as at commit 04bc0ab: status, headers and body, by method and key."""

import json
from pathlib import Path
from typing import Any

import pytest

from onedoor.exports.models import ExportRequest, Format
from onedoor.exports.plan import start_export
from onedoor.exports.writer import ExportRun, run_export
from tests.exports.conftest import FakeHost
from tests.http.conftest import OpenServer, RunningServer

GOLDEN = Path(__file__).parent / "golden" / "routes.json"
EXPORTED = "{ customers(first: 3) { nodes { id name } } }"
METHODS = ("GET", "HEAD", "OPTIONS", "POST")
PATHS = (
    "/health", "/health/", "/graphiql", "/graphiql/", "/graphiql/index.html", "/graphiql/LICENSES.txt",
    "/graphiql/nothing.js", "/graphiqlx", "/graphiql/permissions.json", "/exports", "/exports/", "/exports/e1",
    "/exports/e1/export.csv", "/exports/e1/nothing.csv", "/exports/e2/export.csv", "/", "/nothing", "/graphql/",
    "/docs", "/redoc", "/openapi.json",
)  # fmt: skip
KEYS = {"no key": None, "sales": "sales", "finance": "finance", "revoked": "revoked"}
ANYONES = ("no key", "sales")
VARYING = ("date", "server", "x-request-id", "etag")
"""Headers that differ between two runs."""
LARGE = ("/graphiql", "/graphiql/", "/graphiql/index.html", "/graphiql/LICENSES.txt", "/graphiql/permissions.json")
"""Paths whose body changes with GraphiQL's build, or Acme's schema; only whether there is one is compared."""


def list_requests() -> list[tuple[str, str, str]]:
    return [
        (method, path, key)
        for path in PATHS
        for method in METHODS
        for key in (KEYS if "permissions" in path or path.startswith("/exports/") else ANYONES)
    ]


@pytest.fixture
async def server_with_export(open_server: OpenServer) -> RunningServer:
    """Run a server that holds an export of someone in sales."""
    server: RunningServer = await open_server()
    principal = await server.app_state.authenticator.authenticate(server.keys.of["sales"])
    assert principal is not None
    request = ExportRequest(text=EXPORTED, format=Format.CSV)
    store = server.app_state.export_store
    assert store is not None
    plan = await start_export(server.app_state.executor, store, principal, "e1", request)
    host = FakeHost(lambda looks: principal)
    await run_export(ExportRun(executor=server.app_state.executor, store=store, host=host, plan=plan))
    return server


async def send(server: RunningServer, method: str, path: str, key: str) -> dict[str, Any]:
    text = {**server.keys.of, "revoked": server.keys.revoked}.get(KEYS[key] or "")
    reply = await server.send(method, path, headers={"authorization": f"Bearer {text}"} if text else {})
    headers = {name.lower(): value for name, value in reply.headers.items() if name.lower() not in VARYING}
    body = reply.raw.decode()
    if path in LARGE and reply.status == 200:
        headers["content-length"], body = "<length>", "<body>" if body else ""
    return {"status": reply.status, "headers": dict(sorted(headers.items())), "body": body}


async def test_every_route_replies_as_it_did(server_with_export: RunningServer) -> None:
    replies = {
        f"{method} {path} ({key})": await send(server_with_export, method, path, key)
        for method, path, key in list_requests()
    }
    assert replies == json.loads(GOLDEN.read_text())
