"""A change in, the call that tells it out: its method, its path, what it is sent. Unmade: it cannot be told."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from engine.change.words import Change, Unmade
from engine.errors import Code
from engine.words import Value
from sources.rest.collection import At, Collection, Sent, Writing, places
from sources.rest.requests import filled, in_path

NO_ROW = "the API has no such row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """`body`: JSON; None: nothing is sent."""

    method: str
    path: str
    body: bytes | None
    headers: Mapping[str, str]


def told(change: Change, way: Writing, collection: Collection) -> Told:
    given = {**change.values, **change.key}
    meant(change, way)
    body = sent(change, way, collection)
    headers = {"content-type": "application/json"} if body is not None else {}
    if way.id_header:
        headers[way.id_header] = change.id
    if way.version_header and change.version is not None:
        headers[way.version_header] = change.version
    return Told(method=way.method, path=path_of(way.path, given), body=body, headers=headers)


def meant(change: Change, way: Writing) -> None:
    """Nothing is given that could not be sent, and what the call means by itself is what is wanted."""
    for name in change.values:
        if name not in way.columns and name not in way.only and name not in places(way.path):
            raise Unmade(f"`{name}` cannot be given to the API")
    for name, value in way.only.items():
        if change.values.get(name) != value:
            raise Unmade(f"`{name}` can be made `{value}` and nothing else")


def path_of(path: str, given: Mapping[str, Value]) -> str:
    """Of a value that would lead elsewhere there is no row."""
    values = {name: given.get(name) for name in places(path)}
    for name, value in values.items():
        if value is None:
            raise Unmade(f"`{name}` is missing")
    if in_path(tuple(values.values())) is None:
        raise Unmade(NO_ROW, Code.NOT_FOUND)
    return filled(path, values)


def sent(change: Change, way: Writing, collection: Collection) -> bytes | None:
    body: dict[str, Any] = deepcopy(dict(way.fixed))
    for name, place in way.columns.items():
        if name in change.values:
            put(body, place.at, said(change.values[name], place))
    if way.id:
        place = way.columns.get(way.id) or Sent(at=collection.columns[way.id].at)
        put(body, place.at, marked(change, way))
    if not body:
        return None
    try:
        return orjson.dumps(body, default=str)
    except TypeError:
        raise Unmade("a value cannot be sent to the API") from None


def put(body: dict[str, Any], at: At, value: Any) -> None:
    *above, last = at
    for step in above:
        body = body.setdefault(step, {})
    body[last] = value


def said(value: Value, place: Sent) -> Any:
    """Times carry their zone; money is text, which is exact, or a number with all its digits."""
    if isinstance(value, Decimal):
        written: Any = orjson.Fragment(f"{value:f}") if place.number else f"{value:f}"
    else:
        written = value.isoformat() if isinstance(value, date) else value
    return [written] if place.list else written


def marked(change: Change, way: Writing) -> str:
    """What the column says, and which change said it."""
    mark, text = way.mark.replace("{id}", change.id), change.values.get(way.id)
    return f"{text} {mark}" if text else mark


def marks(value: Value, change: Change, way: Writing) -> bool:
    """Whether a column's value names the change."""
    mark = way.mark.replace("{id}", change.id)
    return isinstance(value, str) and (value == mark or value.endswith(f" {mark}"))
