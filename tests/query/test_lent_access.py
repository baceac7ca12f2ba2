"""What a grant shows ends with the grant, also while a request that began before is under way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from auth.authentication import Principal, drop_grants
from auth.grants import HeldGrant, find_ended
from onedoor.audit.record import AuditOutcome
from onedoor.connectors.memory import MemoryConnector
from onedoor.errors import ErrorCode
from onedoor.query.audited import classify_outcome
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.query.engine import execute
from onedoor.runtime.row_cache import InMemoryCacheStore, RowCache
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from onedoor.storage.database import MetadataDatabaseUnavailable
from tests import acme

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
GRANT = HeldGrant(id="G1", group="sales", ends_at=NOON + timedelta(hours=1), fencing_token=3)
ENDED = "your grant `G1` of `sales` has ended: ask for access again with `requestAccess`"
QUESTION = "{ customers(first: 1) { nodes { id usage(first: 1) { nodes { apiCalls } } } } }"


@dataclass(slots=True)
class GrantClock:
    """The clock by which grants end, and how often it was asked about."""

    now: datetime = NOON
    checks: int = 0
    is_unknown: bool = False

    async def find_ended(self, held: Sequence[HeldGrant]) -> Sequence[HeldGrant]:
        self.checks += 1
        if self.is_unknown:
            raise MetadataDatabaseUnavailable("no answer")
        return find_ended(held, self.now)

    def pass_the_end(self) -> None:
        self.now = GRANT.ends_at


class StepsTheClock(MemoryConnector):
    """A slow source: while it reads a collection, the time of the grant runs out."""

    def __init__(self, of: MemoryConnector, clock: GrantClock, slow: str) -> None:
        super().__init__(of.collections)
        self.clock, self.slow = clock, slow
        self.reads: list[str] = []

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        self.reads.append(request.collection)
        if request.collection == self.slow:
            self.clock.pass_the_end()
        async for rows in super().scan(request):
            yield rows


@dataclass(slots=True)
class World:
    engine: QueryEngine
    clock: GrantClock
    sources: dict[str, StepsTheClock] = field(default_factory=dict)

    @property
    def reads(self) -> list[str]:
        return [read for source in self.sources.values() for read in source.reads]


def open_world(slow: str = "", cache: RowCache | None = None) -> World:
    clock = GrantClock()
    sources = {name: StepsTheClock(source, clock, slow) for name, source in acme.sources().items()}
    engine = replace(acme.open_engine(acme.build_catalog(sources)), find_ended_grants=clock.find_ended, cache=cache)
    return World(engine=engine, clock=clock, sources=sources)


def holder() -> Principal:
    """Somebody who is in `sales` by a grant alone."""
    return replace(acme.caller("sales"), grants=(GRANT,))


async def ask(world: World, principal: Principal, text: str = QUESTION, **options: Any) -> ExecutionResult:
    request = GraphQLRequest(query=text, extensions=options)
    result = await execute(world.engine, principal, request, record=acme.RECORD)
    result.data = orjson.loads(orjson.dumps(result.data, option=orjson.OPT_UTC_Z))
    return result


def refusals(result: ExecutionResult) -> list[tuple[ErrorCode, str]]:
    return [(error.code, error.message) for error in result.errors]


async def test_a_request_is_answered_while_the_grant_lasts() -> None:
    world = open_world()
    result = await ask(world, holder())
    assert (result.errors, result.data["customers"]["nodes"][0]["id"]) == ([], "1")


async def test_what_a_slow_source_gives_after_the_end_is_refused_and_no_other_source_is_called() -> None:
    world = open_world(slow="customer")
    result = await ask(world, holder(), plan=True, cost=True)
    assert (result.data, refusals(result), result.extensions) == (None, [(ErrorCode.FORBIDDEN, ENDED)], {})
    assert classify_outcome(result) is AuditOutcome.REFUSED
    assert world.reads == ["customer"]


async def test_what_the_last_source_gives_after_the_end_is_refused_too() -> None:
    world = open_world(slow="usage_day")
    result = await ask(world, holder())
    assert (result.data, refusals(result)) == (None, [(ErrorCode.FORBIDDEN, ENDED)])


async def test_a_source_is_not_called_once_the_grant_was_returned() -> None:
    world = open_world()
    world.clock.pass_the_end()
    result = await ask(world, holder())
    assert (result.data, refusals(result), world.reads) == (None, [(ErrorCode.FORBIDDEN, ENDED)], [])


async def test_a_grant_that_nobody_can_check_shows_nothing() -> None:
    world = open_world()
    world.clock.is_unknown = True
    result = await ask(world, holder())
    assert (result.data, world.reads) == (None, [])
    assert refusals(result) == [(ErrorCode.SOURCE_UNAVAILABLE, "grants cannot be checked now, ask again")]


async def test_who_has_no_grant_is_checked_for_none() -> None:
    world = open_world(slow="customer")
    result = await ask(world, acme.caller("sales"))
    assert (result.errors, world.clock.checks) == ([], 0)


async def test_rows_that_are_cached_are_refused_after_the_end_too() -> None:
    store = InMemoryCacheStore(max_entries=100, max_bytes=1_000_000, clock=lambda: 0.0)
    cache = RowCache(
        store=store,
        max_ages={"internal": {"customer": 60.0}},
        secret=b"a secret of thirty-two characters",
        now=lambda: NOON,
    )
    world = open_world(cache=cache)
    text = "{ customers(first: 1) { nodes { id } } }"
    assert (await ask(world, acme.caller("sales"), text)).errors == []
    world.clock.pass_the_end()
    result = await ask(world, holder(), text)
    assert (result.data, refusals(result), world.reads) == (None, [(ErrorCode.FORBIDDEN, ENDED)], ["customer"])


async def test_a_read_that_is_shared_goes_on_for_who_needs_no_grant() -> None:
    store = InMemoryCacheStore(max_entries=100, max_bytes=1_000_000, clock=lambda: 0.0)
    cache = RowCache(
        store=store,
        max_ages={"internal": {"customer": 60.0}},
        secret=b"a secret of thirty-two characters",
        now=lambda: NOON,
    )
    world = open_world(slow="customer", cache=cache)
    text = "{ customers(first: 1) { nodes { id } } }"
    lent, own = await asyncio.gather(ask(world, holder(), text), ask(world, acme.caller("sales"), text))
    assert (lent.data, refusals(lent)) == (None, [(ErrorCode.FORBIDDEN, ENDED)])
    assert (own.errors, own.data["customers"]["nodes"]) == ([], [{"id": "1"}])
    assert world.reads == ["customer"]


def test_a_grant_that_is_dropped_takes_its_group_along_and_no_other() -> None:
    other = replace(GRANT, id="G2", group="finance")
    principal = replace(acme.caller("sales", "finance", "people"), grants=(GRANT, other))
    dropped = drop_grants(principal, [GRANT])
    assert (dropped.groups, dropped.grants) == (frozenset({"everyone", "finance", "people"}), (other,))
    assert drop_grants(principal, []) is principal


@pytest.mark.parametrize("name", ["customers", "employees"])
async def test_permissions_and_their_caches_follow_the_end(name: str) -> None:
    world = open_world()
    text = f"{{ {name}(first: 1) {{ nodes {{ id }} }} }}"
    before = await ask(world, holder(), text)
    after = await ask(world, drop_grants(holder(), [GRANT]), text)
    assert before.data[name]["nodes"] == [{"id": "1"}]
    assert (after.data[name] is None) == (name == "customers")
