"""Rows are read again when they are stale, and equal scans at the same time are one call."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from onedoor.errors import ConnectorError
from onedoor.runtime import call_context
from onedoor.runtime.call_context import CallContext, Waiter
from onedoor.runtime.row_cache import (
    CacheEntry,
    InMemoryCacheStore,
    build_cache_key,
    estimate_size,
    read_cached_rows,
    serialize_canonically,
)
from onedoor.spi.predicates import ALWAYS_TRUE, Comparison, Exists, Op
from onedoor.spi.scan import COUNT_ROWS, Join, KeyFilter, ScanRequest, SortKey
from tests.runtime.cache.cached_reader import (
    ASK,
    FINANCE,
    SALES,
    SECRET,
    START,
    Clock,
    CountingConnector,
    failed,
    reader,
)


async def test_fresh_rows_are_not_read_again() -> None:
    clock, source = Clock(), CountingConnector()
    one = reader(source, clock)
    first = await read_cached_rows(one, ASK)
    clock.seconds = 29.9
    second = await read_cached_rows(one, ASK)
    clock.seconds = 30.0
    third = await read_cached_rows(one, ASK)
    assert [(item.entry.rows, item.cached, item.entry.read_at - START) for item in (first, second, third)] == [
        (((1, None),), False, timedelta()),
        (((1, None),), True, timedelta()),
        (((2, None),), False, timedelta(seconds=30)),
    ]


async def test_a_collection_without_a_max_age_is_always_read() -> None:
    clock, source = Clock(), CountingConnector()
    one = reader(source, clock)
    other = replace(ASK, collection="items")
    assert [(await read_cached_rows(one, other)).cached for _ in range(3)] == [False] * 3
    assert source.calls == 3


ITEMS = Join(
    collection="items", outer_columns=("id",), inner_columns=("order_id",), aggregates=(COUNT_ROWS,),
    output_columns=("items.count()",),
)  # fmt: skip


@pytest.mark.parametrize(
    "request_of_both",
    [
        pytest.param(replace(ASK, joins=(ITEMS,)), id="joined"),
        pytest.param(replace(ASK, filter=Exists("items", ("id",), ("order_id",), ALWAYS_TRUE)), id="filtered by"),
    ],
)
async def test_rows_are_no_older_than_any_collection_they_come_from_allows(request_of_both: ScanRequest) -> None:
    one = reader(CountingConnector(), Clock())
    assert [(await read_cached_rows(one, request_of_both)).cached for _ in range(2)] == [False] * 2


async def test_a_reader_without_a_cache_always_reads() -> None:
    source = CountingConnector()
    own = replace(reader(source, Clock()), cache=None)
    await read_cached_rows(own, ASK)
    await read_cached_rows(own, ASK)
    assert source.calls == 2


async def test_callers_with_other_permissions_never_share() -> None:
    clock, source = Clock(), CountingConnector()
    finance = reader(source, clock)
    sales = replace(finance, cache_scope=SALES)
    results = [(await read_cached_rows(item, ASK)).entry.rows[0][0] for item in (finance, sales, finance, sales)]
    assert results == [1, 2, 1, 2]


async def test_callers_with_other_permissions_do_not_share_a_call() -> None:
    going = asyncio.Event()
    source = CountingConnector(lambda _: going.wait())  # type: ignore[arg-type, return-value]
    finance = reader(source, Clock())
    sales = replace(finance, cache_scope=SALES)
    work = asyncio.gather(*(read_cached_rows(item, ASK) for item in (finance, sales, finance, sales)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    going.set()
    assert sorted(item.entry.rows[0][0] for item in await work) == [1, 1, 2, 2]


async def test_equal_reads_at_the_same_time_are_one_call() -> None:
    going = asyncio.Event()
    source = CountingConnector(lambda _: going.wait())  # type: ignore[arg-type, return-value]
    one = reader(source, Clock())
    work = [asyncio.create_task(read_cached_rows(one, ASK)) for _ in range(50)]
    await asyncio.sleep(0)
    going.set()
    results = await asyncio.gather(*work)
    assert ({result.entry.rows for result in results}, sum(result.cached for result in results), source.calls) == (
        {((1, None),)}, 49, 1,
    )  # fmt: skip


async def test_a_read_continues_when_the_caller_who_began_it_leaves() -> None:
    going = asyncio.Event()
    source = CountingConnector(lambda _: going.wait())  # type: ignore[arg-type, return-value]
    one = reader(source, Clock())
    first, *others = [asyncio.create_task(read_cached_rows(one, ASK)) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    going.set()
    assert [item.entry.rows for item in await asyncio.gather(*others)] == [((1, None),)] * 2
    assert (first.cancelled(), source.calls, source.cancelled) == (True, 1, 0)


async def test_a_read_that_nobody_waits_for_is_cancelled_and_not_shared() -> None:
    source = CountingConnector(lambda number: asyncio.Event().wait() if number == 1 else asyncio.sleep(0))  # type: ignore[arg-type, return-value]
    one = reader(source, Clock())
    waiting = [asyncio.create_task(read_cached_rows(one, ASK)) for _ in range(3)]
    for _ in range(3):
        await asyncio.sleep(0)
    for item in waiting:
        item.cancel()
    await asyncio.wait(waiting)
    assert (await read_cached_rows(one, ASK)).entry.rows == ((2, None),)
    assert (source.calls, source.cancelled) == (2, 1)


async def test_a_failure_reaches_all_waiting_callers_and_is_not_cached() -> None:
    source = CountingConnector(failed)
    one = reader(source, Clock())
    answers = await asyncio.gather(*(read_cached_rows(one, ASK) for _ in range(3)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["down 1"] * 3
    with pytest.raises(ConnectorError, match="down 2"):
        await read_cached_rows(one, ASK)


async def test_a_shared_call_has_all_waiting_people_and_the_last_deadline() -> None:
    going, seen = asyncio.Event(), list[tuple[list[str], float]]()

    async def act(_: int) -> None:
        await going.wait()
        now = call_context.get_call_context()
        assert now is not None
        seen.append((sorted(now.people), now.deadline))

    one = reader(CountingConnector(act), Clock())

    async def as_(person: str, until: float) -> None:
        with call_context.use_call_context(CallContext(waiters=[Waiter(person=person, deadline=until)])):
            await read_cached_rows(one, ASK)

    work = [asyncio.create_task(as_(*item)) for item in (("ada", 1.0), ("bob", 9.0), ("eve", 5.0))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    work[1].cancel()
    await asyncio.wait([work[1]])
    going.set()
    await asyncio.gather(work[0], work[2])
    assert seen == [(["ada", "eve"], 5.0)]


ASKS = {
    "columns": replace(ASK, columns=("id",)),
    "order": replace(ASK, sort=(SortKey("id"),)),
    "other order": replace(ASK, sort=(SortKey("id", descending=True),)),
    "limit": replace(ASK, limit=1),
    "where": replace(ASK, filter=Comparison("id", Op.EQ, 1)),
    "a text": replace(ASK, filter=Comparison("id", Op.EQ, "1")),
    "true": replace(ASK, filter=Comparison("id", Op.EQ, True)),
    "a float": replace(ASK, filter=Comparison("id", Op.EQ, 1.0)),
    "several": replace(ASK, filter=Comparison("id", Op.IN, (1,))),
    "keys": replace(ASK, keys=KeyFilter(("id",), ((1,),))),
    "other keys": replace(ASK, keys=KeyFilter(("id",), ((1,), (2,)))),
    "nothing": ASK,
}


def test_requests_that_differ_anywhere_have_different_keys() -> None:
    keys = {
        build_cache_key(SECRET, scope, source, ask)
        for scope in (FINANCE, SALES)
        for source in "ab"
        for ask in ASKS.values()
    }
    assert len(keys) == 2 * 2 * len(ASKS)


def test_another_secret_gives_other_keys() -> None:
    assert build_cache_key(b"1", FINANCE, "a", ASK) != build_cache_key(b"2", FINANCE, "a", ASK)


def test_every_field_of_a_request_is_part_of_its_key() -> None:
    assert all(repr(getattr(ASK, name)) != "" for name in ScanRequest.__dataclass_fields__)
    assert serialize_canonically(ASK).count(",") >= len(ScanRequest.__dataclass_fields__) - 1


def test_values_that_cannot_be_serialized_have_no_key() -> None:
    with pytest.raises(TypeError):
        serialize_canonically(replace(ASK, filter=object()))


async def test_the_least_recently_used_entry_is_dropped_first() -> None:
    store = InMemoryCacheStore(max_entries=2, max_bytes=1_000_000, clock=Clock())
    for name in (b"a", b"b"):
        await store.put(name, CacheEntry(rows=(), read_at=START), 1)
    await store.get(b"a")
    await store.put(b"c", CacheEntry(rows=(), read_at=START), 1)
    assert [store.get_nowait(name) is not None for name in (b"a", b"b", b"c")] == [True, False, True]


async def test_the_cache_keeps_no_more_bytes_than_its_limit() -> None:
    many = CacheEntry(rows=tuple((number, "x" * 100) for number in range(10)), read_at=START)
    size = estimate_size(many.rows)
    store = InMemoryCacheStore(max_entries=1_000, max_bytes=10 * size, clock=Clock())
    for number in range(100):
        await store.put(bytes([number]), many, 1)
    assert (len(store.stored), store.stored.currsize) == (10, 10 * size)


async def test_one_large_read_does_not_push_out_the_others() -> None:
    store = InMemoryCacheStore(max_entries=10, max_bytes=100_000, clock=Clock())
    await store.put(b"small", CacheEntry(rows=((1,),), read_at=START), 1)
    await store.put(b"large", CacheEntry(rows=tuple((number,) for number in range(1_000)), read_at=START), 1)
    assert [store.get_nowait(name) is not None for name in (b"small", b"large")] == [True, False]
