"""The columns of rows and an operation's parameters in, how rows are identified, looked for and filtered out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from introspect.english import singular
from introspect.names import one, snake, words
from sources.rest.openapi.columns import Shown, kind_of
from sources.rest.openapi.operations import Operation, Parameter
from sources.rest.openapi.schemas import SCALARS
from sources.rest.readers import SENT

KEYS = frozenset({"id", "key", "uuid", "guid", "sha", "hash", "email", "login", "slug", "name", "number", "username"})
"""How a column ends that links may look for."""
IDS = ("id", "uuid", "guid", "key")
KEYS_A_CALL = 50


def key_of(shown: Sequence[Shown]) -> str:
    """What is called an id and is always there identifies a row."""
    names = {each.column.name for each in shown if not each.column.nullable and each.column.kind in SENT and each.at}
    return next((each for each in IDS if each in names), "")


def column_of(parameter: Parameter, of: Operation, shown: Sequence[Shown]) -> str:
    """The column that the last parameter of a row's path asks for."""
    kinds = {each.column.name: each.column.kind for each in shown}
    own, noun = words(parameter.name), one(words(of.steps[-1]) if of.steps else ("row",))
    tried = [snake(own)]
    tried += [snake(own[start:]) for start in range(1, len(own)) if set(own[:start]) <= {*noun, *_nouns(of)}]
    tried += ["id"] if own[-1] == "id" else []
    return next((each for each in tried if kinds.get(each) is kind_of(parameter.of)), "")


def _nouns(of: Operation) -> set[str]:
    return {singular(word) for step in of.steps[-2:] for word in words(step)}


def never_null(shown: Sequence[Shown], key: str) -> tuple[Shown, ...]:
    return tuple(
        replace(each, column=replace(each.column, nullable=False)) if each.column.name == key else each
        for each in shown
    )


def filters(of: Operation, shown: Sequence[Shown]) -> dict[str, str]:
    """Parameters that have a column's name and kind ask for equality; whether that is so, nothing can say but a try."""
    kinds = {each.column.name: each.column.kind for each in shown if each.at}
    found = {}
    for each in of.queries:
        name = snake(words(each.name))
        if each.of.type in SCALARS and kinds.get(name) is kind_of(each.of) and kinds[name] in SENT:
            found[name] = each.name
    return found


def found_by(of: Operation, shown: Sequence[Shown], taken: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Parameters that take several values of a column, or one of a column that links may look for."""
    kinds = {each.column.name: each.column.kind for each in shown if each.at}
    found: dict[str, Mapping[str, Any]] = {}
    for each in of.queries:
        own = words(each.name)
        name = next((one for one in (snake(own), snake((*own[:-1], singular(own[-1])))) if one in kinds), "")
        if not name or name in taken or kinds[name] not in SENT:
            continue
        if each.of.type == "array":
            most = min(each.of.most or KEYS_A_CALL, KEYS_A_CALL)
            found[name] = {"parameter": each.name, "most": most, **({"separator": ","} if each.joined else {})}
        elif own[-1] in KEYS and kind_of(each.of) is kinds[name]:
            found[name] = {"parameter": each.name}
    return found
