"""The rules of a schema as plain data: which groups each position asks for, and who answers for it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Requirement: TypeAlias = frozenset[str]
"""Any one of these groups will do."""

Position: TypeAlias = tuple[str] | tuple[str, str] | tuple[str, str, str]
"""(type, field) or (type, field, argument), of output and input types alike; (type,) of one that an interface stands
for, where its rows could be of another."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked at each position: every requirement of its tuple must be met. What is not listed is shut."""

    requirements: Mapping[Position, tuple[Requirement, ...]]
    owners: Mapping[Position, str] = field(default_factory=dict)
    looks_at: Mapping[Position, tuple[str, str]] = field(default_factory=dict)
    """By position of a made type, such as that of a filter or a sum, the field whose values it looks at."""


def fingerprint(rules: Rules, groups: Iterable[str]) -> frozenset[Requirement]:
    """The requirements that these groups meet: two callers with the same fingerprint get the same verdicts."""
    held = frozenset(groups)
    return frozenset(each for each in distinct(rules) if each & held)


def distinct(rules: Rules) -> frozenset[Requirement]:
    return frozenset(each for requirements in rules.requirements.values() for each in requirements)
