"""Messages in Slack and rows of the warehouse are changed through Onedoor, as their vendors' clients see it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from auth.policy import decide
from demo.run import SECRETS
from demo.servers.run import RunningServers, address
from demo.servers.snowflake.account import DATABASE, SCHEMA
from tests.acme import load_schema_and_policy
from tests.connectors.writing.mutations import apply_mutation, execute, get_refusal, mutation
from tests.runtime.failures.conftest import RunningServer
from tests.servers.snowflake import open_session

SAYS = "after { plain } message { id plain version author { isBot } history { totalCount } }"
ANSWERS = "after { plain } reply { id plain version history { totalCount } }"
DAY = "before { apiCalls } after { apiCalls storageGb } usageDay { id apiCalls storageGb history { totalCount } }"
LOUD = "<!channel> @everyone <@U0123> <http://a.example|b> & <b>"
NEW = {"customerId": "20", "day": "2031-01-02", "apiCalls": 7, "activeUsers": 2, "storageGb": "1.50"}
GIVEN: dict[str, dict[str, Any]] = {
    "postMessage": {"channelId": "C1", "text": "x"},
    "replyToMessage": {"messageId": "C1:1.000000", "text": "x"},
    "updateMessage": {"id": "C1:1.000000", "text": "x"},
    "updateReply": {"id": "C1:1.000000:2.000000", "text": "x"},
    "deleteMessage": {"id": "C1:1.000000"},
    "deleteReply": {"id": "C1:1.000000:2.000000"},
    "createUsageDay": NEW,
    "putUsageDay": NEW,
    "updateUsageDay": {"id": "20:2031-01-02", "apiCalls": 1},
    "deleteUsageDay": {"id": "20:2031-01-02"},
    "putRevenueMonth": {"customerId": "20", "month": "2031-01-01", "revenue": "1.00", "refunds": "0.00"},
}


@pytest.fixture
async def slack(acme_servers: RunningServers) -> AsyncIterator[AsyncWebClient]:
    host, port = address(acme_servers, "slack")
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(token=SECRETS["SLACK_TOKEN"], base_url=f"http://{host}:{port}/api/", session=session)


@pytest.fixture
async def channel(slack: AsyncWebClient) -> str:
    channels = (await slack.conversations_list(limit=200))["channels"]
    return next(str(item["id"]) for item in channels if item["name"] == "deployments")


async def message(slack: AsyncWebClient, id: str) -> dict[str, Any] | None:
    channel, ts = id.split(":")
    messages = (await slack.conversations_history(channel=channel, oldest=ts, latest=ts, inclusive=True))["messages"]
    return next((item for item in messages if item["ts"] == ts), None)


async def answers(slack: AsyncWebClient, id: str) -> list[str]:
    channel, ts = id.split(":")
    messages = (await slack.conversations_replies(channel=channel, ts=ts))["messages"]
    return [message["text"] for message in messages if message["ts"] != ts]


def warehoused(running: RunningServers, id: str) -> list[tuple[Any, ...]]:
    customer, day = id.split(":")
    with (
        open_session(address(running, "snowflake"), database=DATABASE, schema=SCHEMA) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"SELECT api_calls FROM usage_day WHERE customer_id = {int(customer)} AND day = '{day}'")
        result: list[tuple[Any, ...]] = cursor.fetchall()
        return result


async def test_a_message_is_posted_edited_and_deleted(
    server: RunningServer, slack: AsyncWebClient, channel: str
) -> None:
    posted = await apply_mutation(
        server, "postMessage", {"channelId": channel, "text": "7.0.0 is out"}, SAYS, "support"
    )
    posted_message = posted["message"]
    assert (posted["state"], posted_message["plain"], posted_message["history"]["totalCount"]) == (
        "DONE",
        "7.0.0 is out",
        1,
    )
    theirs = await message(slack, posted_message["id"])
    assert theirs is not None
    assert theirs["text"] == "7.0.0 is out"
    edit = {
        "id": posted_message["id"],
        "text": "7.0.1 is out",
        "ifVersion": posted_message["version"],
        "reason": "a typo",
    }
    edited = await apply_mutation(server, "updateMessage", edit, SAYS, "support")
    assert (edited["after"]["plain"], edited["message"]["history"]["totalCount"]) == ("7.0.1 is out", 2)
    assert ((await message(slack, posted_message["id"])) or {})["text"] == "7.0.1 is out"
    assert (await get_refusal(server, "updateMessage", edit, "support"))[0] == "VERSION_CONFLICT"
    gone = await apply_mutation(
        server, "deleteMessage", {"id": posted_message["id"]}, "message { id } before { plain } after { plain }"
    )
    assert (gone["message"], gone["before"], gone["after"]) == (None, {"plain": "7.0.1 is out"}, None)
    assert await message(slack, posted_message["id"]) is None
    assert (await get_refusal(server, "deleteMessage", {"id": posted_message["id"]}))[0] == "NOT_FOUND"


async def test_an_answer_is_posted_edited_and_deleted(
    server: RunningServer, slack: AsyncWebClient, channel: str
) -> None:
    head = (await apply_mutation(server, "postMessage", {"channelId": channel, "text": "who?"}, SAYS))["message"]["id"]
    reply = (await apply_mutation(server, "replyToMessage", {"messageId": head, "text": "me"}, ANSWERS))["reply"]
    assert reply["id"].startswith(f"{head}:")
    assert (reply["plain"], await answers(slack, head)) == ("me", ["me"])
    edited = await apply_mutation(server, "updateReply", {"id": reply["id"], "text": "us"}, ANSWERS)
    assert (edited["reply"]["plain"], edited["reply"]["history"]["totalCount"]) == ("us", 2)
    assert await answers(slack, head) == ["us"]
    await apply_mutation(server, "deleteReply", {"id": reply["id"]})
    assert await answers(slack, head) == []


async def test_a_text_mentions_nobody(server: RunningServer, slack: AsyncWebClient, channel: str) -> None:
    posted = await apply_mutation(server, "postMessage", {"channelId": channel, "text": LOUD}, SAYS)
    assert posted["message"]["plain"] == LOUD
    theirs = await message(slack, posted["message"]["id"])
    assert theirs is not None
    print("\n", theirs["text"], theirs["blocks"])
    assert theirs["text"] == LOUD.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    kinds = {inner["type"] for block in theirs["blocks"] for inner in parts(block)}
    assert kinds.isdisjoint({"user", "usergroup", "broadcast", "channel", "link"})


def parts(of: Any) -> Iterator[dict[str, Any]]:
    """Every object inside of one that has a type."""
    if isinstance(of, dict):
        if "type" in of:
            yield of
        of = list(of.values())
    if isinstance(of, list):
        yield from (inner for item in of for inner in parts(item))


async def test_a_dry_run_says_nothing_and_a_key_says_it_once(
    server: RunningServer, slack: AsyncWebClient, channel: str
) -> None:
    given = {"channelId": channel, "text": "only once"}
    tried = await apply_mutation(server, "postMessage", {**given, "dryRun": True}, "after { plain } message { id }")
    assert (tried["state"], tried["after"], tried["message"]) == ("TRIED", {"plain": "only once"}, None)
    first = await apply_mutation(server, "postMessage", {**given, "idempotencyKey": "once"}, SAYS)
    again = await apply_mutation(server, "postMessage", {**given, "idempotencyKey": "once"}, SAYS)
    assert again == first
    messages = (await slack.conversations_history(channel=channel, limit=20))["messages"]
    assert [message["text"] for message in messages].count("only once") == 1


async def test_an_invalid_id_is_named_by_its_field(server: RunningServer) -> None:
    assert await get_refusal(server, "updateMessage", {"id": "C1", "text": "x"}) == (
        "BAD_USER_INPUT", "no row can have the id given as `id`",
    )  # fmt: skip
    assert (await get_refusal(server, "replyToMessage", {"messageId": "C1:2:3", "text": "x"}))[1].endswith(
        "the id given as `messageId`"
    )


async def test_a_day_is_made_put_changed_and_deleted(server: RunningServer, acme_servers: RunningServers) -> None:
    result = await apply_mutation(server, "createUsageDay", NEW, DAY)
    id = result["usageDay"]["id"]
    assert (id, result["after"]) == ("20:2031-01-02", {"apiCalls": 7, "storageGb": "1.50"})
    assert warehoused(acme_servers, id) == [(7,)]
    assert (await get_refusal(server, "createUsageDay", NEW))[0] == "ALREADY_EXISTS"
    tried = await apply_mutation(server, "putUsageDay", {**NEW, "apiCalls": 8, "dryRun": True}, DAY)
    assert (tried["state"], tried["after"]["apiCalls"], warehoused(acme_servers, id)) == ("TRIED", 8, [(7,)])
    put = await apply_mutation(server, "putUsageDay", {**NEW, "apiCalls": 9, "idempotencyKey": "nine"}, DAY)
    assert (put["before"], put["after"]["apiCalls"]) == ({"apiCalls": 7}, 9)
    updated = await apply_mutation(server, "updateUsageDay", {"id": id, "apiCalls": 10}, DAY)
    assert (updated["usageDay"]["apiCalls"], updated["usageDay"]["history"]["totalCount"]) == (10, 3)
    assert (await apply_mutation(server, "putUsageDay", {**NEW, "apiCalls": 9, "idempotencyKey": "nine"}, DAY))[
        "id"
    ] == put["id"]
    assert warehoused(acme_servers, id) == [(10,)]
    gone = await apply_mutation(server, "deleteUsageDay", {"id": id}, DAY)
    assert (gone["usageDay"], gone["before"], warehoused(acme_servers, id)) == (None, {"apiCalls": 10}, [])
    assert (await get_refusal(server, "updateUsageDay", {"id": id, "apiCalls": 1}))[0] == "NOT_FOUND"


async def test_what_has_no_versions_takes_none(server: RunningServer) -> None:
    code, posted_message = await get_refusal(server, "putUsageDay", {**NEW, "ifVersion": "1"})
    assert (code, posted_message) == (
        "BAD_USER_INPUT", "what `putUsageDay` changes has no versions, leave `ifVersion` out",
    )  # fmt: skip


async def test_a_month_is_put_by_finance(server: RunningServer) -> None:
    month = {"customerId": "20", "month": "2031-01-01", "revenue": "10.00", "refunds": "1.25"}
    put = await apply_mutation(server, "putRevenueMonth", month, "revenueMonth { id revenue refunds }", "finance")
    assert put["revenueMonth"] == {"id": "20:2031-01-01", "revenue": "10.00", "refunds": "1.25"}
    assert (await get_refusal(server, "putRevenueMonth", month, "sales"))[0] == "FORBIDDEN"


@pytest.mark.parametrize("name", GIVEN)
async def test_marketing_changes_none_of_it(server: RunningServer, name: str) -> None:
    reply = await execute(server, mutation(name, ""), "marketing", input=GIVEN[name])
    assert {error["extensions"]["code"] for error in reply.errors} == {"FORBIDDEN"}
    assert (reply.data or {}).get(name) is None
    assert {error["extensions"]["position"] for error in reply.errors} == {f"Mutation.{name}"}
    taken = f"{name[0].upper()}{name[1:]}Input"
    _, rules = load_schema_and_policy()
    result = [(taken, item) for item in (*GIVEN[name], "ifVersion", "reason", "idempotencyKey", "dryRun")]
    assert [item for item in result if decide(rules, item, frozenset({"everyone", "marketing"})).allowed] == []
