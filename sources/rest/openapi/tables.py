"""Collections in, tables out: with the references that their paths make, and with how each stands in the settings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from introspect.words import Column, Reference, Table
from sources.rest.openapi.collections import Found, renamed
from sources.rest.openapi.columns import plain
from sources.rest.openapi.toml import section


def tables(found: Sequence[Found]) -> tuple[Table, ...]:
    rows = {each.item: each for each in found if each.item}
    lists = {each.shape: each for each in found if not each.single}
    return tuple(_table(each, rows, lists) for each in found)


def _table(of: Found, rows: Mapping[tuple[str, ...], Found], lists: Mapping[tuple[str, ...], Found]) -> Table:
    given = tuple(each.column for each in of.given)
    key = (*(each.name for each in given), *((of.key,) if of.key else ()))
    return Table(
        name=of.name,
        columns=(*given, *(each.column for each in of.shown)),
        key=key if of.key or of.single else (),
        references=tuple(_references(of, rows, lists)),
        comment=plain(of.comment),
        needs=tuple(each.name for each in given),
        declared=section(of.name, declared(of)),
    )


def _references(
    of: Found, rows: Mapping[tuple[str, ...], Found], lists: Mapping[tuple[str, ...], Found]
) -> Iterator[Reference]:
    """To the row that the longest part of the path is the path of."""
    for end in range(len(of.shape) - 1, 0, -1):
        part = of.shape[:end]
        if part[-1] != "" or part == of.item:
            continue
        to = rows.get(part) or lists.get(part[:-1])
        columns = tuple(each.column.name for each in of.given)[: part.count("")]
        if to is None or to is of:
            continue
        there = (*(each.column.name for each in to.given), *((to.key,) if to.key else ()))
        if len(there) == len(columns) and _alike(of, columns, to, there):
            yield Reference(columns=columns, to=to.name, there=there)
            return


def _alike(of: Found, columns: Sequence[str], to: Found, there: Sequence[str]) -> bool:
    ours, theirs = _kinds(of), _kinds(to)
    return all(ours[one] is theirs[other] for one, other in zip(columns, there, strict=True))


def _kinds(of: Found) -> dict[str, Any]:
    columns: list[Column] = [*(each.column for each in of.given), *(each.column for each in of.shown)]
    return {each.name: each.kind for each in columns}


def declared(of: Found) -> dict[str, Any]:
    """The collection as `[sources.<name>.collections.<collection>]` has it."""
    found: dict[str, Any] = {"path": renamed(of.of.path, of.given)}
    if of.rows:
        found["rows"] = of.rows
    if of.single:
        found["single"] = True
    if of.of.text:
        found["text"] = True
    columns: dict[str, Any] = {each.column.name: str(each.column.kind) for each in of.given}
    for each in of.shown:
        kind = str(each.column.kind)
        columns[each.column.name] = kind if each.at == each.column.name else {"kind": kind, "at": each.at}
    found["columns"] = columns
    for name, value in (("keys", of.keys), ("filters", of.filters), ("paging", of.paging)):
        if value:
            found[name] = value
    return found
