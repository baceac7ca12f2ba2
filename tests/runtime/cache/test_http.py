"""The row cache over HTTP: who shares its rows, what a reply says about it, and what the audit log records."""

from datetime import datetime

import pytest

from auth import users
from onedoor.runtime.row_cache import InMemoryCacheStore, RowCache
from onedoor.storage.database import MetadataDatabase
from tests import acme
from tests.http.conftest import HookedConnector, OpenServer, RunningServer, keys, open_server, server, state
from tests.runtime.cache.cached_reader import SECRET, Clock

__all__ = ["keys", "open_server", "server", "state"]

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


async def test_callers_with_the_same_permissions_share_and_others_never(open_server: OpenServer) -> None:
    counting = Counting()
    server = await open_server(
        {"internal": HookedConnector(acme.sources()["internal"], counting)}, cache=cache(Clock())
    )
    reads = []
    for who in ("sales", "finance", "sales", "finance"):
        await server.ask(NAMES, who)
        reads.append(counting.reads)
    assert reads == [1, 2, 2, 2]


async def test_who_left_a_group_is_not_served_what_it_read(open_server: OpenServer, state: MetadataDatabase) -> None:
    """Another server with the same cache authenticates the key anew."""
    counting, row_cache = Counting(), cache(Clock())
    odd = {"internal": HookedConnector(acme.sources()["internal"], counting)}
    before = await (await open_server(odd, cache=row_cache)).ask(NAMES, "sales")
    users.leave_group(state, "sales@acme.example", "sales")
    try:
        after = await (await open_server(odd, cache=row_cache)).ask(NAMES, "sales")
    finally:
        users.join_group(state, "sales@acme.example", "sales")
    assert (before.body["data"]["customers"] is None, after.body["data"], after.code) == (
        False, {"customers": None}, "FORBIDDEN",
    )  # fmt: skip


async def test_freshness_says_when_each_collection_was_read(open_server: OpenServer) -> None:
    clock = Clock()
    server = await open_server(cache=cache(clock))
    result = []
    for seconds in (0.0, 12.5, 60.0):
        clock.seconds = seconds
        reply = await server.ask(NAMES, "sales", extensions=FRESHNESS)
        result += reply.body["extensions"]["onedoor"]["freshness"]
    line = {"source": "internal", "collection": "customer"}
    assert result == [
        {**line, "readAt": "2026-11-21T12:00:00.000+00:00", "age": 0.0, "cached": False},
        {**line, "readAt": "2026-11-21T12:00:00.000+00:00", "age": 12.5, "cached": True},
        {**line, "readAt": "2026-11-21T12:01:00.000+00:00", "age": 0.0, "cached": False},
    ]


async def test_freshness_is_reported_on_request_and_needs_no_cache(server: RunningServer) -> None:
    result = await server.ask("{ me { id } }", "sales", extensions=FRESHNESS)
    unasked = await server.ask("{ me { id } }", "sales")
    [line] = result.body["extensions"]["onedoor"]["freshness"]
    assert (line["source"], line["cached"], datetime.fromisoformat(line["readAt"]).tzinfo is not None) == (
        "caller", False, True,
    )  # fmt: skip
    assert "extensions" not in unasked.body


async def test_a_record_counts_calls_and_cache_hits(open_server: OpenServer) -> None:
    server = await open_server(cache=cache(Clock()))
    for _ in range(2):
        await server.ask(NAMES, "sales")
    used = [record["sources"][0] for record in server.records()]
    assert [(item["calls"], item["cached"], item["rows"]) for item in used] == [(1, 0, 2), (0, 1, 2)]


@pytest.mark.parametrize("query", ["{ me { id } }", "{ requests(first: 5) { nodes { id } } }"])
async def test_the_principals_own_rows_and_audit_records_are_never_cached(open_server: OpenServer, query: str) -> None:
    result = cache(Clock())
    server = await open_server(cache=result)
    for who in ("audit", "sales", "audit"):
        await server.ask(query, who)
    assert isinstance(result.store, InMemoryCacheStore)
    assert len(result.store.stored) == 0
