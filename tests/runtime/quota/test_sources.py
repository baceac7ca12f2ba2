"""Apply quotas to the calls of a source, and to a Slack that counts its calls."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from onedoor.connectors.slack.connector import QUOTA, SlackConnector, SlackOptions, connect
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Limits
from onedoor.runtime import call_context, resilience
from onedoor.runtime.call_context import CallContext, Waiter
from onedoor.runtime.quota import ConnectorRateLimiter, ConnectorRateLimiters
from onedoor.runtime.resilience import read_rows
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests.runtime.quota.clock import Clock, let_tasks_run
from tests.servers.serving import HOST, serve_in_thread

ASK = ScanRequest(collection="users", columns=("id",))


class Ready:
    """Answers at once, after a turn of its own where it has a quota."""

    def __init__(self, quota: ConnectorRateLimiter | None = None) -> None:
        self.quota = quota
        self.calls = 0

    def capabilities(self, collection: str) -> Capabilities:
        raise KeyError(collection)

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        if self.quota is not None:
            await self.quota.acquire()
        self.calls += 1
        yield [(self.calls,)]

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


def quota(clock: Clock, a_minute: int) -> ConnectorRateLimiter:
    return ConnectorRateLimiter(source="it", name="reads", per_minute=a_minute, clock=clock)


async def test_reads_of_any_source_can_have_a_quota() -> None:
    clock, source = Clock(), Ready()
    connector = resilience.wrap_connector("it", source, Limits(), clock.time, quota(clock, 5))
    work = [asyncio.create_task(read_rows(connector, ASK)) for _ in range(3)]
    counts = []
    for moment in (0, 11, 13, 25):
        await clock.to(moment)
        counts.append(source.calls)
    await asyncio.gather(*work)
    assert counts == [1, 1, 2, 3]


async def test_a_read_that_waits_for_its_turn_takes_no_place_and_its_source_is_not_slow() -> None:
    clock = Clock()
    waits = Ready(quota(clock, 5))
    connector = resilience.wrap_connector("it", waits, Limits(source_calls=2, source_seconds=0.05), clock.time)
    work = [asyncio.create_task(read_rows(connector, ASK)) for _ in range(6)]
    await clock.to(0)
    assert (waits.calls, connector.slots.free) == (1, 2)
    await asyncio.sleep(0.1)
    await clock.to(1000)
    await asyncio.gather(*work)
    assert (waits.calls, connector.slots.free, connector.breaker.failures) == (6, 2, 0)


async def test_a_source_is_not_slow_while_any_part_of_a_call_waits_for_something_else() -> None:
    class Waits(Ready):
        async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
            await asyncio.gather(self.wait(0.0), self.wait(0.1))
            yield [(1,)]

        async def wait(self, seconds: float) -> None:
            async with call_context.yielding_slot():
                await asyncio.sleep(seconds)

    connector = resilience.wrap_connector("it", Waits(), Limits(source_calls=2, source_seconds=0.02), Clock().time)
    assert (await read_rows(connector, ASK), connector.slots.free) == ([(1,)], 2)


async def test_what_is_refused_for_want_of_a_turn_is_no_failure_of_the_source() -> None:
    clock = Clock()
    source = Ready()
    connector = resilience.wrap_connector("it", source, Limits(), clock.time, quota(clock, 1))
    codes = []
    for _ in range(10):
        with call_context.use_call_context(CallContext(waiters=[Waiter(person="ada", deadline=10.0)])):
            try:
                await read_rows(connector, ASK)
            except ConnectorError as failure:
                codes.append(failure.code)
    assert (codes, source.calls, connector.breaker.failures) == ([ErrorCode.RATE_LIMITED] * 9, 1, 0)


class Workspace:
    """A Slack of users that counts its calls, and answers as it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.pause: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls.append(Request(scope).url.path.rpartition("/")[2])
        if self.pause is not None:
            pause, self.pause = self.pause, None
            await JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": pause})(scope, receive, send)
            return
        await JSONResponse({"ok": True, "members": [{"id": "U1"}]})(scope, receive, send)


@pytest.fixture
def workspace() -> Iterator[tuple[Workspace, int]]:
    app = Workspace()
    with serve_in_thread(app) as port:
        yield app, port


async def slack(port: int, clock: Clock) -> SlackConnector:
    given = SlackOptions(token="xoxb-of-the-tests", base_url=f"http://{HOST}:{port}/api/")
    return await connect(given, ConnectorRateLimiters(source="slack", per_minute=QUOTA, clock=clock))


async def scan_outcome(source: SlackConnector, person: str, patience: float) -> str:
    """`ok`, or the code of the failure."""
    with call_context.use_call_context(CallContext(waiters=[Waiter(person=person, deadline=patience)])):
        try:
            async for _ in source.scan(ASK):
                pass
        except ConnectorError as failure:
            return failure.code
    return "ok"


async def test_slack_sees_no_more_calls_than_its_tier_grants(workspace: tuple[Workspace, int]) -> None:
    """Twenty a minute, four of them at once: nine people with one call each, who wait for ten seconds at most."""
    app, port = workspace
    clock = Clock()
    source = await slack(port, clock)
    work = [asyncio.create_task(scan_outcome(source, f"person {number}", 10.0)) for number in range(9)]
    await asyncio.wait(work[:4])
    assert sum(item.done() for item in work) == 7
    await clock.to(10.0)
    results = await asyncio.gather(*work)
    await source.close()
    assert (sorted(results), len(app.calls)) == (["RATE_LIMITED"] * 3 + ["ok"] * 6, 6)


async def test_a_pause_that_slack_requests_holds_for_every_caller(workspace: tuple[Workspace, int]) -> None:
    app, port = workspace
    app.pause = "30"
    clock = Clock()
    source = await slack(port, clock)
    first = asyncio.create_task(scan_outcome(source, "ada", 100.0))
    while not clock.waiting:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    outcome = await scan_outcome(source, "bob", 20.0)
    before = len(app.calls)
    await clock.to(30.0)
    answer = await first
    await source.close()
    assert (outcome, before, answer, len(app.calls)) == ("RATE_LIMITED", 1, "ok", 2)


async def test_every_method_the_source_calls_has_a_quota() -> None:
    assert set(QUOTA) == {
        "chat.delete", "chat.postMessage", "chat.update",
        "conversations.history", "conversations.list", "conversations.replies",
        "search.messages", "users.info", "users.list", "users.lookupByEmail",
    }  # fmt: skip
    await let_tasks_run()
