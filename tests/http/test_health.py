"""What needs no key: /health, and that there is nothing elsewhere."""

import pytest

from onedoor.errors import ConnectorError
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.http.conftest import Door, Odd, Opening, hang


async def away(ask: ScanRequest) -> None:
    raise ConnectorError("`slack` is away: secret detail")


async def broken(ask: ScanRequest) -> None:
    raise ValueError("secret detail")


async def test_health_says_alive_ready_and_each_source_up_or_down_and_nothing_more(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onedoor.http.health.PING_SECONDS", 0.02)
    acts = {"slack": away, "s3": broken, "snowflake": hang}
    door: Door = await opening({name: Odd(acme.sources()[name], act) for name, act in acts.items()})
    told = await door.send("GET", "/health")
    assert (told.status, told.body) == (
        200,
        {
            "alive": True,
            "ready": True,
            "sources": {name: "down" if name in acts else "up" for name in acme.sources()},
        },
    )


async def test_health_is_not_on_record(door: Door) -> None:
    await door.send("GET", "/health")
    assert door.records() == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("path", ["/", "/graph", "/healthz", "/graphql/x", "/docs", "/openapi.json", "/favicon.ico"])
async def test_elsewhere_there_is_nothing(door: Door, method: str, path: str) -> None:
    told = await door.send(method, path, headers=door.bearer("sales"))
    assert (told.status, told.code, door.records()) == (404, "BAD_REQUEST", [])
