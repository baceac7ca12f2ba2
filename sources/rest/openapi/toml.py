"""A collection as plain data in, its section of the settings out, as a person would write it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

BARE = re.compile(r"[A-Za-z0-9_-]+")


def section(name: str, declared: Mapping[str, Any]) -> str:
    """`[collections."repos.runs"]` and a line for each thing it says; columns, keys and filters a line each."""
    return "\n".join([f"[collections.{key(name)}]", *_lines(declared)]) + "\n"


def _lines(declared: Mapping[str, Any]) -> Iterator[str]:
    for name, value in declared.items():
        if name in ("columns", "keys", "filters"):
            yield from (f"{name}.{key(each)} = {written(one)}" for each, one in value.items())
        else:
            yield f"{name} = {written(value)}"


def key(name: str) -> str:
    return name if BARE.fullmatch(name) else text(name)


def written(value: Any) -> str:
    match value:
        case Mapping():
            parts = ", ".join(f"{key(name)} = {written(each)}" for name, each in value.items())
            return f"{{ {parts} }}" if parts else "{}"
        case bool():
            return "true" if value else "false"
        case str():
            return text(value)
        case _:
            return json.dumps(value)


def text(value: str) -> str:
    """JSON's text is one of TOML's, but for a letter that TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
