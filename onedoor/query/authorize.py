"""Picks and a caller's groups in, a verdict for every pick out; nothing is refused here, only withheld."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from graphql import GraphQLArgument, GraphQLInputObjectType, GraphQLInputType, GraphQLSchema, get_named_type

from auth.policy import AccessPolicy, Decision, SchemaCoordinate, decide
from onedoor.model.names import get_row_type, list_concrete_types
from onedoor.query.selection import SelectedField

Decisions: TypeAlias = Mapping[int | tuple[int, str], Decision]
"""By pick number; what lies below a withheld pick is not judged, as it is never planned.

Of a pick that leads to an interface, by its number and each concrete type too: whether rows of that may be asked.
"""

NO_GROUPS: frozenset[str] = frozenset()

LOGICAL_FIELDS = frozenset({"and", "or", "not"})


def authorize(
    schema: GraphQLSchema, policy: AccessPolicy, fields: Sequence[SelectedField], groups: frozenset[str]
) -> Decisions:
    """The verdict of each pick: that of the first position it touches and may not, else that of its field."""
    verdicts: dict[int | tuple[int, str], Decision] = {}
    # INVARIANT: of a pick inside a page, the last is what concrete types are shut on that page; of any other, None.
    waiting: list[tuple[SelectedField, frozenset[str] | None]] = [(pick, None) for pick in fields]
    while waiting:
        pick, page = waiting.pop()
        if pick.name == "__typename":
            continue
        verdicts[pick.number] = decide_field(schema, policy, pick, groups)
        if not verdicts[pick.number].allowed:
            continue
        rows = get_row_type(pick.return_type)
        of = {} if page is not None else _decide_concrete_types(schema, policy, pick, groups)
        verdicts |= {(pick.number, kind): verdict for kind, verdict in of.items()}
        shut = frozenset(kind for kind, each in of.items() if not each.allowed) if page is None else page
        inside = pick.name == "edges" if page is not None else rows is not get_named_type(pick.return_type)
        kept = (each for kind, below in pick.children_by_type.items() if kind not in shut for each in below)
        waiting.extend((each, shut if inside else None) for each in kept)
    return verdicts


def decide_field(schema: GraphQLSchema, policy: AccessPolicy, field: SelectedField, groups: frozenset[str]) -> Decision:
    """The denial that withholds a pick: its own, or that of a position its arguments name.

    Dropping only the argument would answer a wider question than was asked.
    """
    own = decide(policy, (field.parent_type, field.name), groups)
    if not own.allowed:
        return own
    named = (decide(policy, each, groups) for each in _list_decided_coordinates(schema, policy, field))
    return next((verdict for verdict in named if not verdict.allowed), own)


def _decide_concrete_types(
    schema: GraphQLSchema, policy: AccessPolicy, field: SelectedField, groups: frozenset[str]
) -> Mapping[str, Decision]:
    """For each concrete type of an interface, whether its rows may be asked what the pick asks of all."""
    rows, found = get_row_type(field.return_type), dict[str, Decision]()
    shown = (policy.underlying_fields.get(position) for position, mine in _walk_input_fields(schema, field) if mine)
    named = [each[1] for each in shown if each is not None and each[0] == rows.name]
    for kind in list_concrete_types(schema, rows):
        positions: list[SchemaCoordinate] = [(kind,), *((kind, name) for name in dict.fromkeys(named))]
        verdicts = [decide(policy, each, groups) for each in positions]
        found[kind] = next((each for each in verdicts if not each.allowed), verdicts[0])
    return found


def list_argument_coordinates(schema: GraphQLSchema, field: SelectedField) -> Iterator[SchemaCoordinate]:
    """Every position the pick's arguments touch: the arguments, and each input field at any depth."""
    yield from ((field.parent_type, field.name, name) for name in field.arguments)
    yield from (position for position, _ in _walk_input_fields(schema, field))


def _list_decided_coordinates(
    schema: GraphQLSchema, policy: AccessPolicy, field: SelectedField
) -> Iterator[SchemaCoordinate]:
    """Those, and through a link to an interface the same of each concrete type: which of them met it would show."""
    yield from list_argument_coordinates(schema, field)
    for position, mine in _walk_input_fields(schema, field):
        shown = policy.underlying_fields.get(position)
        if shown is None:
            continue
        of: Any = schema.type_map[shown[0]]
        yield from ((kind,) for kind in list_concrete_types(schema, get_row_type(of.fields[shown[1]].type)))
        if not mine:
            yield from ((kind, shown[1]) for kind in list_concrete_types(schema, of))


def _walk_input_fields(schema: GraphQLSchema, field: SelectedField) -> Iterator[tuple[tuple[str, str], bool]]:
    """Each field of an input that is named, and whether it is of the rows the pick leads to, not of linked ones."""
    arguments: Mapping[str, GraphQLArgument] = schema.type_map[field.parent_type].fields[field.name].args  # type: ignore[attr-defined]
    for name, value in field.arguments.items():
        yield from _walk_input_value(arguments[name].type, value, True)


def _walk_input_value(of: GraphQLInputType, value: Any, mine: bool) -> Iterator[tuple[tuple[str, str], bool]]:
    kind = get_named_type(of)
    if not isinstance(kind, GraphQLInputObjectType):
        return
    for each in value if isinstance(value, list) else (value,):
        for name, inner in (each or {}).items():
            yield (kind.name, name), mine
            yield from _walk_input_value(kind.fields[name].type, inner, mine and name in LOGICAL_FIELDS)


def is_denied(field: SelectedField, decisions: Decisions) -> bool:
    return field.number in decisions and not decisions[field.number].allowed
