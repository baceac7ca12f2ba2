"""Described tables."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onedoor.errors import ConfigurationError
from onedoor.spi.capabilities import ColumnType


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedColumn:
    """One column a field can show. `values` are all it can hold, where that is declared; `enum` is their own name."""

    name: str
    kind: ColumnType
    nullable: bool
    large: bool = False
    """Whole numbers past 32 bits."""
    comment: str = ""
    values: tuple[str, ...] = ()
    enum: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedReference:
    """The row of the table `to` whose columns `there` equal our `columns`; `alone`: no two rows refer to the same."""

    columns: tuple[str, ...]
    to: str
    there: tuple[str, ...]
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedTable:
    """One kind of row; `name` is that of its collection. Without a `key` nothing is known to identify a row."""

    name: str
    columns: tuple[DescribedColumn, ...]
    key: tuple[str, ...] = ()
    references: tuple[DescribedReference, ...] = ()
    comment: str = ""
    view: bool = False
    needs: tuple[str, ...] = ()
    """Columns whose values every read must know, so that its rows are reached by links alone."""
    declared: str = ""
    """The collection as the settings of its source have it, where these say what a source has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiReadOptions:
    """How a description of an API is read: which of its operations, and what it does not say itself.

    `only` are tags and patterns of paths, `given` are constants for parameters of paths. `hosts` are those it may be
    read from and say that its API is at.
    """

    only: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    base_url: str = ""
    headers: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    private_addresses: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDescription:
    """Tables, the settings of the source that has them, and what there is to say of how they were found."""

    tables: tuple[DescribedTable, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CodegenOptions:
    """How the files are to be: their source, who may see its types, who answers for them.

    `tables` are patterns of the names that are wanted (none: all), `keys` says what identifies rows where the
    description does not, `strip` is left out where a table's name begins with it. The rest is of a description of an
    API, as in Reading.
    """

    source: str
    allow: tuple[str, ...] = ()
    owner: str = ""
    tables: tuple[str, ...] = ()
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    strip: str = ""
    only: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    base_url: str = ""
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedNames:
    """Names that are already somebody else's: of types, of root fields, of files."""

    types: frozenset[str] = frozenset()
    root_fields: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`files`: by path, the digest of the text that was last written there."""

    wish: CodegenOptions
    tables: tuple[DescribedTable, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def encode_manifest(manifest: Manifest) -> str:
    return json.dumps(_drop_empty(_json(manifest)), indent=1, ensure_ascii=False) + "\n"


def decode_manifest(text: str, path: str) -> Manifest:
    """Raises Mistake where it is not what was written."""
    try:
        found = json.loads(text)
        return Manifest(
            wish=_wish(found["wish"]),
            tables=tuple(map(_parse_table, found.get("tables", ()))),
            files=found.get("files", {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as reason:
        raise ConfigurationError(f"`{path}` is not as it was written: take it back from version control") from reason


def _json(kept: Manifest) -> dict[str, Any]:
    return {
        "wish": _wish_json(kept.wish),
        "tables": tuple(map(_table_json, kept.tables)),
        "files": dict(kept.files),
    }


def _wish_json(wish: CodegenOptions) -> dict[str, Any]:
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


def _wish(found: Mapping[str, Any]) -> CodegenOptions:
    _known(found, "source allow owner tables keys strip only given base_url headers")
    return CodegenOptions(
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


def _table_json(table: DescribedTable) -> dict[str, Any]:
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


def _parse_table(found: Mapping[str, Any]) -> DescribedTable:
    _known(found, "name columns key references comment view needs declared")
    return DescribedTable(
        name=found["name"],
        columns=tuple(map(_parse_column, found["columns"])),
        key=tuple(found.get("key", ())),
        references=tuple(map(_parse_reference, found.get("references", ()))),
        comment=found.get("comment", ""),
        view=found.get("view", False),
        needs=tuple(found.get("needs", ())),
        declared=found.get("declared", ""),
    )


def _column_json(column: DescribedColumn) -> dict[str, Any]:
    return {
        "name": column.name,
        "kind": str(column.kind),
        "nullable": column.nullable,
        "large": column.large,
        "comment": column.comment,
        "values": column.values,
        "enum": column.enum,
    }


def _parse_column(found: Mapping[str, Any]) -> DescribedColumn:
    _known(found, "name kind nullable large comment values enum")
    return DescribedColumn(
        name=found["name"],
        kind=ColumnType(found["kind"]),
        nullable=found.get("nullable", False),
        large=found.get("large", False),
        comment=found.get("comment", ""),
        values=tuple(found.get("values", ())),
        enum=found.get("enum", ""),
    )


def _reference_json(reference: DescribedReference) -> dict[str, Any]:
    return {"columns": reference.columns, "to": reference.to, "there": reference.there, "alone": reference.alone}


def _parse_reference(found: Mapping[str, Any]) -> DescribedReference:
    _known(found, "columns to there alone")
    return DescribedReference(
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


def _drop_empty(found: Any) -> Any:
    """Without what says nothing, so that the diff of a change is short."""
    match found:
        case dict():
            return {name: _drop_empty(each) for name, each in found.items() if each not in ("", (), {}, False)}
        case tuple() | list():
            return [_drop_empty(each) for each in found]
        case _:
            return found
