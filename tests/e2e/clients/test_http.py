"""Test HTTP's own side of a request: media types, other origins, request ids, compression."""

import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from onedoor.errors import ConfigurationError
from onedoor.http.cors import parse_origins
from onedoor.http.responses import COMPRESS_FROM_BYTES, COMPRESS_IN_THREAD_FROM_BYTES
from tests.e2e.clients.conftest import PAGE, RunningServer

GRAPHQL_JSON, JSON = "application/graphql-response+json", "application/json"
OTHER = "https://elsewhere.example"
SMALL = "{ __typename }"
LARGE = "{ __schema { types { name description } } }"
FIELDS = (
    "types { fields { name description args { name description type { name kind description } }"
    " type { name kind description ofType { name kind description } } } }"
)
LARGER = "{ " + " ".join(f"again{number}: __schema {{ {FIELDS} }}" for number in range(6)) + " }"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One reply; the body as it came over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Sends what it is told and adds no header of its own."""

    server: RunningServer
    session: aiohttp.ClientSession

    async def send(self, method: str = "POST", query: str = SMALL, **headers: str) -> Response:
        given = {"json": {"query": query}} if method == "POST" else {"params": {"query": query}}
        bare = ("accept", "accept-encoding", "user-agent")
        async with self.session.request(
            method, self.server.url, headers=self.server.bearer(**headers), skip_auto_headers=bare, **given
        ) as reply:
            return Response(status=reply.status, headers=reply.headers, body=await reply.read())


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield Client(server=server, session=session)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (GRAPHQL_JSON, GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}; charset=utf-8, {JSON}; charset=utf-8", GRAPHQL_JSON),
        (f"{JSON}, {GRAPHQL_JSON}", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}, {JSON};q=0.9", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON};q=0.5, {JSON}", JSON),
        (f"{GRAPHQL_JSON};q=0, */*", JSON),
        (f"{JSON};q=0, */*", GRAPHQL_JSON),
        (f"{JSON};q=0.2, application/*", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON.upper()}", GRAPHQL_JSON),
        (f"{JSON}, text/plain, */*", JSON),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("application/*", JSON),
        ("*/*", JSON),
        ("", JSON),
    ],
)
async def test_the_reply_is_in_the_type_that_is_liked_best(client: Client, accept: str, media: str) -> None:
    response = await client.send(accept=accept)

    assert (response.status, response.headers["content-type"]) == (200, f"{media}; charset=utf-8")


@pytest.mark.parametrize(
    "accept", ["text/html", f"{JSON}; charset=utf-16", f"{JSON};q=0", f"{JSON};q=0, {GRAPHQL_JSON};q=0, */*", "?"]
)
async def test_a_client_that_takes_neither_type_gets_406(client: Client, accept: str) -> None:
    before = len(client.server.records())
    response = await client.send(accept=accept)

    assert (response.status, response.headers["content-type"]) == (406, f"{JSON}; charset=utf-8")
    assert [record["status"] for record in client.server.records()[before:]] == [406]


@pytest.mark.parametrize("accept", [GRAPHQL_JSON, JSON])
async def test_a_field_that_is_withheld_is_no_failed_request(client: Client, accept: str) -> None:
    response = await client.send(query='{ customer(id: "20") { creditLimit } }', accept=accept)

    assert (response.status, b"FORBIDDEN" in response.body) == (200, True)


@pytest.mark.parametrize("accept", [GRAPHQL_JSON, JSON])
async def test_a_mutation_needs_post(client: Client, accept: str) -> None:
    response = await client.send("GET", "mutation { __typename }", accept=accept)

    assert (response.status, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("query", ["{ mutation: __typename }", "{ __typename } # mutation", "mutation {"])
async def test_a_document_that_only_says_mutation_may_come_by_get(client: Client, query: str) -> None:
    assert (await client.send("GET", query)).status == 200


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json; charset=UTF-8", 200),
        ('application/json;charset="utf-8"', 200),
        ("application/json; charset=iso-8859-1", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
    ],
)
async def test_a_question_is_json_in_utf_8(client: Client, media: str, status: int) -> None:
    assert (await client.send(content_type=media)).status == status


def crossing(told: Response) -> dict[str, str]:
    return {name.lower(): value for name, value in told.headers.items() if name.lower().startswith("access-control")}


async def test_a_listed_page_may_read_the_reply(client: Client) -> None:
    response = await client.send(origin=PAGE)

    assert crossing(response) == {
        "access-control-allow-origin": PAGE,
        "access-control-expose-headers": "x-request-id, x-client-request-id, retry-after",
    }


@pytest.mark.parametrize("headers", [{}, {"origin": OTHER}, {"origin": "null"}, {"origin": f"{PAGE}.example"}])
async def test_no_other_page_may(client: Client, headers: dict[str, str]) -> None:
    response = await client.send(**headers)

    assert (crossing(response), "Origin" in response.headers["vary"]) == ({}, True)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        pytest.param(
            PAGE,
            {
                "access-control-allow-origin": PAGE,
                "access-control-allow-methods": "GET, POST",
                "access-control-allow-headers": "authorization, x-api-key, content-type, x-request-id",
                "access-control-max-age": "3600",
            },
            id="a listed page",
        ),
        pytest.param(OTHER, {}, id="another"),
    ],
)
async def test_a_browser_learns_what_it_may_send(client: Client, origin: str, allowed: dict[str, str]) -> None:
    before = len(client.server.records())
    asking = {"origin": origin, "access-control-request-method": "POST"}
    async with client.session.options(client.server.url, headers=asking) as reply:
        response = Response(status=reply.status, headers=reply.headers, body=await reply.read())

    assert (response.status, response.body, crossing(response)) == (204, b"", allowed)
    assert len(client.server.records()) == before


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:5173", "https://[::1]:8443"])
def test_an_origin_is_listed_as_browsers_send_it(origin: str) -> None:
    assert parse_origins((origin,)) == {origin}


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "", "https://*.acme.example", f"{PAGE}/", f"{PAGE}:443", "HTTPS://acme.example", "acme.example",
     "https://a@acme.example", "https://acme.example:x", "https://ácme.example", "file:///page.html"],
)  # fmt: skip
def test_an_origin_that_no_browser_sends_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"server\.origins"):
        parse_origins((origin,))


@pytest.mark.parametrize(
    ("theirs", "recorded"),
    [
        pytest.param("page 7 / click 12", "page 7 / click 12", id="printable"),
        pytest.param("x" * 128, "x" * 128, id="as long as may be"),
        pytest.param("x" * 129, None, id="too long"),
        pytest.param("caf\u00e9", None, id="not ASCII"),
        pytest.param("a\tb", None, id="not printable"),
        pytest.param("", None, id="empty"),
    ],
)
async def test_a_client_s_own_id_stays_apart_from_ours(client: Client, theirs: str, recorded: str | None) -> None:
    response = await client.send(x_request_id=theirs)
    record = client.server.records()[-1]

    assert response.headers.get("x-client-request-id") == recorded
    assert (record["id"], record["client_request_id"]) == (response.headers["x-request-id"], recorded)


@pytest.mark.parametrize("query", [LARGE, LARGER], ids=["large", "very large"])
async def test_a_large_reply_is_compressed_for_who_takes_that(client: Client, query: str) -> None:
    plain = await client.send(query=query, accept_encoding="identity")
    short = await client.send(query=query, accept_encoding="br, gzip;q=0.5")

    assert zlib.decompress(short.body, 16 + zlib.MAX_WBITS) == plain.body
    assert (short.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
    assert [int(item.headers["content-length"]) for item in (plain, short)] == [len(plain.body), len(short.body)]
    assert "Accept-Encoding" in short.headers["vary"]
    assert "Accept-Encoding" in plain.headers["vary"]
    assert (len(plain.body) >= COMPRESS_FROM_BYTES, len(plain.body) >= COMPRESS_IN_THREAD_FROM_BYTES) == (
        True,
        query == LARGER,
    )


@pytest.mark.parametrize(
    ("query", "encoding"),
    [(SMALL, "gzip"), (LARGE, "gzip;q=0"), (LARGE, "br"), (LARGE, "*;q=0"), (LARGE, "gzip;q=0, *"), (LARGE, "")],
)
async def test_any_other_reply_is_plain(client: Client, query: str, encoding: str) -> None:
    response = await client.send(query=query, accept_encoding=encoding)

    assert ("content-encoding" in response.headers, response.body[:1]) == (False, b"{")


async def test_the_record_holds_the_size_before_compression(client: Client) -> None:
    plain: Any = await client.send(query=LARGE, accept_encoding="identity")
    await client.send(query=LARGE, accept_encoding="gzip")

    assert [record["bytes"] for record in client.server.records()[-2:]] == [len(plain.body)] * 2
