"""@allow rules as data, groups, and the one decide()."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

GroupRequirement: TypeAlias = frozenset[str]
"""Any one of these groups will do."""

SchemaCoordinate: TypeAlias = tuple[str] | tuple[str, str] | tuple[str, str, str]
"""(type, field) or (type, field, argument), of output and input types alike; (type,) of one that an interface stands
for, where its rows could be of another."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What is asked at each position: every requirement of its tuple must be met. What is not listed is shut."""

    requirements: Mapping[SchemaCoordinate, tuple[GroupRequirement, ...]]
    owners: Mapping[SchemaCoordinate, str] = field(default_factory=dict)
    underlying_fields: Mapping[SchemaCoordinate, tuple[str, str]] = field(default_factory=dict)
    """By position of a made type, such as that of a filter or a sum, the field whose values it looks at."""


def find_met_requirements(policy: AccessPolicy, groups: Iterable[str]) -> frozenset[GroupRequirement]:
    """The requirements that these groups meet: two callers with the same fingerprint get the same verdicts."""
    held = frozenset(groups)
    return frozenset(each for each in collect_requirements(policy) if each & held)


def collect_requirements(policy: AccessPolicy) -> frozenset[GroupRequirement]:
    return frozenset(each for requirements in policy.requirements.values() for each in requirements)


@dataclass(frozen=True, slots=True)
class Decision:
    """`unmet` is empty when allowed; else each of its requirements lacks a group. None: nobody opened the position."""

    coordinate: SchemaCoordinate
    unmet: tuple[GroupRequirement, ...] | None

    @property
    def allowed(self) -> bool:
        return self.unmet == ()


def decide(policy: AccessPolicy, coordinate: SchemaCoordinate, groups: frozenset[str]) -> Decision:
    """Allowed when the position has a rule and every requirement of it names one of the groups.

    Laws: what nobody opened stays shut; more groups never see less; more requirements never show more.
    """
    requirements = policy.requirements.get(coordinate)
    if not requirements:
        return Decision(coordinate, None)
    return Decision(coordinate, tuple(each for each in requirements if not each & groups))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A function in the company, never a rank: no group holds another, and being in one says nothing of the rest."""

    name: str
    purpose: str
    owner: str


EVERYONE = "everyone"

GROUPS = (
    Group(name=EVERYONE, purpose="Each person, from creation until deactivation.", owner="people"),
    Group(name="sales", purpose="Wins customers and agrees their orders.", owner="sales"),
    Group(name="marketing", purpose="Runs campaigns and looks after leads.", owner="marketing"),
    Group(name="finance", purpose="Bills customers, pays suppliers, keeps the books.", owner="finance"),
    Group(name="people", purpose="Hires, pays and looks after the people of the company.", owner="people"),
    Group(name="engineering", purpose="Builds and runs the products.", owner="engineering"),
    Group(name="support", purpose="Answers customers and settles their tickets.", owner="support"),
    Group(name="audit", purpose="Reads the records of what was asked.", owner="audit"),
)

GROUP_NAMES = frozenset(group.name for group in GROUPS)


def is_registered_group(name: str) -> bool:
    """Whether a rule or a membership may name this group."""
    return name in GROUP_NAMES
