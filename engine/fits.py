"""Schema, bindings and sources in, the first thing that does not fit out: found at the start, not by a request."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from typing import Any

from graphql import GraphQLInterfaceType, get_named_type, is_input_object_type, is_leaf_type

from auth.mistake import Mistake
from auth.rules import Requirement
from engine import entities
from engine.binding import Binding, Lookup
from engine.house import House
from engine.names import ID, can_of, columns_of, concrete, is_list, link_columns, members, rows_of
from engine.words import Can, Kind

KINDS: Mapping[str, frozenset[Kind]] = {
    "Int": frozenset({Kind.INTEGER}),
    "BigInt": frozenset({Kind.INTEGER}),
    "JSON": frozenset({Kind.TEXT}),
    "Float": frozenset({Kind.FLOAT}),
    "Decimal": frozenset({Kind.DECIMAL}),
    "Boolean": frozenset({Kind.BOOLEAN}),
    "Date": frozenset({Kind.DATE}),
    "DateTime": frozenset({Kind.TIME}),
}
"""What the column of a scalar may hold; an id's may hold anything."""
TEXTS = frozenset({Kind.TEXT})
"""And that of text, or of an enum."""
LISTS = frozenset({Kind.LIST})


def fits(house: House) -> None:
    """Raises Mistake, naming the field and what would do."""
    for rule in (_unknown, _misfits):
        for binding in house.bindings.values():
            for complaint in rule(house, binding):
                raise Mistake(complaint)
    for complaint in chain(_unbound(house), _unheard(house)):
        raise Mistake(complaint)


def acts(house: House) -> None:
    """Raises Mistake where a mutation does nothing, or something is done that no mutation asks for."""
    for complaint in _undone(house):
        raise Mistake(complaint)


def _unknown(house: House, binding: Binding) -> Iterator[str]:
    if binding.type not in house.schema.type_map:
        yield f"there is a binding of `{binding.type}`, but no such type in schema/"
    if binding.source not in house.sources:
        name = binding.source
        yield f"`{binding.type}` is bound to the source `{name}`, which no setting names: add `[sources.{name}]`"
    try:
        house.sources[binding.source].can(binding.collection)
    except KeyError:
        yield f"`{binding.type}` is bound to `{binding.collection}`, which the source `{binding.source}` does not have"


def _misfits(house: House, binding: Binding) -> Iterator[str]:
    can = can_of(house, binding)
    yield from _keyless(binding, can)
    output: Any = house.schema.type_map[binding.type]
    for name, field in output.fields.items():
        if name in binding.links:
            yield from _unlinked(house, binding, can, name)
        elif name in binding.batches:
            yield from _unguarded(house, binding, name)
        elif name in binding.lookups or field.args:
            yield from _unfound(house, binding, name, field)
        elif is_leaf_type(get_named_type(field.type)):
            yield from _columnless(binding, can, name, field.type)
        else:
            yield f"`{binding.type}.{name}` leads to other rows, give its binding a link of that name"


def _unbound(house: House) -> Iterator[str]:
    schema = house.schema
    for root in (each for each in (schema.query_type, schema.mutation_type, schema.subscription_type) if each):
        for name, field in root.fields.items():
            if name not in entities.FIELDS:
                yield from _unled(house, f"`{root.name}.{name}`", rows_of(field.type).name)


def _undone(house: House) -> Iterator[str]:
    """A mutation does something, and what is done has a mutation that its caller is judged by."""
    declared = house.schema.mutation_type.fields.keys() if house.schema.mutation_type else set[str]()
    for name in sorted(declared - house.actions.keys()):
        yield f"`Mutation.{name}` does nothing, give it an action in resolvers/"
    for name in sorted(house.actions.keys() - declared):
        yield f"there is an action `{name}`, but no such field of `Mutation` in schema/"


def _unheard(house: House) -> Iterator[str]:
    """What can be listened to is listened for, and what is listened for can be asked."""
    declared = house.schema.subscription_type.fields.keys() if house.schema.subscription_type else set[str]()
    for name in sorted(declared - house.feeds.keys()):
        yield f"`Subscription.{name}` listens for nothing, give it a feed in resolvers/"
    for name in sorted(house.feeds.keys() - declared):
        yield f"there is a feed `{name}`, but no such field of `Subscription` in schema/"


def _unled(house: House, what: str, to: str) -> Iterator[str]:
    """Of an interface, every concrete type must have a binding."""
    named = house.schema.type_map[to]
    for each in concrete(house.schema, named) or (to,):
        if each not in house.bindings:
            yield f"{what} leads to `{each}`, which has no binding: give it one in resolvers/"
    if isinstance(named, GraphQLInterfaceType):
        yield from _unalike(house, to)


def _unalike(house: House, to: str) -> Iterator[str]:
    """Rows of an interface are merged by columns: those of its fields, and a key that begins with what tells them
    apart."""
    known: dict[str, tuple[Kind, ...]] = {}
    told: set[str | None] = set()
    for each in members(house, to):
        told_by = each.constants.get(each.key[0])
        if told_by is None or told_by in told:
            yield f"the key of `{each.type}` begins with `{each.key[0]}`, which tells it from no other `{to}`"
        told.add(told_by)
        for name, kinds in _kinds(house, to, each).items():
            if known.setdefault(name, kinds) != kinds:
                yield f"`{each.type}.{name}` holds {', '.join(kinds)}, but other `{to}` rows {', '.join(known[name])}"
        columns = [column for name in _kinds(house, to, each) for column in columns_of(each, name) if name != ID]
        for column in (column for column in columns if columns.count(column) > 1 or column in each.key[1:]):
            yield f"two fields that `{each.type}` has as a `{to}` are the column `{column}`, give each its own"


def _kinds(house: House, to: str, binding: Binding) -> Mapping[str, tuple[Kind, ...]]:
    """What the columns of the interface's fields hold, links and computed ones aside."""
    output: Any = house.schema.type_map[to]
    columns = can_of(house, binding).columns
    names = (name for name in output.fields if name not in {*binding.links, *binding.batches, *binding.lookups})
    return {name: tuple(columns[each].kind for each in columns_of(binding, name)) for name in names}


def _keyless(binding: Binding, can: Can) -> Iterator[str]:
    for each in binding.key:
        if each not in can.columns:
            yield f"the key of `{binding.type}` names the column `{each}`, which `{binding.collection}` does not have"


def _columnless(binding: Binding, can: Can, field: str, returns: Any) -> Iterator[str]:
    for column in columns_of(binding, field):
        if column not in can.columns:
            near = get_close_matches(column, can.columns, 1)
            hint = f", did you mean `{near[0]}`" if near else ", say where it is in the binding's `columns`"
            yield f"`{binding.type}.{field}` has no column `{column}` in `{binding.collection}`{hint}"
        else:
            yield from _wrong_kind(f"`{binding.type}.{field}`", returns, column, can)


def _wrong_kind(what: str, of: Any, column: str, can: Can) -> Iterator[str]:
    """What is shown of a column, or compared with it, must be what the column holds; an id may be anything."""
    scalar, held = get_named_type(of).name, can.columns[column].kind
    many = is_list(of) and not is_input_object_type(get_named_type(of))
    if scalar != "ID" and held not in (LISTS if many else KINDS.get(scalar, TEXTS)):
        wanted = f"list of `{scalar}`" if is_list(of) else f"`{scalar}`"
        yield f"{what} is a {wanted}, but its column `{column}` holds {held}"


def _unlinked(house: House, binding: Binding, can: Can, name: str) -> Iterator[str]:
    link = binding.links[name]
    output: Any = house.schema.type_map[binding.type]
    shown = rows_of(output.fields[name].type).name
    if link.to != shown:
        yield f"the link `{binding.type}.{name}` leads to `{link.to}`, but its field to `{shown}`: name that"
    yield from _unled(house, f"the link `{binding.type}.{name}`", link.to)
    for target in members(house, link.to):
        yield from _unequal(house, binding, can, name, target)


def _unequal(house: House, binding: Binding, can: Can, name: str, target: Binding) -> Iterator[str]:
    here, there = link_columns(binding.links[name])
    far = can_of(house, target)
    if len(here) != len(there):
        yield f"the link `{binding.type}.{name}` compares {len(here)} columns with {len(there)}, give as many there"
    for columns, of, known in ((here, binding, can), (there, target, far)):
        for each in columns:
            if each in of.constants:
                yield f"the link `{binding.type}.{name}` names `{each}`, which is the same in all rows: leave it out"
            if each not in known.columns:
                yield f"the link `{binding.type}.{name}` names `{each}`, which `{of.collection}` does not have"
    for one, other in zip(here, there, strict=True):
        if can.columns[one].kind is not far.columns[other].kind:
            yield f"the link `{binding.type}.{name}` compares `{one}` with `{other}`, which hold different kinds"


def _unfound(house: House, binding: Binding, name: str, field: Any) -> Iterator[str]:
    """What a field that is looked up names must be there, and be of its kind."""
    named, lookup = f"{binding.type}.{name}", binding.lookups.get(name)
    if lookup is None:
        yield f"`{named}` takes arguments, give its binding a lookup of that name"
        return
    if lookup.source not in house.sources:
        yield f"the lookup `{named}` reads the source `{lookup.source}`: add `[sources.{lookup.source}]`"
    try:
        far = house.sources[lookup.source].can(lookup.collection)
    except KeyError:
        yield f"the lookup `{named}` reads `{lookup.collection}`, which the source `{lookup.source}` does not have"
        return
    yield from _uncompared(binding, can_of(house, binding), named, (lookup, far))
    yield from _wrong_kind(f"`{named}`", field.type, lookup.column, far)
    yield from _unmatched(named, lookup, far, field.args)
    yield from _opened(house, named, lookup, house.rules.requirements[binding.type, name])


def _uncompared(binding: Binding, can: Can, named: str, beside: tuple[Lookup, Can]) -> Iterator[str]:
    lookup, far = beside
    here, there = link_columns(lookup)
    if len(here) != len(there):
        yield f"the lookup `{named}` compares {len(here)} columns with {len(there)}, give as many there"
    own, theirs = (binding.collection, can), (lookup.collection, far)
    for column, (collection, known) in (
        *((each, own) for each in here),
        *((each, theirs) for each in (*there, lookup.column, *lookup.arguments.values())),
    ):
        if column not in known.columns:
            yield f"the lookup `{named}` names `{column}`, which `{collection}` does not have"
    for one, other in zip(here, there, strict=True):
        if can.columns[one].kind is not far.columns[other].kind:
            yield f"the lookup `{named}` compares `{one}` with `{other}`, which hold different kinds"


def _unmatched(named: str, lookup: Lookup, far: Can, arguments: Mapping[str, Any]) -> Iterator[str]:
    for argument in sorted(arguments.keys() ^ lookup.arguments.keys()):
        side = "its field does not take" if argument in lookup.arguments else "no column is compared with"
        yield f"the lookup `{named}` has the argument `{argument}`, which {side}"
    for argument, column in lookup.arguments.items():
        yield from _wrong_kind(f"`{named}({argument}:)`", arguments[argument].type, column, far)


def _opened(house: House, named: str, lookup: Lookup, own: Sequence[Requirement]) -> Iterator[str]:
    """A column that is shown elsewhere, too, is no more open here than there: a lookup is no way around a rule."""
    for other in house.bindings.values():
        if (other.source, other.collection) != (lookup.source, lookup.collection):
            continue
        output: Any = house.schema.type_map[other.type]
        for field in output.fields:
            if lookup.column in columns_of(other, field):
                for each in house.rules.requirements[other.type, field]:
                    if not any(mine <= each for mine in own):
                        shown = f"{other.type}.{field}"
                        yield f"`{named}` shows `{shown}` but is open to more groups, narrow it to {sorted(each)}"


def _unguarded(house: House, binding: Binding, name: str) -> Iterator[str]:
    """A computed field shows what it is made of, so it must ask for all that those fields ask for."""
    own = house.rules.requirements[binding.type, name]
    for need in binding.batches[name].needs:
        if (binding.type, need) not in house.rules.requirements:
            yield f"`{binding.type}.{name}` is made of `{need}`, which `{binding.type}` does not have"
        for each in house.rules.requirements[binding.type, need]:
            if not any(mine <= each for mine in own):
                field = f"{binding.type}.{name}"
                yield f"`{field}` is made of `{need}` but open to more groups, narrow it to {sorted(each)}"
