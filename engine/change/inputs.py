"""A mutation of one row as declared in, what is wrong with its input out: found at the start, not by a request."""

from collections.abc import Iterator
from typing import Any

from graphql import get_named_type, is_leaf_type

from engine.binding import Binding
from engine.change.columns import id_columns
from engine.change.declared import Changes
from engine.change.stated import OPTIONS
from engine.change.words import Writes
from engine.house import House
from engine.names import ID, columns_of


def complaints(house: House, changes: Changes, promise: Writes | None) -> Iterator[str]:
    """`promise` is what is promised of the rows behind its type."""
    mutation, binding = house.schema.mutation_type, house.bindings[changes.type]
    if mutation is None or changes.field not in mutation.fields or promise is None:
        return
    given: Any = get_named_type(mutation.fields[changes.field].args["input"].type)
    known = {*promise.verbs.get(changes.verb, ()), *id_columns(binding)}
    for name in (each for each in given.fields if each not in (*OPTIONS, ID)):
        (column,) = columns_of(binding, name)
        if column not in known:
            yield f"`{given.name}.{name}`: the column `{column}` is not among those that may be changed"
        yield from _wider(house, binding, (given.name, name), column)


def _wider(house: House, binding: Binding, position: tuple[str, str], column: str) -> Iterator[str]:
    """What a field shows under another name is not set by more groups than may see it: errors tell of its values."""
    output: Any = house.schema.type_map[binding.type]
    asked = house.rules.requirements
    for name, field in output.fields.items():
        shows = is_leaf_type(get_named_type(field.type)) and columns_of(binding, name) == (column,)
        wanted = asked.get((binding.type, name), ()) if shows and name != position[1] else ()
        for each in wanted:
            if not any(mine <= each for mine in asked.get(position, ())):
                at = ".".join(position)
                yield f"`{at}` sets what `{binding.type}.{name}` shows to fewer, narrow it to {sorted(each)}"
