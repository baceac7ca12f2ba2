"""Real changes reach subscribers: rows, jobs, and messages that somebody posts in Slack."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from auth import users
from demo.run import SECRETS
from demo.servers.run import RunningServers, address
from onedoor.storage.database import open_database
from tests.runtime.failures.conftest import PEPPER, RunningServer, run_server

SECONDS = 20.0
CHANGE = "mutation ($id: ID!, $phone: String) { updateCustomer(input: {id: $id, phone: $phone}) { state } }"


@pytest.fixture(scope="module")
def server(acme_servers: RunningServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with run_server(acme_servers, tmp_path_factory.mktemp("company")) as running:
        yield running


class Client:
    """Someone of a group, who asks and listens."""

    def __init__(self, session: aiohttp.ClientSession, key: str) -> None:
        self.session, self.headers = session, {"Authorization": f"Bearer {key}"}

    async def ask(self, query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        async with self.session.post("/graphql", json=body, headers=self.headers) as reply:
            return await reply.json()

    @asynccontextmanager
    async def listen(self, query: str, **variables: Any) -> AsyncIterator[AsyncIterator[Any]]:
        body = {"query": query, "variables": variables}
        headers = {**self.headers, "accept": "text/event-stream"}
        async with asyncio.timeout(SECONDS), self.session.post("/graphql", json=body, headers=headers) as reply:
            assert reply.status == 200
            lines = aiter(reply.content)
            assert (await anext(lines)).startswith(b":")
            yield self.receive(lines)

    async def receive(self, lines: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for line in lines:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


@asynccontextmanager
async def clients(server: RunningServer, *groups: str) -> AsyncIterator[list[Client]]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield [Client(session, server.keys[group]) for group in groups]


def codes(told: Any) -> list[str]:
    return [error["extensions"]["code"] for error in told.get("errors", [])]


async def test_subscribers_to_a_row_get_its_changes_as_each_may_see_them(server: RunningServer) -> None:
    text = "subscription ($id: ID) { customerChanged(id: $id) { verb row before { phone } after { phone } } }"
    async with (
        clients(server, "sales", "finance") as (sales, finance),
        sales.listen(text, id="7") as one,
        finance.listen(text) as every,
    ):
        for id, phone in (("8", "+49 8"), ("7", "+49 7")):
            assert (await sales.ask(CHANGE, id=id, phone=phone))["data"] == {"updateCustomer": {"state": "DONE"}}
        result = await anext(one)
        assert (result["data"]["customerChanged"]["row"], codes(result)) == ("7", [])
        assert result["data"]["customerChanged"]["after"] == {"phone": "+49 7"}
        both = [await anext(every), await anext(every)]
    assert [item["data"]["customerChanged"]["row"] for item in both] == ["8", "7"]
    assert [item["data"]["customerChanged"]["after"] for item in both] == [{"phone": None}, {"phone": None}]
    assert [codes(item) for item in both] == [["FORBIDDEN", "FORBIDDEN"]] * 2


async def test_a_dry_run_or_a_failed_change_is_no_event(server: RunningServer) -> None:
    text = "subscription { customerChanged(id: 9) { state after { phone } } }"
    async with clients(server, "sales") as (sales,), sales.listen(text) as events:
        await sales.ask('mutation { updateCustomer(input: {id: 9, phone: "a", dryRun: true}) { state } }')
        await sales.ask('mutation { updateCustomer(input: {id: 9, phone: "b", ifVersion: 99}) { state } }')
        await sales.ask(CHANGE, id="9", phone="c")
        result = await anext(events)
    assert result["data"] == {"customerChanged": {"state": "DONE", "after": {"phone": "c"}}}


async def test_a_row_that_is_denied_cannot_be_subscribed_to(server: RunningServer) -> None:
    text = "subscription { customerChanged { row } }"
    async with clients(server, "engineering") as (engineer,), engineer.listen(text) as events:
        result = await anext(events)
    assert (result.get("data"), codes(result)) == (None, ["FORBIDDEN"])


async def test_a_vendor_hears_of_the_vendors_customers_alone(server: RunningServer) -> None:
    text = "subscription { customerChanged { row } }"
    async with clients(server, "sales", "vendor") as (sales, vendor), vendor.listen(text) as events:
        for id in ("3", "1", "4", "2"):
            await sales.ask(CHANGE, id=id, phone=id)
        heard = [(await anext(events))["data"]["customerChanged"]["row"] for _ in range(2)]
    assert heard == ["1", "2"]


async def test_a_user_who_leaves_a_group_gets_no_more_of_its_fields(server: RunningServer) -> None:
    text = "subscription { customerChanged(id: 10) { row } }"
    with closing(open_database(f"sqlite:///{server.folder}/state.sqlite", PEPPER.encode())) as state:
        async with clients(server, "support", "sales") as (support, sales), support.listen(text) as events:
            me = (await support.ask("{ me { email } }"))["data"]["me"]["email"]
            await sales.ask(CHANGE, id="10", phone="1")
            assert (await anext(events))["data"] == {"customerChanged": {"row": "10"}}
            users.leave_group(state, me, "support")
            try:
                while (await support.ask("{ customers { totalCount } }"))["data"]["customers"] is not None:
                    pass
                await sales.ask(CHANGE, id="10", phone="2")
                result = await anext(events)
                assert (result["data"], set(codes(result))) == ({"customerChanged": None}, {"FORBIDDEN"})
            finally:
                users.join_group(state, me, "support")


async def test_a_job_is_followed_to_its_end(server: RunningServer) -> None:
    text = "subscription ($id: ID!) { jobChanged(id: $id) { state done lines { nodes { text } } } }"
    async with clients(server, "finance") as (finance,):
        begun = await finance.ask("mutation { startRebuildInvoices(input: {customer: 20}) { id state } }")
        async with finance.listen(text, id=begun["data"]["startRebuildInvoices"]["id"]) as events:
            states = [await anext(events)]
            while states[-1]["data"]["jobChanged"]["state"] not in ("SUCCEEDED", "FAILED"):
                states.append(await anext(events))
    assert states[-1]["data"]["jobChanged"]["state"] == "SUCCEEDED"


async def test_somebody_elses_job_is_listened_to_in_vain(server: RunningServer) -> None:
    text = "subscription ($id: ID!) { jobChanged(id: $id) { state } }"
    async with clients(server, "finance", "marketing") as (finance, marketing):
        begun = await finance.ask("mutation { startRebuildInvoices(input: {customer: 21}) { id } }")
        id = begun["data"]["startRebuildInvoices"]["id"]
        async with marketing.listen(text, id=id) as theirs, finance.listen(text, id=id) as own:
            await finance.ask("mutation ($id: ID!) { cancelJob(input: {id: $id}) { state } }", id=id)
            while (await anext(own))["data"]["jobChanged"]["state"] not in ("SUCCEEDED", "CANCELLED"):
                pass
            assert (await anext(theirs))["data"] == {"jobChanged": None}


async def test_a_message_that_somebody_posts_in_slack_is_heard_of(
    server: RunningServer, acme_servers: RunningServers
) -> None:
    text = "subscription ($channel: ID!) { messagePosted(channel: $channel) { plain channel { id } } }"
    host, port = address(acme_servers, "slack")
    slack = AsyncWebClient(token=SECRETS["SLACK_TOKEN"], base_url=f"http://{host}:{port}/api/")
    async with clients(server, "sales") as (sales,):
        channels = await sales.ask("{ channels(first: 2) { nodes { id } } }")
        here, there = (node["id"] for node in channels["data"]["channels"]["nodes"])
        async with sales.listen(text, channel=here) as events:
            await slack.chat_postMessage(channel=there, text="not for you")
            await slack.chat_postMessage(channel=here, text="the truck has left")
            result = await anext(events)
    assert result["data"] == {"messagePosted": {"plain": "the truck has left", "channel": {"id": here}}}
