"""With everything cached, callers in any interleaving get what each would get alone."""

import asyncio
import random
from dataclasses import replace
from functools import cache as once
from typing import Any

from onedoor.model.catalog import Catalog
from onedoor.query.context import ExecutionResult
from onedoor.runtime.row_cache import InMemoryCacheStore, RowCache
from tests import acme
from tests.runtime.cache.cached_reader import SECRET, Clock

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
def build_catalog() -> Catalog:
    return acme.build_catalog()


def summarize(answer: ExecutionResult) -> Any:
    return answer.data, [(error.code, error.message, error.path) for error in answer.errors]


async def test_any_interleaving_of_callers_is_as_each_alone() -> None:
    clock, dice = Clock(), random.Random(59)
    store = InMemoryCacheStore(max_entries=1000, max_bytes=50_000_000, clock=clock)
    fresh = {
        name: {mapping.collection: 60.0 for mapping in build_catalog().mappings.values()}
        for name in build_catalog().connectors
    }
    shared = replace(
        acme.open_engine(build_catalog()), cache=RowCache(store=store, max_ages=fresh, secret=SECRET, now=clock.now)
    )
    alone = acme.open_engine(build_catalog())
    expected = {(who, what): summarize(await acme.ask(alone, what, *who)) for who in CALLERS for what in QUESTIONS}
    wrong, hits = [], 0
    for _ in range(ROUNDS // TOGETHER):
        plan_requests = [(dice.choice(CALLERS), dice.choice(QUESTIONS)) for _ in range(TOGETHER)]
        answers = await asyncio.gather(*(acme.ask(shared, what, *who) for who, what in plan_requests))
        wrong += [
            pair for pair, answer in zip(plan_requests, answers, strict=True) if summarize(answer) != expected[pair]
        ]
        hits += sum(call.cached_count for answer in answers for call in answer.scan_stats)
    assert (wrong, hits > ROUNDS // 2) == ([], True)
