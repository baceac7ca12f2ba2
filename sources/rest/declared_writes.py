"""What the settings say of changing a collection in, how its API is told out. ValueError: what cannot be."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from engine.change.words import Verb
from engine.errors import Code
from engine.words import Kind
from sources.rest.collection import Collection, Sent, Writing, places
from sources.rest.readers import SENT, address, at, each_of, made, table, text, texts, truth

METHODS = ("POST", "PUT", "PATCH", "DELETE")
CODES = (Code.NOT_FOUND, Code.ALREADY_EXISTS, Code.VERSION_CONFLICT, Code.BAD_USER_INPUT)
"""What a status may be declared to mean."""
HEADER = re.compile(r"[A-Za-z0-9-]+")
ID = "{id}"


def writings(value: Any, where: str) -> Mapping[Verb, Writing]:
    found = {}
    for name, each in table(value, where).items():
        if name not in list(Verb):
            raise ValueError(f"there is no setting `{where}.{name}`, known are " + ", ".join(Verb))
        found[Verb(name)] = made(Writing, each, f"{where}.{name}", PARTS)
    return found


def method(value: Any, where: str) -> str:
    if value not in METHODS:
        raise ValueError(f"`{where}` must be one of " + ", ".join(f"`{each}`" for each in METHODS))
    return str(value)


def header(value: Any, where: str) -> str:
    if not HEADER.fullmatch(text(value, where)):
        raise ValueError(f"`{where}` must be the name of a header")
    return text(value, where)


def json(value: Any, where: str) -> Mapping[str, Any]:
    try:
        orjson.dumps(value)
    except TypeError:
        raise ValueError(f"`{where}` must be what JSON can say") from None
    return table(value, where)


def statuses(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or not all(type(each) is int and 200 <= each < 300 for each in value):
        raise ValueError(f"`{where}` must be a list of HTTP statuses that begin with 2")
    return tuple(value)


def refusals(value: Any, where: str) -> Mapping[int, Code]:
    found = {}
    for status, code in table(value, where).items():
        if not re.fullmatch(r"4\d\d", str(status)) or code not in CODES:
            raise ValueError(f"`{where}` names for an HTTP status that begins with 4 one of " + ", ".join(CODES))
        found[int(status)] = Code(code)
    return found


def sent(value: Any, where: str) -> Sent:
    """A text is where it stands."""
    written = {"at": value} if isinstance(value, str) else table(value, where)
    found: Sent = made(Sent, written, where, {"at": at, "list": truth, "number": truth})
    if not found.at:
        raise ValueError(f"`{where}` must say where the column stands in what is sent")
    return found


PARTS: Mapping[str, Any] = {
    "method": method,
    "path": text,
    "columns": each_of(sent),
    "fixed": json,
    "only": json,
    "id": text,
    "mark": text,
    "by": texts,
    "id_header": header,
    "version_header": header,
    "rows": at,
    "answers": truth,
    "statuses": statuses,
    "refusals": refusals,
}


def writable(found: Collection, where: str) -> None:
    """Raises ValueError where a change could not be told, or not be found again."""
    if found.version and (found.version not in found.columns or found.columns[found.version].kind not in VERSIONS):
        raise ValueError(f"`{where}.version` names a column of text or whole numbers")
    for verb, each in found.writes.items():
        here = f"{where}.writes.{verb}"
        address(each.path, f"{here}.path")
        _named(found, each, here)
        _id(found, each, here)
        if verb is not Verb.CREATE and not found.keys:
            raise ValueError(f"`{where}` has no `keys`: a row that is changed is found by one")
        if verb is Verb.CREATE and not each.id and not named(found, (*each.columns, *places(each.path))):
            raise ValueError(f"`{here}.id` is missing: the column by which a change is found again")


VERSIONS = frozenset({Kind.TEXT, Kind.INTEGER})


def named(found: Collection, columns: tuple[str, ...]) -> str | None:
    """The key that columns name together with those of the path."""
    return next((key for key in found.keys if {*found.given, key} <= set(columns)), None)


def _named(found: Collection, each: Writing, here: str) -> None:
    for name in (*each.columns, *each.only, *each.by, *places(each.path), *([each.id] if each.id else [])):
        if name not in found.columns:
            raise ValueError(f"`{here}` names the column `{name}`, which the collection does not have")
    for name in places(each.path):
        if found.columns[name].kind not in SENT:
            raise ValueError(f"`{here}.path` cannot hold `{name}`: take text, integer, boolean or date")
    for name in each.by:
        if name not in found.filters:
            raise ValueError(f"`{here}.by` names `{name}`, which is no filter")


def _id(found: Collection, each: Writing, here: str) -> None:
    if each.mark.count(ID) != 1:
        raise ValueError(f"`{here}.mark` holds `{ID}` once")
    if each.id and found.columns[each.id].kind is not Kind.TEXT:
        raise ValueError(f"`{here}.id` names a column of text")
