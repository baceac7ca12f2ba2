"""Serve event streams at /graphql, one connection for each operation as graphql-sse does."""

from typing import Any
from urllib.parse import urlencode

import pytest

from auth import api_keys
from onedoor.model.catalog import Limits
from tests.http.live.conftest import CHANGED, NAMES, PAGE, OpenServer, RunningServer, wait_until

NAME = '{ customer(id: "20") { name } }'
URQL = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream"


async def test_each_event_is_a_next_in_order(server: RunningServer) -> None:
    stream = await server.stream(server.key("sales").text, NAMES)
    assert stream.reply.status == 200
    assert stream.reply.content_type == "text/event-stream"
    for id in ("3", "1", "2"):
        await server.publish_change(id)
    messages = [await stream.receive() for _ in range(3)]
    assert [(kind, item["data"]["customerChanged"]["id"]) for kind, item in messages] == [
        ("next", "3"), ("next", "1"), ("next", "2"),
    ]  # fmt: skip


async def test_a_query_is_one_next_and_complete(server: RunningServer) -> None:
    key = server.key("sales").text
    stream = await server.stream(key, NAME)
    async with server.session.post(server.url, json={"query": NAME}, headers={"x-api-key": key}) as reply:
        over_http = await reply.json(content_type=None)
    assert [await stream.receive() for _ in range(3)] == [("next", over_http), ("complete", None), ("end", None)]
    assert server.outcomes() == ["answered", "answered"]


async def test_a_client_that_takes_both_gets_json_for_a_query_and_a_stream_for_a_subscription(
    server: RunningServer,
) -> None:
    key = server.key("sales").text
    result = [await server.stream(key, query, headers={"accept": URQL}) for query in (NAME, CHANGED)]
    assert [item.reply.content_type for item in result] == ["application/graphql-response+json", "text/event-stream"]


async def test_a_stream_may_be_requested_by_get(server: RunningServer) -> None:
    headers = {"accept": "text/event-stream", "x-api-key": server.key("sales").text}
    async with server.session.get(f"{server.url}?{urlencode({'query': NAME})}", headers=headers) as reply:
        result = await reply.text()
    assert result.startswith(":\n\nevent: next\ndata: {")
    assert result.endswith("\n\nevent: complete\ndata: \n\n")


async def test_a_mutation_by_get_is_405_as_a_stream_too(server: RunningServer) -> None:
    headers = {"accept": "text/event-stream", "x-api-key": server.key("sales").text}
    async with server.session.get(f"{server.url}?{urlencode({'query': 'mutation { a }'})}", headers=headers) as reply:
        assert reply.status == 405


async def test_a_body_without_a_query_has_a_status_of_an_error(server: RunningServer) -> None:
    key = server.key().text
    headers = {"accept": "text/event-stream", "x-api-key": key}
    result = []
    for sent in ({"json": []}, {"data": b"{", "headers": {"content-type": "application/json"}}):
        more: Any = {**sent, "headers": {**headers, **sent.get("headers", {})}}  # type: ignore[dict-item]
        async with server.session.post(server.url, **more) as reply:
            result.append((reply.status, reply.content_type))
    async with server.session.post(server.url, json={"query": NAME}, headers={"accept": "text/event-stream"}) as reply:
        result.append((reply.status, reply.content_type))
    assert result == [(400, "application/json"), (400, "application/json"), (401, "application/json")]


REFUSED = {
    "no such subscription": ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
    "no such field": ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
}


@pytest.mark.parametrize(("query", "code"), REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_is_a_next_with_errors_and_complete(server: RunningServer, query: str, code: str) -> None:
    stream = await server.stream(server.key("sales").text, query)
    kind, result = await stream.receive()
    assert (kind, result["errors"][0]["extensions"]["code"]) == ("next", code)
    assert [await stream.receive() for _ in range(2)] == [("complete", None), ("end", None)]
    assert server.outcomes() == ["refused"]


async def test_who_leaves_is_listened_for_no_more(server: RunningServer) -> None:
    stream = await server.stream(server.key("sales").text, CHANGED)
    stream.reply.close()
    await wait_until(lambda: server.outcomes() == ["answered", "cancelled"])
    await wait_until(lambda: not server.app_state.active_streams.count_by_key)
    assert [record["events"] for record in server.records()] == [None, 0]


async def test_a_quiet_stream_gives_signs_of_life(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(limits=Limits(heartbeat_seconds=0.05))
    stream = await server.stream(server.key("sales").text, CHANGED)
    for _ in range(3):
        await stream.comment()


async def test_at_most_ten_streams_of_a_key(server: RunningServer) -> None:
    key, other = server.key("sales").text, server.key("sales").text
    streams = [await server.stream(key, CHANGED) for _ in range(10)]
    refused = await server.stream(key, CHANGED)
    body = await refused.reply.json(content_type=None)
    assert refused.reply.status == 429
    assert "`subscriptions_max` of 10, end one of them" in body["errors"][0]["message"]
    assert (await server.stream(other, CHANGED)).reply.status == 200
    streams[0].reply.close()
    await wait_until(lambda: "cancelled" in server.outcomes())
    await wait_until(lambda: sum(server.app_state.active_streams.count_by_key.values()) == 10)
    assert (await server.stream(key, CHANGED)).reply.status == 200


async def test_a_page_that_is_listed_may_read_a_stream(server: RunningServer) -> None:
    key = server.key("sales").text
    listed = await server.stream(key, NAME, headers={"origin": PAGE})
    other = await server.stream(key, NAME, headers={"origin": "https://evil.example"})
    result = [item.reply.headers.get("access-control-allow-origin") for item in (listed, other)]
    assert result == [PAGE, None]


async def test_an_event_that_cannot_be_recorded_is_not_sent(server: RunningServer) -> None:
    stream = await server.stream(server.key("sales").text, CHANGED)
    server.disk.broken = True
    await server.publish_change("20")
    kind, result = await stream.receive()
    assert (kind, result["errors"][0]["extensions"]["code"], "data" in result) == ("next", "AUDIT_UNAVAILABLE", False)
    assert (await stream.receive())[0] == "complete"


async def test_a_stream_is_not_one_of_the_requests_under_way(server: RunningServer) -> None:
    for _ in range(3):
        await server.stream(server.key("sales").text, CHANGED)
    assert server.app_state.rate_limiter.in_flight == 0


async def test_two_keys_of_which_one_is_revoked(server: RunningServer) -> None:
    valid, revoked = server.key("sales"), server.key("sales")
    streams = [await server.stream(item.text, CHANGED) for item in (valid, revoked)]
    api_keys.revoke_key(server.state, revoked.id)
    kind, result = await streams[1].receive()
    assert (kind, result["errors"][0]["extensions"]["code"]) == ("next", "UNAUTHENTICATED")
    await server.publish_change("20")
    assert (await streams[0].receive())[1]["data"]["customerChanged"] is not None
