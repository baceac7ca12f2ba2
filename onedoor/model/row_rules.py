"""Say which rows of a type each group may see: columns that equal constants or attributes of the person."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

from onedoor.spi.predicates import Op

ATTRIBUTES_VARIABLE = ":attributes"
"""The variable that holds the attributes of the person; no client can name it so."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """Stand for the values that the person has for an attribute, any one of which will do; of none, nothing does."""

    name: str


@dataclass(frozen=True, slots=True)
class Compared:
    """Compare a column with a constant otherwise than for equality, as in `Compared(Op.GTE, date(2026, 1, 1))`."""

    op: Op
    value: "Constant"


class AllRows:
    """Stands for every row."""

    def __repr__(self) -> str:
        return "ALL_ROWS"


ALL_ROWS: Final = AllRows()

Constant: TypeAlias = bool | int | float | str | Decimal | date | datetime

RowConditions: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""By column, a Constant, a tuple of which one will do, an Attribute or a Compared; by relationship, RowConditions that
a row it leads to meets. All of a mapping must hold; of several mappings, one must. What names nothing holds for no row.
"""

RowRule: TypeAlias = RowConditions | AllRows

RowRules: TypeAlias = Mapping[str, RowRule]
"""By group, the rows that its members see; a person sees the rows of all their groups."""


def attribute(name: str) -> Attribute:
    """Return what stands for an attribute of the person in a rule."""
    return Attribute(name)


def is_conditions(condition: Any) -> bool:
    """Whether a condition is about related rows: a mapping, or several."""
    return isinstance(condition, Mapping) or (
        isinstance(condition, Sequence)
        and not isinstance(condition, str)
        and bool(condition)
        and all(isinstance(part, Mapping) for part in condition)
    )


def list_alternatives(conditions: RowConditions) -> Sequence[Mapping[str, Any]]:
    """Return the mappings of which one must hold."""
    return (conditions,) if isinstance(conditions, Mapping) else conditions


def select_rules(rules: RowRules, groups: frozenset[str]) -> Sequence[RowConditions] | AllRows:
    """Return the rules of these groups, of which one must hold; ALL_ROWS where one of them is that."""
    selected = [rule for group, rule in rules.items() if group in groups]
    conditions = [rule for rule in selected if not isinstance(rule, AllRows)]
    return ALL_ROWS if len(conditions) < len(selected) else conditions


def iterate_attributes(conditions: RowConditions) -> Iterator[str]:
    """Yield the names of the attributes that conditions compare, at any depth."""
    for alternative in list_alternatives(conditions):
        for condition in alternative.values():
            if isinstance(condition, Attribute):
                yield condition.name
            elif is_conditions(condition):
                yield from iterate_attributes(condition)


RowRuleTexts: TypeAlias = Mapping[str, Mapping[str, str]]
"""By type with rules and group, the rule in words, to show and to compare."""

NO_ROW_RULES: RowRuleTexts = {}

ALL_ROWS_TEXT = "all rows"


def describe_rule(rule: RowRule) -> str:
    """Write a rule in words, the same for rules that are the same."""
    return ALL_ROWS_TEXT if isinstance(rule, AllRows) else _describe_conditions(rule)


def _describe_conditions(conditions: RowConditions) -> str:
    alternatives = [
        " and ".join(_describe_condition(name, part[name]) for name in sorted(part)) or "no row"
        for part in list_alternatives(conditions)
    ]
    return " or ".join(sorted(alternatives)) or "no row"


def _describe_condition(name: str, condition: Any) -> str:
    if isinstance(condition, Attribute):
        return f"{name} is the attribute {condition.name}"
    if isinstance(condition, Compared):
        return f"{name} {condition.op.value} {condition.value}"
    if is_conditions(condition):
        return f"{name} has ({_describe_conditions(condition)})"
    if isinstance(condition, tuple):
        return f"{name} is one of ({', '.join(sorted(map(str, condition)))})"
    return f"{name} is {condition}"
