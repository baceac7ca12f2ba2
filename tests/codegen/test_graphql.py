"""A service that speaks GraphQL, read by its SDL or over the wire: files, settings, and a house that stands on both."""

import tomllib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from demo.data import business
from demo.run import SECRETS
from demo.servers.directory import SDL
from demo.servers.run import Running, address
from onedoor.connectors.graphql.connector import GraphQLOptions, connect
from onedoor.schema.reader import SchemaError
from onedoor.spi.connector import Connector
from tests.codegen.houses import asked, house, introspected, run

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
    return written(tmp_path, SDL)


def written(folder: Path, text: str) -> str:
    path = folder / "service.graphql"
    path.write_text(text, encoding="utf-8")
    return str(path)


def settings(told: str) -> Mapping[str, Any]:
    """The section that the command asks to add."""
    found: Mapping[str, Any] = tomllib.loads(told.partition("onedoor.toml:")[2])["sources"]["own"]
    return found


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}


@pytest.fixture
async def source(sdl: str, tmp_path: Path, acme_servers: Running) -> AsyncIterator[Connector]:
    """The files are written, and their service answers as the settings say."""
    host, port = address(acme_servers, "directory")
    told = settings(introspected(sdl, tmp_path, "--allow", "sales"))
    headers = {"authorization": SECRETS["DIRECTORY_AUTHORIZATION"]}
    url = f"http://{host}:{port}/graphql"
    opened = await connect(
        GraphQLOptions(url=url, collections=told["collections"], headers=headers, private_addresses=True)
    )  # fmt: skip
    yield opened
    await opened.close()


async def test_a_house_stands_on_what_was_written(source: Connector, tmp_path: Path) -> None:
    found = await asked(
        house(tmp_path, source),
        "{ office(id: \"ber\") { name addressCity desks(first: 2) { nodes { id office { id } } } }"
        " shifts(where: {level: {eq: SECONDARY}, service: {eq: \"search\"}}) { totalCount } }",
    )  # fmt: skip
    desks = sorted(each.id for each in business.desks(0.01) if each.office == "ber")
    assert found == {
        "office": {
            "name": "Berlin Yard",
            "addressCity": "Berlin",
            "desks": {"nodes": [{"id": each, "office": {"id": "ber"}} for each in desks[:2]]},
        },
        "shifts": {"totalCount": business.WEEKS},
    }


def test_what_is_read_over_the_wire_is_what_is_read_of_its_sdl(
    sdl: str, tmp_path: Path, acme_servers: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = address(acme_servers, "directory")
    monkeypatch.setenv("GRAPHQL_AUTHORIZATION", SECRETS["DIRECTORY_AUTHORIZATION"])
    url = f"http://{host}:{port}/graphql"
    wired, read = tmp_path / "wired", tmp_path / "read"
    over = settings(introspected(url, wired, "--allow", "sales"))
    assert over["collections"] == settings(introspected(sdl, read, "--allow", "sales"))["collections"]
    assert (over["url"], over["private_addresses"]) == (url, True)
    assert texts(wired) == texts(read)
    assert "wrote" in introspected(f"graphql+{url}", tmp_path / "again", "--allow", "sales")


def test_every_collection_is_declared_by_what_the_service_takes(tmp_path: Path) -> None:
    told = settings(introspected(written(tmp_path, ODD), tmp_path))
    assert told == {
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


async def test_what_is_declared_can_be_opened(tmp_path: Path) -> None:
    told = settings(introspected(written(tmp_path, ODD), tmp_path))
    source = await connect(GraphQLOptions(url="https://a.example/graphql", collections=told["collections"]))
    assert set(source.collections) == {"person", "team"}
    await source.close()


def test_only_the_wished_collections_are_declared(tmp_path: Path) -> None:
    told = settings(introspected(written(tmp_path, ODD), tmp_path, "--tables", "team"))
    assert list(told["collections"]) == ["team"]
    assert not (tmp_path / "schema/person.py").exists()


def test_what_changed_is_said_written_and_declared_anew(sdl: str, tmp_path: Path) -> None:
    (tmp_path / "onedoor.toml").write_text('[sources.own]\nkind = "graphql"\n')
    introspected(sdl, tmp_path, "--allow", "sales")
    assert "nothing changed" in introspected(sdl, tmp_path)
    told = introspected(written(tmp_path, SDL.replace("floor: Int!", "floor: Int\n  lamp: Boolean!")), tmp_path)
    assert "+ column `desk.lamp`" in told.splitlines()
    assert settings(told)["collections"]["desk"]["columns"]["lamp"] == "boolean"


def test_a_type_is_shut_until_a_group_is_given(sdl: str, tmp_path: Path) -> None:
    assert "every type is shut" in introspected(sdl, tmp_path)
    with pytest.raises(SchemaError, match="is open to nobody"):
        house(tmp_path, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type Query {", "what is there is no schema of GraphQL"),
        ("hello", "what is there is no schema of GraphQL"),
        ("type Query { a: Int }", "the service has no field that lists rows without being asked for more"),
        ("type A { a: Int }", "the service has no field that lists rows without being asked for more"),
        ("type Query { a: A }", "what is there is no schema of GraphQL"),
    ],
)
def test_what_is_no_schema_is_told_in_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    told = run(written(tmp_path, text), tmp_path)
    assert (told.exit_code, said in told.output) == (2, True)


def test_a_service_that_refuses_is_told_in_a_sentence(tmp_path: Path, acme_servers: Running) -> None:
    host, port = address(acme_servers, "directory")
    told = run(f"http://{host}:{port}/graphql", tmp_path)
    assert (told.exit_code, "the service cannot be read: the API refused the credentials" in told.output) == (2, True)
    gone = run(str(tmp_path / "nothing.graphql"), tmp_path)
    assert (gone.exit_code, "there is no such file" in gone.output) == (2, True)
