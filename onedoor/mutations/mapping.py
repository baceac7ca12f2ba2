"""Input fields -> columns; startup checks of inputs."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import orjson
from graphql import GraphQLNonNull, get_named_type, is_leaf_type

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Catalog
from onedoor.model.mapping import TypeMapping
from onedoor.model.names import (
    ID_FIELD,
    NoSuchId,
    build_id_parser,
    get_capabilities,
    map_field_to_columns,
    parse_id_part,
)
from onedoor.mutations.declarations import (
    OPTION_FIELDS,
    Compensation,
    InputFields,
    RowMutation,
    Saga,
    Step,
    StepResults,
)
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.connector import RowValues, WriteCapabilities


def compile_row_mutation(catalog: Catalog, mutation: RowMutation) -> Saga:
    """The one step is called as its mutation is."""
    binding = catalog.mappings[mutation.type]
    step = Step(
        name=mutation.field,
        source=binding.source,
        collection=binding.collection,
        kind=mutation.kind,
        key=partial(_map_key, catalog, binding),
        values=partial(_map_values, catalog, binding),
        compensation=Compensation.INVERSE,
    )
    return Saga(field=mutation.field, type=mutation.type, steps=(step,))


def list_id_columns(mapping: TypeMapping) -> tuple[str, ...]:
    """What a row's id is written from."""
    return map_field_to_columns(mapping, ID_FIELD)


def _map_key(house: Catalog, binding: TypeMapping, given: InputFields, _: StepResults) -> RowValues:
    can = get_capabilities(house, binding)
    found = {
        name: each for name, each in _map_columns(house, binding, given).items() if name in list_id_columns(binding)
    }
    if given.get(ID_FIELD) is not None:
        found |= _parse_row_id(binding, can, given[ID_FIELD])
    return {name: each for name, each in found.items() if name not in binding.constants}


def _parse_row_id(binding: TypeMapping, can: Capabilities, text: str) -> RowValues:
    columns = list_id_columns(binding)
    try:
        values = dict(zip(columns, build_id_parser(can, columns)(text), strict=True))
    except NoSuchId:
        raise ConnectorError(f"`id` is not of any `{binding.type}`", ErrorCode.NOT_FOUND) from None
    if any(values[name] != fixed for name, fixed in binding.constants.items() if name in values):
        raise ConnectorError(f"`id` is not of any `{binding.type}`", ErrorCode.NOT_FOUND)
    return values


def _map_values(house: Catalog, binding: TypeMapping, given: InputFields, _: StepResults) -> RowValues:
    taken = {*list_id_columns(binding), *binding.constants}
    return {name: each for name, each in _map_columns(house, binding, given).items() if name not in taken}


def _map_columns(house: Catalog, binding: TypeMapping, given: InputFields) -> RowValues:
    """By column, what was given by field, but for the id."""
    output: Any = house.schema.type_map[binding.type]
    columns = get_capabilities(house, binding).columns
    found: dict[str, Any] = {}
    for name, each in given.items():
        if name == ID_FIELD:
            continue
        _check_null(output.fields, name, each)
        (column,) = map_field_to_columns(binding, name)
        found[column] = (
            _encode_json_column(each)
            if _is_json_field(output.fields, name)
            else _to_column_value(columns[column].type, name, each)
        )
    return found


def _check_null(fields: Mapping[str, Any], name: str, value: Any) -> None:
    if value is None and name in fields and isinstance(fields[name].type, GraphQLNonNull):
        raise ConnectorError(f"`{name}` cannot be null, leave it out to keep it as it is", ErrorCode.BAD_USER_INPUT)


def _is_json_field(fields: Mapping[str, Any], name: str) -> bool:
    return name in fields and get_named_type(fields[name].type).name == "JSON"


def _encode_json_column(value: Any) -> str | None:
    """A column of JSON holds its text."""
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _to_column_value(kind: ColumnType, name: str, value: Any) -> Any:
    """An id given as text is the key it spells; all else was coerced to what its column holds."""
    if not isinstance(value, str) or kind is ColumnType.TEXT:
        return value
    try:
        return parse_id_part(kind, value)
    except NoSuchId:
        raise ConnectorError(f"`{name}` is not the id of anything", ErrorCode.BAD_USER_INPUT) from None


def find_input_problems(
    catalog: Catalog, row_mutation: RowMutation, capabilities: WriteCapabilities | None
) -> Iterator[str]:
    """`promise` is what is promised of the rows behind its type."""
    mutation, binding = catalog.schema.mutation_type, catalog.mappings[row_mutation.type]
    if mutation is None or row_mutation.field not in mutation.fields or capabilities is None:
        return
    given: Any = get_named_type(mutation.fields[row_mutation.field].args["input"].type)
    known = {*capabilities.settable_columns.get(row_mutation.kind, ()), *list_id_columns(binding)}
    for name in (each for each in given.fields if each not in (*OPTION_FIELDS, ID_FIELD)):
        (column,) = map_field_to_columns(binding, name)
        if column not in known:
            yield f"`{given.name}.{name}`: the column `{column}` is not among those that may be changed"
        yield from _find_wider_fields(catalog, binding, (given.name, name), column)


def _find_wider_fields(house: Catalog, binding: TypeMapping, position: tuple[str, str], column: str) -> Iterator[str]:
    """What a field shows under another name is not set by more groups than may see it: errors tell of its values."""
    output: Any = house.schema.type_map[binding.type]
    asked = house.policy.requirements
    for name, field in output.fields.items():
        shows = is_leaf_type(get_named_type(field.type)) and map_field_to_columns(binding, name) == (column,)
        wanted = asked.get((binding.type, name), ()) if shows and name != position[1] else ()
        for each in wanted:
            if not any(mine <= each for mine in asked.get(position, ())):
                at = ".".join(position)
                yield f"`{at}` sets what `{binding.type}.{name}` shows to fewer, narrow it to {sorted(each)}"
