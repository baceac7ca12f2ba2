"""Whoever asks whatever in whichever order, with all of it kept: each is told what they would be told alone."""

import asyncio
import random
from dataclasses import replace
from functools import cache as once
from typing import Any

from onedoor.model.catalog import Catalog
from onedoor.query.context import ExecutionResult
from onedoor.runtime.row_cache import InMemoryCacheStore, RowCache
from tests import acme
from tests.runtime.cache.reading import SECRET, Clock

QUESTIONS = (
    "{ customers(first: 3) { nodes { name industry } } }",
    "{ customers(first: 3) { nodes { name orders(first: 2) { nodes { id total } } } } }",
    "{ employees(first: 3) { nodes { firstName salary } } }",
    "{ employees(first: 3) { nodes { firstName } } }",
    "{ me { id groups } }",
)
CALLERS = ((), ("sales",), ("finance",), ("people",), ("sales", "people"), ("audit",))
ROUNDS = 300
TOGETHER = 4


@once
def house() -> Catalog:
    return acme.house()


def told(answer: ExecutionResult) -> Any:
    return answer.data, [(each.code, each.message, each.path) for each in answer.errors]


async def test_any_interleaving_of_callers_is_as_each_alone() -> None:
    clock, dice = Clock(), random.Random(59)
    store = InMemoryCacheStore(max_entries=1000, max_bytes=50_000_000, clock=clock)
    fresh = {name: {each.collection: 60.0 for each in house().mappings.values()} for name in house().connectors}
    shared = replace(acme.opened(house()), cache=RowCache(store=store, max_ages=fresh, secret=SECRET, now=clock.now))
    alone = acme.opened(house())
    expected = {(who, what): told(await acme.ask(alone, what, *who)) for who in CALLERS for what in QUESTIONS}
    wrong, kept = [], 0
    for _ in range(ROUNDS // TOGETHER):
        asked = [(dice.choice(CALLERS), dice.choice(QUESTIONS)) for _ in range(TOGETHER)]
        answers = await asyncio.gather(*(acme.ask(shared, what, *who) for who, what in asked))
        wrong += [pair for pair, each in zip(asked, answers, strict=True) if told(each) != expected[pair]]
        kept += sum(call.cached_count for each in answers for call in each.scan_stats)
    assert (wrong, kept > ROUNDS // 2) == ([], True)
