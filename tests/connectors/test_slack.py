"""Test the `slack` connector over the wire against a server that speaks Slack's Web API."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.servers.slack.app import app, parse_rates
from demo.servers.slack.workspace import Workspace, build_workspace
from onedoor.connectors.slack.connector import SlackConnector, SlackOptions, connect
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import KeyFilter, ScanRequest

TOKEN = "xoxb-secret"
PATTERN = "cust-{customer_id:int}-{slug}"
THREAD = ("channel_id", "thread_ts")
MESSAGE = ("channel_id", "ts", "user_id", "text")
SAID = ("plain", "version", "sent_at")
Serve = Callable[[ASGIApp], AbstractContextManager[int]]
OpenSlack = Callable[..., Awaitable[SlackConnector]]


class CallRecorder:
    """Serve the app, and keep the methods that were called."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.methods: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.methods.append(scope["path"].removeprefix("/api/"))
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def world() -> Workspace:
    return build_workspace(1)


@pytest.fixture(scope="module")
def call_recorder(world: Workspace, serve: Serve) -> Iterator[tuple[CallRecorder, int]]:
    server = CallRecorder(app(TOKEN, world, parse_rates([])))
    with serve(server) as port:
        yield server, port


@pytest.fixture
async def open_slack() -> AsyncIterator[OpenSlack]:
    opened: list[SlackConnector] = []

    async def connect_to(port: int, **options: object) -> SlackConnector:
        settings = {"token": TOKEN, "base_url": f"http://127.0.0.1:{port}/api/", "channel_pattern": PATTERN} | options
        opened.append(await connect(SlackOptions(**settings)))  # type: ignore[arg-type]
        return opened[-1]

    yield connect_to
    for source in opened:
        await source.close()


@pytest.fixture
async def slack(open_slack: OpenSlack, call_recorder: tuple[CallRecorder, int]) -> SlackConnector:
    call_recorder[0].methods.clear()
    return await open_slack(call_recorder[1])


@pytest.fixture
def methods(call_recorder: tuple[CallRecorder, int]) -> list[str]:
    return call_recorder[0].methods


async def read_rows(source: SlackConnector, collection: str, *columns: str, keys: KeyFilter | None = None) -> list[Row]:
    request = ScanRequest(collection=collection, columns=columns, keys=keys)
    return [row async for batch in source.scan(request) for row in batch]


def list_channel_messages(world: Workspace) -> list[Row]:
    messages = [post.message for post in world.posts.values() if post.message.thread is None]
    return [(message.channel, message.ts, message.user, message.text) for message in messages]


@pytest.mark.parametrize(
    ("collection", "columns", "keys", "key_columns", "requires"),
    [
        (
            "users",
            {"id", "name", "real_name", "email", "title", "is_bot", "deleted", "tz"},
            1000,
            {("id",), ("email",)},
            (),
        ),
        (
            "channels",
            {"id", "name", "topic", "purpose", "created", "archived", "members", "customer_id", "slug"},
            1000,
            {("id",)},
            (),
        ),
        ("messages", {*MESSAGE, *SAID}, 50, {("channel_id",), ("channel_id", "ts"), ("user_id",)}, ()),
        ("replies", {*MESSAGE, *SAID, "thread_ts"}, 50, {THREAD, (*THREAD, "ts")}, THREAD),
    ],
)
async def test_slack_promises_lookups_by_key_and_nothing_else(
    slack: SlackConnector, collection: str, columns: set[str], keys: int, key_columns: set[Row], requires: Row
) -> None:
    capabilities = slack.capabilities(collection)
    assert (
        set(capabilities.columns),
        capabilities.max_keys,
        set(capabilities.key_columns),
        capabilities.required_columns,
    ) == (
        columns,
        keys,
        key_columns,
        requires,
    )
    assert not any(
        (
            capabilities.boolean_filters,
            capabilities.exists_filters,
            capabilities.limit,
            capabilities.aggregates,
            *(column.filters for column in capabilities.columns.values()),
        )
    )


async def test_users_are_read_page_by_page(slack: SlackConnector, world: Workspace) -> None:
    rows = await read_rows(slack, "users", "id", "name", "real_name", "email", "title", "is_bot", "deleted", "tz")
    assert sorted(rows) == sorted(
        (
            user.id,
            user.name,
            f"{user.first_name} {user.last_name}",
            user.email,
            user.title or None,
            user.email is None,
            False,
            "Etc/UTC",
        )
        for user in world.users.values()
    )


@pytest.mark.parametrize(
    ("column", "count", "method"),
    [
        pytest.param("id", 3, "users.info", id="a few ids one by one"),
        pytest.param("id", 30, "users.list", id="many ids by the list"),
        pytest.param("email", 3, "users.lookupByEmail", id="a few addresses one by one"),
        pytest.param("email", 30, "users.list", id="many addresses by the list"),
    ],
)
async def test_users_are_found_by_key(
    slack: SlackConnector, world: Workspace, methods: list[str], column: str, count: int, method: str
) -> None:
    values = tuple((getattr(user, column),) for user in list(world.users.values())[:count])
    rows = await read_rows(slack, "users", column, keys=KeyFilter((column,), values))
    assert (sorted(rows), set(methods)) == (sorted(values), {method})


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        (("id",), (("U0NOBODY",), ("",), ("\ud800",), ("a\0",), ("U1&user=x",))),
        (("email",), (("nobody@acme.example",), ("",), ("\ud800",), ("a\0",))),
    ],
)
async def test_keys_that_no_user_has_give_no_rows(
    slack: SlackConnector, columns: tuple[str, ...], values: tuple[Row, ...]
) -> None:
    assert await read_rows(slack, "users", "id", keys=KeyFilter(columns, values)) == []


async def test_the_pattern_reads_columns_from_channel_names(slack: SlackConnector, world: Workspace) -> None:
    results = {row[0]: row[1:] for row in await read_rows(slack, "channels", "name", "customer_id", "slug")}
    assert len(results) == len(world.channels)
    assert results["general"] == (None, None)
    assert results["cust-20-granit-foods-ab"] == (20, "granit-foods-ab")


async def test_channels_are_found_by_id(slack: SlackConnector, world: Workspace) -> None:
    channel = next(iter(world.channels.values()))
    keys = KeyFilter(("id",), ((channel.id,), ("C0NONE",), ("\ud800",)))
    assert await read_rows(
        slack, "channels", "name", "topic", "purpose", "created", "archived", "members", keys=keys
    ) == [(channel.name, channel.topic, None, channel.created, False, len(channel.members))]


async def test_messages_are_those_of_channels_and_not_of_threads(slack: SlackConnector, world: Workspace) -> None:
    assert sorted(await read_rows(slack, "messages", *MESSAGE)) == sorted(list_channel_messages(world))


async def test_the_messages_of_a_channel_are_read_page_by_page(slack: SlackConnector, world: Workspace) -> None:
    channel = max(world.tops, key=lambda id: len(world.tops[id]))
    keys = KeyFilter(("channel_id",), ((channel,), ("C0NONE",), ("\ud800",)))
    expected = [row for row in list_channel_messages(world) if row[0] == channel]
    assert len(expected) > 1000
    assert sorted(await read_rows(slack, "messages", *MESSAGE, keys=keys)) == sorted(expected)


@pytest.mark.parametrize("count", [2, 40], ids=["one by one", "as a span"])
async def test_messages_are_found_by_channel_and_ts(slack: SlackConnector, world: Workspace, count: int) -> None:
    expected = [row for row in list_channel_messages(world) if row[0] == next(iter(world.tops))][:count]
    nothing = ((expected[0][0], "1.000000"), (expected[0][0], "x"), (expected[0][0], "\ud800"))
    keys = KeyFilter(("channel_id", "ts"), (*((row[0], row[1]) for row in expected), *nothing))
    assert sorted(await read_rows(slack, "messages", *MESSAGE, keys=keys)) == sorted(expected)


async def test_the_messages_of_a_user_are_searched_without_replies(slack: SlackConnector, world: Workspace) -> None:
    expected = list_channel_messages(world)
    user = expected[len(expected) // 2][2]
    keys = KeyFilter(("user_id",), ((user,), ("U0NOBODY",), ("\ud800",)))
    assert sorted(await read_rows(slack, "messages", *MESSAGE, keys=keys)) == sorted(
        row for row in expected if row[2] == user
    )


async def test_the_time_of_a_message_is_exact_to_the_microsecond(slack: SlackConnector, world: Workspace) -> None:
    channel, ts, *_ = list_channel_messages(world)[0]
    seconds, _, micro = ts.partition(".")
    expected = datetime.fromtimestamp(int(seconds), UTC).replace(microsecond=int(micro))
    assert await read_rows(slack, "messages", "sent_at", keys=KeyFilter(("channel_id", "ts"), ((channel, ts),))) == [
        (expected,)
    ]


async def test_replies_are_the_messages_of_a_thread_without_its_first(slack: SlackConnector, world: Workspace) -> None:
    (channel, ts), stamps = max(world.threads.items(), key=lambda thread: len(thread[1]))
    keys = KeyFilter(
        ("channel_id", "thread_ts"), ((channel, ts), (channel, stamps[0]), (channel, "1.000000"), (channel, "x"))
    )
    rows = await read_rows(slack, "replies", "channel_id", "thread_ts", "ts", keys=keys)
    assert sorted(rows) == [(channel, ts, stamp) for stamp in stamps]


async def read_failure(source: SlackConnector) -> tuple[str, ErrorCode]:
    with pytest.raises(ConnectorError) as caught:
        await read_rows(source, "users", "id")
    return caught.value.reason, caught.value.code


async def test_a_wrong_token_is_refused(open_slack: OpenSlack, call_recorder: tuple[CallRecorder, int]) -> None:
    source = await open_slack(call_recorder[1], token="xoxb-wrong")
    assert await read_failure(source) == ("slack refused the token", ErrorCode.SOURCE_UNAVAILABLE)


async def test_a_server_that_is_down_could_not_be_reached(open_slack: OpenSlack, closed_port: int) -> None:
    assert await read_failure(await open_slack(closed_port)) == (
        "slack could not be reached",
        ErrorCode.SOURCE_UNAVAILABLE,
    )


async def test_a_call_without_a_response_ends_at_its_timeout(open_slack: OpenSlack, silent_port: int) -> None:
    source = await open_slack(silent_port, timeout=0.2)
    assert await read_failure(source) == ("slack did not answer within 0.2 s", ErrorCode.SOURCE_UNAVAILABLE)


UNREADABLE = ("slack gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(Response("<html>", media_type="text/html"), UNREADABLE, id="no json"),
        pytest.param(Response("{", media_type="application/json"), UNREADABLE, id="broken json"),
        pytest.param(Response("hello", media_type="text/plain"), UNREADABLE, id="plain text"),
        pytest.param(JSONResponse([]), UNREADABLE, id="a list"),
        pytest.param(JSONResponse({"ok": True}), UNREADABLE, id="no users"),
        pytest.param(JSONResponse({"ok": True, "members": [1]}), UNREADABLE, id="users that are none"),
        pytest.param(JSONResponse({"ok": False}), UNREADABLE, id="no error's name"),
        pytest.param(
            JSONResponse({"ok": False, "error": "See http://x?token=y"}), UNREADABLE, id="an error that is no word"
        ),
        pytest.param(
            JSONResponse({"ok": False, "error": "missing_scope"}),
            ("slack refused the call with `missing_scope`", ErrorCode.SOURCE_UNAVAILABLE),
            id="another error",
        ),
        pytest.param(Response("", 503), ("slack failed with HTTP status 503", ErrorCode.SOURCE_UNAVAILABLE), id="down"),
        pytest.param(
            JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": "60"}),
            (
                "`slack` takes no more `users.list` for now, the next turn is in 60 s: ask again then, or for less",
                ErrorCode.RATE_LIMITED,
            ),
            id="a long wait",
        ),
        pytest.param(
            JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": "0"}),
            ("slack takes no more calls for now, ask again later", ErrorCode.SOURCE_OVERLOADED),
            id="a wait for nothing",
        ),
    ],
)
async def test_a_failure_repeats_nothing_but_names_of_errors(
    open_slack: OpenSlack, serve: Serve, answer: Response, expected: tuple[str, ErrorCode]
) -> None:
    with serve(answer) as port:
        assert await read_failure(await open_slack(port)) == expected


async def test_a_long_wait_is_an_error_at_once(open_slack: OpenSlack, serve: Serve) -> None:
    with serve(JSONResponse({}, 429, {"Retry-After": "60"})) as port:
        async with asyncio.timeout(30):
            assert (await read_failure(await open_slack(port)))[1] is ErrorCode.RATE_LIMITED


async def test_a_short_wait_is_waited_and_the_call_is_repeated(open_slack: OpenSlack, serve: Serve) -> None:
    answers = iter([JSONResponse({}, 429, {"Retry-After": "0"}), JSONResponse({"ok": True, "members": [{"id": "U1"}]})])

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        await next(answers)(scope, receive, send)

    with serve(server) as port:
        assert await read_rows(await open_slack(port), "users", "id") == [("U1",)]


async def test_deactivated_users_are_found_by_e_mail_too(open_slack: OpenSlack, serve: Serve) -> None:
    """Slack's own look-up by e-mail does not know them, its list does."""
    gone = {"id": "U1", "deleted": True, "profile": {"email": "gone@acme.example"}}

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        listed = Request(scope).url.path.endswith("users.list")
        answer = {"ok": True, "members": [gone]} if listed else {"ok": False, "error": "users_not_found"}
        await JSONResponse(answer)(scope, receive, send)

    with serve(server) as port:
        source = await open_slack(port)
        keys = KeyFilter(("email",), (("gone@acme.example",),))
        assert await read_rows(source, "users", "id", "deleted", keys=keys) == [("U1", True)]


async def test_columns_have_four_types(slack: SlackConnector) -> None:
    kinds = {
        column.type
        for name in ("users", "channels", "messages", "replies")
        for column in slack.capabilities(name).columns.values()
    }
    assert kinds == {ColumnType.TEXT, ColumnType.BOOLEAN, ColumnType.INTEGER, ColumnType.TIME}
