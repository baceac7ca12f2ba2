"""The mutations that `introspect` offers of an API: declared, loaded where they are listed, and sent as declared."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.responses import Response

from onedoor.connectors.rest.connector import RestOptions, connect
from onedoor.spi.connector import ChangeKind, RowChange
from tests.codegen.described_apis import (
    NUMBER,
    TEXT,
    introspect_paths,
    list_operation,
    object_schema,
    operation_returning,
    path_parameter,
    write_description,
)
from tests.codegen.generated_company import introspect
from tests.companies import run_command
from tests.servers.rest import serve_app
from tests.servers.scripted import ScriptedServer

ID = path_parameter("id", type="integer")
PLACE = {"type": "object", "properties": {"city": TEXT}}
SHOP = object_schema(("id", "name"), name=TEXT, reference=TEXT, size=NUMBER, place=PLACE)
SHOP["properties"]["id"] = {**NUMBER, "readOnly": True}
READ = {"/shops": list_operation(SHOP), "/shops/{id}": operation_returning(SHOP, ID)}


def operation(body: Any = None, response: Any = None, *parameters: Any, media: str = "application/json") -> Any:
    content = {"content": {media: {"schema": response}}} if response else {}
    sent = {"requestBody": {"content": {media: {"schema": body}}}} if body else {}
    return {"parameters": list(parameters), **sent, "responses": {"200": {"description": "", **content}}}


def with_writes(path: str, **operations: Any) -> dict[str, Any]:
    return {**READ, path: {**READ.get(path, {}), **operations}}


@pytest.mark.parametrize(
    ("paths", "writes"),
    [
        pytest.param(
            with_writes("/shops", post=operation(SHOP, SHOP)),
            {"create": {"method": "POST", "path": "/shops", "id": "reference",
                        "columns": {"name": "name", "reference": "reference", "size": "size",
                                    "place_city": "place.city"}}},
            id="POST to the list, found again by a reference",
        ),
        pytest.param(
            with_writes("/shops", post=operation({"type": "object", "properties": {"shop": SHOP}},
                                                 {"type": "object", "properties": {"data": SHOP}})),
            {"create": {"method": "POST", "path": "/shops", "id": "reference", "rows": "data",
                        "columns": {"name": "shop.name", "reference": "shop.reference", "size": "shop.size",
                                    "place_city": "shop.place.city"}}},
            id="bodies and responses in envelopes",
        ),
        pytest.param(
            with_writes("/shops/{id}", patch=operation(object_schema((), name=TEXT), SHOP, ID)),
            {"update": {"method": "PATCH", "path": "/shops/{id}", "columns": {"id": "id", "name": "name"}}},
            id="PATCH of a row",
        ),
        pytest.param(
            with_writes("/shops/{id}", put=operation({"type": "object", "properties": {"name": TEXT}}, None, ID)),
            {"put": {"method": "PUT", "path": "/shops/{id}", "columns": {"name": "name"}, "answers": False}},
            id="PUT of a row, without a response",
        ),
        pytest.param(
            with_writes(
                "/shops/{id}",
                delete=operation(None, None, ID, {"name": "Accept", "in": "header", "required": True}),
            ),
            {"delete": {"method": "DELETE", "path": "/shops/{id}"}},
            id="DELETE of a row",
        ),
        pytest.param(
            with_writes("/shops/{id}", put=operation(
                {"type": "object", "required": ["kind", "name"],
                 "properties": {"name": TEXT, "kind": {"const": "shop"}}}, None,
                {"name": "Idempotency-Key", "in": "header", "required": True, "schema": TEXT})),
            {"put": {"method": "PUT", "path": "/shops/{id}", "columns": {"name": "name"}, "fixed": {"kind": "shop"},
                     "id_header": "idempotency-key", "answers": False}},
            id="what is fixed, and a header for the id of a change",
        ),
    ],
)  # fmt: skip
def test_operations_that_change_rows_are_declared(tmp_path: Path, paths: Any, writes: Any) -> None:
    assert introspect_paths(tmp_path, paths)["shops"]["writes"] == writes


@pytest.mark.parametrize(
    ("paths", "line"),
    [
        pytest.param(
            with_writes("/shops", post=operation({"type": "object", "properties": {"name": TEXT}})),
            "nothing says how its row is found again: declare `writes.create.id` by hand: POST /shops",
            id="nothing to find it again by",
        ),
        pytest.param(
            with_writes("/shops", post=operation(object_schema(("owner",), owner=TEXT))),
            "it asks for `owner`, which is no column: POST /shops",
            id="a value that no column has",
        ),
        pytest.param(
            with_writes("/shops", post=operation(SHOP, None, {"name": "From", "in": "header", "required": True})),
            "it asks for `From`, which is no column: POST /shops",
            id="a header of its own",
        ),
        pytest.param(
            with_writes("/shops", post=operation(SHOP, media="application/x-www-form-urlencoded")),
            "its body is no JSON: POST /shops",
            id="a form",
        ),
        pytest.param(
            with_writes("/shops/{id}/close", post=operation()),
            "it changes no row of a collection: POST /shops/{id}/close",
            id="an action",
        ),
    ],
)
def test_what_cannot_be_declared_is_named_with_its_reason(tmp_path: Path, paths: Any, line: str) -> None:
    output = introspect(str(write_description(tmp_path, paths)), tmp_path, "--allow", "sales")
    assert f"no mutation: left 1: {line}" in output.splitlines()
    assert not (tmp_path / "schema/introspected/own_mutations.py").exists()


async def test_a_declared_change_is_sent_as_the_description_wants_it(tmp_path: Path) -> None:
    body = {"type": "object", "properties": {"shop": SHOP}}
    introspect_paths(tmp_path, with_writes("/shops", post=operation(body, SHOP)))
    row = {"id": 7, "name": "Lyon", "reference": "c1", "size": None, "place": {"city": "Lyon"}}
    server = ScriptedServer(Response(orjson.dumps(row), 201))
    async with serve_app(server) as url:
        described = tmp_path / "schema/introspected/own.toml"
        source = await connect(RestOptions(base_url=url, described=described, private_addresses=True, writable=True))
        values = {"name": "Lyon", "place_city": "Lyon"}
        change = RowChange(id="c1", collection="shops", kind=ChangeKind.CREATE, key={}, values=values)
        (result,) = await source.apply((change,))
        await source.close()
    assert result.after is not None
    assert result.after["id"] == 7
    assert [(request.method, request.url.path) for request in server.requests] == [("POST", "/shops")]


def test_offered_mutations_take_part_where_they_are_listed(tmp_path: Path) -> None:
    writes = {
        "patch": operation({"type": "object", "properties": {"name": TEXT, "size": NUMBER}}, SHOP, ID),
        "delete": operation(None, None, ID),
    }
    paths = with_writes("/shops/{id}", **writes)
    paths["/shops"] = {**paths["/shops"], "post": operation(SHOP, SHOP)}
    folder = tmp_path / "company"
    run_command("new", str(folder), cwd=tmp_path)
    output = run_command(
        "introspect", str(write_description(tmp_path, paths)), "--source", "own", "--allow", "everyone", cwd=folder
    )
    with (folder / "onedoor.toml").open("a", encoding="utf-8") as settings:
        settings.write(output.partition("add to onedoor.toml:\n\n")[2])
    assert "createShop" not in run_command("sdl", cwd=folder)
    with (folder / "onedoor.toml").open("a", encoding="utf-8") as settings:
        settings.write("writable = true\n")
    for package, name in (("schema", "TYPES"), ("resolvers", "MUTATIONS")):
        text = f"from schema.introspected.own_mutations import {name}\n"
        assert text.strip() in output
        (folder / package / "changes.py").write_text(text, encoding="utf-8")
    run_command("check", cwd=folder)
    sdl = run_command("sdl", cwd=folder)
    assert all(f"{name}(" in sdl for name in ("createShop", "updateShop", "deleteShop"))
