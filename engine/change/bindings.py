"""Bindings and the types that are changed in, the bindings of what is kept of that out: changes, and their values."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from engine.binding import Binding, Link
from engine.change.row_key import ROW, shown_by

SOURCE = "changes"
VALUES = ".values"
VALUES_ID = "values_id"
"""The column that names a row of values; the type's own columns may have an `id` among them."""


def with_history(bindings: Mapping[str, Binding], types: Iterable[str]) -> dict[str, Binding]:
    """All of them, and of each of these types, which are changed, those of its changes and their values."""
    changed = [bindings[each] for each in dict.fromkeys(types) if each in bindings]
    made = [one for each in changed for one in _made(each)]
    return {**bindings, **{each.type: _led(each) for each in changed}, **{each.type: each for each in made}}


def changed_types(bindings: Mapping[str, Binding]) -> tuple[str, ...]:
    """The types whose changes are kept, as `with_history` found them."""
    return tuple(each.collection for each in bindings.values() if each.source == SOURCE and each.key == ("id",))


def _led(of: Binding) -> Binding:
    here = shown_by(of)
    there = tuple(ROW + each for each in here)
    return replace(of, links={**of.links, "history": Link(to=f"{of.type}Change", here=here, there=there)})


def _made(of: Binding) -> Iterator[Binding]:
    values, there = f"{of.type}Values", shown_by(of)
    yield Binding(
        type=f"{of.type}Change",
        source=SOURCE,
        collection=of.type,
        links={
            f"{of.type[0].lower()}{of.type[1:]}": Link(to=of.type, here=tuple(ROW + c for c in there), there=there),
            "before": Link(to=values, here="before_id", there=VALUES_ID),
            "after": Link(to=values, here="after_id", there=VALUES_ID),
        },
    )
    columns = {name: column for name, column in of.columns.items() if name != "id"}
    yield Binding(type=values, source=SOURCE, collection=of.type + VALUES, key=(VALUES_ID,), columns=columns)
