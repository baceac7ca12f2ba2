"""An API as rows, over the wire: what it is sent, what is made of its failures, and where it cannot lead us."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from onedoor.connectors.http_client import PrivateAddressError, PublicAddressResolver, is_public_address
from onedoor.connectors.rest.connector import RestConnector, RestOptions, connect
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.predicates import (
    And,
    Comparison,  # pytest would take `Test` for a class of tests
    Op,
    Row,
)
from onedoor.spi.scan import KeyFilter, ScanRequest, SortKey
from tests.servers.rest import Api, serving

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
Open = Callable[..., Any]


class Far:
    """Answers each call with the next of what it was given, the last for good; `asked`: what came."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(Request(scope))
        await (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(scope, receive, send)


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def opening(app: Any, users: Mapping[str, Any] = USER, **more: Any) -> RestConnector:
            url = await stack.enter_async_context(serving(app))
            given: dict[str, Any] = {"base_url": url, "collections": {"users": users}, "private_addresses": True} | more
            source = await connect(RestOptions(**given))
            stack.push_async_callback(source.close)
            return source

        yield opening


async def rows(source: RestConnector, ask: ScanRequest = ALL) -> list[Row]:
    return [row async for batch in source.scan(ask) for row in batch]


async def failure(source: RestConnector, ask: ScanRequest = ALL) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        await rows(source, ask)
    return raised.value


def said(found: Any, status: int = 200, **headers: str) -> Response:
    return Response(orjson.dumps(found), status, {name.replace("_", "-"): value for name, value in headers.items()})


def by(*ids: Any, column: str = "id") -> ScanRequest:
    return ScanRequest(collection="users", columns=("id",), keys=KeyFilter((column,), tuple((id,) for id in ids)))


@pytest.mark.parametrize(
    ("users", "ask", "asked"),
    [
        pytest.param(USER, by(1, 2), ["/users?id=1,2"], id="many keys in one call"),
        pytest.param(USER, by(1, 2, 3, 4), ["/users?id=1,2,3", "/users?id=4"], id="as many keys a call as it takes"),
        pytest.param(USER, by(), [], id="of no keys nothing is asked"),
        pytest.param(BY_PATH, by(1, 9), ["/users/1", "/users/9"], id="each key by its path"),
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
            id="what cannot be is not asked",
        ),
        pytest.param(
            {**USER, **ORDERED},
            ScanRequest(collection="users", columns=("id",), filter=Comparison("name", Op.EQ, ""), limit=1),
            ["/users"],
            id="an empty value is no filter, so it is ours, and the limit with it",
        ),
    ],
)
async def test_what_is_promised_travels_with_the_call(
    opened: Open, users: Mapping[str, Any], ask: ScanRequest, asked: list[str]
) -> None:
    api = Api({"users": USERS})
    await rows(await opened(api, users), ask)
    assert sorted(api.asked) == sorted(asked)


def under(*keys: Any, column: str = "", **more: Any) -> ScanRequest:
    columns = ("team", column) if column else ("team",)
    return ScanRequest(collection="users", columns=("team", "id"), keys=KeyFilter(columns, keys), **more)


@pytest.mark.parametrize(
    ("ask", "asked", "found"),
    [
        pytest.param(under((0,), (5,)), ["/under/team/0/users", "/under/team/5/users"], 3, id="a call for each"),
        pytest.param(under((1, 1), (1, 3), column="id"), ["/under/team/1/users"], 2, id="looked for in one list"),
        pytest.param(
            under((1, "n1"), (1, "n3"), (1, "n2"), column="name"),
            ["/under/team/1/users?name=n1&name=n3", "/under/team/1/users?name=n2"],
            2,
            id="as many keys a call as it takes",
        ),
        pytest.param(under((1, "n1"), (1, ""), column="name"), ["/under/team/1/users"], 1, id="a key that is no key"),
        pytest.param(under(), [], 0, id="of no keys nothing is asked"),
    ],
)
async def test_what_stands_under_another_is_asked_by_its_path(
    opened: Open, ask: ScanRequest, asked: list[str], found: int
) -> None:
    api = Api({"users": USERS})
    assert len(await rows(await opened(api, UNDER), ask)) == found
    assert sorted(api.asked) == sorted(asked)


async def test_what_stands_under_nothing_has_no_rows(opened: Open) -> None:
    source = await opened(Far(said({}, 404)), UNDER)
    assert await rows(source, under((1,))) == []


@pytest.mark.parametrize("team", ["..", ".", "", "a/b", "a\\b", "\0", "\ud800"])
async def test_a_path_that_would_lead_elsewhere_is_not_asked(opened: Open, team: str) -> None:
    api = Api({"users": USERS})
    source = await opened(api, {**UNDER, "columns": {**COLUMNS, "team": "text"}})
    assert await rows(source, under((team,))) == []
    assert api.asked == []


async def test_rows_may_be_texts_or_numbers_alone(opened: Open) -> None:
    only = {"path": "/names", "columns": {"name": {"kind": "text", "at": ""}}}
    assert await rows(await opened(Far(said(["a", "b"])), only), ScanRequest(collection="users", columns=("name",))) == [
        ("a",), ("b",),
    ]  # fmt: skip


async def test_rows_that_a_list_says_too_little_of_are_read_one_by_one(opened: Open) -> None:
    columns = {"id": {"kind": "integer", "at": "row.id"}, "name": {"kind": "text", "at": "row.name"}}
    source = await opened(Far(said([{"row": USERS[0]}]), said({"row": USERS[0]}), said([])), {
        "path": "/list", "columns": columns, "each": "/users/{id}",
    })  # fmt: skip
    assert await rows(source) == [(1, "n1")]
    gone = await opened(Far(said(USERS[:2]), said(USERS[0]), said({}, 404)), {**USER, "each": "/users/{id}"})
    assert await rows(gone) == [(1, "n1")]
    with pytest.raises(ConnectorError):
        await rows(await opened(Far(said([{"id": ".."}])), {**USER, "each": "/users/{id}"}))


async def test_one_row_may_be_all_there_is(opened: Open) -> None:
    source = await opened(
        Far(said({"me": USERS[0]})), {"path": "/me", "columns": COLUMNS, "rows": "me", "single": True}
    )
    assert await rows(source) == [(1, "n1")]


@pytest.mark.parametrize(
    "headers", [{"x_ratelimit_remaining": "0"}, {"retry_after": "60"}], ids=["none left", "a long wait"]
)
async def test_a_refusal_for_too_many_calls_is_none_of_credentials(opened: Open, headers: Mapping[str, str]) -> None:
    failed = await failure(await opened(Far(said({}, 403, **headers))))
    assert failed.code is ErrorCode.SOURCE_OVERLOADED


@pytest.mark.parametrize("key", ["..", ".", "", "a/../../b", "\0", "\ud800", "%2e%2e", "?x=1", "#"])
async def test_no_key_leaves_its_place_in_a_path(opened: Open, key: str) -> None:
    api = Api({"users": USERS})
    assert await rows(await opened(api, BY_PATH), by(key, column="name")) == []
    assert all(each == "/users" or (each.startswith("/users/") and each.count("/") == 2) for each in api.asked)


async def test_rows_that_were_not_asked_for_are_left_out(opened: Open) -> None:
    assert await rows(await opened(Far(said(USERS))), by(2, 3)) == [(2,), (3,)]


async def test_rows_that_were_not_asked_for_do_not_stand_in_for_those_that_were(opened: Open) -> None:
    source = await opened(Far(said(USERS[:1])), {**USER, **ORDERED})
    ask = ScanRequest(collection="users", columns=("id",), filter=Comparison("team", Op.EQ, 0), limit=1)
    assert (await failure(source, ask)).code is ErrorCode.SOURCE_INVALID


@pytest.mark.parametrize(
    ("answer", "reason", "code", "again"),
    [
        pytest.param(said({}, 500), "the API failed with HTTP status 500", ErrorCode.SOURCE_UNAVAILABLE, True, id="5xx"),
        pytest.param(
            said({}, 418), "the API refused the call with HTTP status 418", ErrorCode.SOURCE_INVALID, False, id="4xx"
        ),
        pytest.param(said({}, 404), "the API has no such collection", ErrorCode.SOURCE_INVALID, False, id="404"),
        pytest.param(said({}, 401), "the API refused the credentials", ErrorCode.SOURCE_UNAVAILABLE, False, id="401"),
        pytest.param(
            said({}, 429, retry_after="60"),
            "the API takes no more calls for now, ask again later",
            ErrorCode.SOURCE_OVERLOADED,
            False,
            id="429 with a long wait",
        ),
        pytest.param(
            said({}, 302, location="/elsewhere"),
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
            pytest.param(
                answer, UNREADABLE, ErrorCode.SOURCE_INVALID, False, id=f"unreadable {name}"
            )
            for name, answer in {
                "text": Response(b"<html>"),
                "no list": said({"id": 1}),
                "no objects": said([1]),
                "half a gzip": Response(gzip.compress(b"[]")[:-9], headers={"content-encoding": "gzip"}),
                "packing": Response(b"[]", headers={"content-encoding": "br"}),
            }.items()
        ),
        pytest.param(
            said([{"id": "x", "name": "n"}]), "the API gave a `id` that is no integer", ErrorCode.SOURCE_INVALID, False,
            id="a value of another kind",
        ),
    ],
)  # fmt: skip
async def test_a_failure_is_told_without_a_word_of_the_api_itself(
    opened: Open, answer: Response, reason: str, code: ErrorCode, again: bool
) -> None:
    far = Far(answer)
    failed = await failure(await opened(far, response_bytes=1000, headers={"authorization": SECRET}))
    assert (failed.reason, failed.code, failed.retryable) == (reason, code, again)
    assert len(far.asked) == 1


async def test_asked_to_wait_a_moment_it_waits(opened: Open) -> None:
    far = Far(said({}, 429, retry_after="0"), said(USERS))
    assert len(await rows(await opened(far))) == len(USERS)
    assert len(far.asked) == 2


async def test_a_packed_answer_is_unpacked(opened: Open) -> None:
    packed = Response(gzip.compress(orjson.dumps(USERS)), headers={"content-encoding": "gzip"})
    assert len(await rows(await opened(Far(packed)))) == len(USERS)


async def test_headers_go_with_every_call_and_show_nowhere(opened: Open) -> None:
    far = Far(said(USERS))
    options = RestOptions(base_url="https://a.example", collections={}, headers={"authorization": SECRET})
    await rows(await opened(far, headers=options.headers))
    assert [each.headers["authorization"] for each in far.asked] == [SECRET]
    assert SECRET not in repr(options)


async def test_one_connection_serves_call_after_call(opened: Open) -> None:
    far = Far(said(USERS))
    source = await opened(far)
    for _ in range(5):
        await rows(source)
    assert len({each.client for each in far.asked}) == 1


async def test_silence_ends_in_time(opened: Open) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(30)

    assert (await failure(await opened(silent, timeout=0.05))).reason == "the API did not answer within 0.05 s"


async def test_an_api_that_is_gone_is_told(closed_port: int) -> None:
    given: dict[str, Any] = {"collections": {"users": USER}, "private_addresses": True}
    source = await connect(RestOptions(base_url=f"http://127.0.0.1:{closed_port}", **given))
    failed = await failure(source)
    with pytest.raises(ConnectorError):
        await source.ping()
    await source.close()
    assert (failed.reason, failed.retryable) == ("the API could not be reached", True)


@pytest.mark.parametrize(
    ("paging", "answer"),
    [
        pytest.param({"by": "link"}, said(USERS, link='<http://elsewhere.example/>; rel="next"'), id="another host"),
        pytest.param({"by": "link"}, said(USERS, link='<http://[::1/>; rel="next"'), id="no url"),
        pytest.param(
            {"by": "cursor", "parameter": "after", "next": "next"},
            said({"rows": USERS, "next": "a"}),
            id="the same page",
        ),
        pytest.param(
            {"by": "cursor", "parameter": "after", "next": "next"}, said({"rows": USERS, "next": {}}), id="no cursor"
        ),
    ],
)
async def test_pages_lead_nowhere_else_and_not_in_a_ring(
    opened: Open, paging: Mapping[str, Any], answer: Response
) -> None:
    at = "rows" if paging["by"] == "cursor" else ""
    far = Far(answer)
    failed = await failure(await opened(far, {**USER, "rows": at, "paging": paging}, headers={"x-secret": SECRET}))
    assert failed.code is ErrorCode.SOURCE_INVALID
    assert len(far.asked) <= 2


async def test_no_further_page_is_asked_for_than_a_limit_needs(opened: Open) -> None:
    api = Api({"users": USERS})
    paging = {"by": "offset", "parameter": "offset", "size_parameter": "size", "size": 100}
    source = await opened(api, {**USER, "path": "/turned/offset/users", "rows": "data.rows", "paging": paging})
    assert len(await rows(source, ScanRequest(collection="users", columns=("id",), limit=3))) == 3
    assert api.asked == ["/turned/offset/users?offset=0&size=3"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True), ("127.0.0.1", False), ("10.1.2.3", False), ("169.254.169.254", False),
        ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False), ("::1", False), ("fe80::1%eth0", False),
        ("fd00::1", False), ("::ffff:127.0.0.1", False), ("2606:2800:220:1::1", True), ("2002:7f00:1::", False),
    ],
)  # fmt: skip
def test_only_addresses_of_the_internet_are_public(address: str, expected: bool) -> None:
    assert is_public_address(address) is expected


async def test_a_name_that_leads_into_this_network_is_not_followed() -> None:
    resolver = PublicAddressResolver()
    with pytest.raises(PrivateAddressError):
        await resolver.resolve("localhost", 443)
    await resolver.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example", "https://127.0.0.1", "https://localhost", "https://[::1]/", "file:///etc/passwd",
        "https://a@b.example", "https://api.example/?a=1", "https://169.254.169.254/latest",
    ],
)  # fmt: skip
async def test_a_url_that_is_not_of_the_internet_must_be_meant(url: str) -> None:
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
async def test_a_declaration_that_cannot_be_is_told_by_name(users: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match="collections") as raised:
        await connect(RestOptions(base_url="https://api.example", collections={"users": users}))
    assert complaint in str(raised.value)
