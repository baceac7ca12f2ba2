"""Decide for every selected field whether a principal may see it; nothing is refused here, only denied."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from graphql import GraphQLArgument, GraphQLInputObjectType, GraphQLInputType, GraphQLSchema, get_named_type

from auth.policy import AccessPolicy, Decision, SchemaCoordinate, decide
from onedoor.model.names import get_row_type, list_concrete_types
from onedoor.query.selection import SelectedField

Decisions: TypeAlias = Mapping[int | tuple[int, str], Decision]
"""By number of the field; fields below a denied one have no decision, as they are never planned.

A field that leads to an interface also has one by its number and each concrete type: whether its rows may be read.
"""

LOGICAL_FIELDS = frozenset({"and", "or", "not"})


def authorize(
    schema: GraphQLSchema, policy: AccessPolicy, fields: Sequence[SelectedField], groups: frozenset[str]
) -> Decisions:
    """Decide each field: the denial of the first coordinate it names that is denied, else the decision of its own."""
    decisions: dict[int | tuple[int, str], Decision] = {}
    # INVARIANT: a field inside a connection is paired with the concrete types denied there, any other with None.
    pending: list[tuple[SelectedField, frozenset[str] | None]] = [(field, None) for field in fields]
    while pending:
        field, denied_in_connection = pending.pop()
        if field.name == "__typename":
            continue
        decisions[field.number] = decide_field(schema, policy, field, groups)
        if not decisions[field.number].allowed:
            continue
        if denied_in_connection is None:
            type_decisions = _decide_concrete_types(schema, policy, field, groups)
            decisions |= {(field.number, type): decision for type, decision in type_decisions.items()}
            denied_types = frozenset(type for type, decision in type_decisions.items() if not decision.allowed)
            is_connection = get_row_type(field.return_type) is not get_named_type(field.return_type)
        else:
            denied_types, is_connection = denied_in_connection, field.name == "edges"
        for type, children in field.children_by_type.items():
            if type not in denied_types:
                pending.extend((child, denied_types if is_connection else None) for child in children)
    return decisions


def decide_field(schema: GraphQLSchema, policy: AccessPolicy, field: SelectedField, groups: frozenset[str]) -> Decision:
    """Return the denial of a field, by itself or by a coordinate that its arguments name, or that it is allowed.

    To leave out only the denied argument would answer a wider query than was sent.
    """
    own_decision = decide(policy, (field.parent_type, field.name), groups)
    if not own_decision.allowed:
        return own_decision
    decisions = (decide(policy, coordinate, groups) for coordinate in _list_decided_coordinates(schema, policy, field))
    return next((decision for decision in decisions if not decision.allowed), own_decision)


def list_denied_coordinates(
    schema: GraphQLSchema, policy: AccessPolicy, field: SelectedField, groups: frozenset[str]
) -> Sequence[SchemaCoordinate]:
    """Return every denied coordinate that a field names, its own among them."""
    own: SchemaCoordinate = (field.parent_type, field.name)
    coordinates = dict.fromkeys([own, *_list_decided_coordinates(schema, policy, field)])
    return [coordinate for coordinate in coordinates if not decide(policy, coordinate, groups).allowed]


def list_argument_coordinates(schema: GraphQLSchema, field: SelectedField) -> Iterator[SchemaCoordinate]:
    """Yield the coordinates that a field's arguments name: the arguments, and input fields at any depth."""
    yield from ((field.parent_type, field.name, argument) for argument in field.arguments)
    yield from (coordinate for coordinate, _ in _walk_input_fields(schema, field))


def list_read_coordinates(
    schema: GraphQLSchema, policy: AccessPolicy, fields: Sequence[SelectedField], decisions: Decisions
) -> Iterator[SchemaCoordinate]:
    """Yield every coordinate that was allowed for a result of these fields, which its values may be made of.

    Whoever is allowed all of them could have asked for the same. Mutations themselves read nothing.
    """
    pending = list(fields)
    while pending:
        field = pending.pop()
        if field.number not in decisions or is_denied(field, decisions):
            continue
        pending.extend(child for children in field.children_by_type.values() for child in children)
        if schema.mutation_type is not None and field.parent_type == schema.mutation_type.name:
            continue
        yield field.parent_type, field.name
        yield from _list_decided_coordinates(schema, policy, field)
        names = _list_own_filtered_names(schema, policy, field)
        for type in list_concrete_types(schema, get_row_type(field.return_type)):
            if (type_decision := decisions.get((field.number, type))) is not None and type_decision.allowed:
                yield from _list_type_coordinates(type, names)


def is_denied(field: SelectedField, decisions: Decisions) -> bool:
    """Whether a field itself is denied."""
    return field.number in decisions and not decisions[field.number].allowed


def _decide_concrete_types(
    schema: GraphQLSchema, policy: AccessPolicy, field: SelectedField, groups: frozenset[str]
) -> Mapping[str, Decision]:
    """Decide for each concrete type of an interface whether its rows may be read, filtered and sorted as asked."""
    decisions, names = dict[str, Decision](), _list_own_filtered_names(schema, policy, field)
    for type in list_concrete_types(schema, get_row_type(field.return_type)):
        type_decisions = [decide(policy, coordinate, groups) for coordinate in _list_type_coordinates(type, names)]
        decisions[type] = next((decision for decision in type_decisions if not decision.allowed), type_decisions[0])
    return decisions


def _list_own_filtered_names(schema: GraphQLSchema, policy: AccessPolicy, field: SelectedField) -> Sequence[str]:
    """List the fields of its own rows that the arguments of a field filter and sort by."""
    row_type = get_row_type(field.return_type)
    underlying_fields = (
        policy.underlying_fields.get(coordinate) for coordinate, is_own in _walk_input_fields(schema, field) if is_own
    )
    return list(
        dict.fromkeys(
            underlying[1]
            for underlying in underlying_fields
            if underlying is not None and underlying[0] == row_type.name
        )
    )


def _list_type_coordinates(type: str, names: Sequence[str]) -> Sequence[SchemaCoordinate]:
    return [(type,), *((type, name) for name in names)]


def _list_decided_coordinates(
    schema: GraphQLSchema, policy: AccessPolicy, field: SelectedField
) -> Iterator[SchemaCoordinate]:
    """Yield the coordinates of the arguments and, through a relationship to an interface, of each concrete type.

    Which rows of the interface met a filter would show what type they are.
    """
    yield from list_argument_coordinates(schema, field)
    for coordinate, is_own in _walk_input_fields(schema, field):
        underlying = policy.underlying_fields.get(coordinate)
        if underlying is None:
            continue
        type_name, field_name = underlying[0], underlying[1]
        output: Any = schema.type_map[type_name]
        target = get_row_type(output.fields[field_name].type)
        yield from ((type,) for type in list_concrete_types(schema, target))
        if not is_own:
            yield from ((type, field_name) for type in list_concrete_types(schema, output))


def _walk_input_fields(schema: GraphQLSchema, field: SelectedField) -> Iterator[tuple[tuple[str, str], bool]]:
    """Yield each input field that is given, and whether it is of the rows of the field, not of related ones."""
    output: Any = schema.type_map[field.parent_type]
    arguments: Mapping[str, GraphQLArgument] = output.fields[field.name].args
    for name, value in field.arguments.items():
        yield from _walk_input_value(arguments[name].type, value, is_own=True)


def _walk_input_value(
    input_type: GraphQLInputType, value: Any, *, is_own: bool
) -> Iterator[tuple[tuple[str, str], bool]]:
    named = get_named_type(input_type)
    if not isinstance(named, GraphQLInputObjectType):
        return
    for item in value if isinstance(value, list) else (value,):
        for name, inner in (item or {}).items():
            yield (named.name, name), is_own
            yield from _walk_input_value(named.fields[name].type, inner, is_own=is_own and name in LOGICAL_FIELDS)
