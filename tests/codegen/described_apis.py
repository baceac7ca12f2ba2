"""Write OpenAPI descriptions of a few operations, and read what `introspect` declares of them."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onedoor.connectors.rest.config import parse_rest_collections
from tests.codegen.generated_company import introspect

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
