"""graphql-transport-ws at /graphql, sentence by sentence."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from auth import users
from onedoor.http.persisted_documents import PersistedDocuments, hash_document
from onedoor.model.catalog import Limits
from tests import acme
from tests.http.live.conftest import CHANGED, NAMES, PAGE, PROTOCOL, Door, Opening, until

NAME = '{ customer(id: "20") { name } }'


async def test_each_event_is_one_answer_in_order(door: Door) -> None:
    talk = await door.socket(door.key("sales").text)
    await talk.subscribe("1", NAMES)
    await until(lambda: door.outcomes("subscription") == ["answered"])
    for id in ("3", "1", "2"):
        await door.changed(id)
    told = [await talk.heard() for _ in range(3)]
    assert [(each["type"], each["id"], each["payload"]["data"]["customerChanged"]["id"]) for each in told] == [
        ("next", "1", "3"), ("next", "1", "1"), ("next", "1", "2"),
    ]  # fmt: skip


async def test_a_query_over_a_socket_is_told_what_it_is_told_over_http(door: Door) -> None:
    key = door.key("sales").text
    talk = await door.socket(key)
    await talk.subscribe("q", NAME)
    told = [await talk.heard(), await talk.heard()]
    async with door.session.post(door.url, json={"query": NAME}, headers={"x-api-key": key}) as reply:
        over_http = await reply.json(content_type=None)
    assert told == [{"id": "q", "type": "next", "payload": over_http}, {"id": "q", "type": "complete"}]
    assert [(each["surface"], each["outcome"], each["status"]) for each in door.records()] == [
        ("websocket", "answered", 200), ("graphql", "answered", 200),
    ]  # fmt: skip


REFUSED = {
    "not GraphQL": ("{", "GRAPHQL_PARSE_FAILED"),
    "no such field": ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
    "no such subscription": ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
    "no such field of an event": ("subscription { customerChanged { nothing } }", "GRAPHQL_VALIDATION_FAILED"),
}


@pytest.mark.parametrize(("query", "code"), REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_is_an_error_and_one_record(door: Door, query: str, code: str) -> None:
    talk = await door.socket(door.key("sales").text)
    await talk.subscribe("1", query)
    told = await talk.heard()
    assert (told["type"], told["id"], told["payload"][0]["extensions"]["code"]) == ("error", "1", code)
    assert door.outcomes() == ["refused"]


KEYS: dict[str, Any] = {
    "in the head": ({"headers": {"authorization": "Bearer {}"}}, {}),
    "in the head, as an API key": ({"headers": {"x-api-key": "{}"}}, None),
    "in connection_init": ({}, {"Authorization": "Bearer {}"}),
    "in connection_init, as an API key": ({}, {"x-api-key": "{}"}),
    "in both, the same": ({"headers": {"x-api-key": "{}"}}, {"authorization": "Bearer {}"}),
}


def keyed(what: Any, key: str) -> Any:
    return json.loads(json.dumps(what).replace("{}", key, 1)) if what else what


@pytest.mark.parametrize(("more", "payload"), KEYS.values(), ids=KEYS)
async def test_a_key_comes_in_the_head_or_in_connection_init(door: Door, more: Any, payload: Any) -> None:
    key = door.key().text
    talk = await door.socket(**keyed(more, key))
    await talk.say("connection_init", payload=keyed(payload, key))
    assert await talk.heard() == {"type": "connection_ack"}


async def test_a_key_in_the_address_opens_nothing(door: Door) -> None:
    at = replace_path(door, f"?authorization=Bearer%20{door.key().text}")
    async with door.session.ws_connect(at, protocols=(PROTOCOL,)) as socket:
        await socket.send_str('{"type":"connection_init"}')
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4401


def replace_path(door: Door, more: str) -> str:
    return door.url + more


async def test_no_key_a_wrong_one_a_revoked_one_and_two_are_4401_and_on_record(door: Door) -> None:
    revoked, other = door.key(), door.key()
    users.revoke_key(door.state, revoked.id)
    for headers, payload in (
        ({}, None), ({}, {"x-api-key": "od_nonsense"}), ({}, {"x-api-key": revoked.text}), ({}, {"x-api-key": 7}),
        ({"x-api-key": other.text}, {"x-api-key": "another"}),
    ):  # fmt: skip
        talk = await door.socket(headers=headers)
        await talk.say("connection_init", payload=payload)
        assert await talk.closed() == (4401, "no valid key came, in the head or in `connection_init`")
    assert [(each["surface"], each["outcome"], each["person"]) for each in door.records()] == [
        ("websocket", "unauthenticated", None)
    ] * 5


async def test_failed_keys_of_an_address_are_counted(opening: Opening) -> None:
    door: Door = await opening(counted=replace(acme.UNCOUNTED, failed_keys_a_minute=1))
    codes = []
    for _ in range(2):
        talk = await door.socket()
        await talk.say("connection_init")
        codes.append((await talk.closed())[0])
    assert codes == [4401, 4429]
    await until(lambda: door.outcomes() == ["unauthenticated", "limited"])


async def test_a_question_before_connection_init_is_4401(door: Door) -> None:
    talk = await door.socket(headers={"x-api-key": door.key("sales").text})
    await talk.subscribe("1", NAME)
    assert (await talk.closed())[0] == 4401
    assert door.records() == []


async def test_who_does_not_say_who_they_are_in_time_is_4408(opening: Opening) -> None:
    door: Door = await opening(limits=Limits(connection_init_timeout=0.1))
    talk = await door.socket()
    told = "`connection_init` did not come within the limit `connection_init_timeout` of 0.1, send it first"
    assert await talk.closed() == (4408, told)


async def test_connection_init_twice_is_4429(door: Door) -> None:
    talk = await door.socket(door.key().text)
    await talk.say("connection_init")
    assert (await talk.closed())[0] == 4429


async def test_an_id_that_is_under_way_is_4409_and_may_be_used_again_after(door: Door) -> None:
    talk = await door.socket(door.key("sales").text)
    for _ in range(3):
        await talk.subscribe("1", NAME)
        assert [(await talk.heard())["type"], (await talk.heard())["type"]] == ["next", "complete"]
    await talk.subscribe("1", CHANGED)
    await talk.subscribe("1", NAME)
    assert (await talk.closed())[0] == 4409


async def test_ping_is_answered_and_pong_passed_over(door: Door) -> None:
    talk = await door.socket(door.key().text)
    await talk.say("pong")
    await talk.say("ping")
    assert await talk.heard() == {"type": "pong"}


async def test_at_most_ten_subscriptions_and_the_others_go_on(door: Door) -> None:
    talk = await door.socket(door.key("sales").text)
    for number in range(11):
        await talk.subscribe(str(number), CHANGED)
    told = await talk.heard()
    assert (told["type"], told["payload"][0]["extensions"]["code"]) == ("error", "LIMIT_EXCEEDED")
    assert "`subscriptions_max` of 10, end one of them" in told["payload"][0]["message"]
    await until(lambda: sorted(door.outcomes()) == ["answered"] * 10 + ["limited"])
    await door.changed("20")
    assert {(await talk.heard())["id"] for _ in range(10)} == {str(number) for number in range(11)} - {told["id"]}
    await talk.say("complete", "0")
    await until(lambda: "cancelled" in door.outcomes())
    await talk.subscribe("0", CHANGED)
    await until(lambda: door.outcomes("subscription").count("answered") == 21)


async def test_complete_ends_a_subscription_and_nothing_of_it_comes_after(door: Door) -> None:
    talk = await door.socket(door.key("sales").text)
    await talk.subscribe("1", CHANGED)
    await until(lambda: door.outcomes() == ["answered"])
    await talk.say("complete", "1")
    await until(lambda: door.outcomes() == ["answered", "cancelled"])
    await door.changed("20")
    await talk.subscribe("2", NAME)
    assert (await talk.heard())["id"] == "2"


async def test_messages_count_with_the_requests_of_the_key(opening: Opening) -> None:
    door: Door = await opening(counted=replace(acme.UNCOUNTED, requests_a_minute=3))
    talk = await door.socket(door.key("sales").text)
    kinds = []
    for id in ("1", "2", "3"):
        await talk.subscribe(id, NAME)
        kinds.append((await talk.heard())["type"])
        if kinds[-1] == "next":
            await talk.heard()
    assert kinds == ["next", "next", "error"]
    await talk.say("ping")
    assert (await talk.closed())[0] == 4429
    await until(lambda: door.outcomes() == ["answered", "answered", "limited"])


async def test_a_full_house_answers_no_more_over_a_socket(opening: Opening) -> None:
    door: Door = await opening(counted=replace(acme.UNCOUNTED, concurrency_max=1))
    talk = await door.socket(door.key("sales").text)
    with door.counter.rate_limiter:
        await talk.subscribe("1", NAME)
        assert "concurrency_max" in (await talk.heard())["payload"][0]["message"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as turned:
            await door.socket()
    assert turned.value.status == 503


HANDSHAKES = {
    "the older protocol": (("graphql-ws",), {}, 400),
    "no protocol": ((), {}, 400),
    "another page": ((PROTOCOL,), {"origin": "https://evil.example"}, 403),
    "a page without an origin": ((PROTOCOL,), {"origin": "null"}, 403),
    "a page that looks like ours": ((PROTOCOL,), {"origin": "http://127.0.0.1"}, 403),
}


@pytest.mark.parametrize(("protocols", "headers", "status"), HANDSHAKES.values(), ids=HANDSHAKES)
async def test_who_may_not_come_in_is_told_by_http(door: Door, protocols: Any, headers: Any, status: int) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as turned:
        await door.session.ws_connect(door.url, protocols=protocols, headers=headers)
    assert turned.value.status == status


@pytest.mark.parametrize("own", [True, False], ids=["the door's own page", "a page that is listed"])
async def test_a_page_that_may_call_in_may_open_a_socket(door: Door, own: bool) -> None:
    talk = await door.socket(door.key().text, headers={"origin": door.url.removesuffix("/graphql") if own else PAGE})
    await talk.say("ping")
    assert await talk.heard() == {"type": "pong"}


async def test_there_are_sockets_at_graphql_alone(door: Door) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as turned:
        await door.session.ws_connect(door.url.replace("/graphql", "/other"), protocols=(PROTOCOL,))
    assert turned.value.status == 404


async def test_a_message_over_the_limit_of_a_body_is_1009(opening: Opening) -> None:
    door: Door = await opening(limits=Limits(body_bytes=1000))
    talk = await door.socket(door.key().text)
    await talk.subscribe("1", "#" * 2000)
    assert (await talk.closed())[0] == 1009


async def test_connections_of_an_address_are_counted_with_the_others(opening: Opening) -> None:
    door: Door = await opening(limits=Limits(connections_an_address=2))
    held = [await door.socket(), await door.socket()]
    with pytest.raises(aiohttp.WSServerHandshakeError) as turned:
        await door.socket()
    assert (turned.value.status, len(held)) == (429, 2)


async def test_groups_are_those_of_each_event(door: Door) -> None:
    email = door.person()
    talk = await door.socket(users.create_key(door.state, email).text)
    await talk.subscribe("1", CHANGED)
    await until(lambda: door.outcomes() == ["answered"])
    seen = []
    for act in (None, users.join_group, users.leave_group):
        if act is not None:
            act(door.state, email, "sales")
            await asyncio.sleep(1.1)  # what is believed for a second
        await door.changed("20")
        told = await talk.heard()
        seen.append((told["payload"]["data"]["customerChanged"] or {}).get("name") is not None)
    assert seen == [False, True, False]
    assert ["sales" in each["groups"] for each in door.records()] == [False, False, True, False]


async def test_begin_events_and_end_are_on_record_and_name_the_beginning(door: Door) -> None:
    talk = await door.socket(door.key("sales").text)
    await talk.subscribe("1", CHANGED)
    await until(lambda: door.outcomes() == ["answered"])
    await door.changed("20")
    await talk.heard()
    await talk.say("complete", "1")
    await until(lambda: len(door.records()) == 3)
    begun, event, end = door.records()
    assert [(each["outcome"], each["events"]) for each in (begun, event, end)] == [
        ("answered", None), ("answered", None), ("cancelled", 1),
    ]  # fmt: skip
    assert {each["subscription"] for each in (begun, event, end)} == {begun["id"]}
    assert (event["fields"], event["rows"], begun["fields"]) == (["Query.customer", "Customer.name"], 1, [])


async def test_what_cannot_be_recorded_is_not_told(door: Door) -> None:
    talk = await door.socket(door.key("sales").text)
    await talk.subscribe("1", CHANGED)
    await until(lambda: door.outcomes() == ["answered"])
    door.disk.broken = True
    await door.changed("20")
    told = await talk.heard()
    assert (told["type"], told["payload"][0]["extensions"]["code"]) == ("error", "AUDIT_UNAVAILABLE")


async def test_who_is_too_slow_is_told_rather_than_told_only_some(opening: Opening) -> None:
    door: Door = await opening(queue_size=3)
    talk = await door.socket(door.key("sales").text)
    await talk.subscribe("1", CHANGED)
    await until(lambda: door.outcomes() == ["answered"])
    store = door.counter.pubsub.store
    for _ in range(50):
        store.append("customer", "20", "20")
    door.counter.pubsub.wake()
    told = await talk.heard()
    while told["type"] == "next":
        told = await talk.heard()
    assert (told["type"], told["payload"][0]["extensions"]["code"]) == ("error", "LIMIT_EXCEEDED")
    assert told["payload"][0]["message"].endswith("subscribe again")
    await until(lambda: door.outcomes()[-1] == "limited")


async def test_what_happens_at_another_door_of_the_house_is_heard_here(opening: Opening) -> None:
    here, there = [await opening() for _ in range(2)]
    talk = await here.socket(here.key("sales").text)
    await talk.subscribe("1", CHANGED)
    await until(lambda: here.outcomes() == ["answered"])
    await there.changed("20")
    assert (await talk.heard())["payload"]["data"]["customerChanged"]["name"]


async def test_where_keys_cannot_be_checked_a_socket_is_closed_with_1013(door: Door) -> None:
    talk = await door.socket(door.key("sales").text)
    await talk.subscribe("1", CHANGED)
    await until(lambda: door.outcomes() == ["answered"])
    (door.folder / "state.sqlite").unlink()
    assert (await talk.closed())[0] == 1013
    await until(lambda: door.outcomes()[-1] in ("failed", "cancelled") and len(door.outcomes()) == 2)


async def test_a_subscription_that_ends_by_itself_is_complete(door: Door) -> None:
    talk = await door.socket(door.key("sales").text)
    await talk.subscribe("1", CHANGED)
    await until(lambda: door.outcomes() == ["answered"])
    await door.counter.pubsub.close()
    assert await talk.heard() == {"id": "1", "type": "complete"}
    assert door.outcomes() == ["answered", "answered"]


async def test_a_trusted_document_is_asked_for_by_its_digest_over_a_socket_too(opening: Opening) -> None:
    door: Door = await opening(
        documents=PersistedDocuments(find_trusted={hash_document(NAME): NAME}.get, trusted_only=True)
    )
    talk = await door.socket(door.key("sales").text)
    persisted = {"persistedQuery": {"version": 1, "sha256Hash": hash_document(NAME)}}
    await talk.say("subscribe", "1", payload={"extensions": persisted})
    assert (await talk.heard())["type"] == "next"
    await talk.heard()
    await talk.subscribe("2", "{ me { id } }")
    assert (await talk.heard())["payload"][0]["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
