"""A mutation of one row as it is declared in, the one step it comes to out: fields become columns."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson
from graphql import GraphQLNonNull, get_named_type

from engine.binding import Binding
from engine.change.declared import Before, Changes, Input, Saga, Step, Undo
from engine.change.words import Values
from engine.errors import Code, SourceFailed
from engine.house import House
from engine.names import ID, NoSuchId, can_of, columns_of, id_reader, part
from engine.words import Can, Kind


def saga(house: House, changes: Changes) -> Saga:
    """The one step is called as its mutation is."""
    binding = house.bindings[changes.type]
    step = Step(
        name=changes.field,
        source=binding.source,
        collection=binding.collection,
        verb=changes.verb,
        key=partial(_key, house, binding),
        values=partial(_values, house, binding),
        undo=Undo.OPPOSITE,
    )
    return Saga(field=changes.field, type=changes.type, steps=(step,))


def id_columns(binding: Binding) -> tuple[str, ...]:
    """What a row's id is written from."""
    return columns_of(binding, ID)


def _key(house: House, binding: Binding, given: Input, _: Before) -> Values:
    can = can_of(house, binding)
    found = {name: each for name, each in _columns(house, binding, given).items() if name in id_columns(binding)}
    if given.get(ID) is not None:
        found |= _parts(binding, can, given[ID])
    return {name: each for name, each in found.items() if name not in binding.constants}


def _parts(binding: Binding, can: Can, text: str) -> Values:
    columns = id_columns(binding)
    try:
        values = dict(zip(columns, id_reader(can, columns)(text), strict=True))
    except NoSuchId:
        raise SourceFailed(f"`id` is not of any `{binding.type}`", Code.NOT_FOUND) from None
    if any(values[name] != fixed for name, fixed in binding.constants.items() if name in values):
        raise SourceFailed(f"`id` is not of any `{binding.type}`", Code.NOT_FOUND)
    return values


def _values(house: House, binding: Binding, given: Input, _: Before) -> Values:
    taken = {*id_columns(binding), *binding.constants}
    return {name: each for name, each in _columns(house, binding, given).items() if name not in taken}


def _columns(house: House, binding: Binding, given: Input) -> Values:
    """By column, what was given by field, but for the id."""
    output: Any = house.schema.type_map[binding.type]
    columns = can_of(house, binding).columns
    found: dict[str, Any] = {}
    for name, each in given.items():
        if name == ID:
            continue
        _null(output.fields, name, each)
        (column,) = columns_of(binding, name)
        found[column] = _json(each) if _is_json(output.fields, name) else _stored(columns[column].kind, name, each)
    return found


def _null(fields: Mapping[str, Any], name: str, value: Any) -> None:
    if value is None and name in fields and isinstance(fields[name].type, GraphQLNonNull):
        raise SourceFailed(f"`{name}` cannot be null, leave it out to keep it as it is", Code.BAD_USER_INPUT)


def _is_json(fields: Mapping[str, Any], name: str) -> bool:
    return name in fields and get_named_type(fields[name].type).name == "JSON"


def _json(value: Any) -> str | None:
    """A column of JSON holds its text."""
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _stored(kind: Kind, name: str, value: Any) -> Any:
    """An id given as text is the key it spells; all else was coerced to what its column holds."""
    if not isinstance(value, str) or kind is Kind.TEXT:
        return value
    try:
        return part(kind, value)
    except NoSuchId:
        raise SourceFailed(f"`{name}` is not the id of anything", Code.BAD_USER_INPUT) from None
