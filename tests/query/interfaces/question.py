"""Draw a random query for papers, as GraphQL text and as plain data for the naive evaluation."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote

from tests.query.interfaces.world import POOLS, TYPES

TESTS = {
    "size": ("eq", "ne", "gt", "lte", "in", "isNull"),
    "name": ("eq", "ne", "contains", "iStartsWith", "notIn", "isNull"),
    "dated": ("gte", "lt", "eq"),
    "shelf": ("eq", "in", "ne", "notIn", "isNull"),
    "id": ("eq", "in", "ne"),
}
GROUPS = ("people", "sales", "finance")
LISTS = ("in", "notIn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    where: Mapping[str, Any] | None
    order: Sequence[Mapping[str, Any]]
    size: Mapping[str, int]
    """`first` or `last`, or neither."""
    groups: tuple[str, ...]

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {**({} if self.where is None else {"where": self.where}), "orderBy": self.order, **self.size}


def question(random: Random) -> Question:
    size: dict[str, int] = {}
    if random.random() < 0.9:
        size[random.choice(["first", "last"])] = random.choice([0, 1, 2, 3, 5, 9, 30])
    return Question(
        where=where(random, 0) if random.random() < 0.7 else None,
        order=[term(random) for _ in range(random.choice([0, 1, 1, 2, 3]))],
        size=size,
        groups=tuple(random.sample(GROUPS, random.choice([1, 1, 2, 3]))),
    )


def term(random: Random) -> Mapping[str, Any]:
    field, direction = random.choice([*TESTS, "owner"]), random.choice(["ASC", "DESC"])
    return {"owner": {"name": direction}} if field == "owner" else {field: direction}


def where(random: Random, depth: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for _ in range(random.choice([0, 1, 1, 2]) if depth else random.choice([1, 1, 2])):
        kind = random.choice(["and", "or", "not", "owner"]) if depth < 2 and random.random() < 0.35 else ""
        if kind in ("and", "or"):
            results[kind] = [where(random, depth + 1) for _ in range(random.choice([0, 1, 2, 2]))]
        elif kind == "not":
            results[kind] = where(random, depth + 1)
        elif kind == "owner":
            results[kind] = {"name": {"eq": random.choice(POOLS["name"])}}
        else:
            field = random.choice([*TESTS, "shelf"])
            op = random.choice(TESTS[field])
            results[field] = {op: operand(random, field, op)}
    return results


def operand(random: Random, field: str, op: str) -> Any:
    if op == "isNull":
        return random.random() < 0.5
    if op in LISTS:
        return [value(random, field) for _ in range(random.choice([0, 1, 2, 3]))]
    return value(random, field)


def value(random: Random, field: str) -> Any:
    if field == "shelf":
        return random.choice(list(TYPES))
    if field == "id":
        return ident(random.choice(list(TYPES)), random.choice(POOLS["id"]))
    result = random.choice(POOLS[field])
    return {"size": str, "dated": lambda moment: moment.isoformat()}.get(field, lambda same: same)(result)


def ident(shelf: str, number: str) -> str:
    return f"{shelf}:{quote(number, safe='')}"


def text(asked: Mapping[str, Any]) -> str:
    """The arguments as GraphQL writes them: no quotes about names and enums."""
    return ", ".join(f"{name}: {spelled(scan_request)}" for name, scan_request in asked.items())


def spelled(literal: Any) -> str:
    if isinstance(literal, list | tuple):
        return f"[{', '.join(map(spelled, literal))}]"
    if isinstance(literal, dict):
        return f"{{{', '.join(f'{name}: {spelled(item)}' for name, item in literal.items())}}}"
    return literal if literal in (*TYPES, "ASC", "DESC") else json.dumps(literal, ensure_ascii=False)
