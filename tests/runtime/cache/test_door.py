"""The cache behind the whole door, over HTTP: who shares with whom, what is told of it, what is on record."""

from datetime import datetime

import pytest

from auth import users
from onedoor.runtime.row_cache import InMemoryCacheStore, RowCache
from onedoor.storage.database import MetadataDatabase
from tests import acme
from tests.http.conftest import Door, Odd, Opening, door, keys, opening, state
from tests.runtime.cache.reading import SECRET, Clock

__all__ = ["door", "keys", "opening", "state"]

NAMES = "{ customers(first: 2) { nodes { name } } }"
FRESHNESS = {"onedoor": {"freshness": True}}


class Counting:
    """Rows of Acme, every read of them counted."""

    def __init__(self) -> None:
        self.reads = 0

    async def __call__(self, ask: object) -> None:
        self.reads += 1


def cache(clock: Clock) -> RowCache:
    store = InMemoryCacheStore(max_entries=100, max_bytes=10_000_000, clock=clock)
    return RowCache(store=store, max_ages={"internal": {"customer": 60.0}}, secret=SECRET, now=clock.now)


async def test_callers_with_the_same_permissions_share_and_others_never(opening: Opening) -> None:
    counting = Counting()
    door = await opening({"internal": Odd(acme.sources()["internal"], counting)}, cache=cache(Clock()))
    reads = []
    for who in ("sales", "finance", "sales", "finance"):
        await door.ask(NAMES, who)
        reads.append(counting.reads)
    assert reads == [1, 2, 2, 2]


async def test_who_left_a_group_is_not_served_what_it_read(opening: Opening, state: MetadataDatabase) -> None:
    """The same cache before and after; the door is another, so that the key is judged anew at once."""
    counting, kept = Counting(), cache(Clock())
    odd = {"internal": Odd(acme.sources()["internal"], counting)}
    before = await (await opening(odd, cache=kept)).ask(NAMES, "sales")
    users.leave_group(state, "sales@acme.example", "sales")
    try:
        after = await (await opening(odd, cache=kept)).ask(NAMES, "sales")
    finally:
        users.join_group(state, "sales@acme.example", "sales")
    assert (before.body["data"]["customers"] is None, after.body["data"], after.code) == (
        False, {"customers": None}, "FORBIDDEN",
    )  # fmt: skip


async def test_freshness_says_when_each_collection_was_read(opening: Opening) -> None:
    clock = Clock()
    door = await opening(cache=cache(clock))
    told = []
    for seconds in (0.0, 12.5, 60.0):
        clock.seconds = seconds
        reply = await door.ask(NAMES, "sales", extensions=FRESHNESS)
        told += reply.body["extensions"]["onedoor"]["freshness"]
    line = {"source": "internal", "collection": "customer"}
    assert told == [
        {**line, "readAt": "2026-11-21T12:00:00.000+00:00", "age": 0.0, "cached": False},
        {**line, "readAt": "2026-11-21T12:00:00.000+00:00", "age": 12.5, "cached": True},
        {**line, "readAt": "2026-11-21T12:01:00.000+00:00", "age": 0.0, "cached": False},
    ]


async def test_freshness_is_told_without_a_cache_and_only_when_asked(door: Door) -> None:
    asked = await door.ask("{ me { id } }", "sales", extensions=FRESHNESS)
    unasked = await door.ask("{ me { id } }", "sales")
    [line] = asked.body["extensions"]["onedoor"]["freshness"]
    assert (line["source"], line["cached"], datetime.fromisoformat(line["readAt"]).tzinfo is not None) == (
        "caller", False, True,
    )  # fmt: skip
    assert "extensions" not in unasked.body


async def test_a_record_tells_calls_from_what_was_kept(opening: Opening) -> None:
    door = await opening(cache=cache(Clock()))
    for _ in range(2):
        await door.ask(NAMES, "sales")
    used = [record["sources"][0] for record in door.records()]
    assert [(each["calls"], each["cached"], each["rows"]) for each in used] == [(1, 0, 2), (0, 1, 2)]


@pytest.mark.parametrize("query", ["{ me { id } }", "{ requests(first: 5) { nodes { id } } }"])
async def test_what_is_the_callers_own_and_the_records_are_never_kept(opening: Opening, query: str) -> None:
    kept = cache(Clock())
    door = await opening(cache=kept)
    for who in ("audit", "sales", "audit"):
        await door.ask(query, who)
    assert isinstance(kept.store, InMemoryCacheStore)
    assert len(kept.store.stored) == 0
