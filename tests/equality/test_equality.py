"""Every answer equals the one computed by loading all rows into memory and evaluating the obvious way."""

import os
import time
from collections import Counter
from functools import cache
from typing import Any

import pytest

from tests.equality.asking import Outcome, outcome
from tests.equality.draw import ODDS, Question, question
from tests.equality.model import SINGLES
from tests.equality.tell import told

COUNT = int(os.environ.get("EQUAL") or 2000)
SEED = int(os.environ.get("SEED") or (time.time_ns() % 10**9 if os.environ.get("EQUAL") else 20261101))
"""A run of the tests asks the same each time, one with EQUAL something else each time."""
CHUNKS = 8
SELDOM = 0.02
"""The least share of questions that each feature is in."""


@cache
def features() -> Counter[str]:
    return Counter(each for number in range(min(COUNT, 2000)) for each in question(f"{SEED}:{number}").features)


@pytest.mark.parametrize("feature", ODDS)
def test_random_questions_use_each_feature_of_the_language(feature: str) -> None:
    assert features()[feature] >= SELDOM * min(COUNT, 2000)


@pytest.mark.parametrize("chunk", range(CHUNKS))
async def test_every_answer_equals_the_obvious_one(chunk: int) -> None:
    numbers = range(chunk, COUNT, CHUNKS)
    answered = 0
    steps: Counter[str] = Counter()
    for number in numbers:
        one = question(f"{SEED}:{number}")
        found = await outcome(one)
        assert found.difference is None, await told(one, found)
        answered += shows(one, found)
        steps.update(found.steps)
    taken = ", ".join(f"{times} {step}" for step, times in sorted(steps.items()))
    said = f"{len(numbers)} questions, seed {SEED}: {answered / len(numbers):.0%} returned rows; sources took {taken}"
    print(said)
    assert answered >= 0.6 * len(numbers), said
    assert set(steps) == STEPS, said


STEPS = {"reads", "keys", "filters", "keys in filters", "orders", "limits", "groups", "cut groups", "arranged groups"}
"""What sources must have been asked for, lest all be finished by us."""


def shows(one: Question, found: Outcome) -> bool:
    """Whether the first answer has a row or a group anywhere."""
    told = found.expected[0]
    return any(told[each.key] if each.name in SINGLES else filled(told[each.key]) for each in one.turns[0])


def filled(data: Any) -> bool:
    if isinstance(data, dict):
        return any(map(filled, data.values()))
    return isinstance(data, list) and bool(data)
