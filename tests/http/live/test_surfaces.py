"""The same request leaves the same record, log line and error, whatever surface it comes from."""

import ast
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from onedoor.audit.log import AuditLogUnavailable
from onedoor.audit.record import Surface
from onedoor.query.context import GraphQLRequest
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.http.conftest import HookedConnector
from tests.http.live.conftest import OpenServer, RunningServer, wait_until

ROOT = Path(__file__).parents[3]
QUERY = "{ customer(id: 1) { name } }"
SECRET = "a password in a message"


async def crash(request: ScanRequest) -> None:
    raise ValueError(SECRET)


Errors = list[Mapping[str, Any]]
Send = Callable[[RunningServer, str], Awaitable[Errors]]


async def send_as_json(server: RunningServer, query: str) -> Errors:
    return await _post(server, query, "application/json")


async def send_as_graphql(server: RunningServer, query: str) -> Errors:
    return await _post(server, query, "application/graphql-response+json")


async def _post(server: RunningServer, query: str, accept: str) -> Errors:
    headers = {"accept": accept, "authorization": f"Bearer {server.key('sales').text}"}
    async with server.session.post(server.url, json={"query": query}, headers=headers) as response:
        errors: Errors = (await response.json(content_type=None))["errors"]
        return errors


async def send_over_event_stream(server: RunningServer, query: str) -> Errors:
    stream = await server.stream(server.key("sales").text, query)
    _, payload = await stream.receive()
    errors: Errors = payload["errors"]
    return errors


async def send_over_websocket(server: RunningServer, query: str) -> Errors:
    websocket = await server.socket(server.key("sales").text)
    await websocket.subscribe("1", query)
    message = await websocket.receive()
    errors: Errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    return errors


async def send_from_job(server: RunningServer, query: str) -> Errors:
    return await _run(server, query, Surface.JOB)


async def send_from_export(server: RunningServer, query: str) -> Errors:
    return await _run(server, query, Surface.EXPORT)


async def _run(server: RunningServer, query: str, surface: Surface) -> Errors:
    principal = await server.app_state.authenticator.authenticate(server.key("sales").text)
    assert principal is not None
    result = await server.app_state.executor.run(principal, GraphQLRequest(query=query), surface=surface)
    return [{"message": error.message, "extensions": {"code": error.code}} for error in result.errors]


SURFACES = [
    pytest.param(send_as_json, "graphql", id="HTTP in JSON"),
    pytest.param(send_as_graphql, "graphql", id="HTTP in the media type of GraphQL"),
    pytest.param(send_over_event_stream, "graphql", id="an event stream"),
    pytest.param(send_over_websocket, "websocket", id="a WebSocket"),
    pytest.param(send_from_job, "job", id="a job"),
    pytest.param(send_from_export, "export", id="a page of an export"),
]


@pytest.mark.parametrize(("send", "surface"), SURFACES)
async def test_a_crash_is_masked_logged_and_recorded_alike(
    open_server: OpenServer, caplog: pytest.LogCaptureFixture, send: Send, surface: str
) -> None:
    server: RunningServer = await open_server(sources={"internal": HookedConnector(acme.sources()["internal"], crash)})
    with caplog.at_level(logging.ERROR, logger="onedoor"):
        errors = await send(server, QUERY)
    await wait_until(lambda: len(server.records()) == 1)
    (record,) = server.records()
    message = f"something went wrong here; it is on record as {record['id']}"
    lines = [line.getMessage() for line in caplog.records]
    assert [(error["message"], error["extensions"]["code"]) for error in errors] == [(message, "INTERNAL")]
    assert (record["surface"], record["outcome"], record["status"]) == (surface, "crashed", 500)
    assert [line.partition(":")[0] for line in lines] == [f"request {record['id']} crashed"]
    assert SECRET not in str(lines)


@pytest.mark.parametrize(("send", "surface"), SURFACES)
async def test_a_refusal_has_one_status_on_record(open_server: OpenServer, send: Send, surface: str) -> None:
    server: RunningServer = await open_server()
    errors = await send(server, "{ nobody }")
    await wait_until(lambda: len(server.records()) == 1)
    (record,) = server.records()
    assert [error["extensions"]["code"] for error in errors] == ["GRAPHQL_VALIDATION_FAILED"]
    assert (record["surface"], record["outcome"], record["status"]) == (surface, "refused", 400)


@pytest.mark.parametrize(("send", "surface"), SURFACES)
async def test_nothing_is_shown_without_a_record(open_server: OpenServer, send: Send, surface: str) -> None:
    server: RunningServer = await open_server()
    server.disk.broken = True
    if surface in ("job", "export"):
        with pytest.raises(AuditLogUnavailable):
            await send(server, QUERY)
        return
    assert [error["extensions"]["code"] for error in await send(server, QUERY)] == ["AUDIT_UNAVAILABLE"]


def test_the_executor_alone_calls_the_engine() -> None:
    callers = {
        path.relative_to(ROOT).as_posix()
        for folder in ("auth", "onedoor", "resolvers", "schema", "jobs", "demo")
        for path in (ROOT / folder).rglob("*.py")
        if _uses_engine_execute(ast.parse(path.read_text()))
    }
    assert callers == {"onedoor/query/audited.py"}


def _uses_engine_execute(module: ast.Module) -> bool:
    """Whether a module imports `execute` of the engine, or reads it as an attribute of the engine's module."""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module == "onedoor.query.engine":
            if any(name.name == "execute" for name in node.names):
                return True
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("query_engine.execute", "engine.execute"):
            return True
    return False
