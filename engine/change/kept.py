"""Inputs, changes and rows in, the text the ledger keeps of them out; and back. Pure."""

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from engine.change.words import Change, Values, Verb
from engine.packed import packed, unpacked

OBJECT, LIST = "object", "list"


def text(value: Any) -> str:
    """One text per value: names are sorted, and it is ASCII, whatever a value holds."""
    return json.dumps(_packed(value), sort_keys=True, separators=(",", ":"))


def value(kept: str) -> Any:
    """What `text` was made of; lists are tuples."""
    return _unpacked(json.loads(kept))


def row_text(row: Values | None) -> str | None:
    """None stays None: there is no such row."""
    return None if row is None else text(row)


def row(kept: str | None) -> Values | None:
    return None if kept is None else value(kept)


def change_text(change: Change) -> str:
    """What the source was told, but for what stands beside it in the ledger."""
    return text({"key": change.key, "values": change.values, "version": change.version})


def change(kept: str, change_id: str, collection: str, verb: str) -> Change:
    told = value(kept)
    return Change(
        id=change_id,
        collection=collection,
        verb=Verb(verb),
        key=told["key"],
        values=told["values"],
        version=told["version"],
    )


def _packed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return [OBJECT, {str(name): _packed(each) for name, each in value.items()}]
    if isinstance(value, list | tuple):
        return [LIST, [_packed(each) for each in value]]
    return packed(value.value if isinstance(value, Enum) else value)


def _unpacked(kept: Any) -> Any:
    if not isinstance(kept, list):
        return kept
    kind, inner = kept
    if kind == OBJECT:
        return {name: _unpacked(each) for name, each in inner.items()}
    return tuple(map(_unpacked, inner)) if kind == LIST else unpacked(kept)
