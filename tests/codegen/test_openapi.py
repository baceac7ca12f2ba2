"""OpenAPI descriptions in, files as a person would write them out, and the answers of the house that stands on them."""

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
from tests.codegen.houses import asked, house, introspected, run
from tests.servers.openapi import Described
from tests.servers.rest import serving

VENDOR = Path(__file__).parent / "descriptions"
OURS = ("change", "environment_id")
"""Columns for changes, which a description leaves open, or has in a list."""
GITHUB, BLOCKFROST = VENDOR / "github.json", VENDOR / "blockfrost.json"
ACME = ("--given", "owner=acme", "--given", "org=acme", "--header", "authorization")
LICENCE = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "servers": [{"url": "https://api.example/v1"}]}
TEXT, NUMBER, OBJECT = {"type": "string"}, {"type": "integer"}, {"type": "object"}


def written(folder: Path, paths: Mapping[str, Any], **components: Any) -> Path:
    path = folder / "openapi.json"
    path.write_text(json.dumps({**LICENCE, "paths": paths, "components": components}), encoding="utf-8")
    return path


def listing(items: Any, *parameters: Any, **more: Any) -> dict[str, Any]:
    return answering({"type": "array", "items": items}, *parameters, **more)


def answering(schema: Any, *parameters: Any, headers: Any = None) -> dict[str, Any]:
    response = {"description": "", "headers": headers or {}, "content": {"application/json": {"schema": schema}}}
    return {"get": {"parameters": list(parameters), "responses": {"200": response}}}


def thing(required: Any = ("id",), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {"id": NUMBER, **properties}}


def query(name: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema or TEXT}


def place(name: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema or TEXT}


def declared(folder: Path, source: str = "own") -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((folder / f"schema/introspected/{source}.toml").read_text(encoding="utf-8"))
    return found["collections"]  # type: ignore[no-any-return]


def of(folder: Path, paths: Mapping[str, Any], *options: str, **components: Any) -> dict[str, Any]:
    """What is declared of a description, by collection."""
    introspected(str(written(folder, paths, **components)), folder, "--allow", "sales", *options)
    found = declared(folder)
    parse_rest_collections(found)
    return found


NODE = {"$ref": "#/components/schemas/Node"}
RING = {"Node": thing(parent=NODE, children={"type": "array", "items": NODE})}
PARTS = {"Named": {"type": "object", "required": ["name"], "properties": {"name": TEXT}}}


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        pytest.param(thing(), {"id": "integer"}, id="a number"),
        pytest.param(
            thing(at={"type": "string", "format": "date-time"}, on={"type": "string", "format": "date"}),
            {"id": "integer", "at": "time", "on": "date"},
            id="formats",
        ),
        pytest.param(
            thing(rate={"type": "number"}, good={"type": ["boolean", "null"]}, tags={"type": "array", "items": TEXT}),
            {"id": "integer", "rate": "float", "good": "boolean", "tags": "list"},
            id="types of 3.1, and lists of text",
        ),
        pytest.param(
            thing(place={"type": "object", "properties": {"zipCode": TEXT}}),
            {"id": "integer", "place_zip_code": {"kind": "text", "at": "place.zipCode"}},
            id="what lies inside",
        ),
        pytest.param(
            {"allOf": [thing(), {"$ref": "#/components/schemas/Named"}]},
            {"id": "integer", "name": "text"},
            id="what is put together from parts",
        ),
        pytest.param(
            thing(owner={"anyOf": [{"$ref": "#/components/schemas/Named"}, {"type": "null"}]}),
            {"id": "integer", "owner_name": {"kind": "text", "at": "owner.name"}},
            id="one thing or nothing",
        ),
        pytest.param(
            thing(mixed={"oneOf": [TEXT, NUMBER]}, either={"oneOf": [TEXT, thing()]}),
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
        pytest.param(thing(secret={**TEXT, "writeOnly": True}), {"id": "integer"}, id="what is never told"),
        pytest.param(TEXT, {"value": {"kind": "text", "at": ""}}, id="texts alone"),
    ],
)
def test_a_row_has_the_columns_that_its_schema_says(tmp_path: Path, row: Any, columns: Any) -> None:
    assert of(tmp_path, {"/things": listing(row)}, schemas={**RING, **PARTS})["things"]["columns"] == columns


@pytest.mark.parametrize(
    ("operation", "paging"),
    [
        (listing(thing(), query("page", type="integer"), query("per_page", type="integer", maximum=50)),
         {"by": "page", "parameter": "page", "size_parameter": "per_page", "size": 50}),
        (listing(thing(), query("page", type="integer", default=0)), {"by": "page", "parameter": "page", "first": 0}),
        (listing(thing(), query("offset"), query("limit", type="integer", maximum=10**6)),
         {"by": "offset", "parameter": "offset", "size_parameter": "limit", "size": 1000}),
        (listing(thing(), query("page"), headers={"Link": {}}), {"by": "link"}),
        (answering({"type": "object", "properties": {"data": {"type": "array", "items": thing()},
                    "meta": {"type": "object", "properties": {"next_cursor": TEXT}}}}, query("cursor")),
         {"by": "cursor", "parameter": "cursor", "next": "meta.next_cursor"}),
        (listing(thing(), query("cursor")), None),
    ],
    ids=["page", "the first page is 0", "offset", "link", "cursor", "a cursor that is nowhere told"],
)  # fmt: skip
def test_pages_are_turned_in_the_ways_that_are_known(tmp_path: Path, operation: Any, paging: Any) -> None:
    assert of(tmp_path, {"/things": operation})["things"].get("paging") == paging


def test_parameters_become_what_can_be_asked(tmp_path: Path) -> None:
    parameters = (
        query("id", type="array", items=NUMBER, maxItems=20), query("team"), query("since"), query("team_sha"),
    )  # fmt: skip
    found = of(tmp_path, {"/things": listing(thing(team=TEXT, team_sha=TEXT), *parameters)})["things"]
    assert found["keys"] == {"id": {"parameter": "id", "most": 20}, "team_sha": {"parameter": "team_sha"}}
    assert found["filters"] == {"team": "team", "team_sha": "team_sha"}


def test_a_path_below_a_row_is_a_collection_below_it(tmp_path: Path) -> None:
    paths = {
        "/shops": answering({**OBJECT, "properties": {"shops": {"type": "array", "items": thing()}, "total": NUMBER}}),
        "/shops/{shop_id}": answering({**OBJECT, "properties": {"data": thing()}}, place("shop_id", type="integer")),
        "/shops/{shop_id}/visits": listing(thing(shop_id=NUMBER, total=NUMBER), place("shop_id", type="integer")),
    }  # fmt: skip
    found = of(tmp_path, paths)
    assert found["shops"]["keys"] == {"id": {"path": "/shops/{id}", "rows": "data"}}
    assert (found["shops"]["rows"], found["shops.visits"]["path"]) == ("shops", "/shops/{given_shop_id}/visits")
    visit = (tmp_path / "resolvers" / "visit.py").read_text(encoding="utf-8")
    assert 'key=("given_shop_id", "id")' in visit
    assert '"shop": Relationship(to="Shop", local="given_shop_id", remote="id")' in visit
    assert (
        '"visits": Relationship(to="Visit", local="id", remote="given_shop_id")' in (tmp_path / "resolvers/shop.py").read_text()
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
    path = written(tmp_path, {"/things": listing(thing())}, securitySchemes={"one": scheme})
    told = introspected(str(path), tmp_path, "--allow", "sales")
    settings = [each for each in told.splitlines() if each.startswith("headers")]
    assert settings == [line] * bool(line)


def test_only_what_is_meant_is_read(tmp_path: Path) -> None:
    paths = {"/a": listing(thing()), "/b/c": listing(thing()), "/b/d": listing(thing())}
    assert set(of(tmp_path, paths, "--only", "/b/*", "--only", "!/b/d")) == {"b.c"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "neither JSON nor YAML"), ("[]", "no OpenAPI 3"), ('{"swagger": "2.0"}', "no OpenAPI 3"),
        ('{"openapi": "3.0.0"}', "has no `paths`"), ('{"openapi": "3.0.0", "paths": {}}', "no operation that reads"),
        ('{"openapi": "3.0.0", "paths": {"/a": {"$ref": "https://a.example/a"}}}', "refers to another file"),
        ('{"openapi": "3.0.0", "paths": {"/a": {"$ref": "file:///etc/passwd"}}}', "refers to another file"),
        (json.dumps({"openapi": "3.0.0", "paths": {"/a": listing(thing())}}), "where its API is"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "openapi.json").write_text(text, encoding="utf-8")
    told = run(str(tmp_path / "openapi.json"), tmp_path)
    assert (told.exit_code, complaint in told.output) == (2, True), told.output


def test_yaml_is_read_as_json_is(tmp_path: Path) -> None:
    (tmp_path / "openapi.yaml").write_text(
        "openapi: 3.0.0\nservers: [{url: 'https://api.example'}]\npaths:\n  /things:\n    get:\n      responses:\n"
        "        '200': {content: {application/json: {schema: {type: array, items: {type: string}}}}}\n",
        encoding="utf-8",
    )
    introspected(str(tmp_path / "openapi.yaml"), tmp_path, "--allow", "sales")
    assert declared(tmp_path)["things"]["path"] == "/things"


def test_again_it_says_what_changed_and_leaves_alone_what_was_edited(tmp_path: Path) -> None:
    of(tmp_path, {"/things": listing(thing(name=TEXT))})
    edited = tmp_path / "schema" / "thing.py"
    edited.write_text(edited.read_text(encoding="utf-8").replace("The name.", "What it is called."), encoding="utf-8")
    path = written(tmp_path, {"/things": listing(thing(name=TEXT, size=NUMBER), query("name"))})
    told = introspected(str(path), tmp_path)
    assert "+ column `things.size`" in told
    assert "~ settings of `things`" in told
    assert "left alone, edited by hand: schema/thing.py" in told
    assert "wrote schema/introspected/own.toml" in told
    assert declared(tmp_path)["things"]["filters"] == {"name": "name"}


def loaded(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@asynccontextmanager
async def opened(
    document: Path, folder: Path, *options: str, header: str
) -> AsyncIterator[tuple[QueryEngine, Described]]:
    """The house of a description, over a server that keeps to it."""
    server = Described(loaded(document), (header, "secret"))
    async with serving(server) as url:
        introspected(str(document), folder, "--allow", "engineering", "--base-url", url, *options)
        source = await connect(
            RestOptions(
                base_url=url, described=folder / "schema/introspected/own.toml", private_addresses=True,
                headers={header: "secret"},
            )
        )  # fmt: skip
        try:
            yield house(folder, source), server
        finally:
            await source.close()


async def test_githubs_own_description_answers(tmp_path: Path) -> None:
    async with opened(GITHUB, tmp_path, *ACME, header="authorization") as (desk, server):
        told = await asked(
            desk,
            """{ repo(id: "billing") { name deployments(first: 5, where: {environment: {eq: "environment 5"}}) {
            totalCount } runs { totalCount nodes { id approvals { nodes { state userLogin } } jobs { totalCount } } }
            deployments_: deployments { totalCount nodes { id sha statuses { totalCount nodes { state } } } } } }""",
            "engineering",
        )
        assert told["repo"]["runs"]["totalCount"] == 7
        assert told["repo"]["deployments_"]["totalCount"] == 7
        assert {each["statuses"]["totalCount"] for each in told["repo"]["deployments_"]["nodes"]} == {7}
        one = told["repo"]["deployments_"]["nodes"][3]
        again = await asked(desk, f'{{ deployment(id: "{one["id"]}") {{ sha repo {{ name }} }} }}', "engineering")
        assert again == {"deployment": {"sha": one["sha"], "repo": {"name": told["repo"]["name"]}}}
        assert [each for each in server.asked if "/deployments?" in each and "page=3" in each]


async def test_a_description_of_over_a_hundred_operations_answers(tmp_path: Path) -> None:
    async with opened(BLOCKFROST, tmp_path, header="project_id") as (desk, _):
        told = await asked(
            desk,
            """{ pools { totalCount } epoch(id: "412") { id blocks { nodes { value } } parameter { minFeeA } }
            assets(first: 2) { nodes { id asset quantity history { totalCount } } } }""",
            "engineering",
        )
        assert told["pools"]["totalCount"] == 7
        assert told["epoch"]["id"] == "412"
        assert len(told["epoch"]["blocks"]["nodes"]) == 7
        assert [each["history"]["totalCount"] for each in told["assets"]["nodes"]] == [7, 7]


@pytest.mark.parametrize(
    ("document", "options", "said"),
    [
        (GITHUB, ACME, "41 operations, 25 of them read and are meant: 19 collections"),
        (BLOCKFROST, (), "129 operations, 123 of them read and are meant: 115 collections"),
    ],
)
def test_it_says_how_much_of_a_description_it_took(
    tmp_path: Path, document: Path, options: tuple[str, ...], said: str
) -> None:
    told = introspected(str(document), tmp_path, *options, "--dry-run")
    assert told.splitlines()[0] == said


def test_what_the_demo_declares_of_github_is_what_github_says(tmp_path: Path) -> None:
    introspected(str(GITHUB), tmp_path, *ACME)
    theirs = {plain(each["path"]): each for each in declared(tmp_path).values()}
    for name, ours in tomllib.loads(COLLECTIONS.read_text(encoding="utf-8"))["collections"].items():
        if name in ("job_logs", "users"):  # of which it describes the redirect alone, or two paths apart
            continue
        said = theirs[plain(ours["path"])]
        assert ours.get("rows") == said.get("rows")
        assert ours.get("paging") == said.get("paging")
        assert ours.get("filters", {}).items() <= said.get("filters", {}).items()
        placed = set(parse_rest_collections({"one": ours})["one"].path_columns)
        for column, each in ours["columns"].items():
            assert column in (*placed, *OURS) or said["columns"][column] == each


def plain(path: str) -> str:
    """A path whatever its parts are called."""
    return "/".join("{}" if each.startswith("{") else each for each in path.split("/"))
