"""A search of Datadog in, whether an item meets it out: `*`, `key:value` and `key:(one OR other)`, all of them."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

TERM = re.compile(r"(?P<not>-)?(?P<key>[a-z_@.]+):(?:(?P<one>[^\s()\"]+)|\"(?P<text>[^\"]*)\"|\((?P<any>[^()]*)\))")


class BadSearch(ValueError):
    """No search of this part of Datadog's."""


def search(text: str) -> Callable[[Mapping[str, Any], Sequence[str]], bool]:
    """Of an item's own fields and its tags."""
    terms = list(_terms(text))

    def meets(own: Mapping[str, Any], tags: Sequence[str]) -> bool:
        return all(_held(own, tags, key, values) != turned for key, values, turned in terms)

    return meets


def _terms(text: str) -> list[tuple[str, list[str], bool]]:
    found, at = [], 0
    said = "" if text.strip() == "*" else text.strip()
    while at < len(said):
        if said.startswith("AND ", at):
            at += 4
            continue
        term = TERM.match(said, at)
        if term is None:
            raise BadSearch(f"cannot read the search at {at}")
        values = [term["one"] or term["text"] or ""] if term["any"] is None else term["any"].split(" OR ")
        found.append((term["key"].removeprefix("@"), [each.strip().strip('"') for each in values], bool(term["not"])))
        at = term.end()
        at += len(said[at:]) - len(said[at:].lstrip())
    return found


def _held(own: Mapping[str, Any], tags: Sequence[str], key: str, values: Sequence[str]) -> bool:
    if own.get(key) in values:
        return True
    return any(f"{key}:{each}" in tags for each in values)
