"""Queries that once got a wrong reply are run again."""

import json
from pathlib import Path

import pytest
from graphql import parse

from tests.properties.reference.compare import compared
from tests.properties.reference.questions import Asked
from tests.properties.reference.weave import Variable
from tests.properties.reference.world import fresh, worn

CASES = sorted((Path(__file__).parent / "cases").glob("*.graphql"))


def case(path: Path) -> list[Asked]:
    """The first line says who asks, and with which variables."""
    first, _, text = path.read_text().partition("\n")
    said = json.loads(first.removeprefix("# "))
    variables = [Variable(name, "", (value, value)) for name, value in said.get("variables", {}).items()]
    return [
        Asked(
            seed=path.stem,
            world=world(),
            document=parse(text),
            variables=variables,
            groups=said["groups"],
            others=said.get("others", []),
        )
        for world in (fresh, worn)
    ]


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in CASES])
async def test_a_query_that_once_failed_gets_the_reply_of_the_reference(path: Path) -> None:
    for asked in case(path):
        assert (await compared(asked)).differences == []
