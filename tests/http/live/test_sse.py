"""Event streams at /graphql, as graphql-sse has a connection for each question."""

from typing import Any
from urllib.parse import urlencode

import pytest

from auth import users
from onedoor.model.catalog import Limits
from tests.http.live.conftest import CHANGED, NAMES, PAGE, Door, Opening, until

NAME = '{ customer(id: "20") { name } }'
URQL = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream"


async def test_each_event_is_a_next_in_order(door: Door) -> None:
    stream = await door.stream(door.key("sales").text, NAMES)
    assert stream.reply.status == 200
    assert stream.reply.content_type == "text/event-stream"
    for id in ("3", "1", "2"):
        await door.changed(id)
    told = [await stream.heard() for _ in range(3)]
    assert [(kind, each["data"]["customerChanged"]["id"]) for kind, each in told] == [
        ("next", "3"), ("next", "1"), ("next", "2"),
    ]  # fmt: skip


async def test_a_query_is_one_next_and_complete(door: Door) -> None:
    key = door.key("sales").text
    stream = await door.stream(key, NAME)
    async with door.session.post(door.url, json={"query": NAME}, headers={"x-api-key": key}) as reply:
        over_http = await reply.json(content_type=None)
    assert [await stream.heard() for _ in range(3)] == [("next", over_http), ("complete", None), ("end", None)]
    assert door.outcomes() == ["answered", "answered"]


async def test_a_query_of_a_client_that_takes_json_too_is_told_in_json_and_a_subscription_as_a_stream(
    door: Door,
) -> None:
    key = door.key("sales").text
    told = [await door.stream(key, query, headers={"accept": URQL}) for query in (NAME, CHANGED)]
    assert [each.reply.content_type for each in told] == ["application/graphql-response+json", "text/event-stream"]


async def test_a_stream_may_be_asked_for_by_get(door: Door) -> None:
    headers = {"accept": "text/event-stream", "x-api-key": door.key("sales").text}
    async with door.session.get(f"{door.url}?{urlencode({'query': NAME})}", headers=headers) as reply:
        told = await reply.text()
    assert told.startswith(":\n\nevent: next\ndata: {")
    assert told.endswith("\n\nevent: complete\ndata: \n\n")


async def test_a_mutation_by_get_is_405_as_a_stream_too(door: Door) -> None:
    headers = {"accept": "text/event-stream", "x-api-key": door.key("sales").text}
    async with door.session.get(f"{door.url}?{urlencode({'query': 'mutation { a }'})}", headers=headers) as reply:
        assert reply.status == 405


async def test_what_is_no_question_is_told_by_its_status(door: Door) -> None:
    key = door.key().text
    headers = {"accept": "text/event-stream", "x-api-key": key}
    told = []
    for sent in ({"json": []}, {"data": b"{", "headers": {"content-type": "application/json"}}):
        more: Any = {**sent, "headers": {**headers, **sent.get("headers", {})}}  # type: ignore[dict-item]
        async with door.session.post(door.url, **more) as reply:
            told.append((reply.status, reply.content_type))
    async with door.session.post(door.url, json={"query": NAME}, headers={"accept": "text/event-stream"}) as reply:
        told.append((reply.status, reply.content_type))
    assert told == [(400, "application/json"), (400, "application/json"), (401, "application/json")]


REFUSED = {
    "no such subscription": ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
    "no such field": ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
}


@pytest.mark.parametrize(("query", "code"), REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_is_a_next_with_errors_and_complete(door: Door, query: str, code: str) -> None:
    stream = await door.stream(door.key("sales").text, query)
    kind, told = await stream.heard()
    assert (kind, told["errors"][0]["extensions"]["code"]) == ("next", code)
    assert [await stream.heard() for _ in range(2)] == [("complete", None), ("end", None)]
    assert door.outcomes() == ["refused"]


async def test_who_leaves_is_listened_for_no_more(door: Door) -> None:
    stream = await door.stream(door.key("sales").text, CHANGED)
    stream.reply.close()
    await until(lambda: door.outcomes() == ["answered", "cancelled"])
    await until(lambda: not door.counter.active_streams.count_by_key)
    assert [each["events"] for each in door.records()] == [None, 0]


async def test_a_quiet_stream_gives_signs_of_life(opening: Opening) -> None:
    door: Door = await opening(limits=Limits(heartbeat_seconds=0.05))
    stream = await door.stream(door.key("sales").text, CHANGED)
    for _ in range(3):
        await stream.comment()


async def test_at_most_ten_streams_of_a_key(door: Door) -> None:
    key, other = door.key("sales").text, door.key("sales").text
    streams = [await door.stream(key, CHANGED) for _ in range(10)]
    refused = await door.stream(key, CHANGED)
    told = await refused.reply.json(content_type=None)
    assert refused.reply.status == 429
    assert "`subscriptions_max` of 10, end one of them" in told["errors"][0]["message"]
    assert (await door.stream(other, CHANGED)).reply.status == 200
    streams[0].reply.close()
    await until(lambda: "cancelled" in door.outcomes())
    await until(lambda: sum(door.counter.active_streams.count_by_key.values()) == 10)
    assert (await door.stream(key, CHANGED)).reply.status == 200


async def test_a_page_that_is_listed_may_read_a_stream(door: Door) -> None:
    key = door.key("sales").text
    listed = await door.stream(key, NAME, headers={"origin": PAGE})
    other = await door.stream(key, NAME, headers={"origin": "https://evil.example"})
    told = [each.reply.headers.get("access-control-allow-origin") for each in (listed, other)]
    assert told == [PAGE, None]


async def test_what_cannot_be_recorded_is_not_told(door: Door) -> None:
    stream = await door.stream(door.key("sales").text, CHANGED)
    door.disk.broken = True
    await door.changed("20")
    kind, told = await stream.heard()
    assert (kind, told["errors"][0]["extensions"]["code"], "data" in told) == ("next", "AUDIT_UNAVAILABLE", False)
    assert (await stream.heard())[0] == "complete"


async def test_a_stream_is_not_one_of_the_requests_under_way(door: Door) -> None:
    for _ in range(3):
        await door.stream(door.key("sales").text, CHANGED)
    assert door.counter.rate_limiter.in_flight == 0


async def test_two_keys_of_which_one_is_revoked(door: Door) -> None:
    kept, revoked = door.key("sales"), door.key("sales")
    streams = [await door.stream(each.text, CHANGED) for each in (kept, revoked)]
    users.revoke_key(door.state, revoked.id)
    kind, told = await streams[1].heard()
    assert (kind, told["errors"][0]["extensions"]["code"]) == ("next", "UNAUTHENTICATED")
    await door.changed("20")
    assert (await streams[0].heard())[1]["data"]["customerChanged"] is not None
