"""Represent a query as plain data, and print it as GraphQL."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any


class Word(str):
    """A member of an enum, written without quotes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a row in a list, by the row's id; its cursor is known once the product was asked for it."""

    id: str
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """`spoken` names the arguments given as variables, each with its type."""

    name: str
    alias: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    spoken: Mapping[str, str] = field(default_factory=dict)
    below: Sequence["Field"] = ()

    @property
    def key(self) -> str:
        return self.alias or self.name


def leaf(term: Any) -> Any:
    """What a term such as `{customer: {name: ASC}}` ends in."""
    while isinstance(term, dict):
        [term] = term.values()
    return term


def path(term: Any) -> tuple[str, ...]:
    """The names it goes through."""
    names = []
    while isinstance(term, dict):
        [(name, term)] = term.items()
        names.append(name)
    return tuple(names)


def build_document(fields: Sequence[Field]) -> tuple[str, dict[str, Any]]:
    """The text, and the variables in it."""
    variables: dict[str, tuple[str, Any]] = {}
    body = selected(fields, variables)
    result = ", ".join(f"${name}: {of}" for name, (of, _) in variables.items())
    head = f"query ({result}) " if result else ""
    return head + body, {name: plain(value) for name, (_, value) in variables.items()}


def selected(fields: Sequence[Field], variables: dict[str, tuple[str, Any]]) -> str:
    return "{ " + " ".join(print_field(field, variables) for field in fields) + " }"


def print_field(of: Field, variables: dict[str, tuple[str, Any]]) -> str:
    printed = [f"{name}: {argument(of, name, variables)}" for name in of.arguments]
    alias = f"{of.alias}: " if of.alias else ""
    given = f"({', '.join(printed)})" if printed else ""
    return f"{alias}{of.name}{given}" + (f" {selected(of.below, variables)}" if of.below else "")


def argument(of: Field, name: str, variables: dict[str, tuple[str, Any]]) -> str:
    if name not in of.spoken:
        return literal(of.arguments[name])
    variable = f"v{len(variables) + 1}"
    variables[variable] = of.spoken[name], of.arguments[name]
    return f"${variable}"


def literal(value: Any) -> str:
    match value:
        case Word():
            return str(value)
        case dict():
            return "{" + ", ".join(f"{name}: {literal(item)}" for name, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(literal, value)) + "]"
        case _:
            return json.dumps(plain(value), ensure_ascii=False)


def plain(value: Any) -> Any:
    """As JSON has it."""
    match value:
        case dict():
            return {name: plain(item) for name, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case Place():
            return value.cursor
        case Decimal():
            return f"{value:f}"
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case _:
            return value


def every(fields: Sequence[Field]) -> Iterator[Field]:
    for item in fields:
        yield item
        yield from every(item.below)
