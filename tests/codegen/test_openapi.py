"""`introspect` of OpenAPI descriptions: the files that it writes, and the queries that they answer."""

import json
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from demo.run import GITHUB as COLLECTIONS
from onedoor.connectors.rest.config import parse_rest_collections
from onedoor.connectors.rest.connector import RestOptions, connect
from onedoor.query.context import QueryEngine
from tests.codegen.generated_company import build_engine, fetch_data, introspect, run
from tests.servers.openapi import Described
from tests.servers.rest import serve_app

VENDOR = Path(__file__).parent / "descriptions"
OURS = ("change", "environment_id")
"""Columns of the demo for changes, which the description leaves open, or has in a list."""
GITHUB, BLOCKFROST = VENDOR / "github.json", VENDOR / "blockfrost.json"
ACME = ("--given", "owner=acme", "--given", "org=acme", "--header", "authorization")
LICENCE = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "servers": [{"url": "https://api.example/v1"}]}
TEXT, NUMBER, OBJECT = {"type": "string"}, {"type": "integer"}, {"type": "object"}


def write_description(folder: Path, paths: Mapping[str, Any], **components: Any) -> Path:
    path = folder / "openapi.json"
    path.write_text(json.dumps({**LICENCE, "paths": paths, "components": components}), encoding="utf-8")
    return path


def list_operation(items: Any, *parameters: Any, **options: Any) -> dict[str, Any]:
    return operation_returning({"type": "array", "items": items}, *parameters, **options)


def operation_returning(schema: Any, *parameters: Any, headers: Any = None) -> dict[str, Any]:
    response = {"description": "", "headers": headers or {}, "content": {"application/json": {"schema": schema}}}
    return {"get": {"parameters": list(parameters), "responses": {"200": response}}}


def object_schema(required: Any = ("id",), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {"id": NUMBER, **properties}}


def query_parameter(name: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema or TEXT}


def path_parameter(name: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema or TEXT}


def read_declared(folder: Path, source: str = "own") -> dict[str, Any]:
    text = (folder / f"schema/introspected/{source}.toml").read_text(encoding="utf-8")
    collections: dict[str, Any] = tomllib.loads(text)["collections"]
    return collections


def introspect_paths(folder: Path, paths: Mapping[str, Any], *options: str, **components: Any) -> dict[str, Any]:
    """Write the files of a description, and return its collections as declared."""
    introspect(str(write_description(folder, paths, **components)), folder, "--allow", "sales", *options)
    collections = read_declared(folder)
    parse_rest_collections(collections)
    return collections


NODE = {"$ref": "#/components/schemas/Node"}
RING = {"Node": object_schema(parent=NODE, children={"type": "array", "items": NODE})}
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
            id="of several things, what they have in common",
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
        introspect_paths(tmp_path, {"/things": list_operation(row)}, schemas={**RING, **PARTS})["things"]["columns"]
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


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "neither JSON nor YAML"),
        ("[]", "no OpenAPI 3"),
        ('{"swagger": "2.0"}', "no OpenAPI 3"),
        ('{"openapi": "3.0.0"}', "has no `paths`"),
        ('{"openapi": "3.0.0", "paths": {}}', "no operation that reads"),
        ('{"openapi": "3.0.0", "paths": {"/a": {"$ref": "https://a.example/a"}}}', "refers to another file"),
        ('{"openapi": "3.0.0", "paths": {"/a": {"$ref": "file:///etc/passwd"}}}', "refers to another file"),
        (json.dumps({"openapi": "3.0.0", "paths": {"/a": list_operation(object_schema())}}), "where its API is"),
    ],
)
def test_an_unreadable_description_is_one_sentence(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "openapi.json").write_text(text, encoding="utf-8")
    output = run(str(tmp_path / "openapi.json"), tmp_path)
    assert (output.exit_code, complaint in output.output) == (2, True), output.output


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
        (BLOCKFROST, (), "129 operations, 123 of them read and are meant: 115 collections"),
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
