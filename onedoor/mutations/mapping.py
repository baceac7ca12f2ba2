"""Map the input of a row mutation to the columns of its row and check at the start that each field has one."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import orjson
from graphql import GraphQLNonNull, get_named_type, is_leaf_type

from auth.policy import get_value_requirements
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Catalog
from onedoor.model.mapping import TypeMapping
from onedoor.model.names import (
    ID_FIELD,
    MalformedId,
    NoSuchId,
    build_id_parser,
    get_capabilities,
    get_value_type,
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
from onedoor.spi.capabilities import ColumnType, ValueType
from onedoor.spi.connector import RowValues, WriteCapabilities


def compile_row_mutation(catalog: Catalog, mutation: RowMutation) -> Saga:
    """Return a saga of one step, which is named as its mutation is."""
    mapping = catalog.mappings[mutation.type]
    step = Step(
        name=mutation.field,
        source=mapping.source,
        collection=mapping.collection,
        kind=mutation.kind,
        key=partial(_map_key, catalog, mapping),
        values=partial(_map_values, catalog, mapping),
        compensation=Compensation.INVERSE,
    )
    return Saga(field=mutation.field, type=mutation.type, steps=(step,))


def list_id_columns(mapping: TypeMapping) -> tuple[str, ...]:
    """Return the columns that a row's id consists of."""
    return map_field_to_columns(mapping, ID_FIELD)


def _map_key(catalog: Catalog, mapping: TypeMapping, fields: InputFields, _: StepResults) -> RowValues:
    id_columns = list_id_columns(mapping)
    key = {column: value for column, value in _map_columns(catalog, mapping, fields).items() if column in id_columns}
    if fields.get(ID_FIELD) is not None:
        key |= parse_row_id(catalog, mapping, fields[ID_FIELD])
    return {column: value for column, value in key.items() if column not in mapping.constants}


def parse_row_id(catalog: Catalog, mapping: TypeMapping, text: str) -> RowValues:
    """Return the columns that an id of the type consists of. Raises ConnectorError where no row can have it."""
    columns = list_id_columns(mapping)
    try:
        values = dict(zip(columns, build_id_parser(get_capabilities(catalog, mapping), columns)(text), strict=True))
    except MalformedId as error:
        raise ConnectorError(str(error), ErrorCode.BAD_USER_INPUT) from None
    except NoSuchId:
        raise ConnectorError(f"no `{mapping.type}` has this id", ErrorCode.NOT_FOUND) from None
    if any(values[column] != constant for column, constant in mapping.constants.items() if column in values):
        raise ConnectorError(f"no `{mapping.type}` has this id", ErrorCode.NOT_FOUND)
    return values


def _map_values(catalog: Catalog, mapping: TypeMapping, fields: InputFields, _: StepResults) -> RowValues:
    fixed = {*list_id_columns(mapping), *mapping.constants}
    return {column: value for column, value in _map_columns(catalog, mapping, fields).items() if column not in fixed}


def _map_columns(catalog: Catalog, mapping: TypeMapping, fields: InputFields) -> RowValues:
    """Return the values of all fields but `id`, by column."""
    output: Any = catalog.schema.type_map[mapping.type]
    columns = get_capabilities(catalog, mapping).columns
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name == ID_FIELD:
            continue
        _check_null(output.fields, name, value)
        (column,) = map_field_to_columns(mapping, name)
        values[column] = (
            _encode_json_column(value)
            if _is_json_field(output.fields, name)
            else _to_column_value(get_value_type(columns[column]), name, value)
        )
    return values


def _check_null(output_fields: Mapping[str, Any], name: str, value: Any) -> None:
    if value is None and name in output_fields and isinstance(output_fields[name].type, GraphQLNonNull):
        raise ConnectorError(f"`{name}` cannot be null, leave it out to keep it as it is", ErrorCode.BAD_USER_INPUT)


def _is_json_field(output_fields: Mapping[str, Any], name: str) -> bool:
    return name in output_fields and get_named_type(output_fields[name].type).name == "JSON"


def _encode_json_column(value: Any) -> str | None:
    """Return the text that a column of JSON holds."""
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _to_column_value(value_type: ValueType, name: str, value: Any) -> Any:
    """Parse a text that means more than its code points, or is an id; every other value has its column's type."""
    if not isinstance(value, str) or value_type is ColumnType.TEXT:
        return value
    try:
        return parse_id_part(value_type, value)
    except MalformedId as error:
        raise ConnectorError(str(error), ErrorCode.BAD_USER_INPUT) from None
    except NoSuchId:
        raise ConnectorError(f"no row can have the id given as `{name}`", ErrorCode.BAD_USER_INPUT) from None


def find_input_problems(
    catalog: Catalog, row_mutation: RowMutation, capabilities: WriteCapabilities | None
) -> Iterator[str]:
    """Yield a sentence for each input field that sets no settable column, or one that fewer people may see."""
    mutation, mapping = catalog.schema.mutation_type, catalog.mappings[row_mutation.type]
    if mutation is None or row_mutation.field not in mutation.fields or capabilities is None:
        return
    input_type: Any = get_named_type(mutation.fields[row_mutation.field].args["input"].type)
    settable = {*capabilities.settable_columns.get(row_mutation.kind, ()), *list_id_columns(mapping)}
    for name in input_type.fields:
        if name in (*OPTION_FIELDS, ID_FIELD):
            continue
        (column,) = map_field_to_columns(mapping, name)
        if column not in settable:
            yield f"`{input_type.name}.{name}`: the column `{column}` is not among those that may be changed"
        yield from _find_wider_fields(catalog, mapping, (input_type.name, name), column)


def _find_wider_fields(
    catalog: Catalog, mapping: TypeMapping, coordinate: tuple[str, str], column: str
) -> Iterator[str]:
    """Yield a sentence for each output field that shows the column to fewer groups than may set it by `coordinate`.

    Whoever sets a value learns about the one that it replaces from the errors.
    """
    output: Any = catalog.schema.type_map[mapping.type]
    requirements = catalog.policy.requirements
    allowed = requirements.get(coordinate, ())
    for name, field in output.fields.items():
        if name == coordinate[1] or not is_leaf_type(get_named_type(field.type)):
            continue
        if map_field_to_columns(mapping, name) != (column,):
            continue
        for groups in get_value_requirements(catalog.policy, (mapping.type, name)):
            if not any(input_groups <= groups for input_groups in allowed):
                place, shown = ".".join(coordinate), f"{mapping.type}.{name}"
                yield f"`{place}` sets what `{shown}` shows to fewer, narrow it to {sorted(groups)}"
