"""A malformed request over HTTP is refused with a code, whatever its bytes, and leaves one record."""

import asyncio
import json
from functools import reduce
from typing import Any
from urllib.parse import quote

import pytest

from onedoor.model.catalog import Limits
from tests.http.conftest import GRAPHQL, OpenServer, RunningServer, exchange_bytes

ME = {"query": "{ me { id } }"}
DEEP = 50_000
LEVELS = reduce(lambda inner, _: [inner], range(66), [0])
DIGITS = b"9" * 5000

HOSTILE = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"null", id="null"),
    pytest.param(b"1", id="a number"),
    pytest.param(b'"x"', id="text"),
    pytest.param(b"true", id="true"),
    pytest.param(b"[]", id="an empty batch"),
    pytest.param(b'[{"query":"{__typename}"}]', id="a batch"),
    pytest.param(b"{}", id="an empty object"),
    pytest.param(b"{__typename}", id="GraphQL"),
    pytest.param(b'{"query":"{__typename}"', id="unfinished"),
    pytest.param(b'{"query":"{__typename}"}}', id="finished twice"),
    pytest.param(b'{"query":"{__typename}",}', id="a comma too many"),
    pytest.param(b'\xef\xbb\xbf\xef\xbb\xbf{"query":"{__typename}"}', id="two byte order marks"),
    pytest.param('{"query":"{__typename}"}'.encode("utf-16"), id="UTF-16"),
    pytest.param(b'{"query":"\xff\xfe"}', id="bytes that are not UTF-8"),
    pytest.param(b'{"query":"{ customer(id: \\"\\ud800\\") { id } }"}', id="half a surrogate pair"),
    pytest.param(b'{"query":"{__typename}","variables":{"x":"\\udfff"}}', id="half a surrogate pair in a variable"),
    pytest.param(b'{"query":"{__typename}\x00"}', id="a NUL, not escaped"),
    pytest.param(b'{"query":"{__typename}","variables":{"x":NaN}}', id="NaN"),
    pytest.param(b'{"query":"{__typename}","variables":{"x":Infinity}}', id="Infinity"),
    pytest.param(b'{"query":"{__typename}","variables":{"x":' + b"[" * DEEP + b"]" * DEEP + b"}}", id="deep lists"),
    pytest.param(b'{"query":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}", id="deep objects"),
    pytest.param(b'{"query":null}', id="no query"),
    pytest.param(b'{"query":""}', id="an empty query"),
    pytest.param(b'{"query":1}', id="a query that is a number"),
    pytest.param(b'{"query":["{__typename}"]}', id="a query in a list"),
    pytest.param(b'{"query":{"a":1}}', id="a query that is an object"),
    pytest.param(b'{"query":"{__typename}","variables":[]}', id="variables that are a list"),
    pytest.param(b'{"query":"{__typename}","variables":"{}"}', id="variables that are text"),
    pytest.param(b'{"query":"{__typename}","variables":0}', id="variables that are a number"),
    pytest.param(b'{"query":"{__typename}","operationName":1}', id="a name that is a number"),
    pytest.param(b'{"query":"{__typename}","extensions":[1]}', id="extensions that are a list"),
    pytest.param(b'{"query":"{__typename}","extensions":{"onedoor":[1]}}', id="options that are a list"),
    pytest.param(json.dumps({**ME, "variables": {"x": LEVELS}}).encode(), id="66 levels of a variable"),
    pytest.param(
        b'{"query":"query($x: Int) { customers(first: $x) { totalCount } }","variables":{"x":%s}}' % DIGITS,
        id="5000 digits",
    ),
    pytest.param(b'{"query":"{ customers(first: %s) { totalCount } }"}' % DIGITS, id="5000 digits in the query"),
    pytest.param(
        b'{"query":"{ customer(id: %s) { id } }", "query":"{"}' % DIGITS, id="two queries, the last unfinished"
    ),
    pytest.param(
        b'{"query":"query($x: Float) { requests(where: {ms: {eq: $x}}) { totalCount } }","variables":{"x":1e999}}',
        id="past all floats",
    ),
]


@pytest.mark.parametrize("body", HOSTILE)
async def test_a_body_that_is_no_question_is_a_400_and_one_record(server: RunningServer, body: bytes) -> None:
    headers = {**server.bearer("sales"), "content-type": "application/json"}
    response = await server.send(data=body, headers=headers)
    (record,) = server.records()
    assert (response.status, list(response.body), record["outcome"], record["status"]) == (
        400,
        ["errors"],
        "refused",
        400,
    )


async def test_what_comes_without_a_key_is_not_read_further(server: RunningServer) -> None:
    response = await server.send(data=b"null", headers={"content-type": "application/json"})
    assert (response.status, response.code) == (401, "UNAUTHENTICATED")


MEDIA = [
    pytest.param({"content-type": "text/plain"}, id="plain text"),
    pytest.param({"content-type": "application/x-www-form-urlencoded"}, id="a form"),
    pytest.param({"content-type": "multipart/form-data; boundary=x"}, id="a form of parts"),
    pytest.param({"content-type": "application/graphql"}, id="GraphQL"),
    pytest.param({"content-type": "application/json-patch+json"}, id="another JSON"),
    pytest.param({"content-type": "application/json; charset=utf-16"}, id="another charset"),
    pytest.param({"content-type": "application/json", "content-encoding": "gzip"}, id="gzip"),
    pytest.param({"content-type": "application/json", "content-encoding": "br"}, id="brotli"),
]


@pytest.mark.parametrize("headers", MEDIA)
async def test_a_body_in_another_form_is_a_415(server: RunningServer, headers: dict[str, str]) -> None:
    response = await server.send(data=json.dumps(ME).encode(), headers={**server.bearer("sales"), **headers})
    assert (response.status, response.code, [record["outcome"] for record in server.records()]) == (
        415,
        "BAD_REQUEST",
        ["refused"],
    )


async def test_a_body_without_a_media_type_is_a_415(server: RunningServer) -> None:
    head = f"POST /graphql HTTP/1.1\r\nhost: x\r\nx-api-key: {server.keys.of['sales']}\r\ncontent-length: 2\r\n\r\n{{}}"
    assert (await exchange_bytes(server.port, head.encode())).startswith(b"HTTP/1.1 415")


@pytest.mark.parametrize("media", ["application/json", "Application/JSON", "application/json; charset=utf-8"])
async def test_json_has_several_names(server: RunningServer, media: str) -> None:
    headers = {**server.bearer("sales"), "content-type": media}
    assert (await server.send(data=json.dumps(ME).encode(), headers=headers)).status == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "QUERY"])
async def test_any_other_method_is_a_405(server: RunningServer, method: str) -> None:
    response = await server.send(method, json=ME, headers=server.bearer("sales"))
    assert (response.status, "GET, POST" in response.headers["allow"], len(server.records())) == (405, True, 1)


LIMIT = 1_048_576


def build_head(key: str) -> str:
    return f"POST /graphql HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n"


async def test_a_body_past_the_limit_is_a_413_before_it_is_sent(server: RunningServer) -> None:
    head = build_head(server.keys.of["sales"])
    reply = await exchange_bytes(server.port, f"{head}content-length: {LIMIT + 1}\r\n\r\n".encode())
    assert (reply[:12], b"`body_bytes`" in reply, len(server.records())) == (b"HTTP/1.1 413", True, 1)


async def test_a_chunked_body_past_the_limit_is_a_413_once_it_is_past(server: RunningServer) -> None:
    head = build_head(server.keys.of["sales"])
    chunk = b"%x\r\n%s\r\n" % (LIMIT + 1, b" " * (LIMIT + 1))
    reply = await exchange_bytes(server.port, f"{head}transfer-encoding: chunked\r\n\r\n".encode() + chunk)
    assert (reply[:12], len(server.records())) == (b"HTTP/1.1 413", 1)


async def test_a_body_at_the_limit_is_read(server: RunningServer) -> None:
    body = json.dumps(ME).encode()
    headers = {**server.bearer("sales"), "content-type": "application/json"}
    assert (await server.send(data=body + b" " * (LIMIT - len(body)), headers=headers)).status == 200


async def test_a_body_that_does_not_come_is_a_408(open_server: OpenServer) -> None:
    server = await open_server(limits=Limits(body_seconds=0.02))
    head = f"POST /graphql HTTP/1.1\r\nhost: x\r\nx-api-key: {server.keys.of['sales']}\r\ncontent-length: 9\r\n\r\n{{"
    reply = await exchange_bytes(server.port, head.encode())
    assert (reply[:12], [record["outcome"] for record in server.records()]) == (b"HTTP/1.1 408", ["refused"])


NAME = quote("query A($id: ID!) { customer(id: $id) { name } } query B { __typename }")
GOT = [
    pytest.param("query=%7B__typename%7D", {"__typename": "Query"}, id="a query"),
    pytest.param(f"query={NAME}&operationName=B", {"__typename": "Query"}, id="an operation"),
    pytest.param(
        f"query={NAME}&operationName=A&variables={quote(json.dumps({'id': '20'}))}",
        {"customer": {"name": "Granit Foods AB"}},
        id="variables",
    ),
    pytest.param(
        "query=%7B__typename%7D&variables=&extensions=&operationName=", {"__typename": "Query"}, id="empty ones"
    ),
    pytest.param("query={__typename}&other=1", {"__typename": "Query"}, id="what nobody knows"),
]


@pytest.mark.parametrize(("query", "data"), GOT)
async def test_a_question_may_come_in_the_address(server: RunningServer, query: str, data: dict[str, Any]) -> None:
    response = await server.send("GET", f"/graphql?{query}", headers=server.bearer("sales"))
    assert (response.status, response.body) == (200, {"data": data})


NOT_GOT = [
    pytest.param("", id="nothing"),
    pytest.param("query=", id="an empty query"),
    pytest.param("query=%7B__typename%7D&variables=x", id="variables that are no JSON"),
    pytest.param("query=%7B__typename%7D&variables=%5B%5D", id="variables that are a list"),
    pytest.param("query=%7B__typename%7D&extensions=1", id="extensions that are a number"),
    pytest.param("query=%ff%fe", id="bytes that are not UTF-8"),
    pytest.param("query=%7B__typename", id="unfinished"),
    pytest.param("&".join(f"a{number}=1" for number in range(100)), id="a hundred names"),
    pytest.param("variables=" + quote('{"x":"\\ud800"}'), id="half a surrogate pair"),
]


@pytest.mark.parametrize("query", NOT_GOT)
async def test_an_address_that_holds_no_question_is_a_400_and_one_record(server: RunningServer, query: str) -> None:
    response = await server.send("GET", f"/graphql?{query}", headers=server.bearer("sales"))
    assert (response.status, [record["outcome"] for record in server.records()]) == (400, ["refused"])


async def test_a_refusal_in_plain_json_is_a_200(server: RunningServer) -> None:
    """There, any other status may come from something between the server and the client."""
    headers = {**server.bearer("sales"), "accept": "application/json"}
    response = await server.send(json={"query": "{"}, headers=headers)
    assert (response.status, response.code, response.headers["content-type"]) == (
        200,
        "GRAPHQL_PARSE_FAILED",
        "application/json; charset=utf-8",
    )


async def test_a_reply_comes_in_the_media_type_of_the_accept_header(server: RunningServer) -> None:
    result = await server.ask("{ me { id } }")
    assert (result.status, result.headers["content-type"]) == (200, f"{GRAPHQL}; charset=utf-8")


async def test_replies_are_cached_nowhere_on_their_way(server: RunningServer) -> None:
    result = await server.ask("{ me { id } }")
    headers_sent = {name: result.headers[name] for name in ("cache-control", "x-content-type-options")}
    assert headers_sent == {"cache-control": "private, no-store", "x-content-type-options": "nosniff"}
    assert {"Authorization", "X-API-Key", "Accept"} <= {part.strip() for part in result.headers["vary"].split(",")}


async def test_the_record_is_named_in_the_reply(server: RunningServer) -> None:
    result = await server.ask("{ me { id } }")
    assert [record["id"] for record in server.records()] == [result.headers["x-request-id"]]


@pytest.mark.parametrize(
    ("theirs", "recorded"),
    [
        pytest.param("order 66", "order 66", id="as it is"),
        pytest.param("x" * 128, "x" * 128, id="as long as may be"),
        pytest.param("x" * 129, None, id="too long"),
        pytest.param("caf\u00e9", None, id="not plain"),
        pytest.param("", None, id="empty"),
    ],
)
async def test_the_request_id_of_a_client_is_recorded_apart(
    server: RunningServer, theirs: str, recorded: str | None
) -> None:
    await server.send(json=ME, headers={**server.bearer("sales"), "x-request-id": theirs})
    (record,) = server.records()
    assert (record["client_request_id"], record["id"] == theirs) == (recorded, False)


async def test_many_at_once_each_get_their_own(server: RunningServer) -> None:
    groups = [("sales", "finance", "nobody")[number % 3] for number in range(60)]
    results = await asyncio.gather(
        *(server.ask("{ me { firstName } customer(id: 1) { creditLimit } }", who) for who in groups)
    )
    shown = {"sales": {"creditLimit": None}, "finance": {"creditLimit": "77500.00"}, "nobody": None}
    assert [result.body["data"] for result in results] == [
        {"me": {"firstName": who.title()}, "customer": shown[who]} for who in groups
    ]
    assert len({record["id"] for record in server.records()}) == 60


async def test_a_byte_order_mark_before_a_body_is_passed_over(server: RunningServer) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(ME).encode()
    response = await server.send(data=body, headers={**server.bearer("sales"), "content-type": "application/json"})
    assert (response.status, "errors" in response.body) == (200, False)


async def test_head_has_the_status_and_headers_of_get_and_no_body(server: RunningServer) -> None:
    for query in (ME["query"], "{ nothing }", "mutation { cancelJob(input: {id: 1}) { id } }"):
        replies = [
            await server.send(method, params={"query": query}, headers=server.bearer("sales"))
            for method in ("GET", "HEAD")
        ]
        get, head = (
            {name: reply.headers.get(name) for name in ("content-type", "content-length", "allow")} for reply in replies
        )
        assert (replies[1].status, head, replies[1].raw) == (replies[0].status, get, b"")
    assert len(server.records()) == 6


async def test_head_begins_no_event_stream(server: RunningServer) -> None:
    headers = {**server.bearer("sales"), "accept": "text/event-stream, application/json"}
    response = await server.send("HEAD", params={"query": "subscription { customerChanged { id } }"}, headers=headers)
    assert response.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
async def test_a_slash_at_the_end_leads_to_the_same_place(server: RunningServer, path: str) -> None:
    response = await server.send(path=path, json=ME, headers=server.bearer("sales"))
    assert response.status == 200
