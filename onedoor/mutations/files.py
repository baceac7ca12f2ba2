"""The binding of a store's files in, how one is put, copied and deleted out. Pure, as all that is declared."""

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

CONTENT_COLUMNS = {"text": "text", "base64": "content"}
"""What is to be in a file, as its input has it and as its store is told."""


def build_file_mutations(mapping: TypeMapping) -> tuple[MutationDeclaration, ...]:
    return (
        _build_file_saga(mapping, "put", ChangeKind.PUT, (partial(_map_target, mapping), _map_content)),
        _build_file_saga(
            mapping, "copy", ChangeKind.CREATE, (partial(_map_target, mapping), partial(_map_copy_origin, mapping))
        ),
        RowMutation(field=f"delete{mapping.type}", type=mapping.type, kind=ChangeKind.DELETE),
    )


def format_file_id(store: str, id: str | None) -> str | None:
    """As clients know it."""
    return None if id is None else format_id((store, id))


def _build_file_saga(binding: TypeMapping, word: str, verb: ChangeKind, told: tuple[InputMapper, InputMapper]) -> Saga:
    key, values = told
    name = f"{word}{binding.type}"
    step = Step(
        name=name,
        source=binding.source,
        collection=binding.collection,
        kind=verb,
        key=key,
        values=values,
        compensation=Compensation.NONE,
    )
    return Saga(field=name, type=binding.type, steps=(step,))


def _map_target(binding: TypeMapping, given: InputFields, _: StepResults) -> RowValues:
    """By its path; what is there already may be named by its id, where the input has one."""
    named = [each for each in (ID_FIELD, "path") if given.get(each) is not None]
    if len(named) != 1:
        raise ConnectorError("give one of `id` and `path`", ErrorCode.BAD_USER_INPUT)
    return {"path": given["path"]} if named == ["path"] else {"id": _parse_own_id(binding, ID_FIELD, given[ID_FIELD])}


def _map_content(given: InputFields, _: StepResults) -> RowValues:
    filled = [each for each in CONTENT_COLUMNS if given.get(each) is not None]
    if len(filled) != 1:
        raise ConnectorError('give one of `text` and `base64`; of an empty file, `text: ""`', ErrorCode.BAD_USER_INPUT)
    return {CONTENT_COLUMNS[filled[0]]: given[filled[0]], **_map_content_type(given)}


def _map_content_type(given: InputFields) -> RowValues:
    return {} if given.get("contentType") is None else {"content_type": given["contentType"]}


def _map_copy_origin(binding: TypeMapping, given: InputFields, _: StepResults) -> RowValues:
    return {"copy_of": _parse_own_id(binding, "copyOf", given["copyOf"])}


def _parse_own_id(binding: TypeMapping, field: str, id: str) -> str:
    """What the store itself knows a file by."""
    try:
        store, own = READ_FILE_ID(id)
    except NoSuchId:
        store, own = None, ""
    if store != binding.constants["store"]:
        raise ConnectorError(f"`{field}` is not of any `{binding.type}`", ErrorCode.NOT_FOUND)
    return str(own)
