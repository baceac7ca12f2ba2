"""Trim an API's description to the paths the tests use: `trim.py FILE PATTERN... > out.json`.

Examples are left out, of descriptions the first line is kept, and of the parts only those that the paths refer to.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

LEFT_OUT = frozenset(
    {"example", "examples", "externalDocs", "x-github", "x-codeSamples", "x-amazon-apigateway-integration"}
)
NAMES = frozenset({"properties", "schemas", "parameters", "responses", "headers", "paths", "patternProperties"})
"""What maps names that are nobody's words."""


def main(path: str, *patterns: str) -> None:
    whole = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    paths = {
        name: item for name, item in whole["paths"].items() if any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    trimmed: dict[str, Any] = {
        "openapi": whole["openapi"],
        "info": {name: whole["info"][name] for name in ("title", "version", "license") if name in whole["info"]},
        "servers": whole["servers"][:1],
        "paths": lean(paths),
        "components": {"securitySchemes": lean(whole["components"].get("securitySchemes", {}))},
    }
    wanted = list(references(trimmed["paths"]))
    while wanted:
        _, sort, name = wanted.pop().removeprefix("#/").split("/")
        part = trimmed["components"].setdefault(sort, {})
        if name not in part:
            part[name] = lean(whole["components"][sort][name])
            wanted += references(part[name])
    text = json.dumps(trimmed, ensure_ascii=False, sort_keys=False, separators=(",", ":"))
    print(re.sub(r'(?<=[}\]]),"(?=/|[a-zA-Z_-]+":\{)', ',\n"', text))


def lean(node: Any, named: bool = False) -> Any:
    """`named`: its own words are names that somebody gave."""
    match node:
        case dict():
            return {
                name: first_line(item)
                if name == "description" and isinstance(item, str)
                else lean(item, name in NAMES and not named)
                for name, item in node.items()
                if named or name not in LEFT_OUT
            }
        case list():
            return [lean(item) for item in node]
    return node


def first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for item in node.values():
            yield from references(item)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


if __name__ == "__main__":
    main(*sys.argv[1:])
