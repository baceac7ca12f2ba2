"""`introspect` of a GraphQL service, by its SDL or over the wire: files, settings, and the queries they answer."""

import tomllib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from demo.data import operations
from demo.run import SECRETS
from demo.servers.directory import SDL
from demo.servers.run import RunningServers, address
from onedoor.config import load_settings
from onedoor.connectors.graphql.connector import GraphQLOptions, connect
from onedoor.schema.reader import SchemaError
from onedoor.spi.connector import Connector
from tests.codegen.generated_company import build_engine, fetch_data, introspect, run

ODD = """
directive @key(fields: String!) on OBJECT
type Query {
  me: Person
  search(text: String!): [Person!]!
  old: [Old!]! @deprecated
  people(name: String, teamIds: [ID!], first: Int, after: String): People
  personsByUuids(uuids: [ID!]!): [Person]!
  teams(active: Boolean = true, kind: Kind): [Team!]
  things: [Thing!]!
  counts: [Int!]!
}
union Thing = Person | Team
type Old { id: ID! }
type People { edges: [PersonEdge], pageInfo: PageInfo! }
type PersonEdge { node: Person }
type PageInfo { hasNextPage: Boolean!, endCursor: String }
"Someone."
type Person @key(fields: "uuid") {
  uuid: ID!
  name(short: Boolean): String!
  photo(size: Int!): String
  team: Team
  tags: [String!]!
  scores: [Int!]
  extra: JSON
  born: Date
  salary: Decimal
  steps: Long
  seen: DateTime!
  web: URL
  home: Home!
  gone: String @deprecated
  friends: [Person!]!
}
type Home { street: String, place: Place }
type Place { x: Float }
type Team { id: ID!, kind: Kind!, active: Boolean!, lead: Person }
enum Kind { SMALL LARGE }
scalar JSON
scalar Date
scalar Decimal
scalar Long
scalar DateTime
scalar URL
"""


@pytest.fixture
def sdl(tmp_path: Path) -> str:
    return write_sdl(tmp_path, SDL)


def write_sdl(folder: Path, text: str) -> str:
    path = folder / "service.graphql"
    path.write_text(text, encoding="utf-8")
    return str(path)


def parse_settings(output: str) -> Mapping[str, Any]:
    """Parse the section that the command asks to add."""
    section: Mapping[str, Any] = tomllib.loads(output.partition("onedoor.toml:")[2])["sources"]["own"]
    return section


def read_python_files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}


@pytest.fixture
async def source(sdl: str, tmp_path: Path, acme_servers: RunningServers) -> AsyncIterator[Connector]:
    """Write the files, and serve the collections that the settings declare."""
    host, port = address(acme_servers, "directory")
    settings = parse_settings(introspect(sdl, tmp_path, "--allow", "sales"))
    headers = {"authorization": SECRETS["DIRECTORY_AUTHORIZATION"]}
    url = f"http://{host}:{port}/graphql"
    opened = await connect(
        GraphQLOptions(url=url, collections=settings["collections"], headers=headers, private_addresses=True)
    )  # fmt: skip
    yield opened
    await opened.close()


async def test_queries_over_the_written_files_are_answered(source: Connector, tmp_path: Path) -> None:
    data = await fetch_data(
        build_engine(tmp_path, source),
        "{ office(id: \"ber\") { name addressCity desks(first: 2) { nodes { id office { id } } } }"
        " shifts(where: {level: {eq: SECONDARY}, service: {eq: \"search\"}}) { totalCount } }",
    )  # fmt: skip
    desks = sorted(desk.id for desk in operations.desks(0.01) if desk.office == "ber")
    assert data == {
        "office": {
            "name": "Berlin Yard",
            "addressCity": "Berlin",
            "desks": {"nodes": [{"id": desk, "office": {"id": "ber"}} for desk in desks[:2]]},
        },
        "shifts": {"totalCount": operations.WEEKS},
    }


def test_introspection_and_sdl_give_the_same_files(
    sdl: str, tmp_path: Path, acme_servers: RunningServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = address(acme_servers, "directory")
    monkeypatch.setenv("GRAPHQL_AUTHORIZATION", SECRETS["DIRECTORY_AUTHORIZATION"])
    url = f"http://{host}:{port}/graphql"
    wired, read = tmp_path / "wired", tmp_path / "read"
    over = parse_settings(introspect(url, wired, "--allow", "sales"))
    assert over["collections"] == parse_settings(introspect(sdl, read, "--allow", "sales"))["collections"]
    assert (over["url"], over["private_addresses"]) == (url, True)
    assert read_python_files(wired) == read_python_files(read)
    assert "wrote" in introspect(f"graphql+{url}", tmp_path / "again", "--allow", "sales")


def test_a_collection_has_the_arguments_that_its_field_takes(tmp_path: Path) -> None:
    settings = parse_settings(introspect(write_sdl(tmp_path, ODD), tmp_path))
    assert settings == {
        "kind": "graphql",
        "url": {"env": "OWN_URL"},
        "collections": {
            "person": {
                "field": "people",
                "rows": "edges.node",
                "columns": {
                    "uuid": "text", "name": "text", "team_id": {"kind": "text", "at": "team.id"}, "tags": "list",
                    "born": "date", "salary": "decimal", "steps": "integer", "seen": "time", "web": "text",
                    "home_street": {"kind": "text", "at": "home.street"},
                },
                "keys": {
                    "uuid": {"field": "personsByUuids", "argument": "uuids", "type": "[ID!]!", "most": 100},
                    "team_id": {"argument": "teamIds", "type": "[ID!]", "most": 100},
                },
                "filters": {"name": {"argument": "name", "type": "String"}},
                "paging": {"size": 100},
            },
            "team": {
                "field": "teams",
                "columns": {
                    "id": "text", "kind": "text", "active": "boolean", "lead_uuid": {"kind": "text", "at": "lead.uuid"},
                },
                "filters": {
                    "kind": {"argument": "kind", "type": "Kind", "values": ["SMALL", "LARGE"]},
                    "active": {"argument": "active", "type": "Boolean"},
                },
            },
        },
    }  # fmt: skip


async def test_the_declared_collections_can_be_served(tmp_path: Path) -> None:
    settings = parse_settings(introspect(write_sdl(tmp_path, ODD), tmp_path))
    source = await connect(GraphQLOptions(url="https://a.example/graphql", collections=settings["collections"]))
    assert set(source.collections) == {"person", "team"}
    await source.close()


def test_only_the_selected_collections_are_declared(tmp_path: Path) -> None:
    settings = parse_settings(introspect(write_sdl(tmp_path, ODD), tmp_path, "--tables", "team"))
    assert list(settings["collections"]) == ["team"]
    assert not (tmp_path / "schema/person.py").exists()


def test_a_change_of_the_schema_is_listed_and_written(sdl: str, tmp_path: Path) -> None:
    (tmp_path / "onedoor.toml").write_text('[sources.own]\nkind = "graphql"\n')
    introspect(sdl, tmp_path, "--allow", "sales")
    assert "nothing changed" in introspect(sdl, tmp_path)
    output = introspect(write_sdl(tmp_path, SDL.replace("floor: Int!", "floor: Int\n  lamp: Boolean!")), tmp_path)
    assert "+ column `desk.lamp`" in output.splitlines()
    assert parse_settings(output)["collections"]["desk"]["columns"]["lamp"] == "boolean"


def test_a_type_is_closed_until_a_group_is_allowed(sdl: str, tmp_path: Path) -> None:
    assert "every type is shut" in introspect(sdl, tmp_path)
    with pytest.raises(SchemaError, match="is open to nobody"):
        build_engine(tmp_path, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("type Query {", "what is there is no schema of GraphQL"),
        ("hello", "what is there is no schema of GraphQL"),
        ("type Query { a: Int }", "the service has no field that lists rows without being asked for more"),
        ("type A { a: Int }", "the service has no field that lists rows without being asked for more"),
        ("type Query { a: A }", "what is there is no schema of GraphQL"),
    ],
)
def test_what_is_no_schema_is_one_sentence(text: str, complaint: str, tmp_path: Path) -> None:
    output = run(write_sdl(tmp_path, text), tmp_path)
    assert (output.exit_code, complaint in output.output) == (2, True)


def test_a_service_that_refuses_is_one_sentence(tmp_path: Path, acme_servers: RunningServers) -> None:
    host, port = address(acme_servers, "directory")
    output = run(f"http://{host}:{port}/graphql", tmp_path)
    assert (output.exit_code, "the service cannot be read: the API refused the credentials" in output.output) == (
        2,
        True,
    )
    gone = run(str(tmp_path / "nothing.graphql"), tmp_path)
    assert (gone.exit_code, "there is no such file" in gone.output) == (2, True)


SECRETIVE = """
type Query { tokens(token: ID, apiKey: String): [Token!]! tokenById(token: ID!): Token }
type Token { id: ID! token: ID! secret: String apiKey: String password: String! owner: Owner }
type Owner { authorization: String }
"""


async def test_columns_that_are_called_like_secrets_are_columns(tmp_path: Path) -> None:
    output = introspect(write_sdl(tmp_path, SECRETIVE), tmp_path, "--allow", "sales")
    (tmp_path / "onedoor.toml").write_text(output.partition("onedoor.toml:")[2], encoding="utf-8")
    secrets = {"OWN_URL": "https://tokens.example/graphql", "ONEDOOR_PEPPER": "p" * 32}
    options = load_settings(tmp_path / "onedoor.toml", secrets).sources["own"].options
    columns = options["collections"]["token"]["columns"]
    assert columns.keys() == {"id", "token", "secret", "api_key", "password", "owner_authorization"}
    source = await connect(GraphQLOptions(**options))
    await source.close()


def test_the_credentials_that_read_a_service_are_in_its_settings(
    tmp_path: Path, acme_servers: RunningServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = address(acme_servers, "directory")
    monkeypatch.setenv("GRAPHQL_AUTHORIZATION", SECRETS["DIRECTORY_AUTHORIZATION"])
    output = introspect(f"http://{host}:{port}/graphql", tmp_path, "--allow", "sales")
    assert parse_settings(output)["headers"] == {"authorization": {"env": "GRAPHQL_AUTHORIZATION"}}
    assert SECRETS["DIRECTORY_AUTHORIZATION"] not in output


def test_what_is_left_out_is_named_with_its_reason(tmp_path: Path) -> None:
    lines = introspect(write_sdl(tmp_path, ODD), tmp_path, "--allow", "sales").splitlines()
    assert lines[0] == "8 root fields: 2 collections"
    assert "left 2: it requires an argument: search, personsByUuids" in lines
    assert "left 1: it is deprecated: old" in lines
    assert (
        "left out of `person`: photo (it requires an argument), scores (a list of Int), extra (of"
        " the type JSON), gone (deprecated), friends (a list of objects)"
    ) in lines


@pytest.mark.parametrize("name", ["items", "results", "data", "list"])
def test_rows_lie_in_the_envelopes_that_services_have(tmp_path: Path, name: str) -> None:
    text = f"""type Query {{ things(skip: Int): Things! }} type Things {{ {name}: [Thing!]! totalItems: Int! }}
    type Thing {{ id: ID! }}"""
    output = introspect(write_sdl(tmp_path, text), tmp_path, "--allow", "sales")
    assert parse_settings(output)["collections"]["thing"]["rows"] == name
    assert "`things`: its pages follow each other in no known way: only the first is read" in output.splitlines()
