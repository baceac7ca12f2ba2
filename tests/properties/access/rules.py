"""Say in a few lines what row rules mean, and draw some: a row out of rule does not exist."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any

from onedoor.mapping import ALL_ROWS, Compared, Op, attribute
from onedoor.model.row_rules import Attribute, RowRules
from tests.properties.access.people import ATTRIBUTES, WHOLE
from tests.properties.equality.model import MODEL, POOLS
from tests.properties.equality.rows import linked_rows
from tests.properties.equality.world import Dict, World

COMPARE = {
    Op.NE: lambda one, other: one != other,
    Op.LT: lambda one, other: one < other,
    Op.GTE: lambda one, other: one >= other,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Somebody who asks: the groups that they are in, and their attributes."""

    groups: frozenset[str]
    attributes: Mapping[str, tuple[str, ...]]


def narrow(world: World, rules: Mapping[str, RowRules], reader: Reader) -> World:
    """The world without the rows that the reader does not see."""
    rows = {
        kind: [row for row in rows if kind not in rules or sees(world, kind, row, rules[kind], reader)]
        for kind, rows in world.rows.items()
    }
    return replace(world, rows=rows)


def sees(world: World, kind: str, row: Dict, rules: RowRules, reader: Reader) -> bool:
    own = [rule for group, rule in rules.items() if group in reader.groups]
    return any(rule is ALL_ROWS or meets(world, kind, row, rule, reader) for rule in own)


def meets(world: World, kind: str, row: Dict, rule: Any, reader: Reader) -> bool:
    """One of several mappings, all conditions of which hold, and there is one."""
    alternatives = [rule] if isinstance(rule, Mapping) else rule
    return any(
        each != {} and all(holds(world, kind, row, name, condition, reader) for name, condition in each.items())
        for each in alternatives
    )


def holds(world: World, kind: str, row: Dict, name: str, condition: Any, reader: Reader) -> bool:
    if isinstance(condition, Mapping | list):
        to = MODEL[kind].links[name].to
        return any(meets(world, to, linked, condition, reader) for linked in linked_rows(world, kind, row, name))
    value = row[name]
    match condition:
        case Attribute():
            return any(names(text, value) for text in reader.attributes.get(condition.name, ()))
        case Compared():
            return value is not None and COMPARE[condition.op](value, condition.value)
        case tuple():
            return value is not None and value in condition
        case _:
            return bool(value == condition)


def names(text: str, value: Any) -> bool:
    """Whether a text spells a value as an id does; a decimal is the same number with more zeros."""
    if not isinstance(value, Decimal):
        return value is not None and str(value) == text
    return bool(re.fullmatch(r"-?\d+(\.\d+)?", text)) and Decimal(text) == value


COMPARABLE = ("String", "Int", "BigInt", "Date", "Decimal", "ShopKind", "Reason")


def draw_rules(random: Random, admitted: Mapping[str, frozenset[str]]) -> Mapping[str, RowRules]:
    """Rules for some types; each group that is admitted has one, as the start demands, and WHOLE sees all rows."""
    kinds = [kind for kind in MODEL if random.random() < 0.6]
    return {
        kind: {group: ALL_ROWS if group == WHOLE else draw_rule(random, kind, 0) for group in sorted(admitted[kind])}
        for kind in kinds
    }


def draw_rule(random: Random, kind: str, depth: int) -> Any:
    if depth == 0 and random.random() < 0.4:
        return ALL_ROWS
    count = random.choice([0, 1, 1, 1, 1, 2])
    alternatives = [draw_conditions(random, kind, depth) for _ in range(count)]
    return alternatives[0] if count == 1 else alternatives or {}


def draw_conditions(random: Random, kind: str, depth: int) -> Mapping[str, Any]:
    columns = {name: item for name, item in MODEL[kind].columns.items() if item.scalar in COMPARABLE}
    names = random.sample(list(columns), min(len(columns), random.choice([0, 1, 1, 1, 2])))
    conditions = {name: draw_condition(random, columns[name].scalar, columns[name].pool) for name in names}
    links = list(MODEL[kind].links)
    if depth < 2 and links and random.random() < 0.4:
        link = random.choice(links)
        if link not in MODEL[kind].columns:
            conditions[link] = draw_rule(random, MODEL[kind].links[link].to, depth + 1)
    return conditions


def draw_condition(random: Random, scalar: str, pool: str) -> Any:
    values = POOLS[pool]
    match random.choice(["equal", "any", "attribute", "attribute", "compared"]):
        case "equal":
            return random.choice(values)
        case "any":
            return tuple(random.sample(values, min(len(values), random.randint(0, 6))))
        case "attribute":
            return attribute(random.choice(ATTRIBUTES))
        case _:
            return Compared(random.choice(list(COMPARE)), random.choice(values))
