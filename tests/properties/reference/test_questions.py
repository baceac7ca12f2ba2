"""Random queries get the reply of the reference, whatever the connectors' capabilities."""

import os
import time
from collections.abc import Sequence

import pytest

from tests.properties.reference.compare import compare
from tests.properties.reference.questions import DrawnQuestion, questions
from tests.properties.reference.shrink import shrink

COUNT = int(os.environ.get("FUZZ") or 500)
SEED = int(os.environ.get("SEED") or (time.time_ns() % 10**9 if os.environ.get("FUZZ") else 20261101))
"""The tests draw the same queries in each run, `make fuzz` others each time."""
CHUNKS = 5
"""The queries are drawn and compared in this many tests, which several processes share."""

SPOKEN = (
    "query Random", "($v1", "a1: ", "fragment F1", "...F1", "... on Query", "... {", "@skip", "@include", "__typename",
    "__schema", "where: {", "where: $", "orderBy", "first", "last", "after", "before", "some: {", "every: {", "none: {",
    "not: {", "and: [", "or: [", "isNull", "notIn: [", "iContains", "on Post", "edges", "pageInfo", "totalCount",
)  # fmt: skip
SELDOM = 0.01
"""The least share of queries that each of these words is in."""


def draw_chunk(chunk: int) -> Sequence[DrawnQuestion]:
    return questions(COUNT // CHUNKS, SEED + chunk)


@pytest.mark.parametrize("chunk", range(CHUNKS))
async def test_random_queries_of_the_whole_language_get_the_reply_of_the_reference(chunk: int) -> None:
    answered, withheld, refused = 0, 0, 0
    drawn = draw_chunk(chunk)
    texts = [question.text for question in drawn]
    assert [word for word in SPOKEN if sum(word in text for text in texts) < SELDOM * len(texts)] == []
    for question in drawn:
        outcome = await compare(question)
        assert not outcome.differences, await report(question)
        answered += outcome.reply.rows > 0
        withheld += bool(outcome.reply.errors)
        refused += bool(outcome.reply.refused)
    count = len(drawn)
    shares = f"{answered / count:.0%} returned rows, {withheld / count:.0%} had errors beside them"
    text = f"{count} questions, seed {SEED}: {shares}, {refused / count:.0%} were refused"
    print(text)
    assert answered >= 0.6 * count, text
    assert refused <= 0.2 * count, text


async def report(question: DrawnQuestion) -> str:
    """The smallest question found that still fails, and how to ask it again."""

    async def fails(smaller: DrawnQuestion) -> bool:
        return bool((await compare(smaller)).differences)

    small = await shrink(question, fails)
    differences = "\n".join((await compare(small)).differences)
    caller = f"groups {' '.join(small.groups)}; others {' '.join(small.others)}; world {small.world.name}"
    return f"seed {small.seed}; {caller}\n{small.text}\nvariables {small.given(0)} then {small.given(1)}\n{differences}"
