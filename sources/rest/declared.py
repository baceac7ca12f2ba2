"""What a file of settings says of an API in, its collections out. ValueError: the first thing that cannot be."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from engine.words import Kind
from sources.rest.collection import At, ByKey, Collection, Cut, Held, Ordered, Paging, Turning, places

Made = TypeVar("Made")
SENT = frozenset({Kind.TEXT, Kind.INTEGER, Kind.BOOLEAN, Kind.DATE})
"""Kinds whose values are written in one way only, so that they can be keys and filters."""


def collections(written: Mapping[str, Any]) -> dict[str, Collection]:
    """By name; at least one."""
    if not written:
        raise ValueError("declare at least one collection, as `collections.users.path`")
    return {name: collection(name, table(each, f"collections.{name}")) for name, each in written.items()}


def read(path: Path) -> Mapping[str, Any]:
    """The collections of a file that says nothing else."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ValueError(f"`described` names `{path.name}`, which is not there or is no TOML") from None
    if set(found) - {"collections"}:
        raise ValueError(f"`{path.name}` may hold `collections` and nothing else")
    return table(found.get("collections", {}), "collections")


def collection(name: str, written: Mapping[str, Any]) -> Collection:
    where = f"collections.{name}"
    found: Collection = made(Collection, {**written, "name": name}, where, PARTS)
    for rule in (_path, _columns, _given, _single, _each, _keys, _filters, _order, _paging):
        rule(found, where)
    return found


def made(kind: type[Made], written: Any, where: str, readers: Mapping[str, Callable[[Any, str], Any]]) -> Made:
    """A frozen dataclass of a table: each field by its reader."""
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    for name in table(written, where):
        if name not in known:
            raise ValueError(f"there is no setting `{where}.{name}`, known are " + ", ".join(sorted(readers)))
    for name, each in known.items():
        if name not in written and each.default is MISSING and each.default_factory is MISSING:
            raise ValueError(f"`{where}.{name}` is missing")
    return kind(**{name: readers[name](value, f"{where}.{name}") for name, value in written.items()})


def table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"`{where}` must be a section")
    return value


def text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"`{where}` must be text")
    return value


def texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"`{where}` must be a list of texts")
    return tuple(value)


def count(value: Any, where: str) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"`{where}` must be a whole number, not below 0")
    return value


def truth(value: Any, where: str) -> bool:
    if type(value) is not bool:
        raise ValueError(f"`{where}` must be true or false")
    return value


def at(value: Any, where: str) -> At:
    """`data.items` as its steps; an empty text is no step."""
    return tuple(step for step in text(value, where).split(".") if step)


def kind(value: Any, where: str) -> Kind:
    if value not in list(Kind):
        raise ValueError(f"`{where}` must be one of " + ", ".join(f"`{each}`" for each in Kind))
    return Kind(value)


def turning(value: Any, where: str) -> Turning:
    if value not in list(Turning):
        raise ValueError(f"`{where}` must be one of " + ", ".join(f"`{each}`" for each in Turning))
    return Turning(value)


def held(value: Any, where: str) -> Held:
    """A kind alone means that the column lies where its name says."""
    written = {"kind": value} if isinstance(value, str) else table(value, where)
    return made(Held, {"at": where.rpartition(".")[2], **written}, where, {"kind": kind, "at": at})


def each_of(read: Callable[[Any, str], Any]) -> Callable[[Any, str], Mapping[str, Any]]:
    def reading(value: Any, where: str) -> Mapping[str, Any]:
        return {name: read(one, f"{where}.{name}") for name, one in table(value, where).items()}

    return reading


def part(kind: type[Any], **readers: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda value, where: made(kind, value, where, readers)


PARTS: Mapping[str, Callable[[Any, str], Any]] = {
    "name": text,
    "path": text,
    "rows": at,
    "columns": each_of(held),
    "keys": each_of(part(ByKey, parameter=text, path=text, most=count, separator=text, rows=at)),
    "filters": each_of(text),
    "order": part(Ordered, parameter=text, columns=texts, ascending=text, descending=text, separator=text),
    "limit": part(Cut, parameter=text, most=count),
    "paging": part(Paging, by=turning, parameter=text, next=at, first=count, size_parameter=text, size=count),
    "single": truth,
    "each": text,
    "text": truth,
}


def _path(found: Collection, where: str) -> None:
    paths = (found.path, found.each, *(by.path for by in found.keys.values()))
    for each in (one for one in paths if one or one is found.path):
        if not each.startswith("/") or "?" in each or "#" in each or ".." in each.split("/"):
            raise ValueError(f"`{where}.path` must begin with `/` and hold no `?`, `#` or `..`")


def _columns(found: Collection, where: str) -> None:
    if not found.columns:
        raise ValueError(f"`{where}.columns` is missing")
    ordered = found.order.columns if found.order else ()
    for name in (*found.keys, *found.filters, *ordered):
        if name not in found.columns:
            raise ValueError(f"`{where}` names the column `{name}`, which it does not have")


def _given(found: Collection, where: str) -> None:
    for name in found.given:
        if name not in found.columns:
            raise ValueError(f"`{where}.path` names the column `{name}`, which it does not have")
        if found.given.count(name) > 1 or found.columns[name].kind not in SENT:
            raise ValueError(f"`{where}.path` cannot hold `{name}`: take text, integer, boolean or date, once")
        if name in found.keys or name in found.filters:
            raise ValueError(f"`{where}` has `{name}` in its path, so it is neither a key nor a filter besides")
    if found.given and found.order is not None:
        raise ValueError(f"`{where}` has an order and a path with columns: rows of several calls have no order")


def _single(found: Collection, where: str) -> None:
    if found.text and not (found.single and found.bare):
        raise ValueError(f"`{where}` is a text: it is `single`, and of its columns one lies at an empty `at`")
    if found.single and (found.paging or found.limit or found.filters or found.order):
        raise ValueError(f"`{where}` is `single`: it has no pages, no limit, no filters and no order")


def _each(found: Collection, where: str) -> None:
    if not found.each:
        return
    beside = set(places(found.each)) - set(found.given)
    if len(beside) != 1 or not beside <= set(found.columns) or found.single:
        raise ValueError(f"`{where}.each` holds one column of the rows of a list, as `/users/{{login}}`")


def _keys(found: Collection, where: str) -> None:
    for name, each in found.keys.items():
        if (each.parameter and each.path) or not (each.parameter or each.path or found.given):
            raise ValueError(f"`{where}.keys.{name}` takes either `parameter` or `path`")
        if each.path and (sorted(places(each.path)) != sorted((*found.given, name)) or each.most != 1):
            raise ValueError(f"`{where}.keys.{name}.path` holds `{{{name}}}` once, for one key a call")
        if each.most < 1:
            raise ValueError(f"`{where}.keys.{name}.most` must be at least 1")


def _filters(found: Collection, where: str) -> None:
    for name in (*found.keys, *found.filters):
        if found.columns[name].kind not in SENT:
            raise ValueError(
                f"`{where}` cannot send `{name}`: only text, integer, boolean and date are written one way"
            )


def _order(found: Collection, where: str) -> None:
    if found.order is None:
        return
    if any(each.path for each in found.keys.values()):
        raise ValueError(f"`{where}` has an order and a key's path: rows of several calls have no order, take one away")
    if len(found.order.columns) > 1 and not found.order.separator:
        raise ValueError(f"`{where}.order` of several columns needs a `separator`")


def _paging(found: Collection, where: str) -> None:
    paging = found.paging
    if paging is None:
        return
    if found.limit is not None:
        raise ValueError(f"`{where}` has a limit and pages: say the size of a page instead")
    if (paging.by is Turning.CURSOR) != bool(paging.next):
        raise ValueError(f"`{where}.paging.next` says where a cursor lies, and belongs to `cursor` alone")
    if (paging.by is Turning.LINK) == bool(paging.parameter):
        raise ValueError(f"`{where}.paging.parameter` is needed, but for `link`")
    if paging.size < 1:
        raise ValueError(f"`{where}.paging.size` must be at least 1")
