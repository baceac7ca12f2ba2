"""Post, answer, edit and delete messages over the wire, and read them with Slack's own client."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from slack_sdk.web.async_client import AsyncWebClient
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.data.activity import BOT
from demo.servers.slack.app import app, parse_rates
from demo.servers.slack.workspace import ALL, ANYWHERE, Workspace, build_workspace
from onedoor.connectors.slack.connector import SlackConnector, SlackOptions, connect
from onedoor.connectors.slack.message_text import unescape_text
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, WritableConnector
from onedoor.spi.scan import KeyFilter, ScanRequest
from tests.connectors.writing.hostile import texts
from tests.connectors.writing.proxy import open_proxy
from tests.servers.rest import HOST, serve_app

TOKEN = "xoxb-secret"
SECONDS = 5.0
COLUMNS = ("channel_id", "ts", "user_id", "text", "plain", "version", "sent_at")


class Front:
    """Passes on all but what `instead` says; `told` are the methods that came."""

    def __init__(self, behind: ASGIApp) -> None:
        self.behind = behind
        self.instead: Mapping[str, Callable[[], Response]] = {}
        self.requests: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["path"].removeprefix("/api/")
        self.requests.append(method)
        answer: ASGIApp = self.instead[method]() if method in self.instead else self.behind
        await answer(scope, receive, send)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
async def slack_server() -> AsyncIterator[tuple[Front, Workspace, int]]:
    world = build_workspace(0.01)
    front = Front(app(TOKEN, world, parse_rates([])))
    async with serve_app(front) as url:
        yield front, world, urlsplit(url).port or 0


@pytest.fixture
def front(slack_server: tuple[Front, Workspace, int]) -> Front:
    return slack_server[0]


@pytest.fixture
def channel(slack_server: tuple[Front, Workspace, int]) -> str:
    return next(item.id for item in slack_server[1].channels.values() if item.name == "deployments")


async def connect_slack(port: int, **more: Any) -> SlackConnector:
    base_url = f"http://127.0.0.1:{port}/api/"
    return await connect(SlackOptions(token=TOKEN, base_url=base_url, **{"writable": True, "timeout": SECONDS, **more}))


@pytest.fixture
async def slack(slack_server: tuple[Front, Workspace, int], front: Front) -> AsyncIterator[SlackConnector]:
    source = await connect_slack(slack_server[2])
    yield source
    await source.close()


@pytest.fixture
async def client(slack_server: tuple[Front, Workspace, int]) -> AsyncWebClient:
    return AsyncWebClient(token=TOKEN, base_url=f"http://127.0.0.1:{slack_server[2]}/api/")


def post(id: str, channel: str, plain: Any = "Hello", **more: Any) -> RowChange:
    return RowChange(
        id=id, collection="messages", kind=ChangeKind.CREATE, key={"channel_id": channel}, values={"plain": plain}
    )


def reply(id: str, channel: str, thread: str, plain: str = "Yes") -> RowChange:
    key = {"channel_id": channel, "thread_ts": thread}
    return RowChange(id=id, collection="replies", kind=ChangeKind.CREATE, key=key, values={"plain": plain})


def on(row: Mapping[str, Any], id: str, verb: ChangeKind, plain: Any = None, version: str | None = None) -> RowChange:
    """Of the message that a row is."""
    thread = row.get("thread_ts")
    key = {"channel_id": row["channel_id"], **({"thread_ts": thread} if thread else {}), "ts": row["ts"]}
    values = {} if plain is None else {"plain": plain}
    collection = "replies" if thread else "messages"
    return RowChange(id=id, collection=collection, kind=verb, key=key, values=values, version=version)


async def apply_one(slack: SlackConnector, change: RowChange, *, dry: bool = False) -> ChangeResult:
    (result,) = await slack.apply([change], dry_run=dry)
    return result


async def apply_and_read(slack: SlackConnector, change: RowChange) -> Mapping[str, Any]:
    """The row afterwards, which was there."""
    after = (await apply_one(slack, change)).after
    assert after is not None
    return after


async def refusal(slack: SlackConnector, change: RowChange, *, dry: bool = False) -> ChangeRejected:
    with pytest.raises(ChangeRejected) as raised:
        await slack.apply([change], dry_run=dry)
    return raised.value


async def row(slack: SlackConnector, channel: str, ts: str) -> Mapping[str, Any] | None:
    ask = ScanRequest(collection="messages", columns=COLUMNS, keys=KeyFilter(("channel_id", "ts"), ((channel, ts),)))
    rows = [dict(zip(COLUMNS, item, strict=True)) async for batch in slack.scan(ask) for item in batch]
    return rows[0] if rows else None


async def count(client: AsyncWebClient, channel: str) -> int:
    return len((await client.conversations_history(channel=channel, limit=999))["messages"])


def parts(message: Mapping[str, Any]) -> list[Any]:
    """What a reader sees of it."""
    return [part for block in message["blocks"] for section in block["elements"] for part in section["elements"]]


async def test_a_posted_text_is_read_back_unchanged(slack: SlackConnector, channel: str) -> None:
    after = await apply_and_read(slack, post("c1", channel, "a < b & c"))
    assert (after["text"], after["plain"], after["user_id"]) == ("a &lt; b &amp; c", "a < b & c", BOT)
    assert await row(slack, channel, after["ts"]) == after


async def test_a_reply_stands_in_its_thread_alone(slack: SlackConnector, client: AsyncWebClient, channel: str) -> None:
    head = await apply_and_read(slack, post("r1", channel))
    before = await count(client, channel)
    below = await apply_and_read(slack, reply("r2", channel, head["ts"]))
    thread = await client.conversations_replies(channel=channel, ts=head["ts"])
    assert [message["ts"] for message in thread["messages"]] == [head["ts"], below["ts"]]
    assert (below["thread_ts"], below["plain"], await count(client, channel)) == (head["ts"], "Yes", before)


async def test_an_edit_tells_before_and_after(slack: SlackConnector, channel: str) -> None:
    first = await apply_and_read(slack, post("u1", channel, "one"))
    done = await apply_one(slack, on(first, "u2", ChangeKind.UPDATE, "two & <more>"))
    assert done.before == first
    assert done.after == {**first, "text": "two &amp; &lt;more&gt;", "plain": "two & <more>",
                          "version": (done.after or {})["version"]}  # fmt: skip
    assert await row(slack, channel, first["ts"]) == done.after
    assert first["version"] != (done.after or {})["version"]


async def test_a_previous_text_can_be_posted_again(slack: SlackConnector, channel: str) -> None:
    first = await apply_and_read(slack, post("b1", channel, "&lt;one&gt; & <two>"))
    changed = await apply_one(slack, on(first, "b2", ChangeKind.UPDATE, "three"))
    back = await apply_and_read(slack, on(first, "b3", ChangeKind.UPDATE, (changed.before or {})["plain"]))
    assert back == first


async def test_what_is_deleted_is_gone(slack: SlackConnector, channel: str) -> None:
    first = await apply_and_read(slack, post("d1", channel))
    below = await apply_and_read(slack, reply("d2", channel, first["ts"]))
    for item in (below, first):
        assert await apply_one(slack, on(item, "d3", ChangeKind.DELETE)) == ChangeResult(before=item, after=None)
        assert (await refusal(slack, on(item, "d4", ChangeKind.DELETE))).code is ErrorCode.NOT_FOUND
    assert await row(slack, channel, first["ts"]) is None


async def test_a_deleted_head_of_a_thread_is_gone_and_its_answers_stay(
    slack: SlackConnector, client: AsyncWebClient, channel: str
) -> None:
    head = await apply_and_read(slack, post("t1", channel))
    below = await apply_and_read(slack, reply("t2", channel, head["ts"]))
    await apply_one(slack, on(head, "t3", ChangeKind.DELETE))
    thread = (await client.conversations_replies(channel=channel, ts=below["ts"]))["messages"]
    assert [item.get("subtype") for item in thread] == ["tombstone", None]
    assert await row(slack, channel, head["ts"]) is None
    assert await slack.find_change(on(head, "t3", ChangeKind.DELETE)) == ChangeResult(before=None, after=None)


@pytest.mark.parametrize("naive", [False, True])
async def test_whatever_is_typed_mentions_nobody_and_links_nowhere(
    slack: SlackConnector, client: AsyncWebClient, channel: str, naive: bool
) -> None:
    """Posted the naive way the same texts do both, so that the workspace would notice."""
    kinds, typed = set(), list(texts())
    for number, text in enumerate(typed):
        if naive:
            ts = (await client.chat_postMessage(channel=channel, text=text, link_names=True))["ts"]
        else:
            ts = (await apply_and_read(slack, post(f"h{number}", channel, text)))["ts"]
        (message,) = (await client.conversations_history(channel=channel, oldest=ts, latest=ts, inclusive=True))[
            "messages"
        ]
        kinds |= {part["type"] for part in parts(message)}
        if not naive:
            assert "<" not in message["text"]
            assert unescape_text(message["text"]) == text == "".join(part["text"] for part in parts(message))
    assert len(typed) == 200
    assert kinds == ({"text", "link", "user", "channel", "broadcast", "usergroup"} if naive else {"text"})


async def test_an_edit_mentions_nobody_either(slack: SlackConnector, client: AsyncWebClient, channel: str) -> None:
    first = await apply_and_read(slack, post("m1", channel))
    await apply_one(slack, on(first, "m2", ChangeKind.UPDATE, "<!channel> @everyone http://evil.example"))
    result = await client.conversations_history(channel=channel, oldest=first["ts"], latest=first["ts"], inclusive=True)
    assert parts(result["messages"][0]) == [{"type": "text", "text": "<!channel> @everyone http://evil.example"}]


@pytest.mark.parametrize(
    "plain", [None, "", " \n", 7, "a\0b", "a\x1b[31m", "\ud800", "x" * 4001], ids=lambda item: repr(item)[:9]
)
async def test_what_is_no_text_is_not_sent(slack: SlackConnector, front: Front, channel: str, plain: Any) -> None:
    assert (await refusal(slack, post("n1", channel, plain))).code is ErrorCode.BAD_USER_INPUT
    assert front.requests == []


async def test_an_applied_change_is_found_by_its_id_and_no_other(slack: SlackConnector, channel: str) -> None:
    change = post("0193dd3a-5c00-7abc-8000-0000000000aa", channel, "known")
    after = await apply_and_read(slack, change)
    edit = on(after, "f2", ChangeKind.UPDATE, "changed")
    edited = await apply_and_read(slack, edit)
    assert await slack.find_change(change) == ChangeResult(before=None, after=edited)
    assert await slack.find_change(edit) == ChangeResult(before=None, after=edited)
    assert await slack.find_change(post("f3", channel, "known")) is None
    assert await slack.find_change(on(after, "f4", ChangeKind.UPDATE, "changed")) is None
    assert await slack.find_change(on(after, "f5", ChangeKind.DELETE)) is None


async def test_an_applied_reply_is_found_in_its_thread(slack: SlackConnector, channel: str) -> None:
    head = await apply_and_read(slack, post("g1", channel))
    change = reply("g2", channel, head["ts"])
    after = await apply_and_read(slack, change)
    assert await slack.find_change(change) == ChangeResult(before=None, after=after)
    assert await slack.find_change(reply("g3", channel, head["ts"])) is None
    assert await slack.find_change(reply("g2", channel, "1.000000")) is None


async def test_an_id_that_tells_its_time_is_looked_for_from_then_on(slack: SlackConnector, channel: str) -> None:
    """In the history from ten minutes before; one of the year 2100 is looked for in vain."""
    for id, known in (("0193dd3a-5c00-7abc-8000-0000000000ab", True), ("03bb2cc3-d800-7abc-8000-0000000000ab", False)):
        change = post(id, channel)
        await apply_one(slack, change)
        assert (await slack.find_change(change) is not None) is known


async def test_an_edit_is_found_after_those_that_came_later(slack: SlackConnector, channel: str) -> None:
    first = await apply_and_read(slack, post("e0", channel))
    edits = [on(first, f"e{number}", ChangeKind.UPDATE, f"text {number}") for number in range(1, 5)]
    for edit in edits:
        await apply_one(slack, edit)
    assert [(await slack.find_change(edit)) is not None for edit in edits] == [True] * 4


async def test_a_mark_that_somebody_else_left_is_not_ours(
    slack: SlackConnector, slack_server: tuple[Front, Workspace, int], channel: str
) -> None:
    after = await apply_and_read(slack, post("s1", channel))
    world = slack_server[1]
    forged = world.posts[channel, after["ts"]]
    other = next(user for user in world.users.values() if user.id != BOT)
    world.posts[channel, after["ts"]] = replace(forged, message=replace(forged.message, user=other.id))
    assert await slack.find_change(post("s1", channel)) is None


async def test_an_older_version_changes_nothing(slack: SlackConnector, channel: str) -> None:
    first = await apply_and_read(slack, post("v1", channel, "one"))
    second = await apply_and_read(slack, on(first, "v2", ChangeKind.UPDATE, "two", first["version"]))
    for verb, text in ((ChangeKind.UPDATE, "three"), (ChangeKind.DELETE, None)):
        assert (await refusal(slack, on(first, "v3", verb, text, first["version"]))).code is ErrorCode.VERSION_CONFLICT
    assert await row(slack, channel, first["ts"]) == second


@pytest.mark.parametrize("dry", [False, True])
async def test_an_impossible_change_is_refused_before_it_is_sent(
    slack: SlackConnector, slack_server: tuple[Front, Workspace, int], front: Front, channel: str, dry: bool
) -> None:
    world = slack_server[1]
    other = next(
        error.message for error in world.posts.values() if error.message.user != BOT and not error.message.thread
    )
    theirs = {"channel_id": other.channel, "ts": other.ts}
    gone = {"channel_id": channel, "ts": "1.000000"}
    codes = [
        (await refusal(slack, change, dry=dry)).code
        for change in (
            post("x1", "C0NOTHING"),
            post("x2", "#general"),
            post("x3", BOT),
            post("x4", "../../x"),
            reply("x5", channel, "1.000000"),
            reply("x6", channel, "x"),
            on(gone, "x7", ChangeKind.UPDATE, "x"),
            on(gone, "x8", ChangeKind.DELETE),
            on(theirs, "x9", ChangeKind.UPDATE, "x"),
            on(theirs, "x10", ChangeKind.DELETE),
        )
    ]
    assert codes == [ErrorCode.NOT_FOUND] * 8 + [ErrorCode.BAD_USER_INPUT] * 2
    assert [item for item in front.requests if item.startswith("chat.")] == []


async def test_a_dry_run_leaves_no_trace(
    slack: SlackConnector, front: Front, client: AsyncWebClient, channel: str
) -> None:
    first = await apply_and_read(slack, post("y1", channel, "one"))
    before = await count(client, channel)
    front.requests.clear()
    new = await apply_one(slack, post("y2", channel, "<two>"), dry=True)
    edited = await apply_one(slack, on(first, "y3", ChangeKind.UPDATE, "three"), dry=True)
    gone = await apply_one(slack, on(first, "y4", ChangeKind.DELETE), dry=True)
    below = await apply_one(slack, reply("y5", channel, first["ts"]), dry=True)
    assert ((new.after or {})["plain"], (new.after or {})["user_id"], new.before) == ("<two>", BOT, None)
    assert (edited.before, (edited.after or {})["plain"], gone) == (
        first,
        "three",
        ChangeResult(before=first, after=None),
    )
    assert (below.after or {})["thread_ts"] == first["ts"]
    assert [item for item in front.requests if item.startswith("chat.")] == []
    assert (await count(client, channel), await row(slack, channel, first["ts"])) == (before, first)


async def test_an_archived_channel_takes_nothing(
    slack: SlackConnector, slack_server: tuple[Front, Workspace, int]
) -> None:
    world = slack_server[1]
    closed = next(channel.id for channel in world.channels.values() if channel.name.startswith("cust-"))
    first = await apply_and_read(slack, post("a1", closed))
    world.archived.add(closed)
    for change in (post("a2", closed), on(first, "a3", ChangeKind.UPDATE, "x"), on(first, "a4", ChangeKind.DELETE)):
        for dry in (True, False):
            error = await refusal(slack, change, dry=dry)
            assert (error.reason, error.code) == ("the channel is closed for new messages", ErrorCode.BAD_USER_INPUT)


@pytest.mark.parametrize(
    ("scopes", "code"),
    [
        pytest.param(ALL - {"chat:write"}, ErrorCode.SOURCE_UNAVAILABLE, id="a token that may not write"),
        pytest.param(ALL - {ANYWHERE}, ErrorCode.BAD_USER_INPUT, id="a channel that the bot is not in"),
    ],
)
async def test_slacks_own_no_is_certain(scopes: frozenset[str], code: ErrorCode) -> None:
    world = build_workspace(0.01)
    general = next(channel.id for channel in world.channels.values() if channel.name == "general")
    async with serve_app(app(TOKEN, world, parse_rates([]), scopes)) as url:
        slack = await connect_slack(urlsplit(url).port or 0)
        assert (await refusal(slack, post("p1", general))).code is code
        assert await slack.find_change(post("p1", general)) is None
        await slack.close()


async def test_a_rate_limit_is_an_error_that_says_how_long_to_wait_and_stops_calls(
    slack: SlackConnector, front: Front, channel: str
) -> None:
    front.instead = {
        "chat.postMessage": lambda: JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": "7"})
    }
    first = await refusal(slack, post("l1", channel))
    second = await refusal(slack, post("l2", channel))
    assert (first.code, first.reason) == (
        ErrorCode.SOURCE_OVERLOADED, "slack takes no more messages for now, ask again in 7 s",
    )  # fmt: skip
    assert second.code is ErrorCode.RATE_LIMITED
    assert front.requests.count("chat.postMessage") == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda: JSONResponse({"ok": False, "error": "fatal_error"}), id="it failed in the middle"),
        pytest.param(lambda: JSONResponse({"ok": False, "error": "internal_error"}, 500), id="it failed"),
        pytest.param(lambda: JSONResponse({"ok": True}), id="half an answer"),
        pytest.param(lambda: Response("<html>SECRET", 502), id="a proxy"),
        pytest.param(lambda: Response(status_code=307, headers={"location": "/api/auth.test"}), id="a redirect"),
    ],
)
async def test_an_unknown_outcome_is_not_reported_as_undone_and_not_sent_twice(
    slack: SlackConnector, front: Front, channel: str, answer: Callable[[], Response]
) -> None:
    front.instead = {"chat.postMessage": answer}
    with pytest.raises(ConnectorError) as raised:
        await slack.apply([post("q1", channel)])
    assert "SECRET" not in raised.value.reason
    assert front.requests.count("chat.postMessage") == 1
    assert await slack.find_change(post("q1", channel)) is None


async def test_a_lost_answer_is_not_known_and_then_found(
    slack_server: tuple[Front, Workspace, int], front: Front, channel: str
) -> None:
    async with open_proxy(slack_server[2]) as (wire, port):
        slack = await connect_slack(port)
        change = post("w1", channel, "did it arrive?")
        wire.lost = b"POST /api/chat.postMessage"
        with pytest.raises(ConnectorError):
            await slack.apply([change])
        result = await slack.find_change(change)
        assert result is not None
        assert result.after is not None
        assert result.after["plain"] == "did it arrive?"
        edit, gone = on(result.after, "w2", ChangeKind.UPDATE, "yes"), on(result.after, "w3", ChangeKind.DELETE)
        wire.lost = b"POST /api/chat.update"
        with pytest.raises(ConnectorError):
            await slack.apply([edit])
        assert ((await slack.find_change(edit)) or result).after == {
            **(await row(slack, channel, result.after["ts"]) or {}), "plain": "yes",
        }  # fmt: skip
        wire.lost = b"POST /api/chat.delete"
        with pytest.raises(ConnectorError):
            await slack.apply([gone])
        assert await slack.find_change(gone) == ChangeResult(before=None, after=None)
        assert (wire.applied, [item for item in front.requests if item.startswith("chat.")]) == (
            3, ["chat.postMessage", "chat.update", "chat.delete"],
        )  # fmt: skip
        await slack.close()


async def test_a_server_that_is_not_there_got_no_change() -> None:
    with socket.create_server((HOST, 0)) as ear:
        port = ear.getsockname()[1]
    slack = await connect_slack(port)
    assert (await refusal(slack, post("z1", "C0123"))).code is ErrorCode.SOURCE_UNAVAILABLE
    await slack.close()


async def test_who_never_answers_is_waited_for_so_long() -> None:
    with socket.create_server((HOST, 0)) as ear:
        slack = await connect_slack(ear.getsockname()[1], timeout=0.4)
        async with asyncio.timeout(SECONDS):
            error = await refusal(slack, post("z2", "C0123"))
    assert error.reason == "slack did not answer within 0.4 s"
    await slack.close()


async def test_only_settings_open_it(slack_server: tuple[Front, Workspace, int], front: Front, channel: str) -> None:
    slack = await connect_slack(slack_server[2], writable=False)
    assert isinstance(slack, WritableConnector)
    assert slack.write_capabilities("messages") is None
    assert (await refusal(slack, post("o1", channel))).code is ErrorCode.CANNOT_ANSWER
    assert front.requests == []
    await slack.close()


async def test_capabilities_are_those_of_slack(slack: SlackConnector) -> None:
    results = {name: slack.write_capabilities(name) for name in slack.collections}
    assert {name for name, result in results.items() if result is not None} == {"messages", "replies"}
    for name, result in results.items():
        if result is not None:
            assert (result.version_column, result.transactional, result.fenced) == ("version", False, False)
            assert set().union(*result.settable_columns.values()) <= set(slack.capabilities(name).columns)
