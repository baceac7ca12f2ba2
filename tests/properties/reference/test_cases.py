"""Queries that once got a wrong reply are run again."""

import json
from pathlib import Path

import pytest
from graphql import parse

from tests.properties.reference.compare import compare
from tests.properties.reference.questions import DrawnQuestion
from tests.properties.reference.weave import Variable
from tests.properties.reference.world import build_full_world, build_sparse_world

CASES = sorted((Path(__file__).parent / "cases").glob("*.graphql"))


def case(path: Path) -> list[DrawnQuestion]:
    """The first line says who asks, and with which variables."""
    first, _, text = path.read_text().partition("\n")
    data = json.loads(first.removeprefix("# "))
    variables = [Variable(name, "", (value, value)) for name, value in data.get("variables", {}).items()]
    return [
        DrawnQuestion(
            seed=path.stem,
            world=world(),
            document=parse(text),
            variables=variables,
            groups=data["groups"],
            others=data.get("others", []),
        )
        for world in (build_full_world, build_sparse_world)
    ]


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in CASES])
async def test_a_query_that_once_failed_gets_the_reply_of_the_reference(path: Path) -> None:
    for question in case(path):
        assert (await compare(question)).differences == []
