"""What a file of settings says of an API in, its collections out. ValueError: the first thing that cannot be."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.words import Kind
from sources.rest.collection import ByKey, Collection, Cut, Held, Ordered, Paging, Turning, places
from sources.rest.declared_writes import writable, writings
from sources.rest.readers import SENT, address, at, count, each_of, made, part, table, text, texts, truth


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
    for rule in (_path, _columns, _given, _single, _each, _keys, _filters, _order, _paging, writable):
        rule(found, where)
    return found


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
    "writes": writings,
    "version": text,
}


def _path(found: Collection, where: str) -> None:
    paths = (found.path, found.each, *(by.path for by in found.keys.values()))
    for each in (one for one in paths if one or one is found.path):
        address(each, f"{where}.path")


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
