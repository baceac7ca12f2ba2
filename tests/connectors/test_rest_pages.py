"""How pages of an API over HTTP follow each other, where they end, and that they do."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from starlette.responses import Response

from onedoor.connectors.rest.connector import RestConnector, RestOptions, connect
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.scan import ScanRequest
from tests.servers.rest import serve_app
from tests.servers.scripted import ScriptedServer

ALL = ScanRequest(collection="users", columns=("id",))
BY_PAGE = {"by": "page", "parameter": "page"}
BY_OFFSET = {"by": "offset", "parameter": "skip"}
BY_CURSOR = {"by": "cursor", "parameter": "after", "next": "next"}
BY_LINK = {"by": "link", "next": "next"}
OpenSource = Callable[..., Any]


@pytest.fixture
async def open_source() -> AsyncIterator[OpenSource]:
    async with AsyncExitStack() as stack:

        async def connect_to(app: Any, paging: Mapping[str, Any]) -> RestConnector:
            url = await stack.enter_async_context(serve_app(app))
            users = {"path": "/users", "rows": "rows", "columns": {"id": "integer"}, "paging": paging}
            source = await connect(
                RestOptions(base_url=f"{url}/v1", collections={"users": users}, private_addresses=True)
            )
            stack.push_async_callback(source.close)
            return source

        yield connect_to


def page(*ids: int, **beside: Any) -> Response:
    return Response(orjson.dumps({"rows": [{"id": number} for number in ids], **beside}))


async def read_ids(source: RestConnector) -> list[Any]:
    return [row[0] async for batch in source.scan(ALL) for row in batch]


@pytest.mark.parametrize(
    ("paging", "responses", "requests"),
    [
        pytest.param(
            {**BY_PAGE, "more": "more"},
            [page(1, more=True), page(2, more=False)],
            ["/v1/users?page=1", "/v1/users?page=2"],
            id="more: false is the last page",
        ),
        pytest.param(
            {**BY_OFFSET, "more": "paging.hasMore"},
            [page(1, 2, paging={"hasMore": False})],
            ["/v1/users?skip=0"],
            id="one page that says it is the only one",
        ),
        pytest.param(
            {**BY_OFFSET, "last": "isLast"},
            [page(1, 2, isLast=False), page(3, isLast=True)],
            ["/v1/users?skip=0", "/v1/users?skip=2"],
            id="last: true is the last page",
        ),
        pytest.param(
            {**BY_PAGE, "more": "more"},
            [page(1), page(2), page()],
            ["/v1/users?page=1", "/v1/users?page=2", "/v1/users?page=3"],
            id="where it says nothing, pages end with an empty one",
        ),
        pytest.param(
            {**BY_PAGE, "more": "more"},
            [page(more=True), page(2, more=False)],
            ["/v1/users?page=1", "/v1/users?page=2"],
            id="an empty page that says more follows",
        ),
        pytest.param(
            {**BY_OFFSET, "first": 1},
            [page(1, 2), page()],
            ["/v1/users?skip=1", "/v1/users?skip=3"],
            id="rows counted from 1",
        ),
        pytest.param(
            {"by": "cursor", "parameter": "after", "next": "rows.-1.id", "more": "more"},
            [page(1, 2, more=True), page(3, more=False)],
            ["/v1/users", "/v1/users?after=2"],
            id="the last row's id is the cursor",
        ),
        pytest.param(
            BY_LINK,
            [page(1, next="/v1/users?token=a"), page(2, next="?token=b"), page(3, next=None)],
            ["/v1/users", "/v1/users?token=a", "/v1/users?token=b"],
            id="links within the response",
        ),
        pytest.param(
            {"by": "link", "next": ["@odata.nextLink"]},
            [page(1, **{"@odata.nextLink": "users?$skiptoken=a"}), page(2)],
            ["/v1/users", "/v1/users?$skiptoken=a"],
            id="a name with a dot",
        ),
    ],
)
async def test_pages_are_read_to_the_declared_end(
    open_source: OpenSource, paging: Mapping[str, Any], responses: Sequence[Response], requests: Sequence[str]
) -> None:
    server = ScriptedServer(*responses)
    ids = [row["id"] for response in responses for row in orjson.loads(bytes(response.body))["rows"]]
    assert await read_ids(await open_source(server, paging)) == ids
    assert [str(request.url).partition("/v1")[2] for request in server.requests] == [
        request.removeprefix("/v1") for request in requests
    ]


@pytest.mark.parametrize(
    ("paging", "responses", "reason"),
    [
        pytest.param(
            BY_PAGE,
            [page(1), page(1)],
            "the API gave page 1 again for page 2: its parameter `page` has no effect",
            id="the page before",
        ),
        pytest.param(
            BY_OFFSET,
            [page(1), page(2), page(1)],
            "the API gave page 1 again for page 3: its parameter `skip` has no effect",
            id="the first page, once more",
        ),
        pytest.param(
            BY_CURSOR,
            [page(1, next="a"), page(1, next="b")],
            "the API gave page 1 again for page 2: its pages would never end",
            id="the same rows under another cursor",
        ),
        pytest.param(
            BY_CURSOR,
            [page(1, next="a"), page(2, next="b"), page(3, next="a")],
            "the API names as page 4 one that it gave before: its pages would never end",
            id="a ring of cursors",
        ),
        pytest.param(
            BY_LINK,
            [page(1, next="/v1/users?a"), page(2, next="/v1/users?a")],
            "the API names as page 3 one that it gave before: its pages would never end",
            id="a page that links to itself",
        ),
        pytest.param(
            BY_CURSOR,
            [page(next=str(number)) for number in range(150)],
            "the API gave 101 pages without a row one after the other, and names more",
            id="empty pages without an end",
        ),
        pytest.param(
            BY_LINK, [page(1, next="https://elsewhere.example/")], "the API names a next page that is not its own",
            id="a link to another host",
        ),
        pytest.param(
            {**BY_PAGE, "more": "more"}, [page(1, more="yes")], "the API gave an answer that cannot be read",
            id="a word for a boolean",
        ),
    ],
)  # fmt: skip
async def test_pages_without_an_end_are_told(
    open_source: OpenSource, paging: Mapping[str, Any], responses: Sequence[Response], reason: str
) -> None:
    source = await open_source(ScriptedServer(*responses), paging)
    with pytest.raises(ConnectorError) as raised:
        await read_ids(source)
    assert (raised.value.reason, raised.value.code) == (reason, ErrorCode.SOURCE_INVALID)


@pytest.mark.parametrize(
    ("paging", "complaint"),
    [
        ({"by": "cursor", "parameter": "after"}, "`collections.users.paging.next` is missing"),
        ({**BY_PAGE, "next": "next"}, "belongs to `cursor` and `link`"),
        ({**BY_PAGE, "more": "more", "last": "last"}, "takes `more` or `last`"),
    ],
)
async def test_paging_that_cannot_be_is_named(
    open_source: OpenSource, paging: Mapping[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        await open_source(ScriptedServer(page()), paging)
