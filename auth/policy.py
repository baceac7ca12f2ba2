"""Decide what groups may see: the rules of `@allow` as data, and the one `decide`."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from auth.groups import EVERYONE

GroupRequirement: TypeAlias = frozenset[str]
"""Any one of these groups will do."""

SchemaCoordinate: TypeAlias = tuple[str] | tuple[str, str] | tuple[str, str, str]
"""(type, field) or (type, field, argument), of output and input types alike; (type,) of one that an interface stands
for, where its rows could be of another."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The requirements of each coordinate, all of which must be met; a coordinate that is not listed is denied."""

    requirements: Mapping[SchemaCoordinate, tuple[GroupRequirement, ...]]
    owners: Mapping[SchemaCoordinate, str] = field(default_factory=dict)
    underlying_fields: Mapping[SchemaCoordinate, tuple[str, str]] = field(default_factory=dict)
    """By coordinate of a generated type, such as that of a filter or a sum, the field whose values it shows."""
    unmasked_requirements: Mapping[SchemaCoordinate, tuple[GroupRequirement, ...]] = field(default_factory=dict)
    """By field that some groups see masked, what must be met to see its values as they are."""


def find_met_requirements(policy: AccessPolicy, groups: Iterable[str]) -> frozenset[GroupRequirement]:
    """Return the requirements that these groups meet: the fingerprint that decides every coordinate."""
    held_groups = frozenset(groups)
    return frozenset(requirement for requirement in collect_requirements(policy) if requirement & held_groups)


def collect_requirements(policy: AccessPolicy) -> frozenset[GroupRequirement]:
    rules = (*policy.requirements.values(), *policy.unmasked_requirements.values())
    return frozenset(requirement for requirements in rules for requirement in requirements)


def get_value_requirements(policy: AccessPolicy, coordinate: SchemaCoordinate) -> tuple[GroupRequirement, ...]:
    """Return what must be met to see a field's values as they are."""
    return policy.unmasked_requirements.get(coordinate) or policy.requirements.get(coordinate, ())


def is_masked(policy: AccessPolicy, coordinate: SchemaCoordinate, groups: frozenset[str]) -> bool:
    """Say whether groups that may see a field see a part of its values alone."""
    return any(not requirement & groups for requirement in policy.unmasked_requirements.get(coordinate, ()))


def deny_masked_values(policy: AccessPolicy) -> AccessPolicy:
    """Return the policy under which a field is denied to whoever sees it masked."""
    return replace(policy, requirements={**policy.requirements, **policy.unmasked_requirements})


def minimize_requirements(requirements: Collection[GroupRequirement]) -> list[list[str]]:
    """Keep the requirements that are not met by meeting another; everyone is in `everyone`."""
    if not requirements:
        return []
    strict = {groups for groups in requirements if EVERYONE not in groups} or {frozenset({EVERYONE})}
    return sorted(sorted(groups) for groups in strict if not any(other < groups for other in strict))


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a coordinate is allowed: `unmet` lists the requirements that are not met; None: there are none at all."""

    coordinate: SchemaCoordinate
    unmet: tuple[GroupRequirement, ...] | None

    @property
    def allowed(self) -> bool:
        return self.unmet == ()


def decide(policy: AccessPolicy, coordinate: SchemaCoordinate, groups: frozenset[str]) -> Decision:
    """Allow a coordinate that has requirements, each of which names one of the groups.

    Laws: what has no requirement is denied; more groups never see less; more requirements never show more.
    """
    requirements = policy.requirements.get(coordinate)
    if not requirements:
        return Decision(coordinate, None)
    return Decision(coordinate, tuple(requirement for requirement in requirements if not requirement & groups))
