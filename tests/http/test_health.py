"""Serve /health without a key, and nothing elsewhere."""

import asyncio

import pytest

from onedoor.audit.checkpointer import Sealing
from onedoor.errors import ConnectorError
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.audit.sealed_logs import NEVER, SIGNER, MemoryStore
from tests.http.conftest import HookedConnector, OpenServer, RunningServer, hang


async def raise_unavailable(ask: ScanRequest) -> None:
    raise ConnectorError("`slack` is away: secret detail")


async def broken(ask: ScanRequest) -> None:
    raise ValueError("secret detail")


async def test_health_says_alive_ready_and_each_source_up_or_down_and_nothing_more(
    open_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onedoor.http.health.PING_SECONDS", 0.02)
    acts = {"slack": raise_unavailable, "s3": broken, "snowflake": hang}
    server: RunningServer = await open_server(
        {name: HookedConnector(acme.sources()[name], act) for name, act in acts.items()}
    )
    response = await server.send("GET", "/health")
    assert (response.status, response.body) == (
        200,
        {
            "alive": True,
            "ready": True,
            "sources": {name: "down" if name in acts else "up" for name in acme.sources()},
        },
    )


async def test_health_says_whether_checkpoints_reach_their_second_place(open_server: OpenServer) -> None:
    store = MemoryStore(is_down=True)
    server: RunningServer = await open_server(sealing=Sealing(signer=SIGNER, seconds=NEVER, stores=(store,)))
    checkpointer = server.app_state.executor.audit_log.checkpointer
    assert checkpointer is not None
    seen = []
    for store.is_down in (True, False):
        await server.ask("{ __typename }")
        await asyncio.to_thread(checkpointer.seal)
        seen.append((await server.send("GET", "/health")).body["checkpoints"])
    assert seen == ["down", "up"]


async def test_health_is_not_on_record(server: RunningServer) -> None:
    await server.send("GET", "/health")
    assert server.records() == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("path", ["/", "/graph", "/healthz", "/graphql/x", "/docs", "/openapi.json", "/favicon.ico"])
async def test_elsewhere_there_is_nothing(server: RunningServer, method: str, path: str) -> None:
    response = await server.send(method, path, headers=server.bearer("sales"))
    assert (response.status, response.code, server.records()) == (404, "BAD_REQUEST", [])
