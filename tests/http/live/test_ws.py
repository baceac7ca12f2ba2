"""Serve graphql-transport-ws at /graphql, and test each sentence of its specification."""

import asyncio
import json
import logging
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from auth import api_keys, users
from onedoor.http.persisted_documents import PersistedDocuments, hash_document
from onedoor.model.catalog import Limits
from tests import acme
from tests.http.live.conftest import CHANGED, NAMES, PAGE, PROTOCOL, OpenServer, RunningServer, wait_until

NAME = '{ customer(id: "20") { name } }'


async def test_each_event_is_one_answer_in_order(server: RunningServer) -> None:
    websocket = await server.socket(server.key("sales").text)
    await websocket.subscribe("1", NAMES)
    await wait_until(lambda: server.outcomes("subscription") == ["answered"])
    for id in ("3", "1", "2"):
        await server.publish_change(id)
    messages = [await websocket.receive() for _ in range(3)]
    payloads = [message["payload"]["data"]["customerChanged"]["id"] for message in messages]
    assert [(message["type"], message["id"], id) for message, id in zip(messages, payloads, strict=True)] == [
        ("next", "1", "3"), ("next", "1", "1"), ("next", "1", "2"),
    ]  # fmt: skip


async def test_a_query_over_a_socket_gets_the_reply_of_http(server: RunningServer) -> None:
    key = server.key("sales").text
    websocket = await server.socket(key)
    await websocket.subscribe("q", NAME)
    result = [await websocket.receive(), await websocket.receive()]
    async with server.session.post(server.url, json={"query": NAME}, headers={"x-api-key": key}) as reply:
        over_http = await reply.json(content_type=None)
    assert result == [{"id": "q", "type": "next", "payload": over_http}, {"id": "q", "type": "complete"}]
    assert [(record["surface"], record["outcome"], record["status"]) for record in server.records()] == [
        ("websocket", "answered", 200), ("graphql", "answered", 200),
    ]  # fmt: skip


REFUSED = {
    "not GraphQL": ("{", "GRAPHQL_PARSE_FAILED"),
    "no such field": ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
    "no such subscription": ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
    "no such field of an event": ("subscription { customerChanged { nothing } }", "GRAPHQL_VALIDATION_FAILED"),
}


@pytest.mark.parametrize(("query", "code"), REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_is_an_error_and_one_record(server: RunningServer, query: str, code: str) -> None:
    websocket = await server.socket(server.key("sales").text)
    await websocket.subscribe("1", query)
    message = await websocket.receive()
    assert (message["type"], message["id"], message["payload"][0]["extensions"]["code"]) == ("error", "1", code)
    assert server.outcomes() == ["refused"]


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
async def test_a_key_comes_in_the_head_or_in_connection_init(server: RunningServer, more: Any, payload: Any) -> None:
    key = server.key().text
    websocket = await server.socket(**keyed(more, key))
    await websocket.send("connection_init", payload=keyed(payload, key))
    assert await websocket.receive() == {"type": "connection_ack"}


async def test_a_key_in_the_address_opens_nothing(server: RunningServer) -> None:
    at = replace_path(server, f"?authorization=Bearer%20{server.key().text}")
    async with server.session.ws_connect(at, protocols=(PROTOCOL,)) as socket:
        await socket.send_str('{"type":"connection_init"}')
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4401


def replace_path(server: RunningServer, more: str) -> str:
    return server.url + more


async def test_no_key_a_wrong_one_a_revoked_one_and_two_are_4401_and_on_record(server: RunningServer) -> None:
    revoked, other = server.key(), server.key()
    api_keys.revoke_key(server.state, revoked.id)
    for headers, payload in (
        ({}, None), ({}, {"x-api-key": "od_nonsense"}), ({}, {"x-api-key": revoked.text}), ({}, {"x-api-key": 7}),
        ({"x-api-key": other.text}, {"x-api-key": "another"}),
    ):  # fmt: skip
        websocket = await server.socket(headers=headers)
        await websocket.send("connection_init", payload=payload)
        assert await websocket.wait_closed() == (4401, "no valid key came, in the head or in `connection_init`")
    assert [(record["surface"], record["outcome"], record["person"]) for record in server.records()] == [
        ("websocket", "unauthenticated", None)
    ] * 5


async def test_failed_keys_of_an_address_are_counted(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=replace(acme.UNLIMITED_RATES, failed_keys_a_minute=1))
    codes = []
    for _ in range(2):
        websocket = await server.socket()
        await websocket.send("connection_init")
        codes.append((await websocket.wait_closed())[0])
    assert codes == [4401, 1013]
    await wait_until(lambda: server.outcomes() == ["unauthenticated", "limited"])


async def test_a_question_before_connection_init_is_4401(server: RunningServer) -> None:
    websocket = await server.socket(headers={"x-api-key": server.key("sales").text})
    await websocket.subscribe("1", NAME)
    assert (await websocket.wait_closed())[0] == 4401
    assert server.records() == []


async def test_who_does_not_say_who_they_are_in_time_is_4408(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(limits=Limits(connection_init_timeout=0.1))
    websocket = await server.socket()
    text = "`connection_init` did not come within the limit `connection_init_timeout` of 0.1, send it first"
    assert await websocket.wait_closed() == (4408, text)


async def test_connection_init_twice_is_4429(server: RunningServer) -> None:
    websocket = await server.socket(server.key().text)
    await websocket.send("connection_init")
    assert (await websocket.wait_closed())[0] == 4429


async def test_an_id_that_is_under_way_is_4409_and_may_be_used_again_after(server: RunningServer) -> None:
    websocket = await server.socket(server.key("sales").text)
    for _ in range(3):
        await websocket.subscribe("1", NAME)
        assert [(await websocket.receive())["type"], (await websocket.receive())["type"]] == ["next", "complete"]
    await websocket.subscribe("1", CHANGED)
    await websocket.subscribe("1", NAME)
    assert (await websocket.wait_closed())[0] == 4409


async def test_ping_is_answered_and_pong_passed_over(server: RunningServer) -> None:
    websocket = await server.socket(server.key().text)
    await websocket.send("pong")
    await websocket.send("ping")
    assert await websocket.receive() == {"type": "pong"}


async def test_ping_is_answered_before_connection_init_too(server: RunningServer) -> None:
    websocket = await server.socket()
    for _ in range(2):
        await websocket.send("ping", payload={"any": "thing"})
        assert await websocket.receive() == {"type": "pong"}
    await websocket.send("connection_init", payload={"x-api-key": server.key().text})
    assert await websocket.receive() == {"type": "connection_ack"}


async def test_ping_before_connection_init_wins_no_time(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(limits=Limits(connection_init_timeout=0.1))
    websocket = await server.socket()
    code = None
    while not isinstance(code, int):
        if not websocket.socket.closed:
            await websocket.send("ping")
        code = await websocket.receive()
    assert code == 4408


async def test_the_subscriptions_of_a_key_are_counted_over_all_its_connections(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=replace(acme.UNLIMITED_RATES, subscriptions_a_key=2))
    key = server.key("sales").text
    first, second = [await server.socket(key) for _ in range(2)]
    await first.subscribe("a", CHANGED)
    await first.subscribe("b", CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"] * 2)
    await second.subscribe("c", CHANGED)
    message = await second.receive()
    assert "`subscriptions_a_key` of 2, end one of them" in message["payload"][0]["message"]
    await first.send("complete", "a")
    await wait_until(lambda: server.outcomes() == ["answered", "answered", "limited", "cancelled"])
    await second.subscribe("d", CHANGED)
    await wait_until(lambda: server.outcomes()[4:] == ["answered"])


async def test_a_subscription_holds_its_bytes_for_as_long_as_it_lasts(open_server: OpenServer) -> None:
    limits = replace(acme.UNLIMITED_RATES, body_bytes=1_000, request_bytes_a_key=1_500)
    server: RunningServer = await open_server(rate_limits=limits)
    websocket = await server.socket(server.key("sales").text)
    await websocket.subscribe("a", CHANGED + " " * 800)
    await wait_until(lambda: server.outcomes() == ["answered"])
    await websocket.subscribe("b", NAME + " " * 800)
    message = await websocket.receive()
    assert "`request_bytes_a_key` of 1500, come again in 1 s" in message["payload"][0]["message"]
    await websocket.send("complete", "a")
    await wait_until(lambda: server.app_state.rate_limiter.bytes_by_key == {})


async def test_at_most_ten_subscriptions_and_the_others_go_on(server: RunningServer) -> None:
    websocket = await server.socket(server.key("sales").text)
    for number in range(11):
        await websocket.subscribe(str(number), CHANGED)
    message = await websocket.receive()
    assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "LIMIT_EXCEEDED")
    assert "`subscriptions_max` of 10, end one of them" in message["payload"][0]["message"]
    await wait_until(lambda: sorted(server.outcomes()) == ["answered"] * 10 + ["limited"])
    await server.publish_change("20")
    assert {(await websocket.receive())["id"] for _ in range(10)} == {str(number) for number in range(11)} - {
        message["id"]
    }
    await wait_until(lambda: server.outcomes("subscription").count("answered") == 20)


async def test_a_subscription_that_ends_frees_its_id_and_its_place_at_once(server: RunningServer) -> None:
    websocket = await server.socket(server.key("sales").text)
    for number in range(10):
        await websocket.subscribe(str(number), CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"] * 10)
    await websocket.send("complete", "0")
    await websocket.subscribe("0", CHANGED)
    await wait_until(lambda: sorted(server.outcomes()) == ["answered"] * 11 + ["cancelled"])
    await server.publish_change("20")
    assert {(await websocket.receive())["id"] for _ in range(10)} == {str(number) for number in range(10)}
    await websocket.subscribe("10", CHANGED)
    assert (await websocket.receive())["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_complete_ends_a_subscription_and_nothing_of_it_comes_after(server: RunningServer) -> None:
    websocket = await server.socket(server.key("sales").text)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"])
    await websocket.send("complete", "1")
    await wait_until(lambda: server.outcomes() == ["answered", "cancelled"])
    await server.publish_change("20")
    await websocket.subscribe("2", NAME)
    assert (await websocket.receive())["id"] == "2"


async def test_messages_count_with_the_requests_of_the_key(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=replace(acme.UNLIMITED_RATES, requests_a_minute=3))
    websocket = await server.socket(server.key("sales").text)
    kinds = []
    for id in ("1", "2", "3"):
        await websocket.subscribe(id, NAME)
        kinds.append((await websocket.receive())["type"])
        if kinds[-1] == "next":
            await websocket.receive()
    assert kinds == ["next", "next", "error"]
    await websocket.send("ping")
    assert (await websocket.wait_closed())[0] == 1013
    await wait_until(lambda: server.outcomes() == ["answered", "answered", "limited"])


@pytest.mark.parametrize("first", ["connection_init", "ping", "subscribe"])
async def test_over_the_rate_a_socket_is_closed_with_a_code_that_clients_come_back_from(
    open_server: OpenServer, first: str
) -> None:
    server: RunningServer = await open_server(rate_limits=replace(acme.UNLIMITED_RATES, requests_a_minute=1))
    key = server.key("sales").text
    if first == "connection_init":
        await server.socket(key)
    websocket = await server.socket(headers={"x-api-key": key})
    await websocket.send("connection_init")
    if first == "ping":
        await websocket.send("ping")
    if first == "subscribe":
        await websocket.subscribe("1", CHANGED)
    code, reason = await websocket.wait_closed()
    assert (code, "`requests_a_minute` of 1, come again in 60 s" in reason) == (1013, True)


async def test_a_server_at_capacity_answers_no_more_over_a_socket(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=replace(acme.UNLIMITED_RATES, concurrency_max=1))
    websocket = await server.socket(server.key("sales").text)
    with server.app_state.rate_limiter.hold_place("another"):
        await websocket.subscribe("1", NAME)
        assert "concurrency_max" in (await websocket.receive())["payload"][0]["message"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as turned:
            await server.socket()
    assert (turned.value.status, turned.value.headers["retry-after"]) == (503, "1")


HANDSHAKES = {
    "the older protocol": (("graphql-ws",), {}, 400),
    "no protocol": ((), {}, 400),
    "another page": ((PROTOCOL,), {"origin": "https://evil.example"}, 403),
    "a page without an origin": ((PROTOCOL,), {"origin": "null"}, 403),
    "a page that looks like ours": ((PROTOCOL,), {"origin": "http://127.0.0.1"}, 403),
    "a page of another scheme": ((PROTOCOL,), {"origin": "ftp://one.example", "host": "one.example"}, 403),
}


@pytest.mark.parametrize(("protocols", "headers", "status"), HANDSHAKES.values(), ids=HANDSHAKES)
async def test_a_refused_handshake_has_an_http_status(
    server: RunningServer, protocols: Any, headers: Any, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as turned:
        await server.session.ws_connect(server.url, protocols=protocols, headers=headers)
    assert (turned.value.status, "x-request-id" in turned.value.headers) == (status, True)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


MAY_CALL = {
    "a page that is listed": {"origin": PAGE},
    "a page of the same host": {"origin": "https://one.example", "host": "one.example"},
    "a page of the same host, its port named": {"origin": "https://one.example", "host": "One.example:443"},
    "a page of the same host and port": {"origin": "http://one.example:8000", "host": "one.example:8000"},
    "a page of the same IPv6 address": {"origin": "http://[::1]:8000", "host": "[::1]:8000"},
}


@pytest.mark.parametrize("headers", MAY_CALL.values(), ids=MAY_CALL)
async def test_a_page_that_may_call_in_may_open_a_socket(server: RunningServer, headers: dict[str, str]) -> None:
    websocket = await server.socket(server.key().text, headers=headers)
    await websocket.send("ping")
    assert await websocket.receive() == {"type": "pong"}


async def test_there_are_sockets_at_graphql_alone(server: RunningServer) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as turned:
        await server.session.ws_connect(server.url.replace("/graphql", "/other"), protocols=(PROTOCOL,))
    assert turned.value.status == 404


async def test_a_message_over_the_limit_of_a_body_is_1009(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(limits=Limits(body_bytes=1000))
    websocket = await server.socket(server.key().text)
    await websocket.subscribe("1", "#" * 2000)
    assert (await websocket.wait_closed())[0] == 1009


async def test_connections_of_an_address_are_counted_with_the_others(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(limits=Limits(connections_an_address=2))
    held = [await server.socket(), await server.socket()]
    with pytest.raises(aiohttp.WSServerHandshakeError) as turned:
        await server.socket()
    assert (turned.value.status, len(held)) == (429, 2)


async def test_groups_are_those_of_each_event(server: RunningServer) -> None:
    email = server.person()
    websocket = await server.socket(api_keys.create_key(server.state, email).text)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"])
    seen = []
    for act in (None, users.join_group, users.leave_group):
        if act is not None:
            act(server.state, email, "sales")
            await asyncio.sleep(1.1)  # what is believed for a second
        await server.publish_change("20")
        message = await websocket.receive()
        seen.append((message["payload"]["data"]["customerChanged"] or {}).get("name") is not None)
    assert seen == [False, True, False]
    assert ["sales" in record["groups"] for record in server.records()] == [False, False, True, False]


async def test_begin_events_and_end_are_on_record_and_name_the_beginning(server: RunningServer) -> None:
    websocket = await server.socket(server.key("sales").text)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"])
    await server.publish_change("20")
    await websocket.receive()
    await websocket.send("complete", "1")
    await wait_until(lambda: len(server.records()) == 3)
    begun, event, end = server.records()
    assert [(item["outcome"], item["events"]) for item in (begun, event, end)] == [
        ("answered", None), ("answered", None), ("cancelled", 1),
    ]  # fmt: skip
    assert {item["subscription"] for item in (begun, event, end)} == {begun["id"]}
    assert (event["fields"], event["rows"], begun["fields"]) == (["Query.customer", "Customer.name"], 1, [])


async def test_an_event_that_cannot_be_recorded_is_not_sent(server: RunningServer) -> None:
    websocket = await server.socket(server.key("sales").text)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"])
    server.disk.broken = True
    await server.publish_change("20")
    message = await websocket.receive()
    assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "AUDIT_UNAVAILABLE")


async def test_a_slow_client_gets_an_error_rather_than_some_of_the_events(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(queue_size=3)
    websocket = await server.socket(server.key("sales").text)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"])
    store = server.app_state.pubsub.store
    for _ in range(50):
        store.append("customer", "20", "20")
    server.app_state.pubsub.wake()
    message = await websocket.receive()
    while message["type"] == "next":
        message = await websocket.receive()
    assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "LIMIT_EXCEEDED")
    assert message["payload"][0]["message"].endswith("subscribe again")
    await wait_until(lambda: server.outcomes()[-1] == "limited")


async def test_an_event_of_another_process_is_sent_here(open_server: OpenServer) -> None:
    here, there = [await open_server() for _ in range(2)]
    websocket = await here.socket(here.key("sales").text)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: here.outcomes() == ["answered"])
    await there.publish_change("20")
    assert (await websocket.receive())["payload"]["data"]["customerChanged"]["name"]


async def test_where_keys_cannot_be_checked_a_socket_is_closed_with_1013(server: RunningServer) -> None:
    websocket = await server.socket(server.key("sales").text)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"])
    (server.folder / "state.sqlite").unlink()
    assert (await websocket.wait_closed())[0] == 1013
    await wait_until(lambda: server.outcomes()[-1] in ("failed", "cancelled") and len(server.outcomes()) == 2)


async def test_a_subscription_that_ends_by_itself_is_complete(server: RunningServer) -> None:
    websocket = await server.socket(server.key("sales").text)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"])
    await server.app_state.pubsub.close()
    assert await websocket.receive() == {"id": "1", "type": "complete"}
    assert server.outcomes() == ["answered", "answered"]


async def test_a_trusted_document_runs_by_its_digest_over_a_socket_too(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(
        documents=PersistedDocuments(find_trusted={hash_document(NAME): NAME}.get, trusted_only=True)
    )
    websocket = await server.socket(server.key("sales").text)
    persisted = {"persistedQuery": {"version": 1, "sha256Hash": hash_document(NAME)}}
    await websocket.send("subscribe", "1", payload={"extensions": persisted})
    assert (await websocket.receive())["type"] == "next"
    await websocket.receive()
    await websocket.subscribe("2", "{ me { id } }")
    assert (await websocket.receive())["payload"][0]["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
