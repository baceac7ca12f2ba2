"""Decide what groups may see: the rules of `@allow` as data, the register of groups, and the one `decide`."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from onedoor.errors import ConfigurationError, build_unknown_name_error

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


def find_met_requirements(policy: AccessPolicy, groups: Iterable[str]) -> frozenset[GroupRequirement]:
    """Return the requirements that these groups meet: the fingerprint that decides every coordinate."""
    held_groups = frozenset(groups)
    return frozenset(requirement for requirement in collect_requirements(policy) if requirement & held_groups)


def collect_requirements(policy: AccessPolicy) -> frozenset[GroupRequirement]:
    return frozenset(requirement for requirements in policy.requirements.values() for requirement in requirements)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A function in the company, never a rank: no group holds another, and being in one says nothing of the rest."""

    name: str
    purpose: str
    owner: str


EVERYONE, AUDIT = "everyone", "audit"

BUILTIN_GROUPS = (
    Group(name=EVERYONE, purpose="Each person, from creation until deactivation.", owner=AUDIT),
    Group(name=AUDIT, purpose="Reads the audit log.", owner=AUDIT),
)
"""The product's own groups, which every company has; groups.toml may give their owner and purpose."""


class Groups:
    """The register of a company's functional groups. A membership in any other group counts for nothing."""

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        named = {group.name: group for group in groups}
        missing = [group for group in BUILTIN_GROUPS if group.name not in named]
        self._groups = {**{group.name: group for group in missing}, **named}
        self.names = frozenset(self._groups)

    @classmethod
    def load(cls, path: Path) -> "Groups":
        """Read groups.toml, a table for each group with its `purpose` and `owner`.

        Raises ConfigurationError, naming the file and the group.
        """
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigurationError(
                f"there is no `{path}`: create it, empty for the groups `{EVERYONE}` and `{AUDIT}` alone"
            ) from None
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as reason:
            raise ConfigurationError(f"`{path}` cannot be read: {reason}") from reason
        return cls(_read_group(name, table) for name, table in tables.items())

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def require(self, name: str) -> None:
        """Raise ConfigurationError, offering the nearest name, where no group of this name is registered."""
        if name not in self.names:
            raise build_unknown_name_error("group", name, self.names)


def _read_group(name: str, table: Any) -> Group:
    if not name.isprintable() or name != name.strip() or not name:
        raise ConfigurationError(f"`{name}` in groups.toml is no name of a group: take printable characters")
    default = next((group for group in BUILTIN_GROUPS if group.name == name), None)
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"`{name}` in groups.toml must be a section: write `[{name}]`")
    for key in table:
        if key not in ("purpose", "owner"):
            raise build_unknown_name_error(f"setting of the group `{name}`", key, ("purpose", "owner"))
    purpose = table.get("purpose", default and default.purpose)
    owner = table.get("owner", default and default.owner)
    for key, value in (("purpose", purpose), ("owner", owner)):
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"the group `{name}` in groups.toml needs `{key}`, a text")
    return Group(name=name, purpose=str(purpose), owner=str(owner))
