"""What a step gave, as text that is kept, and back: JSON, and beside it money, days and times."""

from collections.abc import Mapping
from typing import Any

import orjson

from engine.packed import packed, unpacked

ITEMS = "items"


def kept(value: Any) -> str:
    """TypeError for what is none of it: a step must give what can be told again."""
    try:
        return orjson.dumps(_into(value)).decode()
    except (KeyError, orjson.JSONEncodeError):
        raise TypeError(f"a step gives JSON, money, days and times, not `{type(value).__name__}`") from None


def told(text: str) -> Any:
    """Tuples come back as lists."""
    return _back(orjson.loads(text))


def _into(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_key(name): _into(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [ITEMS, [_into(each) for each in value]]
    return packed(value)


def _key(name: Any) -> str:
    if not isinstance(name, str):
        raise KeyError(name)
    return name


def _back(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _back(each) for name, each in value.items()}
    if isinstance(value, list) and value[0] == ITEMS:
        return [_back(each) for each in value[1]]
    return unpacked(value)
