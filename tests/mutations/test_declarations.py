"""A declared mutation that cannot work is refused at the start, in one sentence."""

from dataclasses import replace
from typing import Any

import pytest
from graphql import build_schema

from auth.policy import AccessPolicy
from onedoor.errors import ConfigurationError
from onedoor.mutations.context import compile_sagas, group_by_transaction
from onedoor.mutations.declarations import MutationDeclaration, RowMutation, Saga
from onedoor.mutations.intents import decode_value, encode_value
from onedoor.spi.connector import ChangeKind
from tests.mutations.world import OPENING, SDL, World

POST = replace(OPENING.steps[2], depends_on=())
WRONG = [
    pytest.param(
        RowMutation(field="m", type="Person", kind=ChangeKind.CREATE),
        "`m` changes `Person`, which has no mapping",
        id="type",
    ),
    pytest.param(
        RowMutation(field="m", type="Post", kind=ChangeKind.UPDATE),
        "`m` of `m`: `board` does not update in `post`",
        id="verb",
    ),
    pytest.param(
        Saga(field="m", type="Post", steps=(replace(POST, source="radio"),)), "`radio` does not create in", id="source"
    ),
    pytest.param(Saga(field="m", type="Account", steps=(POST,)), "`m` has no step that changes `Account`", id="lead"),
    pytest.param(Saga(field="m", type="Post", steps=(POST, POST)), "a name belongs to one step", id="names"),
    pytest.param(
        Saga(field="m", type="Post", steps=OPENING.steps[2:]), "what a step depends on comes before it", id="needs"
    ),
    pytest.param(
        Saga(
            field="m",
            type="Post",
            steps=(
                replace(POST, name="account"),
                replace(POST, condition=bool),
                replace(POST, name="x", depends_on=("post",)),
            ),
        ),
        "step `x` of `m`: .* comes before it, always",
        id="needs what may not be",
    ),
    pytest.param(
        Saga(field="m", type="Post", steps=(replace(POST, condition=bool),)),
        "no step that changes `Post`",
        id="may lead",
    ),
]


@pytest.mark.parametrize(("declared", "says"), WRONG)
async def test_a_mutation_that_cannot_be_applied_is_refused_at_the_start(
    world: World, declared: MutationDeclaration, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        compile_sagas(world.context.catalog, world.context.connectors, [declared])


NAMING = RowMutation(field="name", type="Account", kind=ChangeKind.UPDATE)
INPUTS = [
    pytest.param("nmae: String", "`NameInput.nmae`: the column `nmae` is not among those", id="a column that is none"),
    pytest.param("version: Int", "`NameInput.version`: the column `version` is not", id="one that is not to be set"),
    pytest.param("label: String", "`NameInput.label` sets what `Account.name` shows to fewer", id="a guarded one"),
]


@pytest.mark.parametrize(("given", "says"), INPUTS)
async def test_an_input_field_that_sets_no_settable_column_is_refused_at_the_start(
    world: World, given: str, says: str
) -> None:
    named = f"type Mutation {{ name(input: NameInput!): Account }} input NameInput {{ id: ID! {given} reason: String }}"
    catalog = world.context.catalog
    columns = {**catalog.mappings["Account"].columns, "label": "name"}
    bindings = {**catalog.mappings, "Account": replace(catalog.mappings["Account"], columns=columns)}
    everyone, finance = frozenset({"everyone"}), frozenset({"finance"})
    guarded = AccessPolicy({("NameInput", "label"): (everyone,), ("Account", "name"): (everyone, finance)})
    changed = replace(catalog, schema=build_schema(SDL + named), mappings=bindings, policy=guarded)
    with pytest.raises(ConfigurationError, match=says):
        compile_sagas(changed, world.context.connectors, [NAMING])
    narrow = AccessPolicy({**guarded.requirements, ("NameInput", "label"): (everyone, finance)})
    if "label" in given:
        assert list(compile_sagas(replace(changed, policy=narrow), world.context.connectors, [NAMING])) == ["name"]


async def test_a_transaction_holds_neighbouring_steps_of_one_source_that_are_independent(world: World) -> None:
    def names(saga: Saga) -> list[list[str]]:
        return [[step.name for _, step in group] for group in group_by_transaction(world.context, saga)]

    account, entry, post, _ = OPENING.steps
    assert names(OPENING) == [["account", "entry"], ["post"], ["greeting"]]
    assert names(replace(OPENING, steps=(account, replace(entry, depends_on=("account",))))) == [["account"], ["entry"]]
    assert names(replace(OPENING, steps=(account, post, replace(post, name="again")))) == [
        ["account"],
        ["post"],
        ["again"],
    ]


@pytest.mark.parametrize(
    "given", [{}, {"a": None, "b": ({"c": ("d", 1)}, 2**70)}, {"a": float("inf"), "\ud800": "\0"}, ["object", {}], ()]
)
def test_an_encoded_value_is_decoded_to_itself_and_lists_to_tuples(given: Any) -> None:
    back = decode_value(encode_value(given))
    assert back == (tuple(given) if isinstance(given, list) else given)
    assert encode_value(back) == encode_value(given)
    assert encode_value(given).isascii()
