"""What is kept of a run, as JSON: the wish, what was described, and the digests of what was written."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from auth.mistake import Mistake
from engine.words import Kind
from introspect.words import Column, Reference, Table, Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """`files`: by path, the digest of the text that was last written there."""

    wish: Wish
    tables: tuple[Table, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def written(kept: Kept) -> str:
    return json.dumps(_lean(asdict(kept)), indent=1, ensure_ascii=False) + "\n"


def read(text: str, path: str) -> Kept:
    """Raises Mistake where it is not what was written."""
    try:
        found = json.loads(text)
        wish = found["wish"]
        listed = {name: tuple(wish.get(name, ())) for name in ("allow", "tables", "only", "headers")}
        keys = {name: tuple(each) for name, each in wish.get("keys", {}).items()}
        return Kept(
            wish=Wish(**{**wish, **listed, "keys": keys}),
            tables=tuple(map(_table, found.get("tables", ()))),
            files=found.get("files", {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as reason:
        raise Mistake(f"`{path}` is not as it was written: take it back from version control") from reason


def _table(found: Mapping[str, Any]) -> Table:
    return Table(
        **{
            **found,
            "key": tuple(found.get("key", ())),
            "columns": tuple(map(_column, found["columns"])),
            "references": tuple(map(_reference, found.get("references", ()))),
            "needs": tuple(found.get("needs", ())),
        }
    )


def _column(found: Mapping[str, Any]) -> Column:
    return Column(**{"nullable": False, **found, "kind": Kind(found["kind"]), "values": tuple(found.get("values", ()))})


def _reference(found: Mapping[str, Any]) -> Reference:
    return Reference(**{**found, "columns": tuple(found["columns"]), "there": tuple(found["there"])})


def _lean(found: Any) -> Any:
    """Without what says nothing, so that the diff of a change is short."""
    match found:
        case dict():
            return {name: _lean(each) for name, each in found.items() if each not in ("", (), {}, False)}
        case tuple() | list():
            return [_lean(each) for each in found]
        case _:
            return found
