"""Schema, bindings and sources in, the first thing that does not fit out: found at the start, not by a request."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from graphql import get_named_type, is_leaf_type

from auth.mistake import Mistake
from engine.house import House
from engine.names import columns_of, link_columns
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
"""What the column of a scalar may hold; ids may be anything, all else is text."""


def fits(house: House) -> None:
    """Raises Mistake, naming the field and what would do."""
    for binding in house.bindings.values():
        for complaint in _misfits(house, binding):
            raise Mistake(complaint)


def _misfits(house: House, binding: Binding) -> Iterator[str]:
    if binding.source not in house.sources:
        name = binding.source
        yield f"`{binding.type}` is bound to the source `{name}`, which no setting names: add `[sources.{name}]`"
    try:
        can = house.sources[binding.source].can(binding.collection)
    except KeyError:
        yield f"`{binding.type}` is bound to `{binding.collection}`, which the source `{binding.source}` does not have"
        return
    yield from _keyless(binding, can)
    output: Any = house.schema.type_map[binding.type]
    for name, field in output.fields.items():
        if name in binding.links:
            yield from _unlinked(house, binding, can, name)
        elif name in binding.batches:
            yield from _unguarded(house, binding, name)
        elif is_leaf_type(get_named_type(field.type)):
            yield from _columnless(binding, can, name, get_named_type(field.type).name)
        else:
            yield f"`{binding.type}.{name}` leads to other rows, give its binding a link of that name"


def _keyless(binding: Binding, can: Can) -> Iterator[str]:
    for each in binding.key:
        if each not in can.columns:
            yield f"the key of `{binding.type}` names the column `{each}`, which `{binding.collection}` does not have"


def _columnless(binding: Binding, can: Can, field: str, scalar: str) -> Iterator[str]:
    for column in columns_of(binding, field):
        if column not in can.columns:
            near = get_close_matches(column, can.columns, 1)
            hint = f", did you mean `{near[0]}`" if near else ", say where it is in the binding's `columns`"
            yield f"`{binding.type}.{field}` has no column `{column}` in `{binding.collection}`{hint}"
        elif scalar in KINDS and can.columns[column].kind not in KINDS[scalar]:
            held = can.columns[column].kind
            yield f"`{binding.type}.{field}` is a `{scalar}`, but its column `{column}` holds {held}"


def _unlinked(house: House, binding: Binding, can: Can, name: str) -> Iterator[str]:
    link = binding.links[name]
    here, there = link_columns(link)
    target = house.bindings[link.to]
    far = house.sources[target.source].can(target.collection)
    for columns, of, known in ((here, binding, can), (there, target, far)):
        for each in columns:
            if each not in known.columns:
                yield f"the link `{binding.type}.{name}` names `{each}`, which `{of.collection}` does not have"
                return
    for one, other in zip(here, there, strict=True):
        if can.columns[one].kind is not far.columns[other].kind:
            yield f"the link `{binding.type}.{name}` compares `{one}` with `{other}`, which hold different kinds"


def _unguarded(house: House, binding: Binding, name: str) -> Iterator[str]:
    """A computed field shows what it is made of, so it must ask for all that those fields ask for."""
    own = house.rules.requirements[binding.type, name]
    for need in binding.batches[name].needs:
        for each in house.rules.requirements[binding.type, need]:
            if not any(mine <= each for mine in own):
                field = f"{binding.type}.{name}"
                yield f"`{field}` is made of `{need}` but open to more groups, narrow it to {sorted(each)}"
