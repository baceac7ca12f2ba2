"""What is kept of a run, as JSON: the wish, what was described, and the digests of what was written.

It lies in other people's repositories: its keys stay, whatever the fields are called.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    return json.dumps(_lean(_json(kept)), indent=1, ensure_ascii=False) + "\n"


def read(text: str, path: str) -> Kept:
    """Raises Mistake where it is not what was written."""
    try:
        found = json.loads(text)
        return Kept(
            wish=_wish(found["wish"]),
            tables=tuple(map(_table, found.get("tables", ()))),
            files=found.get("files", {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as reason:
        raise Mistake(f"`{path}` is not as it was written: take it back from version control") from reason


def _json(kept: Kept) -> dict[str, Any]:
    return {
        "wish": _wish_json(kept.wish),
        "tables": tuple(map(_table_json, kept.tables)),
        "files": dict(kept.files),
    }


def _wish_json(wish: Wish) -> dict[str, Any]:
    return {
        "source": wish.source,
        "allow": wish.allow,
        "owner": wish.owner,
        "tables": wish.tables,
        "keys": dict(wish.keys),
        "strip": wish.strip,
        "only": wish.only,
        "given": dict(wish.given),
        "base_url": wish.base_url,
        "headers": wish.headers,
    }


def _wish(found: Mapping[str, Any]) -> Wish:
    _known(found, "source allow owner tables keys strip only given base_url headers")
    return Wish(
        source=found["source"],
        allow=tuple(found.get("allow", ())),
        owner=found.get("owner", ""),
        tables=tuple(found.get("tables", ())),
        keys={name: tuple(each) for name, each in found.get("keys", {}).items()},
        strip=found.get("strip", ""),
        only=tuple(found.get("only", ())),
        given=found.get("given", {}),
        base_url=found.get("base_url", ""),
        headers=tuple(found.get("headers", ())),
    )


def _table_json(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "columns": tuple(map(_column_json, table.columns)),
        "key": table.key,
        "references": tuple(map(_reference_json, table.references)),
        "comment": table.comment,
        "view": table.view,
        "needs": table.needs,
        "declared": table.declared,
    }


def _table(found: Mapping[str, Any]) -> Table:
    _known(found, "name columns key references comment view needs declared")
    return Table(
        name=found["name"],
        columns=tuple(map(_column, found["columns"])),
        key=tuple(found.get("key", ())),
        references=tuple(map(_reference, found.get("references", ()))),
        comment=found.get("comment", ""),
        view=found.get("view", False),
        needs=tuple(found.get("needs", ())),
        declared=found.get("declared", ""),
    )


def _column_json(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "kind": str(column.kind),
        "nullable": column.nullable,
        "large": column.large,
        "comment": column.comment,
        "values": column.values,
        "enum": column.enum,
    }


def _column(found: Mapping[str, Any]) -> Column:
    _known(found, "name kind nullable large comment values enum")
    return Column(
        name=found["name"],
        kind=Kind(found["kind"]),
        nullable=found.get("nullable", False),
        large=found.get("large", False),
        comment=found.get("comment", ""),
        values=tuple(found.get("values", ())),
        enum=found.get("enum", ""),
    )


def _reference_json(reference: Reference) -> dict[str, Any]:
    return {"columns": reference.columns, "to": reference.to, "there": reference.there, "alone": reference.alone}


def _reference(found: Mapping[str, Any]) -> Reference:
    _known(found, "columns to there alone")
    return Reference(
        columns=tuple(found["columns"]),
        to=found["to"],
        there=tuple(found["there"]),
        alone=found.get("alone", False),
    )


def _known(found: Mapping[str, Any], keys: str) -> None:
    """Raises KeyError for a key that is not written here: a newer release may have."""
    for each in found:
        if each not in keys.split():
            raise KeyError(each)


def _lean(found: Any) -> Any:
    """Without what says nothing, so that the diff of a change is short."""
    match found:
        case dict():
            return {name: _lean(each) for name, each in found.items() if each not in ("", (), {}, False)}
        case tuple() | list():
            return [_lean(each) for each in found]
        case _:
            return found
