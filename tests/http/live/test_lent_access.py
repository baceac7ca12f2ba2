"""A subscription that began under a grant ends soon after the grant does; what needs none goes on."""

import pytest

from auth import api_keys
from onedoor.errors import ErrorCode
from onedoor.http import subscription_stream
from tests.http.live.conftest import CHANGED, RunningServer, wait_until
from tests.lent_access import give_back, lend


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription_stream, "GRANT_RECHECK_SECONDS", 0.05)


async def test_a_subscription_over_a_socket_ends_with_the_grant_and_the_socket_stays(server: RunningServer) -> None:
    email = server.person()
    grant = lend(server.state, email, "sales")
    websocket = await server.socket(api_keys.create_key(server.state, email).text)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"])
    await server.publish_change("20")
    assert (await websocket.receive())["type"] == "next"
    give_back(server.state, email, grant)
    ended = await websocket.receive()
    assert (ended["id"], ended["type"], ended["payload"][0]["extensions"]["code"]) == (
        "1",
        "error",
        ErrorCode.FORBIDDEN,
    )
    assert ended["payload"][0]["message"] == (
        f"your grant `{grant.id}` of `sales` has ended: ask for access again with `requestAccess`"
    )
    await websocket.subscribe("2", "{ me { groups grants } }")
    assert (await websocket.receive())["payload"]["data"] == {"me": {"groups": ["everyone"], "grants": []}}
    assert [(record["outcome"], record["status"], record["grants"]) for record in server.records("subscription")] == [
        ("answered", 200, [grant.id]),
        ("answered", 200, [grant.id]),
        ("refused", 403, [grant.id]),
    ]


async def test_an_event_stream_ends_with_the_grant(server: RunningServer) -> None:
    email = server.person()
    grant = lend(server.state, email, "sales")
    stream = await server.stream(api_keys.create_key(server.state, email).text, CHANGED)
    give_back(server.state, email, grant)
    kind, result = await stream.receive()
    assert (kind, result["errors"][0]["extensions"]["code"]) == ("next", ErrorCode.FORBIDDEN)
    assert await stream.receive() == ("complete", None)


async def test_a_subscription_that_began_without_the_grant_outlives_it(server: RunningServer) -> None:
    email = server.person("sales")
    websocket = await server.socket(api_keys.create_key(server.state, email).text)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"])
    grant = lend(server.state, email, "finance")
    await server.publish_change("20")
    assert (await websocket.receive())["type"] == "next"
    give_back(server.state, email, grant)
    await server.publish_change("20")
    assert (await websocket.receive())["type"] == "next"
