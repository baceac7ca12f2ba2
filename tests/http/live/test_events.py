"""What really happens reaches who listens: rows changed, jobs at work, messages that somebody posts in Slack."""

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
from demo.servers.run import Running, address
from onedoor.storage.database import open_database
from tests.runtime.failures.conftest import PEPPER, Door, standing

SECONDS = 20.0
CHANGE = "mutation ($id: ID!, $phone: String) { updateCustomer(input: {id: $id, phone: $phone}) { state } }"


@pytest.fixture(scope="module")
def house(acme_servers: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with standing(acme_servers, tmp_path_factory.mktemp("house")) as made:
        yield made


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
            yield self.heard(lines)

    async def heard(self, lines: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for line in lines:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


@asynccontextmanager
async def clients(house: Door, *groups: str) -> AsyncIterator[list[Client]]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{house.port}") as session:
        yield [Client(session, house.keys[each]) for each in groups]


def codes(told: Any) -> list[str]:
    return [each["extensions"]["code"] for each in told.get("errors", [])]


async def test_a_change_is_heard_of_by_who_listens_to_its_row_and_as_each_may_see_it(house: Door) -> None:
    text = "subscription ($id: ID) { customerChanged(id: $id) { verb row before { phone } after { phone } } }"
    async with (
        clients(house, "sales", "finance") as (sales, finance),
        sales.listen(text, id="7") as one,
        finance.listen(text) as every,
    ):
        for id, phone in (("8", "+49 8"), ("7", "+49 7")):
            assert (await sales.ask(CHANGE, id=id, phone=phone))["data"] == {"updateCustomer": {"state": "DONE"}}
        told = await anext(one)
        assert (told["data"]["customerChanged"]["row"], codes(told)) == ("7", [])
        assert told["data"]["customerChanged"]["after"] == {"phone": "+49 7"}
        both = [await anext(every), await anext(every)]
    assert [each["data"]["customerChanged"]["row"] for each in both] == ["8", "7"]
    assert [each["data"]["customerChanged"]["after"] for each in both] == [{"phone": None}, {"phone": None}]
    assert [codes(each) for each in both] == [["FORBIDDEN", "FORBIDDEN"]] * 2


async def test_what_is_only_tried_or_not_made_is_no_event(house: Door) -> None:
    text = "subscription { customerChanged(id: 9) { state after { phone } } }"
    async with clients(house, "sales") as (sales,), sales.listen(text) as heard:
        await sales.ask('mutation { updateCustomer(input: {id: 9, phone: "a", dryRun: true}) { state } }')
        await sales.ask('mutation { updateCustomer(input: {id: 9, phone: "b", ifVersion: 99}) { state } }')
        await sales.ask(CHANGE, id="9", phone="c")
        told = await anext(heard)
    assert told["data"] == {"customerChanged": {"state": "DONE", "after": {"phone": "c"}}}


async def test_who_may_not_see_a_row_does_not_listen_to_it(house: Door) -> None:
    text = "subscription { customerChanged { row } }"
    async with clients(house, "engineering") as (engineer,), engineer.listen(text) as heard:
        told = await anext(heard)
    assert (told.get("data"), codes(told)) == (None, ["FORBIDDEN"])


async def test_who_leaves_a_group_hears_no_more_of_what_it_may_see(house: Door) -> None:
    text = "subscription { customerChanged(id: 10) { after { phone } } }"
    with closing(open_database(f"sqlite:///{house.folder}/state.sqlite", PEPPER.encode())) as state:
        async with clients(house, "support", "sales") as (support, sales), support.listen(text) as heard:
            me = (await support.ask("{ me { email } }"))["data"]["me"]["email"]
            await sales.ask(CHANGE, id="10", phone="1")
            assert (await anext(heard))["data"] == {"customerChanged": {"after": {"phone": "1"}}}
            users.leave_group(state, me, "support")
            try:
                while (await support.ask("{ customers { totalCount } }"))["data"]["customers"] is not None:
                    pass
                await sales.ask(CHANGE, id="10", phone="2")
                told = await anext(heard)
                assert (told["data"], set(codes(told))) == ({"customerChanged": None}, {"FORBIDDEN"})
            finally:
                users.join_group(state, me, "support")


async def test_a_job_is_followed_to_its_end(house: Door) -> None:
    text = "subscription ($id: ID!) { jobChanged(id: $id) { state done lines { nodes { text } } } }"
    async with clients(house, "finance") as (finance,):
        begun = await finance.ask("mutation { startRebuildInvoices(input: {customer: 20}) { id state } }")
        async with finance.listen(text, id=begun["data"]["startRebuildInvoices"]["id"]) as heard:
            states = [await anext(heard)]
            while states[-1]["data"]["jobChanged"]["state"] not in ("SUCCEEDED", "FAILED"):
                states.append(await anext(heard))
    assert states[-1]["data"]["jobChanged"]["state"] == "SUCCEEDED"


async def test_somebody_elses_job_is_listened_to_in_vain(house: Door) -> None:
    text = "subscription ($id: ID!) { jobChanged(id: $id) { state } }"
    async with clients(house, "finance", "marketing") as (finance, marketing):
        begun = await finance.ask("mutation { startRebuildInvoices(input: {customer: 21}) { id } }")
        id = begun["data"]["startRebuildInvoices"]["id"]
        async with marketing.listen(text, id=id) as theirs, finance.listen(text, id=id) as own:
            await finance.ask("mutation ($id: ID!) { cancelJob(input: {id: $id}) { state } }", id=id)
            while (await anext(own))["data"]["jobChanged"]["state"] not in ("SUCCEEDED", "CANCELLED"):
                pass
            assert (await anext(theirs))["data"] == {"jobChanged": None}


async def test_a_message_that_somebody_posts_in_slack_is_heard_of(house: Door, acme_servers: Running) -> None:
    text = "subscription ($channel: ID!) { messagePosted(channel: $channel) { plain channel { id } } }"
    host, port = address(acme_servers, "slack")
    slack = AsyncWebClient(token=SECRETS["SLACK_TOKEN"], base_url=f"http://{host}:{port}/api/")
    async with clients(house, "sales") as (sales,):
        found = await sales.ask("{ channels(first: 2) { nodes { id } } }")
        here, there = (each["id"] for each in found["data"]["channels"]["nodes"])
        async with sales.listen(text, channel=here) as heard:
            await slack.chat_postMessage(channel=there, text="not for you")
            await slack.chat_postMessage(channel=here, text="the truck has left")
            told = await anext(heard)
    assert told["data"] == {"messagePosted": {"plain": "the truck has left", "channel": {"id": here}}}
