"""`introspect` of OpenAPI descriptions: the files that it writes, and the queries that they answer."""

import json
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from demo.run import GITHUB as COLLECTIONS
from onedoor.connectors.rest.config import parse_rest_collections
from onedoor.connectors.rest.connector import RestOptions, connect
from onedoor.query.context import QueryEngine
from tests.codegen.described_apis import (
    NUMBER,
    OBJECT,
    TEXT,
    introspect_paths,
    list_operation,
    object_schema,
    operation_returning,
    path_parameter,
    query_parameter,
    read_declared,
    write_description,
)
from tests.codegen.generated_company import build_engine, fetch_data, introspect, run
from tests.servers.openapi import Described
from tests.servers.rest import serve_app

VENDOR = Path(__file__).parent / "descriptions"
OURS = ("change", "environment_id")
"""Columns of the demo for changes, which the description leaves open, or has in a list."""
GITHUB, BLOCKFROST = VENDOR / "github.json", VENDOR / "blockfrost.json"
ACME = ("--given", "owner=acme", "--given", "org=acme", "--header", "authorization")
NODE = {"$ref": "#/components/schemas/Node"}
RING = {"Node": object_schema(parent=NODE, children={"type": "array", "items": NODE})}
NAMED = {"$ref": "#/components/schemas/Named"}
ODD = {
    "Whole": {"allOf": [NAMED, {"allOf": [{"$ref": "#/components/schemas/Whole/allOf/0"}, object_schema()]}]},
    "{Named/~}": NAMED,
    "100% {Named}": NAMED,
    "Self": {"allOf": [{"$ref": "#/components/schemas/Self"}, object_schema()]},
}
PARTS = {"Named": {"type": "object", "required": ["name"], "properties": {"name": TEXT}}}


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        pytest.param(object_schema(), {"id": "integer"}, id="a number"),
        pytest.param(
            object_schema(at={"type": "string", "format": "date-time"}, on={"type": "string", "format": "date"}),
            {"id": "integer", "at": "time", "on": "date"},
            id="formats",
        ),
        pytest.param(
            object_schema(
                rate={"type": "number"}, good={"type": ["boolean", "null"]}, tags={"type": "array", "items": TEXT}
            ),
            {"id": "integer", "rate": "float", "good": "boolean", "tags": "list"},
            id="types of 3.1, and lists of text",
        ),
        pytest.param(
            object_schema(place={"type": "object", "properties": {"zipCode": TEXT}}),
            {"id": "integer", "place_zip_code": {"kind": "text", "at": "place.zipCode"}},
            id="what lies inside",
        ),
        pytest.param(
            {"allOf": [object_schema(), {"$ref": "#/components/schemas/Named"}]},
            {"id": "integer", "name": "text"},
            id="what is put together from parts",
        ),
        pytest.param(
            object_schema(owner={"anyOf": [{"$ref": "#/components/schemas/Named"}, {"type": "null"}]}),
            {"id": "integer", "owner_name": {"kind": "text", "at": "owner.name"}},
            id="one thing or nothing",
        ),
        pytest.param(
            object_schema(mixed={"oneOf": [TEXT, NUMBER]}, either={"oneOf": [TEXT, object_schema()]}),
            {"id": "integer", "mixed": "text"},
            id="of several types, the one that holds all",
        ),
        pytest.param(
            object_schema(of={"type": ["integer", "number", "null"]}, odd={"enum": ["a", "b"]}, one={"const": 1}),
            {"id": "integer", "of": "float", "odd": "text", "one": "integer"},
            id="types that are listed, or that values tell",
        ),
        pytest.param(
            {"oneOf": [object_schema(size=NUMBER), {"$ref": "#/components/schemas/Named"}]},
            {"id": "integer", "size": "integer", "name": "text"},
            id="of several kinds of row, the columns of all",
        ),
        pytest.param(
            {**object_schema(name=TEXT), "anyOf": [{"required": ["name"]}, {"required": ["id"]}]},
            {"id": "integer", "name": "text"},
            id="an object with alternatives that say nothing of its type",
        ),
        pytest.param(
            {"allOf": [object_schema(at=TEXT), {"properties": {"at": {"description": "When."}}}]},
            {"id": "integer", "at": "text"},
            id="a property that two parts describe",
        ),
        pytest.param(
            {"$ref": "#/components/schemas/Named", "properties": {"size": NUMBER}},
            {"size": "integer", "name": "text"},
            id="what stands beside a reference",
        ),
        pytest.param(
            {"type": "object", "properties": {"@type": TEXT, "a.b": NUMBER}},
            {"type": {"kind": "text", "at": "@type"}, "a_b": {"kind": "integer", "at": ["a.b"]}},
            id="names with signs",
        ),
        pytest.param(
            {"$ref": "#/components/schemas/Whole/allOf/1"},
            {"id": "integer", "name": "text"},
            id="a reference into a list",
        ),
        pytest.param({"$ref": "#/components/schemas/%7BNamed~1~0%7D"}, {"name": "text"}, id="an escaped reference"),
        pytest.param({"$ref": "#/components/schemas/100%25 {Named}"}, {"name": "text"}, id="one that is half escaped"),
        pytest.param(
            {"$ref": "#/components/schemas/Self"},
            {"id": "integer"},
            id="a part of itself",
        ),
        pytest.param(
            {"$ref": "#/components/schemas/Node"},
            {
                "id": "integer",
                "parent_id": {"kind": "integer", "at": "parent.id"},
            },
            id="a ring",
        ),
        pytest.param(
            object_schema(secret={**TEXT, "writeOnly": True}), {"id": "integer"}, id="a property that is only written"
        ),
        pytest.param(TEXT, {"value": {"kind": "text", "at": ""}}, id="texts alone"),
    ],
)
def test_a_row_has_the_columns_of_its_schema(tmp_path: Path, row: Any, columns: Any) -> None:
    assert (
        introspect_paths(tmp_path, {"/things": list_operation(row)}, schemas={**RING, **PARTS, **ODD})["things"][
            "columns"
        ]
        == columns
    )


@pytest.mark.parametrize(
    ("operation", "paging"),
    [
        (
            list_operation(
                object_schema(),
                query_parameter("page", type="integer"),
                query_parameter("per_page", type="integer", maximum=50),
            ),
            {"by": "page", "parameter": "page", "size_parameter": "per_page", "size": 50},
        ),
        (
            list_operation(object_schema(), query_parameter("page", type="integer", default=0)),
            {"by": "page", "parameter": "page", "first": 0},
        ),
        (
            list_operation(
                object_schema(), query_parameter("offset"), query_parameter("limit", type="integer", maximum=10**6)
            ),
            {"by": "offset", "parameter": "offset", "size_parameter": "limit", "size": 1000},
        ),
        (list_operation(object_schema(), query_parameter("page"), headers={"Link": {}}), {"by": "link"}),
        (
            operation_returning(
                {
                    "type": "object",
                    "properties": {
                        "data": {"type": "array", "items": object_schema()},
                        "meta": {"type": "object", "properties": {"next_cursor": TEXT}},
                    },
                },
                query_parameter("cursor"),
            ),
            {"by": "cursor", "parameter": "cursor", "next": "meta.next_cursor"},
        ),
        (list_operation(object_schema(), query_parameter("cursor")), None),
    ],
    ids=["page", "the first page is 0", "offset", "link", "cursor", "a cursor that is nowhere output"],
)
def test_paging_is_recognized_by_parameters_and_headers(tmp_path: Path, operation: Any, paging: Any) -> None:
    assert introspect_paths(tmp_path, {"/things": operation})["things"].get("paging") == paging


def test_parameters_become_keys_and_filters(tmp_path: Path) -> None:
    parameters = (
        query_parameter("id", type="array", items=NUMBER, maxItems=20),
        query_parameter("team"),
        query_parameter("since"),
        query_parameter("team_sha"),
    )
    things = introspect_paths(
        tmp_path, {"/things": list_operation(object_schema(team=TEXT, team_sha=TEXT), *parameters)}
    )["things"]
    assert things["keys"] == {"id": {"parameter": "id", "most": 20}, "team_sha": {"parameter": "team_sha"}}
    assert things["filters"] == {"team": "team", "team_sha": "team_sha"}


def test_a_path_below_a_row_is_a_relationship_to_it(tmp_path: Path) -> None:
    paths = {
        "/shops": operation_returning(
            {**OBJECT, "properties": {"shops": {"type": "array", "items": object_schema()}, "total": NUMBER}}
        ),
        "/shops/{shop_id}": operation_returning(
            {**OBJECT, "properties": {"data": object_schema()}}, path_parameter("shop_id", type="integer")
        ),
        "/shops/{shop_id}/visits": list_operation(
            object_schema(shop_id=NUMBER, total=NUMBER), path_parameter("shop_id", type="integer")
        ),
    }
    result = introspect_paths(tmp_path, paths)
    assert result["shops"]["keys"] == {"id": {"path": "/shops/{id}", "rows": "data"}}
    assert (result["shops"]["rows"], result["shops.visits"]["path"]) == ("shops", "/shops/{given_shop_id}/visits")
    visit = (tmp_path / "resolvers" / "visit.py").read_text(encoding="utf-8")
    assert 'key=("given_shop_id", "id")' in visit
    assert '"shop": Relationship(to="Shop", local="given_shop_id", remote="id")' in visit
    assert (
        '"visits": Relationship(to="Visit", local="id", remote="given_shop_id")'
        in (tmp_path / "resolvers/shop.py").read_text()
    )
    assert "Many" not in (tmp_path / "schema" / "visit.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("scheme", "line"),
    [
        ({"type": "http", "scheme": "bearer"}, 'headers.authorization = { env = "OWN_AUTHORIZATION" }'),
        ({"type": "apiKey", "in": "header", "name": "X-Api-Key"}, 'headers.x-api-key = { env = "OWN_X_API_KEY" }'),
        ({"type": "apiKey", "in": "header", "name": 'x = "y"\n[server]'}, ""),
    ],
)
def test_credentials_are_named_and_never_written(tmp_path: Path, scheme: Any, line: str) -> None:
    path = write_description(tmp_path, {"/things": list_operation(object_schema())}, securitySchemes={"one": scheme})
    output = introspect(str(path), tmp_path, "--allow", "sales")
    settings = [item for item in output.splitlines() if item.startswith("headers")]
    assert settings == [line] * bool(line)


def test_only_selected_operations_are_read(tmp_path: Path) -> None:
    paths = {
        "/a": list_operation(object_schema()),
        "/b/c": list_operation(object_schema()),
        "/b/d": list_operation(object_schema()),
    }
    assert set(introspect_paths(tmp_path, paths, "--only", "/b/*", "--only", "!/b/d")) == {"b.c"}


SERVED = {"openapi": "3.0.0", "servers": [{"url": "https://a.example"}]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "neither JSON nor YAML"),
        ("[]", "no OpenAPI 3"),
        ('{"swagger": "2.0"}', "no OpenAPI 3"),
        ('{"openapi": "3.0.0"}', "has no `paths`"),
        ('{"openapi": "3.0.0", "paths": {}}', "no operation that reads"),
        ('{"openapi": "3.0.0", "paths": {"/a": {"$ref": "https://a.example/a"}}}', "lead to another file"),
        ('{"openapi": "3.0.0", "paths": {"/a": {"$ref": "file:///etc/passwd"}}}', "lead to another file"),
        (json.dumps({**SERVED, "paths": {"/a": {"get": {"$ref": "a.yml"}}}}), "lead to another file"),
        (
            json.dumps({**SERVED, "paths": {"/a": {"get": {"responses": {}}}}}),
            "answers with rows that it describes; left",
        ),
        (json.dumps({"openapi": "3.0.0", "paths": {"/a": list_operation(object_schema())}}), "where its API is"),
    ],
)
def test_an_unreadable_description_is_one_sentence(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "openapi.json").write_text(text, encoding="utf-8")
    output = run(str(tmp_path / "openapi.json"), tmp_path)
    assert (output.exit_code, complaint in output.output) == (2, True), output.output


def test_references_that_are_not_followed_are_said(tmp_path: Path) -> None:
    row = object_schema(a={"$ref": "#/components/schemas/Nowhere"}, b={"$ref": "other.yaml#/Row"})
    output = introspect(str(write_description(tmp_path, {"/things": list_operation(row)})), tmp_path)
    assert "1 references lead nowhere: `#/components/schemas/Nowhere`" in output.splitlines()
    assert "put the description together to one file first: `other.yaml#/Row`" in output
    declared = (tmp_path / "schema/introspected/own.toml").read_text(encoding="utf-8")
    assert {"# no column: a (of any type)", "# no column: b (of any type)"} <= {*declared.splitlines()}


def test_values_without_a_column_are_named_where_it_is_declared(tmp_path: Path) -> None:
    row = object_schema(
        lines={"type": "array", "items": object_schema()},
        free={"type": "object", "additionalProperties": TEXT},
        line_two=TEXT,
        lineTwo=TEXT,
        maker={"$ref": "#/components/schemas/Maker"},
    )
    paths = {"/things": list_operation(row)}
    output = introspect(str(write_description(tmp_path, paths, schemas={"Maker": object_schema(city=TEXT)})), tmp_path)
    assert "4 values of 1 collections have no column" in output
    declared = (tmp_path / "schema/introspected/own.toml").read_text(encoding="utf-8").splitlines()
    assert [line.removeprefix("# no column: ") for line in declared if line.startswith("#")] == [
        "lines (a list of objects)",
        "free (an object of any names)",
        "lineTwo (another has the name `line_two`)",
        "maker (but for what names it)",
    ]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/things#page", "its path holds `#`, `?` or `..`"),
        ("/things?kind=a", "its path holds `#`, `?` or `..`"),
        ("/a/../things", "its path holds `#`, `?` or `..`"),
        ("/things/{a}-{b}", "its path joins a parameter to other letters"),
        ("/things/{id}/of/{id}", "the source would refuse it"),
    ],
)
def test_an_operation_that_cannot_be_asked_shuts_no_source(tmp_path: Path, path: str, reason: str) -> None:
    paths = {"/others": list_operation(object_schema()), path: list_operation(object_schema())}
    output = introspect(str(write_description(tmp_path, paths)), tmp_path, "--allow", "sales")
    (line,) = [line for line in output.splitlines() if reason in line]
    assert line.startswith("left 1: ")
    assert line.endswith(f": {path}")
    parse_rest_collections(read_declared(tmp_path))
    assert read_declared(tmp_path).keys() == {"others"}


@pytest.mark.parametrize(
    ("path", "name", "type_name"),
    [
        ("/2010-04-01/Accounts/{AccountSid}/Calls.json", "accounts.calls", "Call"),
        ("/api/v1/things", "things", "Thing"),
        ("/v2beta1/projects", "projects", "Project"),
        ("/api", "api", "Api"),
    ],
)
def test_a_collection_is_named_by_the_nouns_of_its_path(tmp_path: Path, path: str, name: str, type_name: str) -> None:
    assert introspect_paths(tmp_path, {path: list_operation(object_schema())}).keys() == {name}
    assert f"class {type_name}:" in (tmp_path / f"schema/{type_name.lower()}.py").read_text(encoding="utf-8")


def test_a_path_with_an_extension_is_the_row_of_the_list_before_it(tmp_path: Path) -> None:
    paths = {
        "/v1/Calls.json": list_operation(object_schema(("sid",), sid=TEXT)),
        "/v1/Calls/{Sid}.json": operation_returning(object_schema(("sid",), sid=TEXT), path_parameter("Sid")),
        "/v1/Calls/{Sid}/Events.json": list_operation(object_schema(), path_parameter("Sid")),
    }
    collections = introspect_paths(tmp_path, paths)
    assert collections["calls"]["keys"] == {"sid": {"path": "/v1/Calls/{sid}.json"}}
    assert '"call": Relationship(to="Call", local="sid", remote="sid")' in (
        tmp_path / "resolvers" / "event.py"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("servers", "options", "lines"),
    [
        pytest.param(
            [{"url": "http://things.example/v1/"}], (),
            ['base_url = "http://things.example/v1"', "private_addresses = true"], id="plain http",
        ),
        pytest.param(
            [{"url": "https://things.example"}], ("--private",),
            ['base_url = "https://things.example"', "private_addresses = true"], id="in this network",
        ),
        pytest.param(
            [{"url": "https://{region}.things.example:{port}",
              "variables": {"region": {"enum": ["eu", "us"]}, "port": {"default": 8443}}}], (),
            ['base_url = "https://eu.things.example:8443"'], id="variables",
        ),
        pytest.param(
            [{"url": "/v1"}, {"url": "https://things.example/v1"}], (), ['base_url = "https://things.example/v1"'],
            id="the first that is a whole address",
        ),
    ],
)  # fmt: skip
async def test_the_printed_settings_run_as_they_are(
    tmp_path: Path, servers: Any, options: Any, lines: list[str]
) -> None:
    path = write_description(tmp_path, {"/things": list_operation(object_schema())})
    path.write_text(json.dumps({**load_json(path), "servers": servers}), encoding="utf-8")
    output = introspect(str(path), tmp_path, "--allow", "sales", *options)
    section = output.partition("add to onedoor.toml:\n\n")[2]
    settings = tomllib.loads(section)["sources"]["own"]
    assert section.splitlines()[2:-1] == lines
    options_read = {name: value for name, value in settings.items() if name not in ("kind", "described")}
    source = await connect(RestOptions(**options_read, described=tmp_path / settings["described"]))
    await source.close()


@pytest.mark.parametrize("url", ["/v1", "https://{region}.things.example", "https://a.example/v1?key=b"])
def test_an_address_that_no_source_takes_is_said(tmp_path: Path, url: str) -> None:
    path = write_description(tmp_path, {"/things": list_operation(object_schema())})
    path.write_text(json.dumps({**load_json(path), "servers": [{"url": url}]}), encoding="utf-8")
    output = run(str(path), tmp_path)
    assert output.exit_code == 2
    assert "where its API is" in output.output or "the address of its API must be" in output.output


def test_an_operation_of_another_server_belongs_to_another_source(tmp_path: Path) -> None:
    elsewhere = {**list_operation(object_schema()), "servers": [{"url": "https://elsewhere.example/v2"}]}
    path = write_description(tmp_path, {"/things": list_operation(object_schema()), "/others": elsewhere})
    output = introspect(str(path), tmp_path, "--allow", "sales")
    assert "left 1: it is served from another address" in output
    assert read_declared(tmp_path).keys() == {"things"}
    introspect(str(path), tmp_path, "--base-url", "https://elsewhere.example/v2")
    assert read_declared(tmp_path).keys() == {"others"}


def test_yaml_has_the_values_that_json_has(tmp_path: Path) -> None:
    text = json.dumps({"openapi": "3.0.0", "servers": [{"url": "https://api.example"}]})[:-1]
    text += """, paths: {/things: {get: {responses: {200: {content: {application/json: {schema: {
      type: array, items: {type: object, required: [id], properties: {id: {type: integer}, on: {type: string},
      at: {type: string, enum: [on, 12:30:00, 2001-02-30]}}}}}}}}}}}}"""
    (tmp_path / "openapi.yaml").write_text(text, encoding="utf-8")
    introspect(str(tmp_path / "openapi.yaml"), tmp_path, "--allow", "sales")
    assert read_declared(tmp_path)["things"]["columns"] == {"id": "integer", "on": "text", "at": "text"}
    assert '"2001-02-30"' in (tmp_path / "schema/thing.py").read_text(encoding="utf-8")


def test_yaml_is_read_like_json(tmp_path: Path) -> None:
    (tmp_path / "openapi.yaml").write_text(
        "openapi: 3.0.0\nservers: [{url: 'https://api.example'}]\npaths:\n  /things:\n    get:\n      responses:\n"
        "        '200': {content: {application/json: {schema: {type: array, items: {type: string}}}}}\n",
        encoding="utf-8",
    )
    introspect(str(tmp_path / "openapi.yaml"), tmp_path, "--allow", "sales")
    assert read_declared(tmp_path)["things"]["path"] == "/things"


def test_a_second_run_lists_changes_and_leaves_edited_files_alone(tmp_path: Path) -> None:
    introspect_paths(tmp_path, {"/things": list_operation(object_schema(name=TEXT))})
    edited = tmp_path / "schema" / "thing.py"
    edited.write_text(edited.read_text(encoding="utf-8").replace("The name.", "What it is called."), encoding="utf-8")
    path = write_description(
        tmp_path, {"/things": list_operation(object_schema(name=TEXT, size=NUMBER), query_parameter("name"))}
    )
    output = introspect(str(path), tmp_path)
    assert "+ column `things.size`" in output
    assert "~ settings of `things`" in output
    assert "left alone, edited by hand: schema/thing.py" in output
    assert "wrote schema/introspected/own.toml" in output
    assert read_declared(tmp_path)["things"]["filters"] == {"name": "name"}


def load_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@asynccontextmanager
async def open_described(
    document: Path, folder: Path, *options: str, header: str
) -> AsyncIterator[tuple[QueryEngine, Described]]:
    """Yield an engine over the files of a description, and a server that keeps to it."""
    server = Described(load_json(document), (header, "secret"))
    async with serve_app(server) as url:
        introspect(str(document), folder, "--allow", "engineering", "--base-url", url, *options)
        source = await connect(
            RestOptions(
                base_url=url,
                described=folder / "schema/introspected/own.toml",
                private_addresses=True,
                headers={header: "secret"},
            )
        )
        try:
            yield build_engine(folder, source), server
        finally:
            await source.close()


async def test_queries_over_the_description_of_github_are_answered(tmp_path: Path) -> None:
    async with open_described(GITHUB, tmp_path, *ACME, header="authorization") as (engine, server):
        data = await fetch_data(
            engine,
            """{ repo(id: "billing") { name deployments(first: 5, where: {environment: {eq: "environment 5"}}) {
            totalCount } runs { totalCount nodes { id approvals { nodes { state userLogin } } jobs { totalCount } } }
            deployments_: deployments { totalCount nodes { id sha statuses { totalCount nodes { state } } } } } }""",
            "engineering",
        )
        assert data["repo"]["runs"]["totalCount"] == 7
        assert data["repo"]["deployments_"]["totalCount"] == 7
        assert {node["statuses"]["totalCount"] for node in data["repo"]["deployments_"]["nodes"]} == {7}
        deployment = data["repo"]["deployments_"]["nodes"][3]
        again = await fetch_data(
            engine, f'{{ deployment(id: "{deployment["id"]}") {{ sha repo {{ name }} }} }}', "engineering"
        )
        assert again == {"deployment": {"sha": deployment["sha"], "repo": {"name": data["repo"]["name"]}}}
        assert [
            scan_request
            for scan_request in server.requests
            if "/deployments?" in scan_request and "page=3" in scan_request
        ]


async def test_queries_over_a_large_description_are_answered(tmp_path: Path) -> None:
    async with open_described(BLOCKFROST, tmp_path, header="project_id") as (engine, _):
        data = await fetch_data(
            engine,
            """{ pools { totalCount } epoch(id: "412") { id blocks { nodes { value } } parameter { minFeeA } }
            assets(first: 2) { nodes { id asset quantity history { totalCount } } } }""",
            "engineering",
        )
        assert data["pools"]["totalCount"] == 7
        assert data["epoch"]["id"] == "412"
        assert len(data["epoch"]["blocks"]["nodes"]) == 7
        assert [node["history"]["totalCount"] for node in data["assets"]["nodes"]] == [7, 7]


@pytest.mark.parametrize(
    ("document", "options", "first_line"),
    [
        (GITHUB, ACME, "41 operations, 25 of them read and are meant: 19 collections"),
        (BLOCKFROST, (), "129 operations, 123 of them read and are meant: 114 collections"),
    ],
)
def test_the_first_line_counts_the_operations_that_are_read(
    tmp_path: Path, document: Path, options: tuple[str, ...], first_line: str
) -> None:
    output = introspect(str(document), tmp_path, *options, "--dry-run")
    assert output.splitlines()[0] == first_line


def test_the_collections_of_the_demo_agree_with_the_description_of_github(tmp_path: Path) -> None:
    introspect(str(GITHUB), tmp_path, *ACME)
    theirs = {normalize_path(item["path"]): item for item in read_declared(tmp_path).values()}
    for name, ours in tomllib.loads(COLLECTIONS.read_text(encoding="utf-8"))["collections"].items():
        if name in ("job_logs", "users"):  # of which it describes the redirect alone, or two paths apart
            continue
        described = theirs[normalize_path(ours["path"])]
        assert ours.get("rows") == described.get("rows")
        assert ours.get("paging") == described.get("paging")
        assert ours.get("filters", {}).items() <= described.get("filters", {}).items()
        placed = set(parse_rest_collections({"one": ours})["one"].path_columns)
        for column, item in ours["columns"].items():
            assert column in (*placed, *OURS) or described["columns"][column] == item


def normalize_path(path: str) -> str:
    """Forget the names of the parameters of a path."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
