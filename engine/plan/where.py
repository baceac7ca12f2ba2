"""A coerced `where` argument in, a filter over columns out; links become `Exists`, or keys carried across sources."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.binding import Binding, Link
from engine.constant import could
from engine.errors import Code, Fault, Refused
from engine.house import House
from engine.names import NoSuchId, can_of, columns_of, id_reader, leads_to, link_columns, members
from engine.plan.words import Carried, distinct
from engine.slots import converted
from engine.words import EVERY_ROW, All, Among, Exists, Kind, Not, Op, Some, Test

LOGIC = {"and": All, "or": Some}


def where(house: House, type_name: str, value: Mapping[str, Any] | None) -> Any:
    """All that is said must hold; raises Refused for a null or an empty operand, which would mean everything."""
    if value is None:
        return EVERY_ROW
    return All(tuple(_member(house, house.bindings[type_name], name, inner) for name, inner in value.items()))


def _member(house: House, binding: Binding, name: str, value: Any) -> Any:
    if value is None:
        raise _refused(f"`{name}` in a filter of `{binding.type}` is null: leave it out, or ask `isNull`")
    if name in LOGIC:
        return LOGIC[name](tuple(where(house, binding.type, each) for each in value))
    if name == "not":
        return Not(where(house, binding.type, value))
    if name in binding.links:
        return _linked(house, binding, name, value)
    return All(tuple(_test(house, binding, name, Op(op), operand) for op, operand in _said(binding, name, value)))


def _said(binding: Binding, name: str, value: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    if not value:
        raise _refused(f"the filter of `{binding.type}.{name}` says nothing, give an operator such as `eq`")
    for op, operand in value.items():
        if operand is None or (isinstance(operand, list) and any(each is None for each in operand)):
            raise _refused(f"`{op}` in the filter of `{binding.type}.{name}` is null: leave it out, or ask `isNull`")
    return list(value.items())


def _linked(house: House, binding: Binding, name: str, value: Mapping[str, Any]) -> Any:
    _, many = leads_to(house, binding.type, name)
    link = binding.links[name]
    if not many:
        return _some(house, binding, link, value, every=False)
    parts = []
    for quantifier, inner in _said(binding, name, value):
        exists = _some(house, binding, link, inner, every=quantifier == "every")
        parts.append(exists if quantifier == "some" else Not(exists))
    return All(tuple(parts))


def _some(house: House, binding: Binding, link: Link, value: Mapping[str, Any], *, every: bool) -> Any:
    """That some row meets the filter, or fails it: of an interface, a row of any of its types."""
    found = []
    for target in members(house, link.to):
        meets = where(house, target.type, value)
        meets = Not(meets) if every else meets
        if could(meets, target.constants, None) is not False:
            found.append(_exists(house, binding, link, target, meets))
    return found[0] if len(found) == 1 else Some(tuple(found))


def _exists(house: House, binding: Binding, link: Link, target: Binding, meets: Any) -> Any:
    """That the link leads to some row that meets the filter; across sources, by the keys of all such rows."""
    here, there = link_columns(link)
    if target.source == binding.source:
        return Exists(target.collection, here, there, meets)
    return Carried(here, distinct(target.source, target.collection, there, meets))


def sharing(where: Any, known: list[Carried]) -> Any:
    """The filter, its carried keys those that are known where they are the same; what is new becomes known."""
    match where:
        case All() | Some():
            return type(where)(tuple(sharing(each, known) for each in where.parts))
        case Not():
            return Not(sharing(where.part, known))
        case Carried():
            same = next((each for each in known if (each.here, each.wanted) == (where.here, where.wanted)), where)
            known.append(same)
            return same
        case _:
            return where


def _test(house: House, binding: Binding, field: str, op: Op, operand: Any) -> Any:
    columns = columns_of(binding, field)
    output: Any = house.schema.type_map[binding.type]
    if str(output.fields[field].type).rstrip("!") == "ID":
        return _id_test(house, binding, columns, op, operand)
    return Test(columns[0], op, as_tuple(op, operand))


def as_tuple(op: Op, operand: Any) -> Any:
    """The operand of a test; a list in a variable becomes a tuple when it is filled in."""
    return converted(operand, tuple) if op in (Op.IN, Op.NOT_IN) and not isinstance(operand, list) else operand


def _id_test(house: House, binding: Binding, columns: tuple[str, ...], op: Op, operand: Any) -> Any:
    """Ids are compared as key values; a text that can be no id equals no row."""
    can = can_of(house, binding)
    if len(columns) == 1 and can.columns[columns[0]].kind is Kind.TEXT:
        return Test(columns[0], op, as_tuple(op, operand))
    if op is Op.IS_NULL:
        return Test(columns[0], op, operand)
    if op in (Op.NE, Op.NOT_IN):
        opposite = _id_test(house, binding, columns, Op.EQ if op is Op.NE else Op.IN, operand)
        return All((Test(columns[0], Op.IS_NULL, False), Not(opposite)))
    reader = id_reader(can, columns)
    if op is Op.EQ:
        return All(tuple(Test(column, Op.IN, _part(operand, reader, at)) for at, column in enumerate(columns)))
    if isinstance(operand, list):
        return Some(tuple(_id_test(house, binding, columns, Op.EQ, each) for each in operand))
    return Among(columns, converted(operand, lambda texts: _known(reader, texts)))


def _part(operand: Any, reader: Any, at: int) -> Any:
    """One part of an id, as a tuple of one value, or of none if the text can be no id."""
    return converted(operand, lambda text: tuple(key[at] for key in _known(reader, (text,))))


def _known(reader: Any, texts: Sequence[str]) -> frozenset[tuple[Any, ...]]:
    """The key values of the texts that can be ids."""
    return frozenset(key for text in texts for key in _read(reader, text))


def _read(reader: Any, text: str) -> tuple[tuple[Any, ...], ...]:
    try:
        return (reader(text),)
    except NoSuchId:
        return ()


def _refused(message: str) -> Refused:
    return Refused(Fault(code=Code.BAD_USER_INPUT, message=message))
