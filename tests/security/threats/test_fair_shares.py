"""One key with small requests shuts nobody out: what all share has a share for each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from onedoor.model.catalog import Limits
from tests import acme
from tests.http.conftest import HookedConnector, OpenServer, RunningServer, hang, wait_until

ME = "{ me { email } }"
SLOW = "{ customer(id: 1) { name } }"


@asynccontextmanager
async def half_sent(server: RunningServer, who: str, count: int) -> AsyncIterator[None]:
    """So many requests of a key are under way whose bodies have begun and do not go on."""
    limiter = server.app_state.rate_limiter
    head = (
        f"POST /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {server.keys.of[who]}\r\n"
        "content-type: application/json\r\ncontent-length: 20\r\n\r\n{"
    )
    async with AsyncExitStack() as stack:
        for _ in range(count):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            stack.callback(writer.close)
            writer.write(head.encode())
        await wait_until(lambda: sum(limiter.bodies_by_key.values()) == min(count, limiter.limits.bodies_a_key))
        yield


async def test_half_sent_bodies_take_no_place_from_others(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=Limits(concurrency_max=4, bodies_a_key=8))
    async with half_sent(server, "sales", 8):
        others = [(await server.ask(ME, "finance")).status for _ in range(3)]
        under_way = server.app_state.rate_limiter.in_flight
    assert (others, under_way) == ([200] * 3, 0)


async def test_half_sent_bodies_of_one_key_are_bounded(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=Limits(bodies_a_key=2))
    async with half_sent(server, "sales", 2):
        own, other = await server.ask(ME), await server.ask(ME, "finance")
    assert (own.status, own.code, other.status) == (429, "LIMIT_EXCEEDED", 200)
    assert "`bodies_a_key` of 2, come again in 1 s" in own.body["errors"][0]["message"]


async def test_requests_of_one_key_that_hang_leave_places_to_others(open_server: OpenServer) -> None:
    odd = HookedConnector(acme.sources()["internal"], hang)
    server: RunningServer = await open_server({"internal": odd}, rate_limits=Limits(concurrency_max=8))
    limiter = server.app_state.rate_limiter
    hanging = [asyncio.create_task(server.ask(SLOW)) for _ in range(8)]
    await wait_until(lambda: limiter.in_flight == 4)
    own, other = await server.ask(ME), await server.ask(ME, "finance")
    for task in hanging:
        task.cancel()
    assert (own.status, other.status) == (429, 200)
    assert "`concurrency_a_key` of 4, come again in 1 s" in own.body["errors"][0]["message"]


async def test_the_bytes_of_one_key_under_way_are_bounded(open_server: OpenServer) -> None:
    odd = HookedConnector(acme.sources()["internal"], hang)
    limits = Limits(body_bytes=1_000, request_bytes_a_key=1_500)
    server: RunningServer = await open_server({"internal": odd}, rate_limits=limits)
    limiter, large = server.app_state.rate_limiter, SLOW + " " * 800
    hanging = asyncio.create_task(server.ask(large))
    await wait_until(lambda: limiter.in_flight == 1)
    own, small, other = await server.ask(ME + " " * 800), await server.ask(ME), await server.ask(ME, "finance")
    hanging.cancel()
    await wait_until(lambda: limiter.in_flight == 0)
    assert (own.status, small.status, other.status) == (429, 200, 200)
    assert "`request_bytes_a_key` of 1500, come again in 1 s" in own.body["errors"][0]["message"]
    assert ((await server.ask(ME + " " * 800)).status, limiter.bytes_by_key) == (200, {})


async def test_large_plans_are_carried_out_two_at_a_time_for_a_person(open_server: OpenServer) -> None:
    odd = HookedConnector(acme.sources()["internal"], hang)
    limits = Limits(aliases_max=1_000)
    server: RunningServer = await open_server({"internal": odd}, limits=limits, rate_limits=acme.UNLIMITED_RATES)
    slots = server.app_state.executor.engine.large_operations
    fields = " ".join(f"f{number}: name" for number in range(400))
    hanging = [asyncio.create_task(server.ask(f"{{ customer(id: {id}) {{ {fields} }} }}")) for id in range(1, 5)]
    await wait_until(lambda: len(slots.queue) == 2)
    small, other = await server.ask(ME), await server.ask(ME, "finance")
    held = slots.held.total()
    for task in hanging:
        task.cancel()
    await wait_until(lambda: slots.held.total() == 0)
    assert (small.status, other.status, held) == (200, 200, 2)


async def test_large_reads_are_carried_out_two_at_a_time_for_a_person(open_server: OpenServer) -> None:
    odd = HookedConnector(acme.sources()["internal"], hang)
    server: RunningServer = await open_server({"internal": odd}, rate_limits=acme.UNLIMITED_RATES)
    slots = server.app_state.executor.engine.large_operations
    large = "{ customers(first: 1000) { nodes { orders(first: 20) { nodes { id } } } } }"
    hanging = [asyncio.create_task(server.ask(large)) for _ in range(6)]
    await wait_until(lambda: len(slots.queue) == 4)
    small, other = await server.ask(ME), await server.ask(ME, "finance")
    held = slots.held.total()
    for task in hanging:
        task.cancel()
    await wait_until(lambda: slots.held.total() == 0)
    assert (small.status, other.status, held) == (200, 200, 2)


async def test_the_bytes_that_a_key_writes_to_the_records_are_bounded(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=replace(acme.UNLIMITED_RATES, record_bytes_a_minute=2_000))
    wordy = "{ me { " + " ".join(f"a{number}: email" for number in range(150)) + " } }"
    own = [(await server.ask(wordy)).status for _ in range(3)]
    refused, other = await server.ask(ME), await server.ask(ME, "finance")
    assert (own, refused.status, other.status) == ([200, 429, 429], 429, 200)
    assert "`record_bytes_a_minute` of 2000, come again in" in refused.body["errors"][0]["message"]
