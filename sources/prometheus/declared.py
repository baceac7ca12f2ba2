"""What a file of settings says of a Prometheus in, its collections out. ValueError: the first thing that cannot be."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from engine.words import Kind
from sources.prometheus.collection import SELECTORS, WINDOW, Collection

LABEL = re.compile(r"(?P<name>[a-z][a-z0-9_]*)(?P<whole>:int)?")
DURATION = re.compile(r"(?P<count>[1-9][0-9]{0,5})(?P<unit>[smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
OURS = frozenset({"window", "step", "time", "value"})


def collections(written: Mapping[str, Any]) -> dict[str, Collection]:
    """By name; at least one."""
    if not written:
        raise ValueError("declare at least one collection, as `collections.error_rate.query`")
    return {name: collection(name, each) for name, each in written.items()}


def collection(name: str, written: Any) -> Collection:
    where = f"collections.{name}"
    if not isinstance(written, Mapping):
        raise ValueError(f"`{where}` must be a section")
    for each in written:
        if each not in READERS:
            raise ValueError(f"there is no setting `{where}.{each}`, known are " + ", ".join(sorted(READERS)))
    for each in ("query", "labels"):
        if each not in written:
            raise ValueError(f"`{where}.{each}` is missing")
    found = Collection(name=name, **{each: READERS[each](value, f"{where}.{each}") for each, value in written.items()})
    _window(found, where)
    return found


def query(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"`{where}` must be PromQL, with `{SELECTORS}` where filters of labels go")
    return value


def labels(value: Any, where: str) -> Mapping[str, Kind]:
    """`service` for text, `customer_id:int` for whole numbers."""
    found = {}
    for each in texts(value, where):
        label = LABEL.fullmatch(each)
        if label is None or label["name"] in OURS or label["name"] in found:
            raise ValueError(f"`{where}` must be labels, each once, as `service` or `customer_id:int`")
        found[label["name"]] = Kind.INTEGER if label["whole"] else Kind.TEXT
    return found


def windows(value: Any, where: str) -> tuple[str, ...]:
    found = texts(value, where)
    for each in found:
        seconds(each, where)
    return tuple(dict.fromkeys(found))


def steps(value: Any, where: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(seconds(each, where) for each in texts(value, where)))


def seconds(value: Any, where: str) -> int:
    found = DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"`{where}` must be a number and a unit of s, m, h, d and w, as `5m`")
    return int(found["count"]) * SECONDS[found["unit"]]


def texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"`{where}` must be a list of texts")
    return tuple(value)


READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "query": query,
    "labels": labels,
    "windows": windows,
    "steps": steps,
    "history": seconds,
}


def _window(found: Collection, where: str) -> None:
    if (WINDOW in found.query) != bool(found.windows):
        raise ValueError(f"`{where}.windows` says what may stand for `{WINDOW}` in the query: have both, or neither")
