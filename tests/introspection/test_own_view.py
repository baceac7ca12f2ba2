"""Under `introspection = "own"` a hidden name answers exactly as one that does not exist."""

from dataclasses import replace
from functools import partial

import pytest
from graphql import get_introspection_query, validate_schema

from engine.answer import Desk
from resolvers import modules
from schema.build import build, document
from schema.view import view
from tests.acme import ask, house, opened

DOCUMENT = document(modules())
RULES = build(modules())[1]
GROUPS = ("sales", "marketing", "finance", "people", "engineering", "support", "audit")

HIDDEN = {
    "field": ("{ employees { nodes { HERE } } }", "salary"),
    "root field": ("{ HERE { nodes { __typename } } }", "requests"),
    "filter": ("{ employees(where: {HERE: {isNull: false}}) { totalCount } }", "salary"),
    "order": ("{ employees(orderBy: [{HERE: ASC}]) { totalCount } }", "salary"),
    "type": ("{ employees { nodes { ... on HERE { __typename } } } }", "Request"),
    "input type": ("query ($w: HERE) { employees { totalCount } }", "RequestWhere"),
}


@pytest.fixture(scope="module")
def own() -> Desk:
    return opened(replace(house(), view=partial(view, DOCUMENT, RULES)))


@pytest.mark.parametrize(("text", "name"), HIDDEN.values(), ids=HIDDEN)
async def test_a_hidden_name_answers_as_an_unknown_one(own: Desk, text: str, name: str) -> None:
    unknown = "z" * len(name)
    hidden = await ask(own, text.replace("HERE", name), "marketing")
    nothing = await ask(own, text.replace("HERE", unknown), "marketing")
    said = [(each.code, each.message.replace(name, unknown)) for each in hidden.faults]
    assert said == [(each.code, each.message) for each in nothing.faults]
    assert hidden.refused


@pytest.mark.parametrize("name", ["salary", "Request", "RequestOutcome", "hiredOn", "commitSha", "creditLimit"])
async def test_introspection_shows_only_what_the_caller_may_see(own: Desk, name: str) -> None:
    told = await ask(own, get_introspection_query(), "marketing")
    assert f"'{name}'" not in str(told.data)


async def test_what_a_caller_may_see_is_answered_as_ever(own: Desk) -> None:
    text = "{ employees(first: 2) { nodes { fullName } } }"
    assert (await ask(own, text)).data == (await ask(opened(house()), text)).data


@pytest.mark.parametrize("group", GROUPS)
def test_every_view_is_a_valid_schema(group: str) -> None:
    assert validate_schema(view(DOCUMENT, RULES, frozenset({"everyone", group}))) == []


def test_all_groups_together_see_the_whole_schema() -> None:
    everything = view(DOCUMENT, RULES, frozenset({"everyone", *GROUPS}))
    assert set(build(modules())[0].type_map) == set(everything.type_map)
