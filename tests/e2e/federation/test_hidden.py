"""Under `introspection = "own"` neither `_service` nor `_entities` tells a name to who may not know it."""

import pytest
from graphql import ObjectTypeDefinitionNode, parse, validate_schema

from onedoor.errors import ErrorCode
from onedoor.query.context import QueryEngine
from tests.acme import ask, opened
from tests.e2e.federation.conftest import house

GROUPS = ("sales", "marketing", "finance", "people", "engineering", "support", "audit")
ENTITY = "query ($these: [_Any!]!) { _entities(representations: $these) { __typename } }"


@pytest.fixture(scope="module")
def own() -> QueryEngine:
    return opened(house(own=True))


async def told(own: QueryEngine, *groups: str) -> str:
    answer = await ask(own, "{ _service { sdl } }", *groups)
    assert answer.data is not None
    return str(answer.data["_service"]["sdl"])


@pytest.mark.parametrize("name", ["salary", "Request", "hiredOn", "commitSha", "creditLimit", "OrderWhere"])
async def test_the_sdl_names_only_what_the_caller_may_see(own: QueryEngine, name: str) -> None:
    words = (await told(own, "marketing")).replace("(", " ").replace(":", " ").split()
    assert name not in words


async def test_all_groups_together_are_told_what_everyone_is_told_of_an_open_schema(own: QueryEngine) -> None:
    everything = await told(own, *GROUPS)
    whole = (await ask(opened(house()), "{ _service { sdl } }")).data
    assert {line for line in everything.splitlines() if line.strip()} == {
        line for line in str(whole and whole["_service"]["sdl"]).splitlines() if line.strip()
    }


@pytest.mark.parametrize("group", GROUPS)
async def test_every_key_that_is_told_has_its_field(own: QueryEngine, group: str) -> None:
    nodes = [each for each in parse(await told(own, group)).definitions if isinstance(each, ObjectTypeDefinitionNode)]
    keyed = [each for each in nodes if "key" in [one.name.value for one in each.directives or ()]]
    assert keyed
    assert all("id" in [one.name.value for one in each.fields or ()] for each in keyed)


@pytest.mark.parametrize("group", GROUPS)
def test_every_view_of_a_subgraph_is_a_valid_schema(group: str) -> None:
    view = house(own=True).schema_for_groups
    assert view is not None
    assert validate_schema(view(frozenset({"everyone", group}))) == []


async def test_an_entity_of_a_hidden_type_answers_as_one_of_a_type_that_does_not_exist(own: QueryEngine) -> None:
    hidden = await ask(own, ENTITY, variables={"these": [{"__typename": "Customer", "id": "3"}]})
    nothing = await ask(own, ENTITY, variables={"these": [{"__typename": "Zzzzzzzz", "id": "3"}]})
    assert hidden.data == nothing.data == {"_entities": [None]}
    assert [each.code for each in hidden.errors] == [ErrorCode.BAD_USER_INPUT]
    assert [each.message.replace("Customer", "Zzzzzzzz") for each in hidden.errors] == [
        each.message for each in nothing.errors
    ]
    assert [each.path for each in hidden.errors] == [each.path for each in nothing.errors]
    assert hidden.scan_stats == []


async def test_a_fragment_on_a_hidden_type_is_refused_as_on_one_that_does_not_exist(own: QueryEngine) -> None:
    text = "{ _entities(representations: []) { ... on HERE { __typename } } }"
    hidden, nothing = [await ask(own, text.replace("HERE", each)) for each in ("Customer", "Zzzzzzzz")]
    assert [each.message.replace("Customer", "Zzzzzzzz") for each in hidden.errors] == [
        each.message for each in nothing.errors
    ]
