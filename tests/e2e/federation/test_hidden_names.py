"""Under `introspection = "own"` neither `_service` nor `_entities` shows a hidden name."""

import pytest
from graphql import ObjectTypeDefinitionNode, parse, validate_schema

from onedoor.errors import ErrorCode
from onedoor.query.context import QueryEngine, build_view
from tests.acme import GROUP_NAMES, ask, caller, open_engine
from tests.e2e.federation.conftest import build_catalog

GROUPS = tuple(sorted(GROUP_NAMES - {"everyone"}))
ENTITY = "query ($these: [_Any!]!) { _entities(representations: $these) { __typename } }"


@pytest.fixture(scope="module")
def own_view_engine() -> QueryEngine:
    return open_engine(build_catalog(own=True))


async def fetch_subgraph_sdl(own_view_engine: QueryEngine, *groups: str) -> str:
    answer = await ask(own_view_engine, "{ _service { sdl } }", *groups)
    assert answer.data is not None
    return str(answer.data["_service"]["sdl"])


@pytest.mark.parametrize("name", ["salary", "Request", "hiredOn", "commitSha", "creditLimit", "OrderWhere"])
async def test_the_sdl_names_only_what_the_caller_may_see(own_view_engine: QueryEngine, name: str) -> None:
    words = (await fetch_subgraph_sdl(own_view_engine, "marketing")).replace("(", " ").replace(":", " ").split()
    assert name not in words


async def test_all_groups_together_see_what_everyone_sees_of_an_open_schema(
    own_view_engine: QueryEngine,
) -> None:
    everything = await fetch_subgraph_sdl(own_view_engine, *GROUPS)
    whole = (await ask(open_engine(build_catalog()), "{ _service { sdl } }")).data
    assert {line for line in everything.splitlines() if line.strip()} == {
        line for line in str(whole and whole["_service"]["sdl"]).splitlines() if line.strip()
    }


@pytest.mark.parametrize("group", GROUPS)
async def test_every_visible_key_has_its_field(own_view_engine: QueryEngine, group: str) -> None:
    nodes = [
        definition
        for definition in parse(await fetch_subgraph_sdl(own_view_engine, group)).definitions
        if isinstance(definition, ObjectTypeDefinitionNode)
    ]
    keyed = [node for node in nodes if "key" in [directive.name.value for directive in node.directives or ()]]
    assert keyed
    assert all("id" in [field.name.value for field in item.fields or ()] for item in keyed)


@pytest.mark.parametrize("group", GROUPS)
def test_every_view_of_a_subgraph_is_a_valid_schema(own_view_engine: QueryEngine, group: str) -> None:
    assert validate_schema(build_view(own_view_engine, caller(group)).schema) == []


async def test_an_entity_of_a_hidden_type_answers_as_one_of_a_type_that_does_not_exist(
    own_view_engine: QueryEngine,
) -> None:
    hidden = await ask(own_view_engine, ENTITY, variables={"these": [{"__typename": "Customer", "id": "3"}]})
    nothing = await ask(own_view_engine, ENTITY, variables={"these": [{"__typename": "Zzzzzzzz", "id": "3"}]})
    assert hidden.data == nothing.data == {"_entities": [None]}
    assert [error.code for error in hidden.errors] == [ErrorCode.BAD_USER_INPUT]
    assert [error.message.replace("Customer", "Zzzzzzzz") for error in hidden.errors] == [
        error.message for error in nothing.errors
    ]
    assert [error.path for error in hidden.errors] == [error.path for error in nothing.errors]
    assert hidden.scan_stats == []


async def test_a_fragment_on_a_hidden_type_is_refused_as_on_one_that_does_not_exist(
    own_view_engine: QueryEngine,
) -> None:
    text = "{ _entities(representations: []) { ... on HERE { __typename } } }"
    hidden, nothing = [await ask(own_view_engine, text.replace("HERE", name)) for name in ("Customer", "Zzzzzzzz")]
    assert [error.message.replace("Customer", "Zzzzzzzz") for error in hidden.errors] == [
        error.message for error in nothing.errors
    ]
