"""Every result equals the one of a naive evaluation over all rows in memory."""

import os
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.properties.equality.draw import ODDS, Question, question
from tests.properties.equality.execution import Outcome, outcome
from tests.properties.equality.model import SINGLES
from tests.properties.equality.report import report
from tests.properties.equality.world import scratch

COUNT = int(os.environ.get("EQUAL") or 2000)
SEED = int(os.environ.get("SEED") or (time.time_ns() % 10**9 if os.environ.get("EQUAL") else 20261101))
"""The tests draw the same queries in each run, a run with EQUAL others each time."""
CHUNKS = 8
USUAL_CHUNKS = 2
"""The chunks of which `make test` draws its queries; `make test-long` draws those of the others."""
SELDOM = 0.02
"""The least share of queries that each feature is in."""


@cache
def features() -> Counter[str]:
    return Counter(feature for number in range(min(COUNT, 2000)) for feature in question(f"{SEED}:{number}").features)


@pytest.mark.parametrize("feature", ODDS)
def test_random_queries_use_each_feature_of_the_language(feature: str) -> None:
    assert features()[feature] >= SELDOM * min(COUNT, 2000)


@pytest.mark.parametrize(
    "chunk",
    [pytest.param(chunk, marks=() if chunk < USUAL_CHUNKS else pytest.mark.long) for chunk in range(CHUNKS)],
)
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
            drawn_question = question(f"{SEED}:{number}")
            result = await outcome(drawn_question, opened)
            assert result.difference is None, await report(drawn_question, result, opened)
            answered += shows(drawn_question, result)
            outgrown += result.outgrown > 0
            steps.update(result.steps)
    assert os.listdir(tmp_path) == []
    taken = ", ".join(f"{times} {step}" for step, times in sorted(steps.items()))
    shares = f"{answered / len(numbers):.0%} returned rows, {outgrown / len(numbers):.0%} outgrew memory"
    text = f"{len(numbers)} questions, seed {SEED}: {shares}; sources took {taken}"
    print(text)
    assert answered >= 0.6 * len(numbers), text
    assert outgrown >= 0.2 * len(numbers), text
    assert set(steps) == STEPS, text


STEPS = {
    "reads",
    "joins",
    "keys",
    "filters",
    "keys in filters",
    "orders",
    "limits",
    "groups",
    "cut groups",
    "arranged groups",
}
"""The steps that connectors must have taken, so that the engine does not take all of them."""


def shows(drawn_question: Question, outcome: Outcome) -> bool:
    """Whether the first answer has a row or a group anywhere."""
    report = outcome.expected[0]
    return any(
        report[turn.key] if turn.name in SINGLES else has_values(report[turn.key]) for turn in drawn_question.turns[0]
    )


def has_values(data: Any) -> bool:
    if isinstance(data, dict):
        return any(map(has_values, data.values()))
    return isinstance(data, list) and bool(data)
