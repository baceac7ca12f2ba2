"""Rows come back from Redis as they were stored, and nothing else there is believed."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from onedoor.connectors.redis_cache import (
    KEY_PREFIX,
    RedisCacheStore,
    create_redis_store,
    decode_cache_entry,
    encode_cache_entry,
)
from onedoor.runtime.row_cache import CacheEntry, CacheSettings, build_cache_key, read_cached_rows
from tests.runtime.cache.cached_reader import ASK, FINANCE, SALES, SECRET, START, Clock, CountingConnector, reader
from tests.runtime.cache.redis import REAL, in_python, real

UNDER = build_cache_key(SECRET, FINANCE, "internal", ASK)
SEALED = b"the secret of all replicas"
ODD = (
    None, True, False, 0, 1, -(2**63), 2**63, 2**200, 0.1, 1.0, -0.0, 5e-324, float("inf"), "", "x", "é\x00\u2028",
    Decimal("1.10"), Decimal("1.1"), Decimal("-0.00"), Decimal("1E+30"), date(1, 1, 1), date(2026, 2, 28),
    datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(9999, 12, 31, tzinfo=timezone(timedelta(hours=-5, minutes=-30))), (), ("a",), ("decimal", "1"),
)  # fmt: skip


@pytest.fixture(
    scope="module",
    params=[
        "in Python",
        pytest.param("real", marks=pytest.mark.skipif(REAL is None, reason="redis-server: install redis")),
    ],
)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("redis")
    with in_python() if request.param == "in Python" else real(folder) as address:
        yield address


@pytest.fixture
async def store(url: str) -> AsyncIterator[RedisCacheStore]:
    async with Redis.from_url(url) as client:
        await client.flushall()
    redis_store = create_redis_store(CacheSettings(url=url, seconds=5.0), SEALED, Clock())
    yield redis_store
    await redis_store.close()


@pytest.fixture
async def client(url: str) -> AsyncIterator[Redis]:
    """Someone else who may read and write there."""
    async with Redis.from_url(url) as redis:
        yield redis


def test_every_kind_of_value_comes_back_as_it_went() -> None:
    entry = CacheEntry(rows=(ODD, tuple(reversed(ODD)), ()), read_at=START)
    result = decode_cache_entry(encode_cache_entry(entry))
    assert [[(type(v), repr(v)) for v in row] for row in result.rows] == [
        [(type(v), repr(v)) for v in row] for row in entry.rows
    ]
    assert result.read_at == START


async def test_replicas_share_what_they_read(store: RedisCacheStore, url: str) -> None:
    clock, mine, theirs = Clock(), CountingConnector(), CountingConnector()
    other = create_redis_store(CacheSettings(url=url, seconds=5.0), SEALED, Clock())
    first = await read_cached_rows(reader(mine, clock, store), ASK)
    clock.seconds = 10
    second = await read_cached_rows(reader(theirs, clock, other), ASK)
    await other.close()
    assert (first.cached, second.cached, second.entry, theirs.calls) == (False, True, first.entry, 0)


async def test_what_is_too_old_is_read_again(store: RedisCacheStore) -> None:
    clock, source = Clock(), CountingConnector()
    one = reader(source, clock, store)
    await read_cached_rows(one, ASK)
    clock.seconds = 30
    assert (await read_cached_rows(one, ASK)).entry.rows == ((2, None),)


async def test_redis_forgets_what_is_too_old(store: RedisCacheStore, client: Redis) -> None:
    await store.put(UNDER, CacheEntry(rows=(), read_at=START), 30)
    assert 29_000 < await client.pttl(KEY_PREFIX + UNDER) <= 30_000


async def test_nothing_there_can_be_read(store: RedisCacheStore, client: Redis) -> None:
    entry = CacheEntry(rows=(("ada@acme.example", Decimal("85000.00")),), read_at=START)
    await store.put(UNDER, entry, 30)
    lying = b"".join([name + await client.get(name) for name in await client.keys()])
    words = (b"orders", b"total", b"finance", b"everyone", b"ada", b"85000", b"2026", b"internal")
    assert ([word for word in words if word in lying], await store.get(UNDER)) == ([], entry)


async def poison_changed(client: Redis) -> None:
    result = await client.get(KEY_PREFIX + UNDER)
    await client.set(KEY_PREFIX + UNDER, result[:-1] + bytes([result[-1] ^ 1]))


async def poison_plain(client: Redis) -> None:
    await client.set(KEY_PREFIX + UNDER, encode_cache_entry(CacheEntry(rows=((666, None),), read_at=START)))


async def poison_short(client: Redis) -> None:
    await client.set(KEY_PREFIX + UNDER, b"x")


async def poison_moved(client: Redis) -> None:
    """The rows of another, moved to where these were."""
    await client.copy(KEY_PREFIX + build_cache_key(SECRET, SALES, "internal", ASK), KEY_PREFIX + UNDER, replace=True)


async def poison_pickled(client: Redis) -> None:
    await client.set(KEY_PREFIX + UNDER, b"cos\nsystem\n(S'true'\ntR.")


@pytest.mark.parametrize(
    "poison", [poison_changed, poison_plain, poison_short, poison_moved, poison_pickled], ids=lambda item: item.__name__
)
async def test_what_others_put_there_is_not_believed(store: RedisCacheStore, client: Redis, poison: object) -> None:
    source = CountingConnector()
    one = reader(source, Clock(), store)
    await read_cached_rows(one, ASK)
    await store.put(build_cache_key(SECRET, SALES, "internal", ASK), CacheEntry(rows=((666, None),), read_at=START), 30)
    await poison(client)  # type: ignore[operator]
    cached_rows = await read_cached_rows(one, ASK)
    assert (cached_rows.entry.rows, cached_rows.cached, source.calls) == (((2, None),), False, 2)


async def test_another_kind_of_value_under_the_key_is_as_none(store: RedisCacheStore, client: Redis) -> None:
    await client.lpush(KEY_PREFIX + UNDER, "x")
    assert (await read_cached_rows(reader(CountingConnector(), Clock(), store), ASK)).entry.rows == ((1, None),)


async def test_many_at_once_are_one_call(store: RedisCacheStore) -> None:
    source = CountingConnector()
    one = reader(source, Clock(), store)
    await asyncio.gather(*(read_cached_rows(one, ASK) for _ in range(100)))
    assert source.calls == 1


async def test_a_redis_that_is_down_is_as_one_that_is_empty() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    await read_without(f"redis://127.0.0.1:{port}/0")


async def test_so_is_one_that_does_not_answer() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        await read_without(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")


async def read_without(url: str) -> None:
    """Each read is a call; Redis is waited for once a second, by the process's clock."""
    clock, source = Clock(), CountingConnector()
    store = create_redis_store(CacheSettings(url=url, seconds=0.05), SEALED, clock)
    one = reader(source, clock, store)
    async with asyncio.timeout(30):
        results = [(await read_cached_rows(one, ASK)).entry.rows[0][0] for _ in range(50)]
    await store.close()
    assert (results, store.calls.retry_at) == (list(range(1, 51)), 1.0)
