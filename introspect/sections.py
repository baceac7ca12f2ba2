"""A source's settings in, its sections of the file as TOML out: a section for each part of a part, and no long line."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from introspect.text import WIDTH


def sections(name: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Lines. Tables of tables of tables, such as `collections`, get a section for each."""
    parts = {each: value for each, value in settings.items() if _is_deep(value)}
    yield f"[{name}]"
    yield from (line for each, value in settings.items() if each not in parts for line in _lines(each, value))
    for each, value in parts.items():
        for inner, told in value.items():
            yield ""
            yield from sections(f"{name}.{each}.{inner}", told)


def _is_deep(value: Any) -> bool:
    """A table of tables, one of which holds a table in turn."""
    tables = value.values() if isinstance(value, Mapping) else ()
    inner = [one for each in tables if isinstance(each, Mapping) for one in each.values()]
    return any(isinstance(each, Mapping) for each in inner)


def _lines(name: str, value: Any) -> Iterator[str]:
    line = f"{name} = {inline(value)}"
    if len(line) <= WIDTH or not isinstance(value, Mapping):
        yield line
        return
    for each, inner in value.items():
        yield from _lines(f"{name}.{each}", inner)


def inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {inline(each)}' for name, each in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inline, value))}]"
    return json.dumps(value, ensure_ascii=False)
