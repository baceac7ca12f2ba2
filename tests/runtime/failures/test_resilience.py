"""A connector's breaker, bulkhead, retries and timeout, on a clock that only the tests move."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Limits
from onedoor.runtime import resilience
from onedoor.runtime.breaker import BREAKER_FAILURES, PROBE_SECONDS, WINDOW_SECONDS
from onedoor.runtime.call_context import build_call_context, use_call_context
from onedoor.runtime.fair_slots import FairSlots
from onedoor.runtime.resilience import ResilientConnector, read_rows
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

ASK = ScanRequest(collection="any", columns=("id",))
ROWS: list[Row] = [(1,), (2,)]
DOWN = ConnectorError("it is down")
AGAIN = ConnectorError("it was cut off", retryable=True)
PATIENCE = 5.0
Script = Callable[[int], Awaitable[Any]]


class Scripted:
    """A source that does what the test says, call by call: rows are given, failures raised."""

    def __init__(self, script: Script, ping: Script | None = None) -> None:
        self.script, self.ping_script = script, ping or script
        self.calls = self.pings = 0

    def capabilities(self, collection: str) -> Capabilities:
        raise KeyError(collection)

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        self.calls += 1
        came = await self.script(self.calls)
        if isinstance(came, Exception):
            raise came
        yield came

    async def ping(self) -> None:
        self.pings += 1
        came = await self.ping_script(self.calls)
        if isinstance(came, Exception):
            raise came

    async def close(self) -> None: ...


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def build_script(*came: Any) -> Script:
    """Each in turn, the last one for ever."""

    async def script(call: int) -> Any:
        return came[min(call, len(came)) - 1]

    return script


async def never(_: int) -> Any:
    await asyncio.Event().wait()


def guarded(
    script: Script, clock: Clock | None = None, ping: Script | None = None, **limits: Any
) -> ResilientConnector:
    """A source of which a ping says the same as its calls, unless it has a script of its own."""
    return resilience.wrap_connector("it", Scripted(script, ping), Limits(**limits), clock or Clock())


async def read_or_failure(at: ResilientConnector) -> Any:
    """The rows, or the code and the reason of the failure, once a probe that it led to has ended."""
    try:
        return await read_rows(at, ASK)
    except ConnectorError as failure:
        if at.breaker.probe is not None:
            await asyncio.wait([at.breaker.probe])
        return failure.code, failure.reason


OPEN = (ErrorCode.SOURCE_UNAVAILABLE, "`it` is unavailable after repeated failures, and is tried again within a second")


async def test_rows_pass_through() -> None:
    connector = guarded(build_script(ROWS))
    assert (await read_or_failure(connector), connector.counters) == (ROWS, {"calls": 1, "retries": 0})


async def test_a_source_that_failed_too_often_is_not_called() -> None:
    connector = guarded(build_script(DOWN))
    answers = [await read_or_failure(connector) for _ in range(20)]
    down = (ErrorCode.SOURCE_UNAVAILABLE, "it is down")
    assert answers == [down] * BREAKER_FAILURES + [OPEN] * (20 - BREAKER_FAILURES)
    assert connector.counters["calls"] == BREAKER_FAILURES


def get_source(connector: ResilientConnector) -> Scripted:
    assert isinstance(connector.inner, Scripted)
    return connector.inner


async def test_one_probe_is_made_at_a_time() -> None:
    clock = Clock()
    connector = guarded(build_script(DOWN), clock)
    for _ in range(BREAKER_FAILURES):
        await read_or_failure(connector)
    counts = [get_source(connector).pings]
    for _ in range(3):
        clock.now += PROBE_SECONDS
        await asyncio.gather(*(read_or_failure(connector) for _ in range(10)))
        counts.append(get_source(connector).pings)
    assert (counts, connector.counters["calls"]) == ([1, 2, 3, 4], BREAKER_FAILURES)


async def test_a_successful_probe_closes_the_breaker() -> None:
    clock = Clock()
    connector = guarded(build_script(*[DOWN] * BREAKER_FAILURES, ROWS), clock)
    for _ in range(BREAKER_FAILURES):
        await read_or_failure(connector)
    before = await read_or_failure(connector)
    get_source(connector).ping_script = build_script(ROWS)
    clock.now += PROBE_SECONDS
    assert [before, *[await read_or_failure(connector) for _ in range(10)]] == [OPEN, *[ROWS] * 10]


@pytest.mark.parametrize("script", [build_script(DOWN), never], ids=["failures", "timeouts"])
async def test_no_number_of_failed_questions_shuts_a_source_that_answers_a_probe(script: Script) -> None:
    clock = Clock()
    connector = guarded(script, clock, ping=build_script(None), source_seconds=0.001)
    for _ in range(10 * BREAKER_FAILURES):
        clock.now += PROBE_SECONDS
        await read_or_failure(connector)
    assert (connector.counters["calls"], connector.breaker.is_open) == (10 * BREAKER_FAILURES, False)


async def test_a_probe_waits_for_no_slot() -> None:
    slots = FairSlots(1)
    await slots.acquire()

    async def ping_in_slot(_: int) -> None:
        async with slots.hold():
            return

    connector = guarded(build_script(DOWN), ping=ping_in_slot)
    for _ in range(BREAKER_FAILURES):
        await read_or_failure(connector)
    assert (get_source(connector).pings, connector.breaker.is_open) == (1, False)


async def test_failures_that_are_few_or_long_ago_lead_to_no_probe() -> None:
    clock = Clock()
    few = guarded(build_script(*[DOWN, ROWS, ROWS] * 10), clock)
    rare = guarded(build_script(DOWN), clock)
    for _ in range(30):
        clock.now += WINDOW_SECONDS / (BREAKER_FAILURES - 1)
        await read_or_failure(rare)
    for _ in range(30):
        await read_or_failure(few)
    assert (get_source(few).pings, get_source(rare).pings) == (0, 0)


async def test_a_source_is_called_again_within_two_seconds_of_its_return() -> None:
    clock = Clock()
    up = False

    async def script(_: int) -> Any:
        return ROWS if up else DOWN

    connector = guarded(script, clock)
    for _ in range(100):
        clock.now += 0.1
        await read_or_failure(connector)
    up, returned = True, clock.now
    while await read_or_failure(connector) != ROWS:
        clock.now += 0.1
    assert clock.now - returned < 2.0


@pytest.mark.parametrize("code", [ErrorCode.CANNOT_ANSWER, ErrorCode.LIMIT_EXCEEDED])
async def test_a_refusal_is_an_answer(code: ErrorCode) -> None:
    refusal = ConnectorError("ask otherwise", code)
    connector = guarded(build_script(*[DOWN, refusal, refusal] * 10))
    for _ in range(30):
        await read_or_failure(connector)
    assert (get_source(connector).pings, connector.counters["calls"]) == (0, 30)


@pytest.mark.parametrize("code", [ErrorCode.SOURCE_OVERLOADED, ErrorCode.SOURCE_INVALID])
async def test_a_failure_of_one_request_alone_does_not_open_the_breaker(code: ErrorCode) -> None:
    connector = guarded(build_script(ConnectorError("not now", code)))
    for _ in range(20):
        await read_or_failure(connector)
    assert connector.counters["calls"] == 20


async def test_a_timeout_counts_as_a_failure() -> None:
    connector = guarded(never, source_seconds=0.01)
    answers = [await read_or_failure(connector) for _ in range(BREAKER_FAILURES + 1)]
    assert answers == [
        (ErrorCode.SOURCE_UNAVAILABLE, "`it` did not answer within 0.01 s (limit `source_seconds`)")
    ] * BREAKER_FAILURES + [OPEN]


async def test_a_full_bulkhead_refuses_at_once_and_lets_those_who_wait_in() -> None:
    go = asyncio.Event()

    async def script(_: int) -> Any:
        await go.wait()
        return ROWS

    connector = guarded(script, source_calls=2, source_queue=3)
    calls = [asyncio.create_task(read_for(f"person {number}", connector)) for number in range(5)]
    await asyncio.sleep(0)
    refused = await read_or_failure(connector)
    called = connector.counters["calls"]
    go.set()

    assert refused == (ErrorCode.SOURCE_OVERLOADED, "`it` has too many requests under way and waiting, try again later")
    assert called == 2
    assert await asyncio.gather(*calls) == [ROWS] * 5


async def read_for(person: str, connector: ResilientConnector) -> Any:
    with use_call_context(build_call_context(person)):
        return await read_or_failure(connector)


async def test_one_person_fills_neither_the_slots_nor_the_queue() -> None:
    go = asyncio.Event()

    async def script(_: int) -> Any:
        await go.wait()
        return ROWS

    connector = guarded(script, source_calls=4, source_queue=4)
    many = [asyncio.create_task(read_for("ada", connector)) for _ in range(20)]
    await asyncio.sleep(0)
    other = asyncio.create_task(read_for("grace", connector))
    await asyncio.sleep(0)
    calls = connector.counters["calls"]
    go.set()
    answers = await asyncio.gather(*many)
    assert (calls, await other, answers.count(ROWS)) == (3, ROWS, 4)
    assert {answer[0] for answer in answers if answer != ROWS} == {ErrorCode.SOURCE_OVERLOADED}


async def test_who_waits_too_long_for_the_bulkhead_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resilience, "QUEUE_SECONDS", 0.01)
    connector = guarded(never, source_calls=1, source_seconds=PATIENCE)
    call = asyncio.create_task(read_or_failure(connector))
    await asyncio.sleep(0)
    refused = await read_or_failure(connector)
    call.cancel()

    assert (refused[0], connector.slots.queue) == (ErrorCode.SOURCE_OVERLOADED, [])


@pytest.mark.parametrize("script", [
    pytest.param(build_script(DOWN), id="it failed"),
    pytest.param(build_script(RuntimeError("a bug")), id="it crashed"),
    pytest.param(never, id="it was late, or its caller left"),
])  # fmt: skip
async def test_a_place_in_the_bulkhead_is_given_back(script: Script) -> None:
    connector = guarded(script, source_calls=2, source_seconds=0.01)
    calls = [asyncio.create_task(read_or_failure(connector)) for _ in range(4)]
    await asyncio.sleep(0)
    calls[0].cancel()
    calls[3].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert (connector.slots.free, connector.slots.queue) == (2, [])


class Endless(Scripted):
    """It gives rows as long as anybody takes them."""

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        while True:
            self.calls += 1
            yield ROWS


async def test_a_read_that_gives_too_much_is_cut_off() -> None:
    source = Endless(never)
    connector = resilience.wrap_connector("it", source, Limits(rows_read=5), Clock())
    expected = "a read of `it` is over the limit `rows_read` of 5, filter it"
    assert await read_or_failure(connector) == (ErrorCode.LIMIT_EXCEEDED, expected)
    assert source.calls == 3


async def test_a_long_read_is_not_a_late_one() -> None:
    """Batch after batch, each in time."""
    connector = resilience.wrap_connector("it", Slow(never), Limits(source_seconds=0.4), Clock())
    assert await read_or_failure(connector) == [*ROWS] * 5


class Slow(Scripted):
    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        for _ in range(5):
            await asyncio.sleep(0.1)
            yield ROWS


async def test_as_many_rows_as_the_limit_are_served() -> None:
    assert await read_or_failure(guarded(build_script([*ROWS, *ROWS]), rows_read=4)) == [*ROWS, *ROWS]


@pytest.mark.parametrize(("failure", "calls"), [
    pytest.param(AGAIN, 2, id="what may do better at once is tried again"),
    pytest.param(DOWN, 1, id="what is down is not"),
    pytest.param(ConnectorError("no", ErrorCode.SOURCE_OVERLOADED, retryable=True), 1, id="nor is what is overloaded"),
])  # fmt: skip
async def test_a_retry(failure: ConnectorError, calls: int) -> None:
    connector = guarded(build_script(failure, ROWS))
    await read_or_failure(connector)
    assert connector.counters["calls"] == calls


async def test_there_is_one_retry_and_no_more() -> None:
    connector = guarded(build_script(AGAIN))
    await read_or_failure(connector)
    assert connector.counters == {"calls": 2, "retries": 1}


@pytest.mark.parametrize("asks", [50, 500, 5000])
async def test_retries_are_earned(asks: int) -> None:
    """Every call fails at first: retries would double the load, but may not add more than a fifth."""
    fails = True

    async def script(_: int) -> Any:
        nonlocal fails
        fails = not fails
        return ROWS if fails else AGAIN

    connector = guarded(script)
    for _ in range(asks):
        await read_or_failure(connector)
    assert asks < connector.counters["calls"] <= 1.2 * asks


async def test_a_call_and_its_retry_share_one_timeout() -> None:
    async def script(call: int) -> Any:
        if call == 1:
            await asyncio.sleep(1.0)
            return AGAIN
        return await never(call)

    connector = guarded(script, source_seconds=1.2)
    async with asyncio.timeout(2.1):
        assert await read_or_failure(connector) == (
            ErrorCode.SOURCE_UNAVAILABLE,
            "`it` did not answer within 1.2 s (limit `source_seconds`)",
        )
