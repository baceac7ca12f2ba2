"""Test the `rest` connector over a real wire: what it sends, how it reports failures, where no API can lead it."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from onedoor.connectors.public_addresses import PrivateAddressError, PublicAddressResolver, is_public_address
from onedoor.connectors.rest.connector import RestConnector, RestOptions, connect
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.flaws import FlawedRow
from onedoor.spi.predicates import And, Comparison, Op, Row
from onedoor.spi.scan import KeyFilter, ScanRequest, SortKey
from tests.servers.rest import Api, serve_app
from tests.servers.scripted import ScriptedServer

USERS = [{"id": number, "name": f"n{number}", "team": number % 2} for number in range(1, 8)]
COLUMNS = {"id": "integer", "name": "text", "team": "integer"}
USER: Mapping[str, Any] = {
    "path": "/users",
    "columns": COLUMNS,
    "keys": {"id": {"parameter": "id", "most": 3, "separator": ","}},
    "filters": {"team": "team", "name": "name"},
}
ORDERED = {"order": {"parameter": "order_by", "columns": ["id"]}, "limit": {"parameter": "limit", "most": 5}}
BY_PATH = {**USER, "keys": {"id": {"path": "/users/{id}", "rows": "row"}, "name": {"path": "/users/{name}"}}}
UNDER: Mapping[str, Any] = {
    "path": "/under/team/{team}/users",
    "columns": COLUMNS,
    "keys": {"id": {}, "name": {"parameter": "name", "most": 2}},
    "filters": {},
}
ALL = ScanRequest(collection="users", columns=("id", "name"))
SECRET = "Bearer very-secret"
UNREADABLE = "the API gave an answer that cannot be read"
OpenSource = Callable[..., Any]


@pytest.fixture
async def open_source() -> AsyncIterator[OpenSource]:
    async with AsyncExitStack() as stack:

        async def connect_to(app: Any, users: Mapping[str, Any] = USER, **options: Any) -> RestConnector:
            url = await stack.enter_async_context(serve_app(app))
            settings: dict[str, Any] = {
                "base_url": url,
                "collections": {"users": users},
                "private_addresses": True,
            } | options
            source = await connect(RestOptions(**settings))
            stack.push_async_callback(source.close)
            return source

        yield connect_to


async def read_rows(source: RestConnector, request: ScanRequest = ALL) -> list[Row]:
    return [row async for batch in source.scan(request) for row in batch]


async def read_failure(source: RestConnector, request: ScanRequest = ALL) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        await read_rows(source, request)
    return raised.value


def json_response(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(orjson.dumps(body), status, {name.replace("_", "-"): value for name, value in headers.items()})


def keyed_by(*ids: Any, column: str = "id") -> ScanRequest:
    return ScanRequest(collection="users", columns=("id",), keys=KeyFilter((column,), tuple((id,) for id in ids)))


@pytest.mark.parametrize(
    ("users", "scan_request", "expected"),
    [
        pytest.param(USER, keyed_by(1, 2), ["/users?id=1,2"], id="many keys in one call"),
        pytest.param(
            USER, keyed_by(1, 2, 3, 4), ["/users?id=1,2,3", "/users?id=4"], id="as many keys a call as it takes"
        ),
        pytest.param(USER, keyed_by(), [], id="no keys need no call"),
        pytest.param(BY_PATH, keyed_by(1, 9), ["/users/1", "/users/9"], id="each key by its path"),
        pytest.param(
            {**USER, **ORDERED},
            ScanRequest(collection="users", columns=("id",), sort=(SortKey("id", True),), limit=2),
            ["/users?order_by=-id&limit=2"],
            id="order and limit",
        ),
        pytest.param(
            {**USER, **ORDERED},
            ScanRequest(collection="users", columns=("id",), limit=6),
            ["/users"],
            id="a limit past what it takes is ours",
        ),
        pytest.param(
            USER,
            ScanRequest(
                collection="users",
                columns=("id",),
                filter=And((Comparison("team", Op.EQ, 1), Comparison("team", Op.EQ, 2))),
            ),
            [],
            id="a contradiction needs no call",
        ),
        pytest.param(
            {**USER, **ORDERED},
            ScanRequest(collection="users", columns=("id",), filter=Comparison("name", Op.EQ, ""), limit=1),
            ["/users"],
            id="an empty value is no filter, so it is ours, and the limit with it",
        ),
    ],
)
async def test_keys_filters_order_and_limit_are_sent_as_promised(
    open_source: OpenSource, users: Mapping[str, Any], scan_request: ScanRequest, expected: list[str]
) -> None:
    api = Api({"users": USERS})
    await read_rows(await open_source(api, users), scan_request)
    assert sorted(api.requests) == sorted(expected)


def keyed_below_team(*keys: Any, column: str = "", **options: Any) -> ScanRequest:
    columns = ("team", column) if column else ("team",)
    return ScanRequest(collection="users", columns=("team", "id"), keys=KeyFilter(columns, keys), **options)


@pytest.mark.parametrize(
    ("scan_request", "expected", "row_count"),
    [
        pytest.param(
            keyed_below_team((0,), (5,)), ["/under/team/0/users", "/under/team/5/users"], 3, id="a call for each"
        ),
        pytest.param(
            keyed_below_team((1, 1), (1, 3), column="id"), ["/under/team/1/users"], 2, id="looked for in one list"
        ),
        pytest.param(
            keyed_below_team((1, "n1"), (1, "n3"), (1, "n2"), column="name"),
            ["/under/team/1/users?name=n1&name=n3", "/under/team/1/users?name=n2"],
            2,
            id="as many keys a call as it takes",
        ),
        pytest.param(
            keyed_below_team((1, "n1"), (1, ""), column="name"), ["/under/team/1/users"], 1, id="a key that is no key"
        ),
        pytest.param(keyed_below_team(), [], 0, id="no keys need no call"),
    ],
)
async def test_rows_below_another_are_requested_by_its_path(
    open_source: OpenSource, scan_request: ScanRequest, expected: list[str], row_count: int
) -> None:
    api = Api({"users": USERS})
    assert len(await read_rows(await open_source(api, UNDER), scan_request)) == row_count
    assert sorted(api.requests) == sorted(expected)


async def test_a_path_below_a_row_that_does_not_exist_has_no_rows(open_source: OpenSource) -> None:
    source = await open_source(ScriptedServer(json_response({}, 404)), UNDER)
    assert await read_rows(source, keyed_below_team((1,))) == []


@pytest.mark.parametrize("team", ["..", ".", "", "a/b", "a\\b", "\0", "\ud800"])
async def test_a_path_that_would_lead_elsewhere_is_not_requested(open_source: OpenSource, team: str) -> None:
    api = Api({"users": USERS})
    source = await open_source(api, {**UNDER, "columns": {**COLUMNS, "team": "text"}})
    assert await read_rows(source, keyed_below_team((team,))) == []
    assert api.requests == []


async def test_a_row_may_be_a_text_or_a_number(open_source: OpenSource) -> None:
    only = {"path": "/names", "columns": {"name": {"kind": "text", "at": ""}}}
    assert await read_rows(
        await open_source(ScriptedServer(json_response(["a", "b"])), only),
        ScanRequest(collection="users", columns=("name",)),
    ) == [
        ("a",),
        ("b",),
    ]


async def test_a_list_of_partial_rows_is_completed_row_by_row(open_source: OpenSource) -> None:
    columns = {"id": {"kind": "integer", "at": "row.id"}, "name": {"kind": "text", "at": "row.name"}}
    source = await open_source(
        ScriptedServer(json_response([{"row": USERS[0]}]), json_response({"row": USERS[0]}), json_response([])),
        {
            "path": "/list",
            "columns": columns,
            "each": "/users/{id}",
        },
    )
    assert await read_rows(source) == [(1, "n1")]
    gone = await open_source(
        ScriptedServer(json_response(USERS[:2]), json_response(USERS[0]), json_response({}, 404)),
        {**USER, "each": "/users/{id}"},
    )
    assert await read_rows(gone) == [(1, "n1")]
    with pytest.raises(ConnectorError):
        await read_rows(
            await open_source(ScriptedServer(json_response([{"id": ".."}])), {**USER, "each": "/users/{id}"})
        )


async def test_a_collection_may_be_a_single_row(open_source: OpenSource) -> None:
    source = await open_source(
        ScriptedServer(json_response({"me": USERS[0]})),
        {"path": "/me", "columns": COLUMNS, "rows": "me", "single": True},
    )
    assert await read_rows(source) == [(1, "n1")]


@pytest.mark.parametrize(
    "headers", [{"x_ratelimit_remaining": "0"}, {"retry_after": "60"}], ids=["none left", "a long wait"]
)
async def test_a_403_for_too_many_calls_is_not_a_refusal_of_credentials(
    open_source: OpenSource, headers: Mapping[str, str]
) -> None:
    error = await read_failure(await open_source(ScriptedServer(json_response({}, 403, **headers))))
    assert error.code is ErrorCode.SOURCE_OVERLOADED


@pytest.mark.parametrize("key", ["..", ".", "", "a/../../b", "\0", "\ud800", "%2e%2e", "?x=1", "#"])
async def test_no_key_leaves_its_segment_of_a_path(open_source: OpenSource, key: str) -> None:
    api = Api({"users": USERS})
    assert await read_rows(await open_source(api, BY_PATH), keyed_by(key, column="name")) == []
    assert all(
        target == "/users" or (target.startswith("/users/") and target.count("/") == 2) for target in api.requests
    )


async def test_rows_that_were_not_requested_are_left_out(open_source: OpenSource) -> None:
    assert await read_rows(await open_source(ScriptedServer(json_response(USERS))), keyed_by(2, 3)) == [(2,), (3,)]


async def test_rows_that_were_not_requested_do_not_count_for_the_limit(open_source: OpenSource) -> None:
    source = await open_source(ScriptedServer(json_response(USERS[:1])), {**USER, **ORDERED})
    request = ScanRequest(collection="users", columns=("id",), filter=Comparison("team", Op.EQ, 0), limit=1)
    assert (await read_failure(source, request)).code is ErrorCode.SOURCE_INVALID


@pytest.mark.parametrize(
    ("response", "reason", "code", "retryable"),
    [
        pytest.param(
            json_response({}, 500), "the API failed with HTTP status 500", ErrorCode.SOURCE_UNAVAILABLE, True, id="5xx"
        ),
        pytest.param(
            json_response({}, 418),
            "the API refused the call with HTTP status 418",
            ErrorCode.SOURCE_INVALID,
            False,
            id="4xx",
        ),
        pytest.param(
            json_response({}, 404), "the API has no such collection", ErrorCode.SOURCE_INVALID, False, id="404"
        ),
        pytest.param(
            json_response({}, 401), "the API refused the credentials", ErrorCode.SOURCE_UNAVAILABLE, False, id="401"
        ),
        pytest.param(
            json_response({}, 429, retry_after="60"),
            "the API takes no more calls for now, ask again later",
            ErrorCode.SOURCE_OVERLOADED,
            False,
            id="429 with a long wait",
        ),
        pytest.param(
            json_response({}, 302, location="/elsewhere"),
            "the API has moved: redirects are not followed",
            ErrorCode.SOURCE_INVALID,
            False,
            id="a redirect",
        ),
        pytest.param(
            Response(b"x" * 2000),
            "an answer of the API is over the limit `response_bytes` of 1000",
            ErrorCode.SOURCE_INVALID,
            False,
            id="a body over the limit",
        ),
        pytest.param(
            Response(gzip.compress(b" " * 2_000_000), headers={"content-encoding": "gzip"}),
            "an answer of the API is over the limit `response_bytes` of 1000",
            ErrorCode.SOURCE_INVALID,
            False,
            id="a small body that unpacks into a large one",
        ),
        *(
            pytest.param(response, UNREADABLE, ErrorCode.SOURCE_INVALID, False, id=f"unreadable {name}")
            for name, response in {
                "text": Response(b"<html>"),
                "no list": json_response({"id": 1}),
                "no objects": json_response([1]),
                "half a gzip": Response(gzip.compress(b"[]")[:-9], headers={"content-encoding": "gzip"}),
                "packing": Response(b"[]", headers={"content-encoding": "br"}),
            }.items()
        ),
    ],
)
async def test_a_failure_repeats_nothing_that_the_api_says(
    open_source: OpenSource, response: Response, reason: str, code: ErrorCode, retryable: bool
) -> None:
    server = ScriptedServer(response)
    error = await read_failure(await open_source(server, response_bytes=1000, headers={"authorization": SECRET}))
    assert (error.reason, error.code, error.retryable) == (reason, code, retryable)
    assert len(server.requests) == 1


async def test_a_value_of_another_kind_is_null_and_the_rest_is_read(open_source: OpenSource) -> None:
    server = ScriptedServer(json_response([{"id": "x", "name": "n"}, {"id": 2, "name": 3.5}]))
    rows = await read_rows(await open_source(server))
    flaws = [row.flaws if isinstance(row, FlawedRow) else None for row in rows]
    assert ([row[:2] for row in rows], flaws) == (
        [(None, "n"), (2, None)],
        [{0: "a value that is no whole number"}, {1: "a value that is no text"}],
    )


async def test_a_short_wait_that_the_server_requests_is_waited_once(open_source: OpenSource) -> None:
    server = ScriptedServer(json_response({}, 429, retry_after="0"), json_response(USERS))
    assert len(await read_rows(await open_source(server))) == len(USERS)
    assert len(server.requests) == 2


async def test_a_compressed_response_is_decompressed(open_source: OpenSource) -> None:
    packed = Response(gzip.compress(orjson.dumps(USERS)), headers={"content-encoding": "gzip"})
    assert len(await read_rows(await open_source(ScriptedServer(packed)))) == len(USERS)


async def test_headers_go_with_every_call_and_into_no_repr(open_source: OpenSource) -> None:
    server = ScriptedServer(json_response(USERS))
    options = RestOptions(base_url="https://a.example", collections={}, headers={"authorization": SECRET})
    await read_rows(await open_source(server, headers=options.headers))
    assert [request.headers["authorization"] for request in server.requests] == [SECRET]
    assert SECRET not in repr(options)


async def test_one_connection_serves_call_after_call(open_source: OpenSource) -> None:
    server = ScriptedServer(json_response(USERS))
    source = await open_source(server)
    for _ in range(5):
        await read_rows(source)
    assert len({request.client for request in server.requests}) == 1


async def test_a_call_without_a_response_ends_at_its_timeout(open_source: OpenSource) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(30)

    assert (
        await read_failure(await open_source(silent, timeout=0.05))
    ).reason == "the API did not answer within 0.05 s"


async def test_an_api_that_is_down_could_not_be_reached(closed_port: int) -> None:
    settings: dict[str, Any] = {"collections": {"users": USER}, "private_addresses": True}
    source = await connect(RestOptions(base_url=f"http://127.0.0.1:{closed_port}", **settings))
    error = await read_failure(source)
    with pytest.raises(ConnectorError):
        await source.ping()
    await source.close()
    assert (error.reason, error.retryable) == ("the API could not be reached", True)


@pytest.mark.parametrize(
    ("by", "parameter"), [pytest.param("page", "page", id="by page"), pytest.param("offset", "skip", id="by row")]
)
async def test_an_api_that_repeats_one_page_is_named_with_the_parameter_that_it_ignores(
    open_source: OpenSource, by: str, parameter: str
) -> None:
    server = ScriptedServer(json_response(USERS))
    error = await read_failure(await open_source(server, {**USER, "paging": {"by": by, "parameter": parameter}}))
    assert (error.reason, error.code) == (
        f"the API gave page 1 again for page 2: its parameter `{parameter}` has no effect",
        ErrorCode.SOURCE_INVALID,
    )
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("paging", "response"),
    [
        pytest.param(
            {"by": "link"}, json_response(USERS, link='<http://elsewhere.example/>; rel="next"'), id="another host"
        ),
        pytest.param({"by": "link"}, json_response(USERS, link='<http://[::1/>; rel="next"'), id="no url"),
        pytest.param(
            {"by": "cursor", "parameter": "after", "next": "next"},
            json_response({"rows": USERS, "next": "a"}),
            id="the same page",
        ),
        pytest.param(
            {"by": "cursor", "parameter": "after", "next": "next"},
            json_response({"rows": USERS, "next": {}}),
            id="no cursor",
        ),
    ],
)
async def test_pages_lead_to_no_other_host_and_in_no_ring(
    open_source: OpenSource, paging: Mapping[str, Any], response: Response
) -> None:
    text = "rows" if paging["by"] == "cursor" else ""
    server = ScriptedServer(response)
    error = await read_failure(
        await open_source(server, {**USER, "rows": text, "paging": paging}, headers={"x-secret": SECRET})
    )
    assert error.code is ErrorCode.SOURCE_INVALID
    assert len(server.requests) <= 2


async def test_no_more_pages_are_requested_than_the_limit_needs(open_source: OpenSource) -> None:
    api = Api({"users": USERS})
    paging = {"by": "offset", "parameter": "offset", "size_parameter": "size", "size": 100}
    source = await open_source(api, {**USER, "path": "/turned/offset/users", "rows": "data.rows", "paging": paging})
    assert len(await read_rows(source, ScanRequest(collection="users", columns=("id",), limit=3))) == 3
    assert api.requests == ["/turned/offset/users?offset=0&size=3"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("2606:2800:220:1::1", True),
        ("2002:7f00:1::", False),
    ],
)
def test_only_addresses_of_the_internet_are_public(address: str, expected: bool) -> None:
    assert is_public_address(address) is expected


async def test_a_host_name_that_leads_into_this_network_is_refused() -> None:
    resolver = PublicAddressResolver()
    with pytest.raises(PrivateAddressError):
        await resolver.resolve("localhost", 443)
    await resolver.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example",
        "https://127.0.0.1",
        "https://localhost",
        "https://[::1]/",
        "file:///etc/passwd",
        "https://a@b.example",
        "https://api.example/?a=1",
        "https://169.254.169.254/latest",
    ],
)
async def test_a_url_that_is_not_public_must_be_allowed_by_the_settings(url: str) -> None:
    with pytest.raises(ValueError, match="`base_url`"):
        await connect(RestOptions(base_url=url, collections={"users": USER}))


@pytest.mark.parametrize(
    ("users", "complaint"),
    [
        ({}, "`collections.users.path` is missing"),
        ({**USER, "path": "users"}, "must begin with `/`"),
        ({**USER, "path": "/../users"}, "must begin with `/`"),
        ({**USER, "paths": "/users"}, "there is no setting `collections.users.paths`"),
        ({**USER, "columns": {"id": "number"}}, "`collections.users.columns.id.kind` must be one of"),
        ({**USER, "columns": {}}, "`collections.users.columns` is missing"),
        ({**USER, "filters": {"no": "no"}}, "names the column `no`, which it does not have"),
        ({**USER, "columns": {**COLUMNS, "team": "decimal"}}, "cannot send `team`"),
        ({**USER, "keys": {"id": {}}}, "takes either `parameter` or `path`"),
        ({**USER, "keys": {"id": {"path": "/users"}}}, "holds `{id}` once"),
        ({**USER, "keys": {"id": {"parameter": "id", "most": 0}}}, "must be at least 1"),
        ({**USER, "keys": {"id": {"parameter": "id", "most": True}}}, "must be a whole number"),
        ({**BY_PATH, **ORDERED}, "has an order and a key's path"),
        ({**USER, "order": {"parameter": "sort", "columns": ["id", "name"]}}, "needs a `separator`"),
        ({**USER, **ORDERED, "paging": {"by": "link"}}, "has a limit and pages"),
        ({**USER, "paging": {"by": "turn"}}, "`collections.users.paging.by` must be one of"),
        ({**USER, "paging": {"by": "cursor", "parameter": "after"}}, "`collections.users.paging.next`"),
        ({**USER, "path": "/{no}/users"}, "names the column `no`, which it does not have"),
        ({**USER, "path": "/{id}/users"}, "neither a key nor a filter besides"),
        ({**UNDER, "path": "/{team}/{team}"}, "cannot hold `team`"),
        ({**UNDER, **ORDERED, "limit": None}, "`collections.users.limit` must be a section"),
        ({**UNDER, "order": ORDERED["order"]}, "has an order and a path with columns"),
        ({**UNDER, "keys": {"id": {"path": "/users/{id}"}}}, "holds `{id}` once"),
        ({**USER, "single": True}, "is `single`: it has no pages"),
        ({**USER, "text": True}, "is a text: it is `single`"),
        ({**USER, "each": "/users"}, "holds one column of the rows of a list"),
        ({**USER, "each": "/users/{no}"}, "holds one column of the rows of a list"),
        ({**USER, "single": 1}, "must be true or false"),
        ({**USER, "paging": {"by": "page"}}, "`collections.users.paging.parameter` is needed"),
    ],
)
async def test_an_impossible_declaration_is_named(users: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match="collections") as raised:
        await connect(RestOptions(base_url="https://api.example", collections={"users": users}))
    assert complaint in str(raised.value)
