"""Schema, bindings and sources in, the first thing that does not fit out: found at the start, not by a request."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from graphql import get_named_type, is_leaf_type

from auth.mistake import Mistake
from engine import entities
from engine.house import House
from engine.names import can_of, columns_of, is_list, link_columns
from engine.words import Binding, Can, Kind

KINDS: Mapping[str, frozenset[Kind]] = {
    "Int": frozenset({Kind.INTEGER}),
    "BigInt": frozenset({Kind.INTEGER}),
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
    for complaint in _unbound(house):
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
        elif is_leaf_type(get_named_type(field.type)):
            yield from _columnless(binding, can, name, field.type)
        else:
            yield f"`{binding.type}.{name}` leads to other rows, give its binding a link of that name"


def _unbound(house: House) -> Iterator[str]:
    assert house.schema.query_type is not None
    for name, field in house.schema.query_type.fields.items():
        if name not in entities.FIELDS and _rows_of(field) not in house.bindings:
            yield f"`Query.{name}` leads to `{_rows_of(field)}`, which has no binding: give it one in resolvers/"


def _rows_of(field: Any) -> str:
    """The type of the rows a field leads to, through a page or not."""
    of: Any = get_named_type(field.type)
    rows = get_named_type(of.fields["nodes"].type) if "nodes" in of.fields else of
    return str(rows.name)


def _keyless(binding: Binding, can: Can) -> Iterator[str]:
    for each in binding.key:
        if each not in can.columns:
            yield f"the key of `{binding.type}` names the column `{each}`, which `{binding.collection}` does not have"


def _columnless(binding: Binding, can: Can, field: str, returns: Any) -> Iterator[str]:
    scalar = get_named_type(returns).name
    for column in columns_of(binding, field):
        if column not in can.columns:
            near = get_close_matches(column, can.columns, 1)
            hint = f", did you mean `{near[0]}`" if near else ", say where it is in the binding's `columns`"
            yield f"`{binding.type}.{field}` has no column `{column}` in `{binding.collection}`{hint}"
        elif scalar != "ID" and can.columns[column].kind not in (
            LISTS if is_list(returns) else KINDS.get(scalar, TEXTS)
        ):
            held = can.columns[column].kind
            wanted = f"list of `{scalar}`" if is_list(returns) else f"`{scalar}`"
            yield f"`{binding.type}.{field}` is a {wanted}, but its column `{column}` holds {held}"


def _unlinked(house: House, binding: Binding, can: Can, name: str) -> Iterator[str]:
    link = binding.links[name]
    output: Any = house.schema.type_map[binding.type]
    shown = _rows_of(output.fields[name])
    if link.to != shown:
        yield f"the link `{binding.type}.{name}` leads to `{link.to}`, but its field to `{shown}`: name that"
    if link.to not in house.bindings:
        yield f"the link `{binding.type}.{name}` leads to `{link.to}`, which has no binding: give it one in resolvers/"
    yield from _unequal(house, binding, can, name)


def _unequal(house: House, binding: Binding, can: Can, name: str) -> Iterator[str]:
    here, there = link_columns(binding.links[name])
    target = house.bindings[binding.links[name].to]
    far = can_of(house, target)
    if len(here) != len(there):
        yield f"the link `{binding.type}.{name}` compares {len(here)} columns with {len(there)}, give as many there"
    for columns, of, known in ((here, binding, can), (there, target, far)):
        for each in columns:
            if each not in known.columns:
                yield f"the link `{binding.type}.{name}` names `{each}`, which `{of.collection}` does not have"
    for one, other in zip(here, there, strict=True):
        if can.columns[one].kind is not far.columns[other].kind:
            yield f"the link `{binding.type}.{name}` compares `{one}` with `{other}`, which hold different kinds"


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
