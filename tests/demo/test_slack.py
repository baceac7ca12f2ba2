"""Call the Slack emulator with Slack's own client over the wire."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from demo.data import activity
from demo.servers.run import RunningServers, address
from demo.servers.slack.app import app, count_call, parse_rates
from demo.servers.slack.workspace import ALL, ANYWHERE, build_workspace
from tests.servers.rest import serve_app

SCALE = 0.01
MESSAGES = activity.messages(SCALE)
USERS = activity.users(SCALE)
CHANNELS = {channel.name: channel for channel in activity.channels(SCALE)}
INCIDENTS = CHANNELS["incidents"].id
TOPS = sorted(message.ts for message in MESSAGES if message.channel == INCIDENTS and message.thread is None)
PARENT = next(message for message in MESSAGES if any(message.ts == other.thread for other in MESSAGES))
REPLIES = sorted(message.ts for message in MESSAGES if message.thread == PARENT.ts)


def base(demo_servers: RunningServers) -> str:
    host, port = address(demo_servers, "slack")
    return f"http://{host}:{port}/api/"


@pytest.fixture
async def client(called_servers: RunningServers) -> AsyncIterator[AsyncWebClient]:
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(
            token=called_servers.environment["SLACK_TOKEN"], base_url=base(called_servers), session=session
        )


async def pages(client: AsyncWebClient, method: str, key: str, **arguments: Any) -> list[list[Any]]:
    """What each page holds under `key`, to the last."""
    results = []
    async for page in await client.api_call(method, http_verb="GET", params=arguments):
        results.append(page[key])
    return results


async def test_the_token_names_the_bot(client: AsyncWebClient) -> None:
    reply = await client.auth_test()

    assert (reply["user"], reply["user_id"]) == (activity.BOT_NAME, activity.BOT)


@pytest.mark.parametrize(
    ("method", "key", "arguments", "names"),
    [
        pytest.param(
            "conversations.list", "channels", {"limit": 3}, [channel.id for channel in CHANNELS.values()], id="rooms"
        ),
        pytest.param("users.list", "members", {"limit": 4}, [user.id for user in USERS], id="users"),
        pytest.param(
            "conversations.history", "messages", {"channel": INCIDENTS, "limit": 5}, TOPS[::-1], id="messages"
        ),
        pytest.param(
            "conversations.replies",
            "messages",
            {"channel": PARENT.channel, "ts": PARENT.ts, "limit": 1},
            [PARENT.ts, *REPLIES],
            id="replies",
        ),
    ],
)
async def test_cursors_lead_through_everything_once_in_order(
    client: AsyncWebClient, method: str, key: str, arguments: dict[str, Any], names: list[str]
) -> None:
    result = await pages(client, method, key, **arguments)

    assert max(len(page) for page in result) == arguments["limit"]
    assert [row.get("id") or row["ts"] for page in result for row in page] == names


async def test_members_are_paged_too(client: AsyncWebClient) -> None:
    result = await pages(client, "conversations.members", "members", channel=INCIDENTS, limit=2)

    assert [member for page in result for member in page] == list(CHANNELS["incidents"].members)


@pytest.mark.parametrize(("arguments", "expected"), [
    pytest.param({}, TOPS, id="all"),
    pytest.param({"oldest": TOPS[2], "latest": TOPS[6]}, TOPS[3:6], id="between"),
    pytest.param({"oldest": TOPS[2], "latest": TOPS[6], "inclusive": True}, TOPS[2:7], id="between, ends included"),
    pytest.param({"oldest": TOPS[-1]}, [], id="since the last"),
    pytest.param({"latest": TOPS[1].partition(".")[0]}, TOPS[:1], id="before a plain second"),
])  # fmt: skip
async def test_history_stays_within_its_ends(
    client: AsyncWebClient, arguments: dict[str, Any], expected: list[str]
) -> None:
    reply = await client.conversations_history(channel=INCIDENTS, limit=999, **arguments)

    assert [message["ts"] for message in reply["messages"]] == expected[::-1]


async def test_a_parent_tells_of_its_thread_and_replies_stay_out_of_the_history(client: AsyncWebClient) -> None:
    reply = await client.conversations_history(channel=PARENT.channel, limit=999)
    shown = {message["ts"]: message for message in reply["messages"]}

    assert shown.keys().isdisjoint(REPLIES)
    assert {name: shown[PARENT.ts][name] for name in ("thread_ts", "reply_count", "latest_reply")} == {
        "thread_ts": PARENT.ts, "reply_count": len(REPLIES), "latest_reply": REPLIES[-1],
    }  # fmt: skip


async def test_any_message_of_a_thread_names_it(client: AsyncWebClient) -> None:
    reply = await client.conversations_replies(channel=PARENT.channel, ts=REPLIES[-1])

    assert [message["ts"] for message in reply["messages"]] == [PARENT.ts, *REPLIES]


async def test_a_user_is_found_by_address_and_by_id(client: AsyncWebClient) -> None:
    result = await client.users_lookupByEmail(email=USERS[0].email or "")
    again = await client.users_info(user=result["user"]["id"])

    assert again["user"]["profile"]["email"] == USERS[0].email


async def test_a_message_is_posted_answered_and_edited(client: AsyncWebClient) -> None:
    top = await client.chat_postMessage(channel="#general", text="Grüße")
    below = await client.chat_postMessage(channel=top["channel"], thread_ts=top["ts"], text="and more")
    await client.chat_update(channel=top["channel"], ts=top["ts"], text="Grüße an alle")
    thread = await client.conversations_replies(channel=top["channel"], ts=top["ts"])
    newest = await client.conversations_history(channel=top["channel"], limit=1)

    assert [message["text"] for message in thread["messages"]] == ["Grüße an alle", "and more"]
    assert (newest["messages"][0]["ts"], newest["messages"][0]["reply_count"]) == (top["ts"], 1)
    assert below["ts"] > top["ts"]


@pytest.mark.parametrize(("query", "holds"), [
    pytest.param("deployment", lambda message: "deployment" in message.text.lower(), id="a word"),
    pytest.param('"is in production"', lambda message: "is in production" in message.text, id="a phrase"),
    pytest.param(f"from:<@{activity.BOT}>", lambda message: message.user == activity.BOT, id="an author's id"),
    pytest.param(f"from:@{activity.BOT_NAME}", lambda message: message.user == activity.BOT, id="an author's name"),
    pytest.param("in:#incidents", lambda message: message.channel == INCIDENTS, id="a channel's name"),
    pytest.param(f"in:<#{INCIDENTS}>", lambda message: message.channel == INCIDENTS, id="a channel's id"),
    pytest.param(
        "in:#deployments from:@deploybot failed",
        lambda message: message.user == activity.BOT and "failed" in message.text, id="all at once",
    ),
    pytest.param("in:nowhere", lambda message: False, id="no such channel"),
])  # fmt: skip
async def test_search_finds_what_holds_for_every_term_newest_first(
    client: AsyncWebClient, query: str, holds: Any
) -> None:
    reply = await client.search_messages(query=query, count=100)
    general = CHANNELS["general"].id  # where another test posts
    ts = [match["ts"] for match in reply["messages"]["matches"] if match["channel"]["id"] != general]
    expected = [message.ts for message in MESSAGES if holds(message) and message.channel != general]

    assert ts == sorted(expected, reverse=True)


async def test_search_pages_from_one_and_counts_all(client: AsyncWebClient) -> None:
    whole = await client.search_messages(query="in:#incidents", count=100)
    parts = [await client.search_messages(query="in:#incidents", count=7, page=page) for page in (1, 2)]
    total = whole["messages"]["total"]

    assert [match["ts"] for part in parts for match in part["messages"]["matches"]] == [
        match["ts"] for match in whole["messages"]["matches"][:14]
    ]
    assert parts[0]["messages"]["paging"] == {"count": 7, "total": total, "page": 1, "pages": -(-total // 7)}


@pytest.mark.parametrize(("method", "arguments", "error"), [
    ("conversations.info", {"channel": "C0"}, "channel_not_found"),
    ("conversations.history", {"channel": "C0"}, "channel_not_found"),
    ("conversations.history", {"channel": INCIDENTS, "cursor": "bm9wZQ=="}, "invalid_cursor"),
    ("conversations.history", {"channel": INCIDENTS, "cursor": "ü"}, "invalid_cursor"),
    ("conversations.history", {"channel": INCIDENTS, "limit": "1000"}, "invalid_limit"),
    ("conversations.history", {"channel": INCIDENTS, "oldest": "yesterday"}, "invalid_ts_oldest"),
    ("conversations.replies", {"channel": INCIDENTS, "ts": "1.0"}, "thread_not_found"),
    ("users.info", {"user": "U0"}, "user_not_found"),
    ("users.lookupByEmail", {"email": "nobody@acme.example"}, "users_not_found"),
    ("chat.postMessage", {"channel": INCIDENTS}, "no_text"),
    ("chat.postMessage", {"channel": INCIDENTS, "text": "x" * 40_001}, "msg_too_long"),
    ("chat.update", {"channel": INCIDENTS, "ts": "1.0", "text": "x"}, "message_not_found"),
    ("chat.update", {"channel": INCIDENTS, "ts": TOPS[0], "text": "x"}, "cant_update_message"),
    ("search.messages", {"query": " "}, "no_query"),
    ("no.such", {}, "unknown_method"),
])  # fmt: skip
async def test_what_is_wrong_has_slacks_name_for_it(
    client: AsyncWebClient, method: str, arguments: dict[str, str], error: str
) -> None:
    with pytest.raises(SlackApiError) as refused:
        await client.api_call(method, data=arguments)

    assert (refused.value.response.status_code, refused.value.response["error"]) == (200, error)


@pytest.mark.parametrize(("token", "error"), [(None, "not_authed"), ("xoxb-other", "invalid_auth")])
async def test_a_wrong_token_opens_nothing(demo_servers: RunningServers, token: str | None, error: str) -> None:
    with pytest.raises(SlackApiError) as refused:
        await AsyncWebClient(token=token, base_url=base(demo_servers)).conversations_list()

    assert refused.value.response["error"] == error


@pytest.mark.parametrize(("verb", "given"), [("GET", "params"), ("POST", "data"), ("POST", "json")])
async def test_query_form_and_json_mean_the_same(client: AsyncWebClient, verb: str, given: str) -> None:
    reply = await client.api_call("conversations.info", http_verb=verb, **{given: {"channel": INCIDENTS}})  # type: ignore[arg-type]

    assert reply["channel"]["name"] == "incidents"


@pytest.mark.exceeds_rate
async def test_a_call_over_the_limit_learns_how_long_to_wait(client: AsyncWebClient) -> None:
    with pytest.raises(SlackApiError) as refused:
        await ask_often(client)

    response = refused.value.response
    assert (response.status_code, response["error"], response.headers["Retry-After"]) == (429, "ratelimited", "1")


async def ask_often(client: AsyncWebClient) -> None:
    for _ in range(120):
        await client.users_info(user=activity.BOT)


async def test_a_closed_channel_takes_nothing_and_a_token_does_what_it_may() -> None:
    world = build_workspace(SCALE)
    async with serve_app(app("t", world, parse_rates([]), ALL - {"channels:manage", ANYWHERE})) as url:
        client = AsyncWebClient(token="t", base_url=f"{url}/api/")
        for call, error in (
            (client.conversations_archive(channel=INCIDENTS), "missing_scope"),
            (client.chat_postMessage(channel=INCIDENTS, text="x"), "not_in_channel"),
        ):
            with pytest.raises(SlackApiError, match=error):
                await call
        world.archived.add(CHANNELS["deployments"].id)
        with pytest.raises(SlackApiError, match="is_archived"):
            await client.chat_postMessage(channel=CHANNELS["deployments"].id, text="x")


def test_a_rate_is_of_one_method_and_is_paid_back_evenly() -> None:
    limits = parse_rates(["users.info=2", "60"])
    times = (0.0, 0.0, 0.0, 29.0, 30.0, 30.0)

    assert [count_call(limits, "users.info", now) for now in times] == [0, 0, 30, 1, 0, 30]
    assert count_call(limits, "users.list", 30.0) == 0


async def post_and_read(client: AsyncWebClient, **content: Any) -> list[Any]:
    """The parts of a message that a reader sees."""
    posted = await client.chat_postMessage(channel=CHANNELS["general"].id, **content)
    return [part for block in posted["message"]["blocks"] for part in block["elements"][0]["elements"]]


@pytest.mark.parametrize(("content", "expected"), [
    ({"text": "a &lt;b&gt;"}, [{"type": "text", "text": "a <b>"}]),
    ({"text": "<!here> x"}, [{"type": "broadcast", "range": "here"}, {"type": "text", "text": " x"}]),
    ({"text": f"<@{activity.BOT}>"}, [{"type": "user", "user_id": activity.BOT}]),
    ({"text": "<http://a.example|b>"}, [{"type": "link", "url": "http://a.example", "text": "b"}]),
    ({"text": "http://a.example"}, [{"type": "link", "url": "http://a.example"}]),
    ({"text": "http://a.example", "parse": "none"}, [{"type": "text", "text": "http://a.example"}]),
    ({"text": "@everyone"}, [{"type": "text", "text": "@everyone"}]),
    ({"text": "@everyone", "link_names": True}, [{"type": "broadcast", "range": "everyone"}]),
    ({"text": f"@{activity.BOT_NAME}", "parse": "full"}, [{"type": "user", "user_id": activity.BOT}]),
])  # fmt: skip
async def test_a_text_means_what_slack_takes_it_for(
    client: AsyncWebClient, content: dict[str, Any], expected: list[Any]
) -> None:
    assert await post_and_read(client, **content) == expected


async def test_metadata_stay_with_a_message_and_are_returned_on_request(client: AsyncWebClient) -> None:
    marked = {"event_type": "told", "event_payload": {"id": "7"}}
    posted = await client.chat_postMessage(channel=CHANNELS["general"].id, text="marked", metadata=marked)
    await client.chat_update(channel=posted["channel"], ts=posted["ts"], text="edited")
    messages = [
        (await client.conversations_history(channel=posted["channel"], limit=1, include_all_metadata=item))["messages"]
        for item in (True, False)
    ]
    assert [item[0].get("metadata") for item in messages] == [marked, None]
    assert messages[0][0]["text"] == "edited"


async def test_what_is_deleted_is_gone_and_a_head_leaves_its_place(client: AsyncWebClient) -> None:
    head = await client.chat_postMessage(channel="general", text="head")
    below = await client.chat_postMessage(channel=head["channel"], thread_ts=head["ts"], text="below")
    await client.chat_delete(channel=head["channel"], ts=head["ts"])
    thread = await client.conversations_replies(channel=head["channel"], ts=below["ts"])
    await client.chat_delete(channel=head["channel"], ts=below["ts"])
    with pytest.raises(SlackApiError, match="message_not_found"):
        await client.chat_delete(channel=head["channel"], ts=below["ts"])

    assert [item.get("subtype") for item in thread["messages"]] == ["tombstone", None]


@pytest.mark.parametrize(("more", "error"), [
    ({"blocks": [{"type": "marquee"}]}, "invalid_blocks"),
    ({"blocks": "["}, "invalid_blocks_format"),
    ({"blocks": [{"type": "section", "text": {"type": "plain_text", "text": "x" * 3001}}]}, "invalid_blocks"),
    ({"metadata": {"event_type": "x"}}, "invalid_metadata_format"),
    ({"metadata": {"event_type": "x", "event_payload": {"x": "y" * 8000}}}, "metadata_too_large"),
    ({"channel": INCIDENTS, "thread_ts": "1.000000"}, "thread_not_found"),
])  # fmt: skip
async def test_what_cannot_be_posted_has_a_name(client: AsyncWebClient, more: dict[str, Any], error: str) -> None:
    with pytest.raises(SlackApiError) as refused:
        await client.api_call("chat.postMessage", json={"channel": "general", "text": "x", **more})

    assert refused.value.response["error"] == error
