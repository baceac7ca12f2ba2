"""Whoever sees some rows gets the answer of a world that has no others, whatever the sources promise."""

import os
from collections import Counter
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from onedoor.spi.spill import OpenSpillTable
from tests import acme
from tests.properties.equality.draw import Draw
from tests.properties.equality.execution import differing
from tests.properties.equality.naive import data
from tests.properties.equality.question import build_document
from tests.properties.equality.world import engine, scratch, world
from tests.properties.rows.model import draw_person, draw_rules, narrow

COUNT = int(os.environ.get("ROWS") or 800)
SEED = int(os.environ.get("SEED") or 20261130)
CHUNKS = 4
QUESTIONS_A_WORLD = 20
"""Questions of several people, asked of one world with one set of rules."""
PEOPLE = 4


@pytest.mark.parametrize("chunk", range(CHUNKS))
async def test_a_row_out_of_rule_does_not_exist(chunk: int) -> None:
    counts: Counter[str] = Counter()
    async with scratch() as opened:
        for number in range(chunk, COUNT // QUESTIONS_A_WORLD, CHUNKS):
            await ask_one_world(f"{SEED}:{number}", opened, counts)
    print(dict(counts))
    assert counts["hidden"] >= 0.5 * counts["questions"]
    assert counts["shown"] >= 0.4 * counts["questions"]


async def ask_one_world(seed: str, opened: OpenSpillTable, counts: Counter[str]) -> None:
    of, random = world(seed), Random(f"rules {seed}")
    rules = draw_rules(random)
    catalog = engine(of, opened).catalog
    mappings = {kind: replace(mapping, rows=rules.get(kind)) for kind, mapping in catalog.mappings.items()}
    at = acme.open_engine(replace(catalog, mappings=mappings))
    people = [draw_person(random, of.rows) for _ in range(PEOPLE)]
    for number in range(QUESTIONS_A_WORLD):
        person = people[number % PEOPLE]
        visible = narrow(of, rules, person)
        fields = Draw(visible, f"{seed}:{number}", 1).fields()
        ask = partial(acme.ask_as, at, replace(acme.caller(*person.groups), attributes=person.attributes))
        found = await differing(ask, fields, data(visible, fields))
        assert found is None, f"seed {seed} question {number}: {person} of {rules}\n{build_document(fields)}\n{found}"
        counts["questions"] += 1
        counts["hidden"] += visible.rows != of.rows
        counts["shown"] += any(visible.rows.values())
