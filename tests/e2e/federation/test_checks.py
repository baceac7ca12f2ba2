"""What the public checks of a subgraph's compatibility ask that apply here, asked over the wire in our own words."""

import json
import re
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from graphql import ConstDirectiveNode, DocumentNode, ObjectTypeDefinitionNode, build_client_schema, parse, print_ast
from graphql import get_introspection_query as introspection

from tests.docs.pages import blocks
from tests.e2e.clients.conftest import ROOT, Door

GIVEN = re.compile(r"with `(\{.*\})`")
CUSTOMER = "query ($these: [_Any!]!) { _entities(representations: $these) { ... on Customer { id name } } }"


async def asked(door: Door, query: str, **variables: Any) -> Mapping[str, Any]:
    body = {"query": query, "variables": variables}
    async with aiohttp.ClientSession(headers=door.bearer()) as session, session.post(door.url, json=body) as reply:
        found: Mapping[str, Any] = await reply.json()
        return found


@pytest.fixture
async def sdl(door: Door) -> DocumentNode:
    told = await asked(door, "query __ApolloGetServiceDefinition__ { _service { sdl } }")
    return parse(told["data"]["_service"]["sdl"])


def directives(sdl: DocumentNode, name: str) -> list[ConstDirectiveNode]:
    types = [each for each in sdl.definitions if isinstance(each, ObjectTypeDefinitionNode)]
    return [found for each in types if each.name.value == name for found in each.directives or ()]


async def test_the_machinery_of_a_subgraph_is_in_the_schema_but_is_not_composed(door: Door, sdl: DocumentNode) -> None:
    told = build_client_schema((await asked(door, introspection()))["data"])
    machinery = {"_Any", "_Entity", "_Service"}
    assert machinery <= told.type_map.keys()
    assert not machinery & {each.name.value for each in sdl.definitions if hasattr(each, "name")}
    assert told.query_type is not None
    assert str(told.query_type.fields["_entities"].type) == "[_Entity]!"
    assert str(told.query_type.fields["_entities"].args["representations"].type) == "[_Any!]!"
    assert str(told.query_type.fields["_service"].type) == "_Service!"


def test_the_schema_links_version_two_and_imports_what_it_uses(sdl: DocumentNode) -> None:
    (link,) = sdl.definitions[0].directives  # type: ignore[attr-defined]
    said = {each.name.value: each.value for each in link.arguments}
    assert (link.name.value, said["url"].value) == ("link", "https://specs.apollo.dev/federation/v2.0")
    used = {
        f"@{each.name.value}"
        for of in sdl.definitions
        if isinstance(of, ObjectTypeDefinitionNode)
        for each in of.directives or ()
    }
    assert {each.value for each in said["import"].values} == used


@pytest.mark.parametrize("name", ["Customer", "Order", "Product", "Employee", "Deployment", "SlackUser", "Request"])
def test_what_has_an_id_has_a_key(sdl: DocumentNode, name: str) -> None:
    (key,) = directives(sdl, name)
    (fields,) = key.arguments
    assert (key.name.value, fields.name.value, fields.value.value) == ("key", "fields", "id")  # type: ignore[attr-defined]


def test_what_every_subgraph_may_have_is_shareable(sdl: DocumentNode) -> None:
    assert [each.name.value for each in directives(sdl, "PageInfo")] == ["shareable"]


@pytest.mark.parametrize("id", ["1", 1])
async def test_an_entity_is_found_by_its_key(door: Door, id: object) -> None:
    told = await asked(door, CUSTOMER, these=[{"__typename": "Customer", "id": id}])
    assert told == {"data": {"_entities": [{"id": "1", "name": told["data"]["_entities"][0]["name"]}]}}


async def test_an_entity_may_be_written_into_the_question(door: Door) -> None:
    query = 'query ($id: ID!) { _entities(representations: [{__typename: "Customer", id: $id}]) { __typename } }'
    assert await asked(door, query, id="1") == {"data": {"_entities": [{"__typename": "Customer"}]}}


def test_a_router_is_not_told_what_it_would_not_know(sdl: DocumentNode) -> None:
    told = print_ast(sdl)
    assert not [each for each in ("@allow", "@owned", "@stored", "@oneOf", "directive @") if each in told]


async def test_what_the_page_asks_is_answered(door: Door) -> None:
    (question, *_) = blocks(ROOT / "docs/federation.md", "gql")
    these = json.loads(GIVEN.findall((ROOT / "docs/federation.md").read_text(encoding="utf-8"))[0])
    told = await asked(door, question.text, **these)
    assert [bool(each["name"] and each["segment"]) for each in told["data"]["_entities"]] == [True, True]
