"""How often an API is called by one query over an introspected description."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from onedoor.connectors.rest.connector import RestOptions, connect
from onedoor.query.context import QueryEngine
from tests.codegen.described_apis import (
    NUMBER,
    introspect_paths,
    object_schema,
    operation_returning,
    path_parameter,
    query_parameter,
)
from tests.codegen.generated_company import build_engine, fetch_data
from tests.servers.rest import serve_app

EVENTS = 7
PAGE = 3
LIST = {
    "type": "object",
    "properties": {
        "events": {"type": "array", "items": object_schema(size=NUMBER)},
        "offset": NUMBER,
        "limit": NUMBER,
        "more": {"type": "boolean"},
    },
}
PATHS = {
    "/events": operation_returning(
        LIST, query_parameter("offset", type="integer"), query_parameter("limit", type="integer", maximum=PAGE)
    ),
    "/events/{id}": operation_returning(object_schema(size=NUMBER), path_parameter("id", type="integer")),
}


class EventServer:
    """Serve events page by page; `fails`: how many of the next calls it refuses."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.fails = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        self.requests.append(f"{request.url.path}?{request.url.query}".rstrip("?"))
        await self.respond(request)(scope, receive, send)

    def respond(self, request: Request) -> Response:
        if self.fails:
            self.fails -= 1
            return Response(status_code=503)
        number = request.url.path.removeprefix("/events").strip("/")
        if number:
            return Response(orjson.dumps({"id": int(number), "size": 1}))
        offset = int(request.query_params["offset"])
        numbers = range(offset, min(EVENTS, offset + PAGE))
        rows = [{"id": number, "size": number % 2} for number in numbers]
        return Response(orjson.dumps({"events": rows, "more": offset + PAGE < EVENTS}))


@pytest.fixture
async def events(tmp_path: Path) -> AsyncIterator[tuple[QueryEngine, EventServer]]:
    server = EventServer()
    introspect_paths(tmp_path, PATHS)
    async with serve_app(server) as url:
        described = tmp_path / "schema/introspected/own.toml"
        source = await connect(RestOptions(base_url=url, described=described, private_addresses=True))
        yield build_engine(tmp_path, source), server
        await source.close()


PAGES = [f"/events?offset={offset}&limit={PAGE}" for offset in (0, 3, 6)]


@pytest.mark.parametrize(
    ("query", "requests", "read"),
    [
        pytest.param(
            "{ events(first: 2) { totalCount nodes { id size } pageInfo { hasNextPage hasPreviousPage } } }",
            PAGES,
            lambda data: (data["events"]["totalCount"], len(data["events"]["nodes"])) == (EVENTS, 2),
            id="rows and their count",
        ),
        pytest.param(
            "{ events { aggregate { sum { size } } groups(by: [{size: VALUE}]) { aggregate { count } } } }",
            PAGES,
            lambda data: data["events"]["aggregate"]["sum"]["size"] == "3",
            id="aggregates and groups",
        ),
        pytest.param(
            "{ a: events { totalCount } b: events(where: {size: {eq: 1}}) { nodes { id } } }",
            PAGES,
            lambda data: (data["a"]["totalCount"], len(data["b"]["nodes"])) == (EVENTS, 3),
            id="two fields of one list",
        ),
        pytest.param(
            '{ a: event(id: "4") { size } b: event(id: "4") { id } }',
            ["/events/4"],
            lambda data: data == {"a": {"size": 1}, "b": {"id": "4"}},
            id="one row, twice",
        ),
    ],
)
async def test_a_query_asks_each_page_once(
    events: tuple[QueryEngine, EventServer], query: str, requests: list[str], read: Callable[[Any], bool]
) -> None:
    engine, server = events
    assert read(await fetch_data(engine, query))
    assert server.requests == requests


async def test_the_next_query_is_answered_anew(events: tuple[QueryEngine, EventServer]) -> None:
    engine, server = events
    for _ in range(2):
        await fetch_data(engine, "{ events { totalCount } }")
    assert server.requests == PAGES * 2


async def test_a_failure_is_shared_by_those_who_wait_and_not_kept(events: tuple[QueryEngine, EventServer]) -> None:
    engine, server = events
    server.fails = 1
    data = await fetch_data(engine, "{ events { totalCount nodes { id } } }")
    assert (data["events"]["totalCount"], len(data["events"]["nodes"])) == (EVENTS, EVENTS)
    assert server.requests == [PAGES[0], *PAGES]
