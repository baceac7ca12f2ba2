"""A declared query and what a read asks of its labels in, PromQL out: no value can leave the quotes it is put in."""

from collections.abc import Collection as Values
from collections.abc import Mapping

from sources.prometheus.collection import SELECTORS, WINDOW

ESCAPES = {"\\": "\\\\", '"': '\\"'} | {chr(code): f"\\x{code:02x}" for code in (*range(0x20), 0x7F)}
"""Of what may not stand in a quoted text as it is."""
MEANING = frozenset("\\.+*?()|[]{}^$")
"""Signs with a meaning of their own in a regular expression."""


def filled(query: str, matchers: Mapping[str, Values[str]], window: str | None) -> str:
    """The selectors go in last: a value that looks like a place of the template is a value."""
    return query.replace(WINDOW, window or "").replace(SELECTORS, selectors(matchers))


def selectors(matchers: Mapping[str, Values[str]]) -> str:
    """Each label equal to one of its values; a comma after the last, or nothing before it, does no harm."""
    return ",".join(_matcher(label, sorted(values)) for label, values in matchers.items())


def _matcher(label: str, values: list[str]) -> str:
    if len(values) == 1:
        return f"{label}={quoted(values[0])}"
    return f"{label}=~{quoted('|'.join(map(literal, values)))}"


def quoted(value: str) -> str:
    return '"' + "".join(ESCAPES.get(each, each) for each in value) + '"'


def literal(value: str) -> str:
    """As a regular expression that matches this text alone; PromQL anchors it at both ends."""
    return "".join(f"\\{each}" if each in MEANING else each for each in value)


def holds(value: str) -> bool:
    """Whether a label can have this value: it is UTF-8, and one that is empty is not there."""
    return bool(value) and not any("\ud800" <= each <= "\udfff" for each in value)
