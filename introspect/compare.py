"""What was described before and what is now in, what changed out: a line a change."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from introspect.words import Column, Reference, Table


def changes(before: Iterable[Table], now: Iterable[Table]) -> tuple[str, ...]:
    """`+` was added, `-` is gone, `~` is another; names as the database has them."""
    old, new = ({each.name: each for each in tables} for tables in (before, now))
    return (
        *(f"+ table `{name}`" for name in new if name not in old),
        *(f"- table `{name}`" for name in old if name not in new),
        *(line for name in new if name in old for line in _within(old[name], new[name])),
    )


def _within(old: Table, new: Table) -> Iterator[str]:
    yield from _of("column", new.name, columns(old), columns(new))
    yield from _of("reference", new.name, references(old), references(new))
    if old.key != new.key:
        yield f"~ key of `{new.name}`: {told(old.key)} to {told(new.key)}"
    if old.declared != new.declared:
        yield f"~ settings of `{new.name}`"
    if old.comment != new.comment:
        yield f"~ comment of `{new.name}`"


def _of(sort: str, table: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"+ {sort} `{table}.{each}`" for each in new if each not in old)
    yield from (f"- {sort} `{table}.{each}`" for each in old if each not in new)
    for each in new:
        if each in old and old[each] != new[each]:
            yield f"~ {sort} `{table}.{each}`: {_differing(old[each], new[each])}"


def columns(table: Table) -> Mapping[str, Column]:
    return {each.name: each for each in table.columns}


def references(table: Table) -> Mapping[str, Reference]:
    return {f"{', '.join(each.columns)} to {each.to}": each for each in table.references}


def _differing(old: Any, new: Any) -> str:
    """Each member that is another, before and after; comments are named alone, they are long."""
    found = [name for name in old.__slots__ if getattr(old, name) != getattr(new, name)]
    return ", ".join(
        name if name == "comment" else f"{name} {told(getattr(old, name))} to {told(getattr(new, name))}"
        for name in found
    )


def told(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case tuple():
            return "(" + ", ".join(map(str, value)) + ")" if value else "none"
        case _:
            return str(value) or "none"
