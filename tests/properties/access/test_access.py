"""Whoever asks gets the answer of the model: who they are, what they are lent, which rows, which fields, which part.

One case is one field of the root with all below it, as one person is answered with the groups that they have at one
time. Its world has drawn rules of types and fields, rules for rows, masks, rows and capabilities of sources. The
product builds the schema, reads memberships and grants from a metadata database, and answers; the model says in a few
lines which groups that person has, which fields are denied and why, which rows there are, and what is shown of each
value. Data are compared as bytes, denials by place, number of nulls and groups that would do. Several fields are asked
in one request, and the same of many people, so that plans and caches are shared as they are in a server. Nobody is
asked the same twice: a person counts anew once their groups have changed.
"""

import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from auth.authentication import Principal
from auth.grant_store import GrantStore
from auth.grants import HeldGrant, find_ended
from onedoor.errors import ErrorCode
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.query.engine import execute
from onedoor.spi.spill import OpenSpillTable
from onedoor.storage.database import open_database
from tests import acme
from tests.metadata import PEPPER, copy_sqlite
from tests.properties.access.model import Answer, answer
from tests.properties.access.people import (
    MOMENTS,
    REGISTER,
    START,
    WHOLE,
    Clock,
    Person,
    create_people,
    draw_people,
    list_groups,
    look_up,
    pass_moment,
    spell_values,
    store_people,
)
from tests.properties.access.questions import Questions, leave_out_places
from tests.properties.access.rules import Reader, narrow
from tests.properties.access.world import draw_access, draw_world, open_engine
from tests.properties.equality.execution import placed
from tests.properties.equality.question import Field, build_document
from tests.properties.equality.world import World, scratch

SEED = int(os.environ.get("SEED") or 20261130)
CHUNKS, USUAL_CHUNKS = 24, 4
"""The chunks of cases, and of these the ones that `make test` tries; `make test-long` tries the others."""
CASES = 5_000
"""The cases of a chunk, at least."""
PEOPLE = 37
DOCUMENTS = 6
FIELDS = 4
"""The fields of each document."""
LATER = timedelta(hours=2)
"""People ask within this time after a moment."""


SHARES = {"with rows": 0.2, "denied": 0.3, "hidden": 0.5, "masked": 0.01, "lent": 0.1, "refused cursors": 0.003}
"""Of how many cases at least something is so, that it is worth to compare them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A query, as the model and as the product take it."""

    fields: Sequence[Field]
    request: GraphQLRequest
    from_the_beginning: "Document | None" = None
    """The same without the cursors that somebody found who sees everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A metadata database with people and their keys, who are given other groups in each world."""

    store: GrantStore
    clock: Clock
    people: Sequence[Person]

    async def find_ended(self, held: Sequence[HeldGrant]) -> Sequence[HeldGrant]:
        return find_ended(held, self.clock.at)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    clock = Clock()
    with closing(open_database(copy_sqlite(tmp_path), PEPPER, now=clock.now)) as database:
        people = create_people(database, PEOPLE)
        yield Office(store=GrantStore(database=database, groups=REGISTER), clock=clock, people=people)


@pytest.mark.parametrize(
    "chunk",
    [pytest.param(chunk, marks=() if chunk < USUAL_CHUNKS else pytest.mark.long) for chunk in range(CHUNKS)],
)
async def test_everybody_gets_the_answer_of_the_model(office: Office, chunk: int) -> None:
    counts: Counter[str] = Counter()
    seeds = (f"{SEED}:{number}" for number in itertools.count(chunk, CHUNKS))
    async with scratch() as opened:
        while counts["cases"] < CASES:
            counts += await ask_one_world(next(seeds), office, opened)
    print(dict(counts))
    for part, share in SHARES.items():
        assert counts[part] >= share * counts["cases"], f"{part}: {counts}"


async def ask_one_world(seed: str, office: Office, opened: OpenSpillTable) -> Counter[str]:
    """Ask everybody's questions of one world, and count the cases of each sort."""
    of, access = draw_world(seed), draw_access(Random(f"access {seed}"))
    engine = replace(open_engine(of, access, opened), find_ended_grants=office.find_ended)
    documents = [await draw_document(of, engine, f"{seed}:{number}") for number in range(DOCUMENTS)]
    counts: Counter[str] = Counter()
    for principal in pass_the_day(Random(f"people {seed}"), office, spell_values(of.rows)):
        reader = Reader(groups=principal.groups, attributes=principal.attributes)
        visible = narrow(of, access.rows, reader)
        for document in documents:
            expected = answer(visible, access, reader, document.fields)
            if expected is None:
                refusal = await execute(engine, principal, document.request, record=acme.RECORD)
                assert [error.code for error in refusal.errors] == [ErrorCode.BAD_CURSOR], f"seed {seed}: {reader}"
                counts["refused cursors"] += 1
                document = document.from_the_beginning
                assert document is not None
                expected = answer(visible, access, reader, document.fields)
                assert expected is not None
            result = await execute(engine, principal, document.request, record=acme.RECORD)
            found = find_difference(result, expected)
            assert found is None, f"seed {seed}: {reader}\n{access}\n{document.request}\n{found}"
            counts.update(
                {
                    "cases": len(document.fields),
                    "with rows": sum(map(has_rows, expected.data.values())),
                    "denied": len({denial.path[0] for denial in expected.denials}),
                    "masked": expected.masked,
                    "hidden": len(document.fields) * (visible.rows != of.rows),
                    "lent": len(document.fields) * bool(principal.grants),
                }
            )
    return counts


def pass_the_day(random: Random, office: Office, held: Sequence[str]) -> Iterator[Principal]:
    """Yield the people of the office with the groups they have, whenever these are others than at any time before."""
    drawn = draw_people(random, office.people, held)
    office.clock.at = START
    store_people(office.store, drawn)
    known: set[tuple[str, frozenset[str]]] = set()
    for moment, time in enumerate(MOMENTS):
        office.clock.at = START + time
        pass_moment(office.store, drawn, moment)
        office.clock.at += random.random() * LATER
        for person in drawn:
            principal, groups = look_up(office.store.database, person), list_groups(person, moment, office.clock.at)
            assert (principal.groups, principal.attributes) == (groups, person.attributes), (office.clock.at, person)
            if (person.id, groups) not in known:
                known.add((person.id, groups))
                yield principal


async def draw_document(of: World, engine: QueryEngine, seed: str) -> Document:
    """Draw a query; somebody who sees everything finds the cursors in it."""
    questions = Questions(of, seed)
    fields = [questions.root() for _ in range(FIELDS)]
    with_cursors = await placed(partial(acme.ask_as, engine, acme.caller(WHOLE)), fields, "Query")
    without = leave_out_places(fields)
    beginning = Document(fields=without, request=build_request(without))
    return Document(fields=fields, request=build_request(with_cursors), from_the_beginning=beginning)


def build_request(fields: Sequence[Field]) -> GraphQLRequest:
    text, variables = build_document(fields)
    return GraphQLRequest(query=text, variables=variables)


def find_difference(result: ExecutionResult, expected: Answer) -> str | None:
    """Say how an answer differs from the model's: in its data, or in what is denied, where, how often and why."""
    data, wanted = (orjson.dumps(item, option=orjson.OPT_UTC_Z) for item in (result.data, expected.data))
    if data != wanted:
        return f"data {data.decode()}\nwanted {wanted.decode()}\nerrors {result.errors}"
    denials = {denial.path: denial for denial in expected.denials}
    others = [error for error in result.errors if error.code is not ErrorCode.FORBIDDEN or error.path not in denials]
    if others or len(result.errors) != len(denials):
        return f"errors {result.errors}\nwanted {expected.denials}"
    for error in result.errors:
        denial, said = denials[error.path], error.extensions or {}
        groups = frozenset(map(frozenset, said["groups"]))
        if said["nulls"] != denial.nulls or groups not in denial.reasons:
            return f"error {error}\nwanted {denial}"
    return None


def has_rows(data: Any) -> bool:
    """Whether there is a value anywhere that is not null, false or zero."""
    match data:
        case dict():
            return any(map(has_rows, data.values()))
        case list():
            return any(map(has_rows, data))
    return bool(data)
