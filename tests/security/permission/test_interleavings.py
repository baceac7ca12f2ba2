"""Whoever asks at the same time as others gets what each gets alone: rows, masks, denials, and nothing of anybody else.

One engine answers all of them, with one cache of rows, one of plans and one of documents; what it reads pauses at
random, so that requests overtake one another.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import orjson

from auth.grants import HeldGrant
from onedoor.query.context import ExecutionResult, QueryEngine
from onedoor.runtime.row_cache import InMemoryCacheStore, RowCache
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.query.rules.positions import POSITIONS
from tests.query.rules.test_masks import SHOWN, USES
from tests.query.rules.world import DESK, STAFF, VENDOR, open_world, person

NOW = datetime(2026, 11, 1, tzinfo=UTC)
GRANT = HeldGrant(id="G1", group="desk", ends_at=NOW + timedelta(hours=1), fencing_token=1)
PEOPLE = {
    "all rows": STAFF,
    "rows by a constant, masked": DESK,
    "rows by an attribute": VENDOR,
    "rows by another value": person("vendor", region="US"),
    "no rows": person("vendor"),
    "the rows of two groups": person("vendor", "desk", region="US"),
    "a group by a grant": replace(person("desk"), grants=(GRANT,)),
    "nothing": person(),
}
QUESTIONS = [SHOWN, *(f"{{ {text} }}" for text in (*POSITIONS.values(), *(use for use, _ in USES.values())))]
TOGETHER, ROUNDS = 8, 100


class Pausing:
    """A connector that lets others go on before it answers, as often as it is drawn."""

    def __init__(self, of: Connector, random: Random) -> None:
        self.of, self.random = of, random

    def __getattr__(self, name: str) -> Any:
        return getattr(self.of, name)

    def capabilities(self, collection: str) -> Capabilities:
        return self.of.capabilities(collection)

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        for _ in range(self.random.choice([0, 0, 1, 5, 20])):
            await asyncio.sleep(0)
        async for rows in self.of.scan(request):
            yield rows

    async def ping(self) -> None:
        await self.of.ping()

    async def close(self) -> None:
        await self.of.close()


def open_shared_engine(alone: QueryEngine, random: Random) -> QueryEngine:
    """Open an engine over the same rows, all of which are cached."""
    connectors = {name: Pausing(connector, random) for name, connector in alone.catalog.connectors.items()}
    collections = [mapping.collection for mapping in alone.catalog.mappings.values()]
    max_ages = {name: dict.fromkeys(collections, 60.0) for name in connectors}
    store = InMemoryCacheStore(max_entries=1000, max_bytes=50_000_000, clock=lambda: 0.0)
    cache = RowCache(store=store, max_ages=max_ages, secret=b"a secret of thirty-two characters", now=lambda: NOW)
    engine = acme.open_engine(replace(alone.catalog, connectors=connectors))
    return replace(engine, cache=cache, find_ended_grants=find_none_ended)


async def find_none_ended(held: Sequence[HeldGrant]) -> Sequence[HeldGrant]:
    return ()


def summarize(answer: ExecutionResult) -> Any:
    errors = [(error.code, error.message, error.path, error.extensions) for error in answer.errors]
    return orjson.dumps(answer.data), answer.rejected, errors


async def test_whoever_asks_at_once_gets_what_each_gets_alone(tmp_path: Path) -> None:
    random = Random(59)
    async with open_world(tmp_path) as world:
        alone = replace(world.engine, find_ended_grants=find_none_ended)
        shared = open_shared_engine(alone, random)
        expected = {
            (who, text): summarize(await acme.ask_as(alone, principal, text))
            for who, principal in PEOPLE.items()
            for text in QUESTIONS
        }
        hits = 0
        for _ in range(ROUNDS):
            asked = [(random.choice(list(PEOPLE)), random.choice(QUESTIONS)) for _ in range(TOGETHER)]
            answers = await asyncio.gather(*(acme.ask_as(shared, PEOPLE[who], text) for who, text in asked))
            for question, answer in zip(asked, answers, strict=True):
                assert summarize(answer) == expected[question], question
            hits += sum(stats.cached_count for answer in answers for stats in answer.scan_stats)
    assert hits > ROUNDS, "little was shared"
    assert len({repr(expected[who, SHOWN]) for who in PEOPLE}) >= len(PEOPLE) - 1, "people differ"
