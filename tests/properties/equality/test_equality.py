"""Every result equals the one of a naive evaluation over all rows in memory."""

import os
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.properties.equality.asking import Outcome, outcome
from tests.properties.equality.draw import ODDS, Question, question
from tests.properties.equality.model import SINGLES
from tests.properties.equality.tell import report
from tests.properties.equality.world import scratch

COUNT = int(os.environ.get("EQUAL") or 2000)
SEED = int(os.environ.get("SEED") or (time.time_ns() % 10**9 if os.environ.get("EQUAL") else 20261101))
"""The tests draw the same queries in each run, a run with EQUAL others each time."""
CHUNKS = 8
SELDOM = 0.02
"""The least share of queries that each feature is in."""


@cache
def features() -> Counter[str]:
    return Counter(each for number in range(min(COUNT, 2000)) for each in question(f"{SEED}:{number}").features)


@pytest.mark.parametrize("feature", ODDS)
def test_random_queries_use_each_feature_of_the_language(feature: str) -> None:
    assert features()[feature] >= SELDOM * min(COUNT, 2000)


@pytest.mark.parametrize("chunk", range(CHUNKS))
async def test_every_result_equals_the_naive_evaluation(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few rows are held in memory; of the others nothing is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    numbers = range(chunk, COUNT, CHUNKS)
    answered = outgrown = 0
    steps: Counter[str] = Counter()
    async with scratch() as opened:
        for number in numbers:
            one = question(f"{SEED}:{number}")
            found = await outcome(one, opened)
            assert found.difference is None, await report(one, found, opened)
            answered += shows(one, found)
            outgrown += found.outgrown > 0
            steps.update(found.steps)
    assert os.listdir(tmp_path) == []
    taken = ", ".join(f"{times} {step}" for step, times in sorted(steps.items()))
    shares = f"{answered / len(numbers):.0%} returned rows, {outgrown / len(numbers):.0%} outgrew memory"
    said = f"{len(numbers)} questions, seed {SEED}: {shares}; sources took {taken}"
    print(said)
    assert answered >= 0.6 * len(numbers), said
    assert outgrown >= 0.2 * len(numbers), said
    assert set(steps) == STEPS, said


STEPS = {"reads", "keys", "filters", "keys in filters", "orders", "limits", "groups", "cut groups", "arranged groups"}
"""The steps that connectors must have taken, so that the engine does not take all of them."""


def shows(one: Question, found: Outcome) -> bool:
    """Whether the first answer has a row or a group anywhere."""
    report = found.expected[0]
    return any(report[each.key] if each.name in SINGLES else filled(report[each.key]) for each in one.turns[0])


def filled(data: Any) -> bool:
    if isinstance(data, dict):
        return any(map(filled, data.values()))
    return isinstance(data, list) and bool(data)
