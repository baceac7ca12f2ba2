"""Run the public checks of a subgraph's compatibility, as far as they apply, over the wire."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from graphql import ConstDirectiveNode, DocumentNode, ObjectTypeDefinitionNode, build_client_schema, parse, print_ast
from graphql import get_introspection_query as introspection

from tests.docs.pages import blocks
from tests.e2e.clients.conftest import ROOT, RunningServer

GIVEN = re.compile(r"with `(\{.*\})`")
CUSTOMER = "query ($these: [_Any!]!) { _entities(representations: $these) { ... on Customer { id name } } }"


async def post_query(server: RunningServer, query: str, **variables: Any) -> Mapping[str, Any]:
    body = {"query": query, "variables": variables}
    async with aiohttp.ClientSession(headers=server.bearer()) as session, session.post(server.url, json=body) as reply:
        result: Mapping[str, Any] = await reply.json()
        return result


@pytest.fixture(scope="module")
def sdl(server: RunningServer) -> DocumentNode:
    reply = asyncio.run(post_query(server, "query __ApolloGetServiceDefinition__ { _service { sdl } }"))
    return parse(reply["data"]["_service"]["sdl"])


def directives(sdl: DocumentNode, name: str) -> list[ConstDirectiveNode]:
    types = [definition for definition in sdl.definitions if isinstance(definition, ObjectTypeDefinitionNode)]
    return [directive for type_ in types if type_.name.value == name for directive in type_.directives or ()]


async def test_the_machinery_of_a_subgraph_is_in_the_schema_but_is_not_composed(
    server: RunningServer, sdl: DocumentNode
) -> None:
    client_schema = build_client_schema((await post_query(server, introspection()))["data"])
    machinery = {"_Any", "_Entity", "_Service"}
    assert machinery <= client_schema.type_map.keys()
    assert not machinery & {definition.name.value for definition in sdl.definitions if hasattr(definition, "name")}
    assert client_schema.query_type is not None
    assert str(client_schema.query_type.fields["_entities"].type) == "[_Entity]!"
    assert str(client_schema.query_type.fields["_entities"].args["representations"].type) == "[_Any!]!"
    assert str(client_schema.query_type.fields["_service"].type) == "_Service!"


def test_the_schema_links_version_two_and_imports_what_it_uses(sdl: DocumentNode) -> None:
    (link,) = sdl.definitions[0].directives  # type: ignore[attr-defined]
    link_arguments = {argument.name.value: argument.value for argument in link.arguments}
    assert (link.name.value, link_arguments["url"].value) == ("link", "https://specs.apollo.dev/federation/v2.0")
    used = {
        f"@{directive.name.value}"
        for of in sdl.definitions
        if isinstance(of, ObjectTypeDefinitionNode)
        for directive in of.directives or ()
    }
    assert {value.value for value in link_arguments["import"].values} == used


@pytest.mark.parametrize("name", ["Customer", "Order", "Product", "Employee", "Deployment", "SlackUser", "Request"])
def test_what_has_an_id_has_a_key(sdl: DocumentNode, name: str) -> None:
    (key,) = directives(sdl, name)
    (fields,) = key.arguments
    assert (key.name.value, fields.name.value, fields.value.value) == ("key", "fields", "id")  # type: ignore[attr-defined]


def test_what_every_subgraph_may_have_is_shareable(sdl: DocumentNode) -> None:
    assert [directive.name.value for directive in directives(sdl, "PageInfo")] == ["shareable"]


@pytest.mark.parametrize("id", ["1", 1])
async def test_an_entity_is_found_by_its_key(server: RunningServer, id: object) -> None:
    reply = await post_query(server, CUSTOMER, these=[{"__typename": "Customer", "id": id}])
    assert reply == {"data": {"_entities": [{"id": "1", "name": reply["data"]["_entities"][0]["name"]}]}}


async def test_an_entity_may_be_written_into_the_question(server: RunningServer) -> None:
    query = 'query ($id: ID!) { _entities(representations: [{__typename: "Customer", id: $id}]) { __typename } }'
    assert await post_query(server, query, id="1") == {"data": {"_entities": [{"__typename": "Customer"}]}}


def test_a_router_gets_no_name_that_it_would_not_know(sdl: DocumentNode) -> None:
    text = print_ast(sdl)
    assert not [item for item in ("@allow", "@owned", "@stored", "@oneOf", "directive @") if item in text]


async def test_what_the_page_asks_is_answered(server: RunningServer) -> None:
    (question, *_) = blocks(ROOT / "docs/federation.md", "gql")
    these = json.loads(GIVEN.findall((ROOT / "docs/federation.md").read_text(encoding="utf-8"))[0])
    reply = await post_query(server, question.text, **these)
    assert [bool(entity["name"] and entity["segment"]) for entity in reply["data"]["_entities"]] == [True, True]
