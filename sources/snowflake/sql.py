"""Pieces of SQL in, longer ones out, each with the values it binds."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any


@dataclass(frozen=True, slots=True)
class Sql:
    """Text, and the values of its question marks in their order."""

    text: str
    binds: tuple[Any, ...] = ()


def bracketed(between: str, none: str, parts: Sequence[Sql]) -> Sql:
    if not parts:
        return Sql(none)
    return parts[0] if len(parts) == 1 else prefixed("(", glued(between, parts), ")")


def prefixed(before: str, sql: Sql, after: str = "") -> Sql:
    return Sql(f"{before}{sql.text}{after}", sql.binds)


def glued(between: str, parts: Sequence[Sql]) -> Sql:
    return Sql(between.join(part.text for part in parts), tuple(chain.from_iterable(part.binds for part in parts)))


def kept(name: str) -> str:
    """As Snowflake keeps a name that was typed: in capitals, unless it stands in double quotes."""
    if len(name) > 2 and name[0] == name[-1] == '"':
        return name[1:-1].replace('""', '"')
    return name.upper()


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
