"""An API's description and patterns of paths in, what the tests ask of it out: `trim.py FILE PATTERN... > out.json`.

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
    paths = {name: each for name, each in whole["paths"].items() if any(fnmatchcase(name, one) for one in patterns)}
    kept: dict[str, Any] = {
        "openapi": whole["openapi"],
        "info": {name: whole["info"][name] for name in ("title", "version", "license") if name in whole["info"]},
        "servers": whole["servers"][:1],
        "paths": lean(paths),
        "components": {"securitySchemes": lean(whole["components"].get("securitySchemes", {}))},
    }
    wanted = list(references(kept["paths"]))
    while wanted:
        _, sort, name = wanted.pop().removeprefix("#/").split("/")
        part = kept["components"].setdefault(sort, {})
        if name not in part:
            part[name] = lean(whole["components"][sort][name])
            wanted += references(part[name])
    text = json.dumps(kept, ensure_ascii=False, sort_keys=False, separators=(",", ":"))
    print(re.sub(r'(?<=[}\]]),"(?=/|[a-zA-Z_-]+":\{)', ',\n"', text))


def lean(node: Any, named: bool = False) -> Any:
    """`named`: its own words are names that somebody gave."""
    match node:
        case dict():
            return {
                name: first_line(each)
                if name == "description" and isinstance(each, str)
                else lean(each, name in NAMES and not named)
                for name, each in node.items()
                if named or name not in LEFT_OUT
            }
        case list():
            return [lean(each) for each in node]
    return node


def first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


if __name__ == "__main__":
    main(*sys.argv[1:])
