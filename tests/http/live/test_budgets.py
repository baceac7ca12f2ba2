"""Event streams and WebSockets have the budgets of their keys, and so has each event of a subscription."""

from onedoor.runtime.budgets import BudgetLimits, Budgets, BudgetSettings
from tests.http.live.conftest import NAMES, OpenServer, RunningServer
from tests.runtime.cache.cached_reader import Clock

NAME = '{ customer(id: "20") { name } }'


async def open_with(open_server: OpenServer, requests: int) -> RunningServer:
    budgets = Budgets(BudgetSettings(keys=BudgetLimits(requests=requests)), clock=Clock())
    server: RunningServer = await open_server(budgets=budgets)
    return server


async def test_an_operation_over_a_websocket_is_refused_with_the_time_to_come_again(open_server: OpenServer) -> None:
    server = await open_with(open_server, 1)
    websocket = await server.socket(server.key("sales").text)
    await websocket.subscribe("1", NAME)
    await websocket.receive(), await websocket.receive()
    await websocket.subscribe("2", NAME)
    refused = await websocket.receive()
    assert (refused["type"], refused["payload"][0]["extensions"]) == (
        "error", {"code": "LIMIT_EXCEEDED", "budget": "budgets.keys.requests", "retryAfter": 61},
    )  # fmt: skip


async def test_a_subscription_and_each_of_its_events_count(open_server: OpenServer) -> None:
    server = await open_with(open_server, 2)
    key = server.key("sales").text
    stream = await server.stream(key, NAMES)
    for id in ("3", "1"):
        await server.publish_change(id)
    events = [await stream.receive() for _ in range(2)]
    assert [(kind, "data" in body, "errors" in body) for kind, body in events] == [
        ("next", True, False), ("next", False, True),
    ]  # fmt: skip
    another = await server.stream(key, NAMES)
    assert (await another.receive())[1]["errors"][0]["extensions"]["budget"] == "budgets.keys.requests"
