"""Read the register of functional groups: what each is for, who answers for it, and which directory groups feed it."""

import re
import tomllib
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from auth.memberships import IdentitySource, Membership
from onedoor.errors import ConfigurationError, build_unknown_name_error

EVERYONE, AUDIT = "everyone", "audit"

USER_ADMINISTRATION, ACCESS_REVIEW = "user-administration", "access-review"

PRODUCT_OWNER = "platform"
"""The team that answers for the product's own groups and types where a company names no other."""

OWNERS_TABLE = "owners"

RANKS = frozenset(
    {
        "admin", "administrator", "chief", "director", "executive", "head", "junior", "lead", "manager", "owner",
        "principal", "root", "senior", "staff", "superuser", "vip",
    }
)  # fmt: skip
"""Words that say how high somebody stands, not what they do: no group has one in its name."""

CONTACT = re.compile(r"[^@\s<>]+@[^@\s<>]+\.[^@\s<>.]+|#[^\s#@<>]+|https://[^\s<>]+")
"""An e-mail address, a channel or a link."""

STALE_AFTER_HOURS = 24

GRANT_MAX_HOURS = 8

HOURS_MAX = 24 * 366


class Sensitivity(StrEnum):
    """What becomes of a membership that its directory has not confirmed for long."""

    NORMAL = "normal"
    """It stays as it is."""
    SENSITIVE = "sensitive"
    """It counts for nothing until it is confirmed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A team that answers for groups or for fields, and where it is reached: an e-mail address, a channel or a link."""

    name: str
    contact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionalGroup:
    """A function in the company, never a rank: no group holds another, and being in one says nothing of the rest."""

    name: str
    purpose: str
    owner: str
    sensitivity: Sensitivity = Sensitivity.NORMAL
    directory_groups: tuple[str, ...] = ()
    """The groups of a directory whose members are in this one; without any, no directory reaches it."""
    stale_after: timedelta | None = None
    """How long a membership from a directory counts after its last confirmation; None: as long as it is there."""
    approvers: tuple[str, ...] = ()
    """The groups whose members decide on requests if they are in `access-review`, too; none: all of `access-review`."""
    exclusive: bool = False
    """Whether a grant of it has one holder at a time."""
    grant_max: timedelta = timedelta(hours=GRANT_MAX_HOURS)

    def is_stale(self, membership: Membership, now: datetime) -> bool:
        """Say whether a membership of this group has ceased to count, as its directory has not confirmed it."""
        is_from_directory = membership.source is not IdentitySource.LOCAL
        return self.stale_after is not None and is_from_directory and now - membership.confirmed_at > self.stale_after


BUILTIN_GROUPS = (
    FunctionalGroup(name=EVERYONE, purpose="Each person, from creation until deactivation.", owner=PRODUCT_OWNER),
    *(
        FunctionalGroup(
            name=name,
            purpose=purpose,
            owner=PRODUCT_OWNER,
            sensitivity=Sensitivity.SENSITIVE,
            stale_after=timedelta(hours=STALE_AFTER_HOURS),
        )
        for name, purpose in (
            (AUDIT, "Reads the audit log."),
            (USER_ADMINISTRATION, "Manages users, memberships and keys; sees no data by it."),
            (ACCESS_REVIEW, "Decides on requests for access, and tries out what groups may see; sees no data by it."),
        )
    ),
)
"""The product's own groups, which every company has; groups.toml may set anything of them but the name."""


class Groups:
    """The register of a company's functional groups and of the teams that own them.

    A membership in any other group counts for nothing.
    """

    def __init__(self, groups: Iterable[FunctionalGroup] = (), owners: Iterable[Owner] = ()) -> None:
        named = {group.name: group for group in groups}
        missing = [group for group in BUILTIN_GROUPS if group.name not in named]
        self._groups = {**{group.name: group for group in missing}, **named}
        self.names = frozenset(self._groups)
        self.contacts: Mapping[str, str] = {owner.name: owner.contact for owner in owners}
        """Where each team that is registered is reached, by its name."""

    @classmethod
    def load(cls, path: Path) -> "Groups":
        """Read groups.toml: a table for each group, and `owners` with a table for each team.

        Raises ConfigurationError, naming the group or the owner and what would do.
        """
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigurationError(
                f"there is no `{path}`: create it, empty for the product's own groups alone"
            ) from None
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as reason:
            raise ConfigurationError(f"`{path}` cannot be read: {reason}") from reason
        owners = tuple(_read_owner(name, table) for name, table in _read_owners_table(tables).items())
        groups = tuple(_read_group(name, table) for name, table in tables.items() if name != OWNERS_TABLE)
        register = cls(groups, owners)
        _check_register(register, groups)
        return register

    def __iter__(self) -> Iterator[FunctionalGroup]:
        return iter(self._groups.values())

    def __getitem__(self, name: str) -> FunctionalGroup:
        return self._groups[name]

    def require(self, name: str) -> None:
        """Raise ConfigurationError, offering the nearest name, where no group of this name is registered."""
        if name not in self.names:
            raise build_unknown_name_error("group", name, self.names)

    def list_owners_without_contact(self) -> Sequence[str]:
        """Return the owners of groups that cannot be reached, as the register stands."""
        return sorted({group.owner for group in self} - self.contacts.keys())


def find_groups(groups: Groups, memberships: Iterable[Membership], now: datetime) -> frozenset[str]:
    """Return the registered groups in which a user is now: the union over all sources, without what is stale.

    An exclusive group is held by a grant alone, or several people could have it at once.
    """
    return frozenset(
        membership.group
        for membership in memberships
        if membership.group in groups.names
        and not groups[membership.group].exclusive
        and not groups[membership.group].is_stale(membership, now)
    )


def find_rank(name: str) -> str | None:
    """Return the first whole word of a group's name that is a rank; None: there is none."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", name).casefold())
    return next((word for word in words if word in RANKS), None)


def _check_register(register: Groups, written: Iterable[FunctionalGroup]) -> None:
    """Raise ConfigurationError for an owner or an approver nobody registered, and for two names that look alike."""
    folded: dict[str, str] = {}
    for group in register:
        same = folded.setdefault(unicodedata.normalize("NFKC", group.name).casefold(), group.name)
        if same != group.name:
            raise ConfigurationError(f"`{same}` and `{group.name}` in groups.toml are one name to a reader: rename one")
        for approver in group.approvers:
            register.require(approver)
    for group in written:
        # a register of before teams had contacts names none, and is good for one more release
        if register.contacts and group.owner not in register.contacts:
            raise build_unknown_name_error("owner", group.owner, register.contacts)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingKind:
    """What a setting of groups.toml holds, in words, and whether a value is that."""

    wanted: str
    is_valid: Callable[[Any], bool]


TEXT = SettingKind(wanted="a text", is_valid=lambda value: isinstance(value, str) and value != "")

NAMES = SettingKind(
    wanted="a list of texts", is_valid=lambda value: isinstance(value, list) and all(map(TEXT.is_valid, value))
)

HOURS = SettingKind(
    wanted=f"hours, more than 0 and at most {HOURS_MAX:,}",
    is_valid=lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= HOURS_MAX,
)

OWNER_SETTINGS: Mapping[str, SettingKind] = {
    "contact": SettingKind(
        wanted="an e-mail address, a channel such as `#finance`, or a link that begins with `https://`",
        is_valid=lambda value: TEXT.is_valid(value) and value.isprintable() and bool(CONTACT.fullmatch(value)),
    )
}

GROUP_SETTINGS: Mapping[str, SettingKind] = {
    "purpose": TEXT,
    "owner": TEXT,
    "sensitivity": SettingKind(wanted="`normal` or `sensitive`", is_valid=lambda value: value in {*Sensitivity}),
    "from": NAMES,
    "stale_after_hours": HOURS,
    "approvers": NAMES,
    "exclusive": SettingKind(wanted="`true` or `false`", is_valid=lambda value: isinstance(value, bool)),
    "grant_max_hours": HOURS,
}

SETTINGS_OF_EVERYONE = ("purpose", "owner")
"""Whoever is a person is in `everyone`: nobody joins it, and nobody approves."""


def _read_owners_table(tables: Mapping[str, Any]) -> Mapping[str, Any]:
    owners = tables.get(OWNERS_TABLE, {})
    if not isinstance(owners, Mapping) or not all(isinstance(table, Mapping) for table in owners.values()):
        raise ConfigurationError(
            f"`{OWNERS_TABLE}` in groups.toml holds the teams that own groups and fields: write"
            f" `[{OWNERS_TABLE}.finance]` with a `contact`"
        )
    return owners


def _read_owner(name: str, table: Mapping[str, Any]) -> Owner:
    settings = _read_settings(f"owner `{name}`", table, OWNER_SETTINGS, required=("contact",))
    return Owner(name=name, contact=settings["contact"])


def _read_group(name: str, table: Any) -> FunctionalGroup:
    _check_name(name)
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"`{name}` in groups.toml must be a section: write `[{name}]`")
    builtin = next((group for group in BUILTIN_GROUPS if group.name == name), None)
    known = {key: GROUP_SETTINGS[key] for key in SETTINGS_OF_EVERYONE} if name == EVERYONE else GROUP_SETTINGS
    settings = _read_settings(f"group `{name}`", table, known, required=() if builtin else ("purpose", "owner"))
    group = replace(builtin or FunctionalGroup(name=name, purpose="", owner=""), **_convert_settings(settings))
    if group.sensitivity is Sensitivity.SENSITIVE:
        return replace(group, stale_after=group.stale_after or timedelta(hours=STALE_AFTER_HOURS))
    if "stale_after_hours" in settings:
        raise ConfigurationError(
            f"the group `{name}` in groups.toml has `stale_after_hours`, which a sensitive group alone takes: add"
            ' `sensitivity = "sensitive"`'
        )
    return replace(group, stale_after=None)


def _check_name(name: str) -> None:
    if not name.isprintable() or name != name.strip() or not name:
        raise ConfigurationError(f"`{name}` in groups.toml is no name of a group: take printable characters")
    if "*" in name:
        raise ConfigurationError(f"`{name}` in groups.toml is no name of a group: there are no wildcards")
    if (rank := find_rank(name)) is not None:
        raise ConfigurationError(
            f"the group `{name}` in groups.toml has the name of a rank, `{rank}`: a group says what its members do,"
            " not how high they stand; name it after the task"
        )


def _read_settings(
    subject: str, table: Mapping[str, Any], known: Mapping[str, SettingKind], *, required: Collection[str]
) -> Mapping[str, Any]:
    """Return a table whose settings are all known and valid. Raises ConfigurationError for the first that is not."""
    for key in table:
        if key not in known:
            raise build_unknown_name_error(f"setting of the {subject}", key, known)
    for key, kind in known.items():
        if not (kind.is_valid(table[key]) if key in table else key not in required):
            raise ConfigurationError(f"the {subject} in groups.toml needs `{key}`, {kind.wanted}")
    return table


CONVERSIONS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "sensitivity": ("sensitivity", Sensitivity),
    "from": ("directory_groups", tuple),
    "stale_after_hours": ("stale_after", lambda hours: timedelta(hours=hours)),
    "approvers": ("approvers", tuple),
    "grant_max_hours": ("grant_max", lambda hours: timedelta(hours=hours)),
}
"""By setting, the attribute of a group and how its value is made; any other is the attribute of its name."""


def _convert_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    conversions = {key: CONVERSIONS.get(key, (key, lambda value: value)) for key in settings}
    return {attribute: convert(settings[key]) for key, (attribute, convert) in conversions.items()}
