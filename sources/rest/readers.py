"""A value of the settings and its name in, what it stands for out. ValueError: it is something else."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from engine.words import Kind
from sources.rest.collection import At

Made = TypeVar("Made")
SENT = frozenset({Kind.TEXT, Kind.INTEGER, Kind.BOOLEAN, Kind.DATE})
"""Kinds whose values are written in one way only, so that they can be keys and filters."""


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


def each_of(read: Callable[[Any, str], Any]) -> Callable[[Any, str], Mapping[str, Any]]:
    def reading(value: Any, where: str) -> Mapping[str, Any]:
        return {name: read(one, f"{where}.{name}") for name, one in table(value, where).items()}

    return reading


def part(kind: type[Any], **readers: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda value, where: made(kind, value, where, readers)


def address(path: str, where: str) -> None:
    if not path.startswith("/") or "?" in path or "#" in path or ".." in path.split("/"):
        raise ValueError(f"`{where}` must begin with `/` and hold no `?`, `#` or `..`")
