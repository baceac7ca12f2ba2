"""Test the `graphql` connector over a real wire: the documents it sends, and how it reports failures."""

import asyncio
import gzip
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import date
from typing import Any

import orjson
import pytest
from graphql import print_ast
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from onedoor.connectors.graphql.connector import GraphQLConnector, GraphQLOptions, connect
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.predicates import And, Comparison, Op, Row
from onedoor.spi.scan import KeyFilter, ScanRequest
from tests.contract.tables import TABLES
from tests.docs.pages import ROOT, blocks
from tests.servers.graphql import Service
from tests.servers.rest import serve_app
from tests.servers.scripted import ScriptedServer

ROWS = {name: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for name, table in TABLES.items()}
THING: Mapping[str, Any] = {
    "field": "thing",
    "columns": {
        "id": "integer",
        "name": "text",
        "code": "text",
        "done": "boolean",
        "day": "date",
        "big": {"kind": "integer", "at": "size.big"},
        "ratio": {"kind": "float", "at": "size.ratio"},
    },
    "keys": {"id": {"argument": "ids", "type": "[ID!]", "most": 3}},
    "filters": {
        "code": {"argument": "code", "type": "String"},
        "done": {"argument": "done", "type": "Boolean"},
        "day": {"argument": "day", "type": "Day"},
    },
}
ONE_BY_ONE = {**THING, "keys": {"id": {"field": "oneThing", "argument": "id", "type": "ID!", "most": 2}}}
PAGED = {
    "field": "things",
    "rows": "edges.node",
    "columns": {"id": "integer", "name": "text"},
    "keys": {"name": {"argument": "name", "type": "String", "most": 3}},
    "paging": {"size": 2},
}
INSIDE = {"field": "office.parts", "rows": "nodes", "columns": {"line": "integer"}, "paging": {"size": 100}}
CUT = {**THING, "limit": {"argument": "first", "most": 5}}
SECRET = "Bearer very-secret"
UNREADABLE = "the API gave an answer that cannot be read"
ALL = ScanRequest(collection="things", columns=("id",))
OpenSource = Callable[..., Any]


@pytest.fixture
async def open_source() -> AsyncIterator[OpenSource]:
    async with AsyncExitStack() as stack:

        async def connect_to(app: Any, things: Mapping[str, Any] = THING, **options: Any) -> GraphQLConnector:
            url = await stack.enter_async_context(serve_app(app))
            settings = {"url": url, "collections": {"things": things}, "private_addresses": True} | options
            source = await connect(GraphQLOptions(**settings))
            stack.push_async_callback(source.close)
            return source

        yield connect_to


async def read_rows(source: GraphQLConnector, request: ScanRequest = ALL) -> list[Row]:
    return [row async for batch in source.scan(request) for row in batch]


async def read_failure(source: GraphQLConnector, request: ScanRequest = ALL) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        await read_rows(source, request)
    return raised.value


def json_response(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(orjson.dumps(body), status, {name.replace("_", "-"): value for name, value in headers.items()})


def list_response(*items: Any) -> Response:
    return json_response({"data": {"p0": list(items)}})


def keyed_by(*keys: Any, column: str = "id") -> ScanRequest:
    return ScanRequest(collection="things", columns=("id",), keys=KeyFilter((column,), tuple((key,) for key in keys)))


def filtered_by(*tests: tuple[str, Any], **options: Any) -> ScanRequest:
    filters = And(tuple(Comparison(column, Op.EQ, value) for column, value in tests))
    return ScanRequest(collection="things", columns=("id",), filter=filters, **options)


async def record_documents(
    source: GraphQLConnector, service: Service, request: ScanRequest
) -> list[tuple[str, Mapping[str, Any]]]:
    await read_rows(source, request)
    return sorted(((" ".join(print_ast(text).split()), dict(given)) for text, given in service.requests), key=str)


@pytest.mark.parametrize(
    ("things", "scan_request", "expected"),
    [
        pytest.param(
            THING,
            ScanRequest(collection="things", columns=("ratio", "name", "big")),
            [("{ p0: thing { size { ratio big } name } }", {})],
            id="only the wanted columns",
        ),
        pytest.param(
            THING,
            ScanRequest(collection="things", columns=()),
            [("{ p0: thing { __typename } }", {})],
            id="no column at all",
        ),
        pytest.param(
            THING,
            keyed_by(1, 2, 3, 4),
            [
                ("query ($v0: [ID!]) { p0: thing(ids: $v0) { id } }", {"v0": ["1", "2", "3"]}),
                ("query ($v0: [ID!]) { p0: thing(ids: $v0) { id } }", {"v0": ["4"]}),
            ],
            id="many keys in one list",
        ),
        pytest.param(
            ONE_BY_ONE,
            keyed_by(1, 2, 3),
            [
                ("query ($v0: ID!) { p0: oneThing(id: $v0) { id } }", {"v0": "3"}),
                (
                    "query ($v0: ID!, $v1: ID!) { p0: oneThing(id: $v0) { id } p1: oneThing(id: $v1) { id } }",
                    {"v0": "1", "v1": "2"},
                ),
            ],
            id="many keys under aliases",
        ),
        pytest.param(THING, keyed_by(), [], id="no keys need no call"),
        pytest.param(
            THING,
            filtered_by(("code", 'x") { id } secret: thing(code: "y'), ("done", True), ("day", date(2026, 1, 2))),
            [
                (
                    "query ($v0: String, $v1: Boolean, $v2: Day) "
                    "{ p0: thing(code: $v0, done: $v1, day: $v2) { id code done day } }",
                    {"v0": 'x") { id } secret: thing(code: "y', "v1": True, "v2": "2026-01-02"},
                ),
            ],
            id="values travel as variables",
        ),
        pytest.param(THING, filtered_by(("code", "x"), ("code", "y")), [], id="a contradiction needs no call"),
        pytest.param(
            THING,
            filtered_by(("code", "\ud800")),
            [("{ p0: thing { id code } }", {})],
            id="no text, so it is ours to find",
        ),
        pytest.param(
            CUT,
            filtered_by(("done", True), limit=2),
            [
                (
                    "query ($v0: Boolean, $v1: Int) { p0: thing(done: $v0, first: $v1) { id done } }",
                    {"v0": True, "v1": 2},
                ),
            ],
            id="a limit goes along with its filter",
        ),
        pytest.param(
            CUT, filtered_by(limit=6), [("{ p0: thing { id } }", {})], id="a limit past what it takes is ours"
        ),
        pytest.param(
            INSIDE,
            ScanRequest(collection="things", columns=("line",), limit=2),
            [
                (
                    "query ($v0: Int) "
                    "{ p0: office { parts(first: $v0) { nodes { line } pageInfo { hasNextPage endCursor } } } }",
                    {"v0": 2},
                ),
            ],
            id="no larger page than a limit needs",
        ),
    ],
)
async def test_keys_filters_order_and_limit_are_sent_as_promised(
    open_source: OpenSource,
    things: Mapping[str, Any],
    scan_request: ScanRequest,
    expected: list[tuple[str, Mapping[str, Any]]],
) -> None:
    service = Service(ROWS)
    assert await record_documents(await open_source(service, things), service, scan_request) == expected


async def test_the_next_pages_of_several_keys_share_a_document(open_source: OpenSource) -> None:
    """`a` has two things, the others one: one document for all, and none more."""
    service = Service({**ROWS, "thing": [{**row, "name": "a"} for row in ROWS["thing"][:5]] + ROWS["thing"][5:]})
    rows = await read_rows(await open_source(service, PAGED), keyed_by("a", "É", "50%", column="name"))
    assert sorted(rows) == [(1,), (2,), (3,), (4,), (5,), (6,), (7,), (17,)]
    assert [len(variables) for _, variables in service.requests] == [6, 3, 3]


async def test_rows_that_were_not_requested_are_left_out(open_source: OpenSource) -> None:
    assert await read_rows(
        await open_source(ScriptedServer(list_response({"id": "1"}, None, {"id": "2"}))), keyed_by(2)
    ) == [(2,)]


async def test_rows_that_were_not_requested_do_not_count_for_the_limit(open_source: OpenSource) -> None:
    source = await open_source(ScriptedServer(list_response({"id": "1", "done": True})), CUT)
    assert (await read_failure(source, filtered_by(("done", False), limit=1))).code is ErrorCode.SOURCE_INVALID


ERROR = {"message": f"{SECRET} at /srv/app.py", "path": ["p0"]}


@pytest.mark.parametrize(
    ("response", "reason", "code"),
    [
        pytest.param(
            json_response({}, 500), "the API failed with HTTP status 500", ErrorCode.SOURCE_UNAVAILABLE, id="5xx"
        ),
        pytest.param(
            json_response({"errors": [ERROR]}, 400),
            "the API refused the call with HTTP status 400",
            ErrorCode.SOURCE_INVALID,
            id="4xx",
        ),
        pytest.param(
            json_response({}, 404), "the API refused the call with HTTP status 404", ErrorCode.SOURCE_INVALID, id="404"
        ),
        pytest.param(json_response({}, 401), "the API refused the credentials", ErrorCode.SOURCE_UNAVAILABLE, id="401"),
        pytest.param(
            json_response({}, 429, retry_after="60"),
            "the API takes no more calls for now, ask again later",
            ErrorCode.SOURCE_OVERLOADED,
            id="429 with a long wait",
        ),
        pytest.param(
            json_response({}, 302, location="/elsewhere"),
            "the API has moved: redirects are not followed",
            ErrorCode.SOURCE_INVALID,
            id="a redirect",
        ),
        pytest.param(
            Response(b"x" * 2000),
            "an answer of the API is over the limit `response_bytes` of 1000",
            ErrorCode.SOURCE_INVALID,
            id="a body over the limit",
        ),
        pytest.param(
            Response(gzip.compress(b" " * 2_000_000), headers={"content-encoding": "gzip"}),
            "an answer of the API is over the limit `response_bytes` of 1000",
            ErrorCode.SOURCE_INVALID,
            id="a small body that unpacks into a large one",
        ),
        pytest.param(
            json_response({"errors": [ERROR], "data": None}),
            "the API answered with errors",
            ErrorCode.SOURCE_INVALID,
            id="errors",
        ),
        pytest.param(
            json_response({"errors": [ERROR], "data": {"p0": [{"id": "1"}, None]}}),
            "the API answered with errors",
            ErrorCode.SOURCE_INVALID,
            id="errors beside data",
        ),
        pytest.param(
            json_response({"errors": [{**ERROR, "extensions": {"code": "UNAUTHENTICATED"}}]}),
            "the API refused the credentials",
            ErrorCode.SOURCE_UNAVAILABLE,
            id="refused in the body",
        ),
        pytest.param(
            json_response({"errors": [{"extensions": {"code": "THROTTLED"}}]}),
            "the API takes no more calls for now, ask again later",
            ErrorCode.SOURCE_OVERLOADED,
            id="throttled in the body",
        ),
        pytest.param(
            json_response({"errors": "no"}), "the API answered with errors", ErrorCode.SOURCE_INVALID, id="odd errors"
        ),
        *(
            pytest.param(response, UNREADABLE, ErrorCode.SOURCE_INVALID, id=f"unreadable {name}")
            for name, response in {
                "text": Response(b"<html>"),
                "list": json_response([]),
                "nothing": json_response({}),
                "no data": json_response({"data": None}),
                "other data": json_response({"data": {"p1": []}}),
                "no rows": json_response({"data": {"p0": None}}),
                "no objects": list_response(1),
                "packing": Response(b"{}", headers={"content-encoding": "br"}),
            }.items()
        ),
    ],
)
async def test_a_failure_repeats_nothing_that_the_service_says(
    open_source: OpenSource, response: Response, reason: str, code: ErrorCode
) -> None:
    server = ScriptedServer(response)
    error = await read_failure(await open_source(server, response_bytes=1000, headers={"authorization": SECRET}))
    assert (error.reason, error.code) == (reason, code)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"edges": []}, id="no page"),
        pytest.param({"edges": [], "pageInfo": {"hasNextPage": True, "endCursor": None}}, id="no cursor"),
        pytest.param({"edges": [], "pageInfo": {"hasNextPage": "yes"}}, id="no answer"),
        pytest.param({"edges": None, "pageInfo": {"hasNextPage": False}}, id="no rows"),
    ],
)
async def test_a_page_that_says_too_little_cannot_be_read(open_source: OpenSource, page: Any) -> None:
    server = ScriptedServer(json_response({"data": {"p0": page}}))
    assert (await read_failure(await open_source(server, PAGED))).reason == UNREADABLE
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        pytest.param(
            [("a", ()), ("a", ())], "names as page 3 one that it gave before", id="a page that names itself as the next"
        ),
        pytest.param(
            [("a", (1,)), ("b", (2,)), ("a", (3,))], "names as page 4 one that it gave before", id="a ring of cursors"
        ),
        pytest.param([("a", (1,)), ("b", (1,))], "gave page 1 again for page 2", id="the same rows, another cursor"),
        pytest.param(
            [("a", (1,)), ("b", (2,)), ("c", (1,))], "gave page 1 again for page 3", id="the first page, once more"
        ),
        pytest.param(
            [(str(number), ()) for number in range(150)],
            "gave 101 pages without a row",
            id="empty pages without an end",
        ),
    ],
)
async def test_pages_without_an_end_are_told(
    open_source: OpenSource, pages: Sequence[tuple[str, Sequence[int]]], reason: str
) -> None:
    responses = [
        {
            "edges": [{"node": {"id": number, "name": "a lamp"}} for number in ids],
            "pageInfo": {"hasNextPage": True, "endCursor": cursor},
        }
        for cursor, ids in pages
    ]
    server = ScriptedServer(*(json_response({"data": {"p0": page}}) for page in responses))
    error = await read_failure(await open_source(server, PAGED), replace(ALL, columns=("id", "name")))
    assert (error.code, reason in error.reason) == (ErrorCode.SOURCE_INVALID, True), error.reason


async def test_pages_of_some_columns_may_be_alike(open_source: OpenSource) -> None:
    pages = [
        {
            "edges": [{"node": {"name": "a lamp"}}] * 2,
            "pageInfo": {"hasNextPage": number < 2, "endCursor": str(number)},
        }
        for number in range(3)
    ]
    server = ScriptedServer(*(json_response({"data": {"p0": page}}) for page in pages))
    assert await read_rows(await open_source(server, PAGED), replace(ALL, columns=("name",))) == [("a lamp",)] * 6


async def test_a_short_wait_that_the_server_requests_is_waited_once(open_source: OpenSource) -> None:
    server = ScriptedServer(json_response({}, 429, retry_after="0"), list_response({"id": "1"}))
    assert await read_rows(await open_source(server)) == [(1,)]
    assert len(server.requests) == 2


async def test_headers_go_with_every_call_and_into_no_repr(open_source: OpenSource) -> None:
    server = ScriptedServer(list_response())
    options = GraphQLOptions(url="https://a.example", collections={}, headers={"authorization": SECRET})
    await read_rows(await open_source(server, headers=options.headers))
    sent = server.requests[0].headers
    assert (sent["authorization"], sent["content-type"]) == (SECRET, "application/json")
    assert sent["accept"].startswith("application/graphql-response+json")
    assert SECRET not in repr(options)


async def test_a_call_without_a_response_ends_at_its_timeout(open_source: OpenSource) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(30)

    assert (
        await read_failure(await open_source(silent, timeout=0.05))
    ).reason == "the API did not answer within 0.05 s"


async def test_a_cancelled_scan_ends_its_calls(open_source: OpenSource) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            begun.set()
        gone.set()

    reading = asyncio.create_task(read_rows(await open_source(slow, ONE_BY_ONE), keyed_by(*range(1, 9))))
    await asyncio.wait_for(begun.wait(), 30)
    reading.cancel()
    await asyncio.wait_for(gone.wait(), 30)


async def test_a_service_that_is_down_could_not_be_reached(closed_port: int) -> None:
    given = {"collections": {"things": THING}, "private_addresses": True}
    source = await connect(GraphQLOptions(url=f"http://127.0.0.1:{closed_port}/graphql", **given))
    error = await read_failure(source)
    with pytest.raises(ConnectorError):
        await source.ping()
    await source.close()
    assert (error.reason, error.retryable) == ("the API could not be reached", True)


@pytest.mark.parametrize(
    "url",
    ["http://a.example/graphql", "https://127.0.0.1/", "https://localhost/graphql", "https://169.254.169.254/", "x"],
)
async def test_a_url_that_is_not_public_must_be_allowed_by_the_settings(url: str) -> None:
    with pytest.raises(ValueError, match="`url`"):
        await connect(GraphQLOptions(url=url, collections={"things": THING}))


@pytest.mark.parametrize(
    ("things", "complaint"),
    [
        ({}, "`collections.things.field` is missing"),
        ({**THING, "field": ""}, "`collections.things.field` must name a field"),
        ({**THING, "field": "thing(id: 1)"}, "must be a name of GraphQL"),
        ({**THING, "fields": "thing"}, "there is no setting `collections.things.fields`"),
        ({**THING, "columns": {}}, "`collections.things.columns` is missing"),
        ({**THING, "columns": {"id": {"kind": "text", "at": "id } secret { x"}}}, "must be a name of GraphQL"),
        (
            {**THING, "filters": {"no": {"argument": "a", "type": "ID"}}},
            "names the column `no`, which it does not have",
        ),
        ({**THING, "filters": {"code": {"argument": "code", "type": "String) { x }"}}}, "must be a type of GraphQL"),
        ({**THING, "filters": {"code": {"argument": "a: 1, b", "type": "ID"}}}, "must be a name of GraphQL"),
        ({**THING, "filters": {"ratio": {"argument": "ratio", "type": "Float"}}}, "cannot send `ratio`"),
        ({**THING, "arguments": {"a b": {"type": "ID", "value": 1}}}, "must be a name of GraphQL"),
        ({**THING, "arguments": {"code": {"type": "ID", "value": 1}}}, "gives one argument two meanings"),
        ({**THING, "columns": {**THING["columns"], "size": "text"}}, "no object that another column is in"),
        ({**THING, "keys": {"id": {"argument": "id", "type": "ID", "most": 0}}}, "must be at least 1"),
        ({**THING, "keys": {"id": {"argument": "id", "type": "ID", "rows": "x"}}}, "only with a `field` of its own"),
        (
            {**THING, "keys": {"id": {"argument": "id", "type": "ID", "field": "x", "rows": "n", "paged": True}}},
            "needs `collections.things.paging`",
        ),
        ({**PAGED, "limit": {"argument": "limit"}}, "has a limit and pages"),
        ({**PAGED, "rows": ""}, "`collections.things.rows` is missing"),
        ({**PAGED, "paging": {"size": 0}}, "must be at least 1"),
    ],
)
async def test_an_impossible_declaration_is_named(things: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match="collections") as raised:
        await connect(GraphQLOptions(url="https://a.example/graphql", collections={"things": things}))
    assert complaint in str(raised.value)


async def test_the_collections_of_the_docs_page_can_be_served() -> None:
    (block,) = blocks(ROOT / "docs/sources/graphql.md", "toml")
    result = tomllib.loads(block.text)["sources"]["directory"]
    source = await connect(GraphQLOptions(url=result["url"], collections=result["collections"]))
    assert set(source.collections) == {"desk", "shift"}
    await source.close()
