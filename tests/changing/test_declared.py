"""What is declared and cannot work is one sentence at the start."""

from dataclasses import replace
from typing import Any

import pytest
from graphql import build_schema

from auth.mistake import Mistake
from auth.rules import Rules
from engine.change.declared import Changes, Declared, Saga
from engine.change.kept import text, value
from engine.change.words import Verb
from engine.change.workshop import groups, sagas
from tests.changing.world import OPENING, SDL, World

POST = replace(OPENING.steps[2], needs=())
WRONG = [
    pytest.param(
        Changes(field="m", type="Person", verb=Verb.CREATE), "`m` changes `Person`, which has no binding", id="type"
    ),
    pytest.param(
        Changes(field="m", type="Post", verb=Verb.UPDATE), "`m` of `m`: `board` does not update in `post`", id="verb"
    ),
    pytest.param(
        Saga(field="m", type="Post", steps=(replace(POST, source="radio"),)), "`radio` does not create in", id="source"
    ),
    pytest.param(Saga(field="m", type="Account", steps=(POST,)), "`m` has no step that changes `Account`", id="lead"),
    pytest.param(Saga(field="m", type="Post", steps=(POST, POST)), "names are of one step each", id="names"),
    pytest.param(
        Saga(field="m", type="Post", steps=OPENING.steps[2:]), "what a step needs comes before it", id="needs"
    ),
    pytest.param(
        Saga(
            field="m",
            type="Post",
            steps=(replace(POST, name="account"), replace(POST, when=bool), replace(POST, name="x", needs=("post",))),
        ),
        "step `x` of `m`: .* comes before it, always",
        id="needs what may not be",
    ),
    pytest.param(
        Saga(field="m", type="Post", steps=(replace(POST, when=bool),)), "no step that changes `Post`", id="may lead"
    ),
]


@pytest.mark.parametrize(("declared", "says"), WRONG)
async def test_what_cannot_be_made_is_said_at_the_start(here: World, declared: Declared, says: str) -> None:
    with pytest.raises(Mistake, match=says):
        sagas(here.shop.house, here.shop.guards, [declared])


NAMING = Changes(field="name", type="Account", verb=Verb.UPDATE)
INPUTS = [
    pytest.param("nmae: String", "`NameInput.nmae`: the column `nmae` is not among those", id="a column that is none"),
    pytest.param("version: Int", "`NameInput.version`: the column `version` is not", id="one that is not to be set"),
    pytest.param("label: String", "`NameInput.label` sets what `Account.name` shows to fewer", id="a guarded one"),
]


@pytest.mark.parametrize(("given", "says"), INPUTS)
async def test_an_input_that_sets_what_it_cannot_or_may_not_is_said_at_the_start(
    here: World, given: str, says: str
) -> None:
    named = f"type Mutation {{ name(input: NameInput!): Account }} input NameInput {{ id: ID! {given} reason: String }}"
    house = here.shop.house
    columns = {**house.bindings["Account"].columns, "label": "name"}
    bindings = {**house.bindings, "Account": replace(house.bindings["Account"], columns=columns)}
    everyone, finance = frozenset({"everyone"}), frozenset({"finance"})
    guarded = Rules({("NameInput", "label"): (everyone,), ("Account", "name"): (everyone, finance)})
    changed = replace(house, schema=build_schema(SDL + named), bindings=bindings, rules=guarded)
    with pytest.raises(Mistake, match=says):
        sagas(changed, here.shop.guards, [NAMING])
    narrow = Rules({**guarded.requirements, ("NameInput", "label"): (everyone, finance)})
    if "label" in given:
        assert list(sagas(replace(changed, rules=narrow), here.shop.guards, [NAMING])) == ["name"]


async def test_a_transaction_holds_neighbours_of_one_source_that_need_not_each_other(here: World) -> None:
    def names(saga: Saga) -> list[list[str]]:
        return [[step.name for _, step in group] for group in groups(here.shop, saga)]

    account, entry, post, _ = OPENING.steps
    assert names(OPENING) == [["account", "entry"], ["post"], ["greeting"]]
    assert names(replace(OPENING, steps=(account, replace(entry, needs=("account",))))) == [["account"], ["entry"]]
    assert names(replace(OPENING, steps=(account, post, replace(post, name="again")))) == [
        ["account"],
        ["post"],
        ["again"],
    ]


@pytest.mark.parametrize(
    "given", [{}, {"a": None, "b": ({"c": ("d", 1)}, 2**70)}, {"a": float("inf"), "\ud800": "\0"}, ["object", {}], ()]
)
def test_what_is_kept_comes_back_as_it_went_but_for_lists(given: Any) -> None:
    back = value(text(given))
    assert back == (tuple(given) if isinstance(given, list) else given)
    assert text(back) == text(given)
    assert text(given).isascii()
