"""Define what introspection describes, the options of a run, and the manifest of what was written."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from onedoor.errors import ConfigurationError
from onedoor.spi.capabilities import ColumnType


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedColumn:
    """A column that a field can show. `values` are all it can hold, if they are declared; `enum` is their name."""

    name: str
    kind: ColumnType
    nullable: bool
    large: bool = False
    """Whether it holds whole numbers past 32 bits."""
    comment: str = ""
    values: tuple[str, ...] = ()
    enum: str = ""
    items: ColumnType | None = None
    """What the values of a list are, any of which may be null; None: texts."""
    json: bool = False
    """Whether the text is JSON."""


class Withheld(StrEnum):
    """Why a column is written only if an option asks for it."""

    SECRET = "secret"
    """Its name is one of a secret; `--only table.column` asks for it."""
    BINARY = "binary"
    """It holds bytes; `--binary` asks for all such columns."""


@dataclass(frozen=True, slots=True)
class WithheldColumn:
    """What the report says of a column that is withheld."""

    declared_type: str
    reason: Withheld


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedReference:
    """The row of table `to` whose columns `there` equal our `columns`; `alone`: no two rows refer to the same one."""

    columns: tuple[str, ...]
    to: str
    there: tuple[str, ...]
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedInput:
    """A column that a change may set, or must."""

    column: str
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedWrite:
    """A change that a source offers of a table's rows; `kind` is that of `ChangeKind`."""

    kind: str
    inputs: tuple[DescribedInput, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedTable:
    """A table or a collection; `name` is its collection's. Without a `key` nothing is known to identify a row."""

    name: str
    columns: tuple[DescribedColumn, ...]
    key: tuple[str, ...] = ()
    references: tuple[DescribedReference, ...] = ()
    comment: str = ""
    view: bool = False
    needs: tuple[str, ...] = ()
    """Columns whose values every scan must give: its rows can be reached only through relationships."""
    declared: str = ""
    """The collection as the settings of its source declare it, if they do."""
    omitted: Mapping[str, str] = field(default_factory=dict)
    """The columns that no field can show: by name, their types."""
    withheld: Mapping[str, WithheldColumn] = field(default_factory=dict)
    """Those of `columns` that are written only if an option asks for them."""
    aside: str = ""
    """Why the table is written only if `--tables` names it."""
    writes: tuple[DescribedWrite, ...] = ()
    """The changes that the declared collection offers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiReadOptions:
    """How to read an API's description: which of its operations, and what it leaves out.

    `only` are tags and patterns of paths, `given` are constants for parameters of paths, `hosts` are the hosts that the
    description may be read from and may name.
    """

    only: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    base_url: str = ""
    headers: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    private_addresses: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDescription:
    """Tables, the settings of their source, and notes on how they were found."""

    tables: tuple[DescribedTable, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CodegenOptions:
    """How to write the files: for which source, who may see its types, who answers for them.

    `tables` are patterns of the names to write (none: all), `keys` says what identifies rows if the description does
    not, `strip` is a prefix to drop from the names of tables. `only` also names columns that look like secrets, as
    `table.column`; `binary` asks for columns of bytes. The rest is as in ApiReadOptions.
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
    binary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedNames:
    """Names of types, root fields and files that are already in use."""

    types: frozenset[str] = frozenset()
    root_fields: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a run wrote: its options, its tables and, by path, the digest of the text of each file."""

    wish: CodegenOptions
    tables: tuple[DescribedTable, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def encode_manifest(manifest: Manifest) -> str:
    return json.dumps(_drop_empty(_manifest_json(manifest)), indent=1, ensure_ascii=False) + "\n"


def decode_manifest(text: str, path: str) -> Manifest:
    """Read a manifest. Raises ConfigurationError if it is not one that was written."""
    try:
        stored = json.loads(text)
        return Manifest(
            wish=_parse_options(stored["wish"]),
            tables=tuple(map(_parse_table, stored.get("tables", ()))),
            files=stored.get("files", {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as reason:
        raise ConfigurationError(f"`{path}` is not as it was written: take it back from version control") from reason


def _manifest_json(manifest: Manifest) -> dict[str, Any]:
    return {
        "wish": _options_json(manifest.wish),
        "tables": tuple(map(_table_json, manifest.tables)),
        "files": dict(manifest.files),
    }


def _options_json(options: CodegenOptions) -> dict[str, Any]:
    return {
        "source": options.source,
        "allow": options.allow,
        "owner": options.owner,
        "tables": options.tables,
        "keys": dict(options.keys),
        "strip": options.strip,
        "only": options.only,
        "given": dict(options.given),
        "base_url": options.base_url,
        "headers": options.headers,
        "binary": options.binary,
    }


def _parse_options(stored: Mapping[str, Any]) -> CodegenOptions:
    _require_known_keys(stored, "source allow owner tables keys strip only given base_url headers binary")
    return CodegenOptions(
        source=stored["source"],
        allow=tuple(stored.get("allow", ())),
        owner=stored.get("owner", ""),
        tables=tuple(stored.get("tables", ())),
        keys={name: tuple(columns) for name, columns in stored.get("keys", {}).items()},
        strip=stored.get("strip", ""),
        only=tuple(stored.get("only", ())),
        given=stored.get("given", {}),
        base_url=stored.get("base_url", ""),
        headers=tuple(stored.get("headers", ())),
        binary=stored.get("binary", False),
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
        "writes": tuple(map(_write_json, table.writes)),
    }


def _parse_table(stored: Mapping[str, Any]) -> DescribedTable:
    _require_known_keys(stored, "name columns key references comment view needs declared writes")
    return DescribedTable(
        name=stored["name"],
        columns=tuple(map(_parse_column, stored["columns"])),
        key=tuple(stored.get("key", ())),
        references=tuple(map(_parse_reference, stored.get("references", ()))),
        comment=stored.get("comment", ""),
        view=stored.get("view", False),
        needs=tuple(stored.get("needs", ())),
        declared=stored.get("declared", ""),
        writes=tuple(map(_parse_write, stored.get("writes", ()))),
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
        "items": column.items or "",
        "json": column.json,
    }


def _parse_column(stored: Mapping[str, Any]) -> DescribedColumn:
    _require_known_keys(stored, "name kind nullable large comment values enum items json")
    return DescribedColumn(
        name=stored["name"],
        kind=ColumnType(stored["kind"]),
        nullable=stored.get("nullable", False),
        large=stored.get("large", False),
        comment=stored.get("comment", ""),
        values=tuple(stored.get("values", ())),
        enum=stored.get("enum", ""),
        items=ColumnType(stored["items"]) if "items" in stored else None,
        json=stored.get("json", False),
    )


def _reference_json(reference: DescribedReference) -> dict[str, Any]:
    return {"columns": reference.columns, "to": reference.to, "there": reference.there, "alone": reference.alone}


def _parse_reference(stored: Mapping[str, Any]) -> DescribedReference:
    _require_known_keys(stored, "columns to there alone")
    return DescribedReference(
        columns=tuple(stored["columns"]),
        to=stored["to"],
        there=tuple(stored["there"]),
        alone=stored.get("alone", False),
    )


def _write_json(write: DescribedWrite) -> dict[str, Any]:
    inputs = tuple({"column": entry.column, "required": entry.required} for entry in write.inputs)
    return {"kind": write.kind, "inputs": inputs, "comment": write.comment}


def _parse_write(stored: Mapping[str, Any]) -> DescribedWrite:
    _require_known_keys(stored, "kind inputs comment")
    return DescribedWrite(
        kind=stored["kind"],
        inputs=tuple(
            DescribedInput(column=entry["column"], required=entry.get("required", False))
            for entry in stored.get("inputs", ())
        ),
        comment=stored.get("comment", ""),
    )


def _require_known_keys(stored: Mapping[str, Any], keys: str) -> None:
    """Raise KeyError for a key that this release does not write: a newer one may."""
    for key in stored:
        if key not in keys.split():
            raise KeyError(key)


def _drop_empty(value: Any) -> Any:
    """Drop empty members, so that the diff of a change is short."""
    match value:
        case dict():
            return {name: _drop_empty(member) for name, member in value.items() if member not in ("", (), {}, False)}
        case tuple() | list():
            return [_drop_empty(member) for member in value]
        case _:
            return value
