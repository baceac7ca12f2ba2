"""Declare the mutations that put, copy and delete the files of a store."""

from functools import partial

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.mapping import TypeMapping
from onedoor.model.names import ID_FIELD, NoSuchId, build_id_parser, format_id
from onedoor.mutations.declarations import (
    Compensation,
    InputFields,
    InputMapper,
    MutationDeclaration,
    RowMutation,
    Saga,
    Step,
    StepResults,
)
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import ChangeKind, RowValues

READ_FILE_ID = build_id_parser(
    Capabilities(columns={"store": Column(ColumnType.TEXT), "id": Column(ColumnType.TEXT)}), ("store", "id")
)

COPY_ORIGIN_COLUMN = "copy_of"
"""Takes the id of the file that a new one is a copy of."""

CONTENT_COLUMNS = {"text": "text", "base64": "content"}
"""By field of the input, the column of the store."""


def build_file_mutations(mapping: TypeMapping) -> tuple[MutationDeclaration, ...]:
    """Return `put<Type>`, `copy<Type>` and `delete<Type>`; the key of the mapping is (store, id)."""
    target = partial(_map_target, mapping)
    return (
        _build_file_saga(mapping, "put", ChangeKind.PUT, target, _map_content),
        _build_file_saga(mapping, "copy", ChangeKind.CREATE, target, partial(_map_copy_origin, mapping)),
        RowMutation(field=f"delete{mapping.type}", type=mapping.type, kind=ChangeKind.DELETE),
    )


def format_file_id(store: str, id: str | None) -> str | None:
    """Return the id of a file as clients know it."""
    return None if id is None else format_id((store, id))


def _build_file_saga(mapping: TypeMapping, verb: str, kind: ChangeKind, key: InputMapper, values: InputMapper) -> Saga:
    name = f"{verb}{mapping.type}"
    step = Step(
        name=name,
        source=mapping.source,
        collection=mapping.collection,
        kind=kind,
        key=key,
        values=values,
        compensation=Compensation.NONE,
    )
    return Saga(field=name, type=mapping.type, steps=(step,))


def _map_target(mapping: TypeMapping, fields: InputFields, _: StepResults) -> RowValues:
    """Name a file by its path, or by its id where it is there already."""
    named = [name for name in (ID_FIELD, "path") if fields.get(name) is not None]
    if len(named) != 1:
        raise ConnectorError("give one of `id` and `path`", ErrorCode.BAD_USER_INPUT)
    return {"path": fields["path"]} if named == ["path"] else {"id": _parse_own_id(mapping, ID_FIELD, fields[ID_FIELD])}


def _map_content(fields: InputFields, _: StepResults) -> RowValues:
    filled = [name for name in CONTENT_COLUMNS if fields.get(name) is not None]
    if len(filled) != 1:
        raise ConnectorError('give one of `text` and `base64`; of an empty file, `text: ""`', ErrorCode.BAD_USER_INPUT)
    return {CONTENT_COLUMNS[filled[0]]: fields[filled[0]], **_map_content_type(fields)}


def _map_content_type(fields: InputFields) -> RowValues:
    return {} if fields.get("contentType") is None else {"content_type": fields["contentType"]}


def _map_copy_origin(mapping: TypeMapping, fields: InputFields, _: StepResults) -> RowValues:
    return {COPY_ORIGIN_COLUMN: _parse_own_id(mapping, "copyOf", fields["copyOf"])}


def _parse_own_id(mapping: TypeMapping, field: str, id: str) -> str:
    """Return the id by which the store knows a file."""
    try:
        store, own = READ_FILE_ID(id)
    except NoSuchId:
        store, own = None, ""
    if store != mapping.constants["store"]:
        raise ConnectorError(f"no `{mapping.type}` has the id given as `{field}`", ErrorCode.NOT_FOUND)
    return str(own)
