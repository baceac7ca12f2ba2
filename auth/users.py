"""Create, list and change users, people and services alike, and their memberships of groups."""

import re
import secrets
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

import orjson
from sqlalchemy import Connection, Select, insert, or_, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from auth.attribution import UNATTRIBUTED, Attribution, SubjectChange, name_change, require_printable
from auth.groups import EVERYONE, USER_ADMINISTRATION, Groups
from auth.key_format import encode_id
from auth.memberships import (
    IdentitySource,
    Membership,
    MembershipKey,
    MembershipPeriod,
    begin_membership_period,
    confirm_membership,
    end_membership,
    end_membership_periods,
    load_memberships,
)
from onedoor.errors import ConfigurationError, build_unknown_name_error
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.directory_tables import key_claim_table
from onedoor.storage.tables import key_table, membership_period_table, membership_table, user_table

EMAIL_PATTERN = re.compile(r"[^\s@]+@[^\s@]+")

SERVICE_NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]{1,62}")

ATTRIBUTE_NAME_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")

ATTRIBUTE_CHARACTERS_MAX = 10_000
"""Characters of all attributes of one user, as JSON."""

Attributes: TypeAlias = Mapping[str, tuple[str, ...]]
"""What a user has beside a name, such as `{"customer": ("20", "21")}`; row rules compare columns with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user of the metadata database: a person, or a service, which has an `owner_group` and a name for an `email`."""

    id: str
    first_name: str
    last_name: str
    email: str
    created_at: datetime
    deactivated_at: datetime | None
    owner_group: str | None = None
    memberships: tuple[Membership, ...] = ()
    """By group and source; those of a deactivated user count for nothing until they are activated again."""
    attributes: Attributes = field(default_factory=dict)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups, sorted, whatever says that the user is in them."""
        return tuple(sorted({membership.group for membership in self.memberships}))


def create_user(
    database: MetadataDatabase,
    *,
    first_name: str,
    last_name: str,
    email: str,
    groups: Sequence[str] = (),
    attributes: Attributes | None = None,
    attribution: Attribution = UNATTRIBUTED,
) -> User:
    """Create a person, who is in the group `everyone` from the start. Raises ConfigurationError."""
    person = User(
        id=mint_user_id(), first_name=first_name, last_name=last_name, email=email, created_at=database.now(),
        deactivated_at=None, attributes=attributes or {},
    )  # fmt: skip
    with database.write_transaction() as connection:
        insert_person(connection, person, attribution)
        return _add_to_groups(connection, person, groups, attribution)


def create_service(
    database: MetadataDatabase,
    *,
    name: str,
    owner_group: str,
    groups: Sequence[str] = (),
    attributes: Attributes | None = None,
    attribution: Attribution = UNATTRIBUTED,
) -> User:
    """Create a service for which a group answers; it is in the group `everyone` from the start.

    Raises ConfigurationError.
    """
    service = User(
        id=mint_user_id(), first_name=name, last_name="", email=name, created_at=database.now(), deactivated_at=None,
        owner_group=owner_group, attributes=attributes or {},
    )  # fmt: skip
    with database.write_transaction() as connection:
        _insert_service(connection, service, attribution)
        return _add_to_groups(connection, service, groups, attribution)


def _add_to_groups(connection: Connection, user: User, groups: Iterable[str], attribution: Attribution) -> User:
    for group in groups:
        key = MembershipKey(person_id=user.id, group=group)
        confirm_membership(connection, key, now=user.created_at, attribution=attribution)
    return replace(user, memberships=load_memberships(connection, [user.id])[user.id])


def insert_person(connection: Connection, user: User, attribution: Attribution) -> None:
    """Insert a person, who is in the group `everyone`. Raises ConfigurationError: roll the transaction back."""
    require_printable("first name", user.first_name)
    require_printable("last name", user.last_name)
    check_email(user.email)
    check_attributes(user.attributes)
    _insert_user(connection, user, attribution)


def _insert_service(connection: Connection, user: User, attribution: Attribution) -> None:
    """Insert a service, which is in the group `everyone`. Raises ConfigurationError: roll the transaction back."""
    if SERVICE_NAME_PATTERN.fullmatch(user.email) is None:
        raise ConfigurationError(f"`{user.email}` is no name of a service: take small letters, digits and `-`")
    if connection.execute(select(user_table.c.id).filter_by(id=user.email)).first() is not None:
        raise ConfigurationError(f"`{user.email}` is the id of a user: call the service by another name")
    check_attributes(user.attributes)
    _insert_user(connection, user, attribution)


def _insert_user(connection: Connection, user: User, attribution: Attribution) -> None:
    try:
        connection.execute(
            insert(user_table).values(
                id=user.id, first_name=user.first_name, last_name=user.last_name, email=user.email,
                email_folded=fold_email(user.email), created_at=user.created_at, owner_group=user.owner_group,
                attributes=dump_attributes(user.attributes),
            )
        )  # fmt: skip
    except IntegrityError as reason:
        raise _build_taken_error(user.email) from reason
    _name_user_change(connection, attribution, user.id, "create")
    if user.attributes:
        _name_user_change(connection, attribution, user.id, "set-attributes")
    key = MembershipKey(person_id=user.id, group=EVERYONE)
    confirm_membership(connection, key, now=user.created_at, attribution=attribution)


def mint_user_id() -> str:
    return encode_id(secrets.token_bytes(16))


def rename_user(
    database: MetadataDatabase,
    user: str,
    *,
    first_name: str,
    last_name: str,
    attribution: Attribution = UNATTRIBUTED,
) -> None:
    """Give a person another name. Raises ConfigurationError."""
    with database.write_transaction() as connection:
        row = _find_person(connection, user)
        rename(connection, row.id, first_name=first_name, last_name=last_name, attribution=attribution)


def rename(
    connection: Connection, person_id: str, *, first_name: str, last_name: str, attribution: Attribution
) -> None:
    """Give a person another name by id, in a transaction of the caller. Raises ConfigurationError."""
    require_printable("first name", first_name)
    require_printable("last name", last_name)
    renamed = {"first_name": first_name, "last_name": last_name}
    connection.execute(update(user_table).filter_by(id=person_id).values(renamed))
    _name_user_change(connection, attribution, person_id, "rename")


def change_email(database: MetadataDatabase, user: str, email: str, attribution: Attribution = UNATTRIBUTED) -> None:
    """Give a person another e-mail address; id, groups and key stay, and no code for the key waits any more.

    Raises ConfigurationError.
    """
    check_email(email)
    with database.write_transaction() as connection:
        row = _find_person(connection, user)
        changed = {"email": email, "email_folded": fold_email(email)}
        try:
            connection.execute(update(user_table).filter_by(id=row.id).values(changed))
        except IntegrityError as reason:
            raise _build_taken_error(email) from reason
        revoke_claims(connection, row.id, database.now())
        _name_user_change(connection, attribution, row.id, "change-email")


def set_attributes(
    database: MetadataDatabase, user: str, attributes: Attributes, attribution: Attribution = UNATTRIBUTED
) -> None:
    """Set attributes of a user, each in place of its former values; one without values is removed.

    Raises ConfigurationError.
    """
    with database.write_transaction() as connection:
        update_attributes(connection, find_user(connection, user).id, attributes, attribution)


def update_attributes(connection: Connection, person_id: str, attributes: Attributes, attribution: Attribution) -> None:
    """Set attributes of a user by id, in a transaction of the caller. Raises ConfigurationError."""
    row = connection.execute(select(user_table).filter_by(id=person_id).with_for_update()).one()
    merged = merge_attributes(row, attributes)
    check_attributes(merged)
    connection.execute(update(user_table).filter_by(id=person_id).values(attributes=dump_attributes(merged)))
    _name_user_change(connection, attribution, person_id, "set-attributes")


def merge_attributes(row: Row[Any], attributes: Attributes) -> Attributes:
    """Return the attributes of the user of a row once these are set."""
    merged = {**load_attributes(row.attributes), **attributes}
    return {name: values for name, values in merged.items() if values}


def deactivate_user(database: MetadataDatabase, user: str, attribution: Attribution = UNATTRIBUTED) -> None:
    """Deactivate a user and revoke their key; their records stay. Doing so twice changes nothing."""
    with database.write_transaction() as connection:
        row = find_user(connection, user)
        if row.deactivated_at is None:
            deactivate(connection, row.id, now=database.now(), attribution=attribution)


def deactivate(connection: Connection, person_id: str, *, now: datetime, attribution: Attribution) -> None:
    """Deactivate an active user by id and revoke their key and codes for it, in a transaction of the caller."""
    revoke_claims(connection, person_id, now)
    connection.execute(update(user_table).filter_by(id=person_id).values(deactivated_at=now))
    _name_user_change(connection, attribution, person_id, "deactivate")
    unrevoked = key_table.c.person_id == person_id, key_table.c.revoked_at.is_(None)
    for key_id in connection.execute(select(key_table.c.id).where(*unrevoked)).scalars().all():
        connection.execute(update(key_table).filter_by(id=key_id).values(revoked_at=now))
        change = SubjectChange(type="Key", id=key_id, verb="revoke", person_id=person_id)
        name_change(connection, attribution, change)
    end_membership_periods(connection, {"person_id": person_id}, until=now, attribution=attribution)


def revoke_claims(connection: Connection, person_id: str, now: datetime) -> None:
    """Revoke the codes of a person that nobody has used."""
    unused = update(key_claim_table).filter_by(person_id=person_id, used_at=None, revoked_at=None)
    connection.execute(unused.values(revoked_at=now))


def activate_user(database: MetadataDatabase, user: str, attribution: Attribution = UNATTRIBUTED) -> User:
    """Activate a deactivated user again, in the groups they were in and without a key.

    Raises ConfigurationError.
    """
    with database.write_transaction() as connection:
        row, now = find_user(connection, user), database.now()
        if row.deactivated_at is None:
            raise ConfigurationError(f"`{row.email}` is active")
        activate(connection, row.id, now=now, attribution=attribution)
        (activated,) = _load_users(connection, select(user_table).filter_by(id=row.id))
    return activated


def activate(connection: Connection, person_id: str, *, now: datetime, attribution: Attribution) -> None:
    """Activate a deactivated user by id, in a transaction of the caller."""
    connection.execute(update(user_table).filter_by(id=person_id).values(deactivated_at=None))
    _name_user_change(connection, attribution, person_id, "activate")
    connection.execute(update(membership_table).filter_by(person_id=person_id).values(since=now))
    for membership in load_memberships(connection, [person_id])[person_id]:
        key = MembershipKey(person_id=person_id, group=membership.group, source=membership.source)
        begin_membership_period(connection, key, since=now, attribution=attribution)


def list_users(database: MetadataDatabase, *, group: str | None = None) -> tuple[User, ...]:
    """List all users, or those in a group, by e-mail address."""
    statement = select(user_table).order_by(user_table.c.email_folded)
    if group is not None:
        in_group = select(membership_table.c.person_id).filter_by(group_name=group)
        statement = statement.where(user_table.c.id.in_(in_group))
    with database.read_connection() as connection:
        return _load_users(connection, statement)


def find_user_by_id(database: MetadataDatabase, id: str) -> User | None:
    """Find a user; None: no user has this id."""
    with database.read_connection() as connection:
        found = _load_users(connection, select(user_table).where(user_table.c.id == id))
    return found[0] if found else None


def load_user(database: MetadataDatabase, user: str) -> User:
    """Load a user by e-mail address or id. Raises ConfigurationError, which offers a near address."""
    with database.read_connection() as connection:
        (loaded,) = _load_users(connection, select(user_table).filter_by(id=find_user(connection, user).id))
    return loaded


def find_user_id(database: MetadataDatabase, user: str) -> str:
    """Return the id of a user, by e-mail address or id. Raises ConfigurationError, which offers a near address."""
    with database.read_connection() as connection:
        return str(find_user(connection, user).id)


def _load_users(connection: Connection, statement: Select[Any]) -> tuple[User, ...]:
    rows = connection.execute(statement).all()
    memberships = load_memberships(connection, [str(row.id) for row in rows])
    return tuple(
        User(
            id=row.id, first_name=row.first_name, last_name=row.last_name, email=row.email,
            created_at=row.created_at, deactivated_at=row.deactivated_at, owner_group=row.owner_group,
            memberships=memberships.get(row.id, ()), attributes=load_attributes(row.attributes),
        )
        for row in rows
    )  # fmt: skip


def join_group(database: MetadataDatabase, user: str, *groups: str, attribution: Attribution = UNATTRIBUTED) -> None:
    """Add a user to groups as an administrator; doing so again confirms it. Raises ConfigurationError."""
    with database.write_transaction() as connection:
        person_id = find_user(connection, user).id
        for group in groups:
            key = MembershipKey(person_id=person_id, group=group)
            confirm_membership(connection, key, now=database.now(), attribution=attribution)


def leave_group(database: MetadataDatabase, user: str, *groups: str, attribution: Attribution = UNATTRIBUTED) -> None:
    """Remove a user from groups, registered or not, as far as an administrator put them there: from all or none.

    Nobody leaves `everyone`. Raises ConfigurationError.
    """
    if EVERYONE in groups:
        raise ConfigurationError(f"nobody leaves `{EVERYONE}`: deactivate the person instead")
    with database.write_transaction() as connection:
        row = find_user(connection, user)
        for group in groups:
            key = MembershipKey(person_id=row.id, group=group)
            if not end_membership(connection, key, now=database.now(), attribution=attribution):
                raise _build_not_in_group_error(row, group, load_memberships(connection, [row.id])[row.id])


def bootstrap_administrator(database: MetadataDatabase, user: str, attribution: Attribution = UNATTRIBUTED) -> None:
    """Add a person to `user-administration` where nobody ever was in it. Raises ConfigurationError."""
    with database.write_transaction() as connection:
        row = _find_person(connection, user)
        if row.deactivated_at is not None:
            raise ConfigurationError(f"`{row.email}` is deactivated: activate them first")
        ever = select(membership_period_table.c.person_id).filter_by(group_name=USER_ADMINISTRATION)
        if connection.execute(ever).first() is not None:
            raise ConfigurationError(
                f"the first member of `{USER_ADMINISTRATION}` was named before: they, or `groups join`, let in others"
            )
        key = MembershipKey(person_id=row.id, group=USER_ADMINISTRATION)
        confirm_membership(connection, key, now=database.now(), attribution=attribution)


def _build_not_in_group_error(row: Row[Any], group: str, held: Iterable[Membership]) -> ConfigurationError:
    sources = ", ".join(f"`{membership.source}`" for membership in held if membership.group == group)
    if sources:
        return ConfigurationError(f"`{row.email}` is in the group `{group}` by {sources}: end it there")
    return ConfigurationError(f"`{row.email}` is not in the group `{group}`")


def list_membership_periods(
    database: MetadataDatabase, *, user: str | None = None, group: str | None = None
) -> tuple[MembershipPeriod, ...]:
    """List every stay of one user, in one group, or of all, by e-mail address, group and time.

    Raises ConfigurationError for an unknown user.
    """
    statement = select(membership_period_table, user_table.c.email).join(user_table)
    with database.read_connection() as connection:
        if user is not None:
            statement = statement.where(user_table.c.id == find_user(connection, user).id)
        if group is not None:
            statement = statement.where(membership_period_table.c.group_name == group)
        period = membership_period_table.c
        order = (user_table.c.email_folded, period.group_name, period.since, period.source)
        rows = connection.execute(statement.order_by(*order)).all()
    return tuple(
        MembershipPeriod(
            email=row.email,
            group=row.group_name,
            source=IdentitySource(row.source),
            since=row.since,
            added=Attribution(actor=row.added_by, reason=row.added_reason, record_id=row.added_record),
            until=row.until,
            removed=Attribution(actor=row.removed_by, reason=row.removed_reason, record_id=row.removed_record),
        )
        for row in rows
    )


def find_user(connection: Connection, user: str) -> Row[Any]:
    """Find the row of a user by id, or by e-mail address in any case.

    Raises ConfigurationError, which offers a near address.
    """
    row = find_user_or_none(connection, user)
    if row is None:
        raise build_unknown_name_error("person", user, connection.execute(select(user_table.c.email)).scalars())
    return row


def find_user_or_none(connection: Connection, user: str) -> Row[Any] | None:
    is_named = or_(user_table.c.email_folded == fold_email(user), user_table.c.id == user)
    return connection.execute(select(user_table).where(is_named)).first()


def fold_email(email: str) -> str:
    """Return what all ways to write an address have in common: NFKC, case folded, NFKC again as folding undoes it."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email).casefold())


def list_unregistered_memberships(database: MetadataDatabase, groups: Groups) -> tuple[tuple[str, str], ...]:
    """Return (e-mail address, group) of each membership in a group that nobody registered, which counts for nothing."""
    return tuple(
        (user.email, name) for user in list_users(database) for name in user.groups if name not in groups.names
    )


def load_attributes(text: str) -> Attributes:
    return {name: tuple(values) for name, values in orjson.loads(text).items()}


def dump_attributes(attributes: Attributes) -> str:
    return orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS).decode()


def check_attributes(attributes: Attributes) -> None:
    """Raise ConfigurationError where attributes cannot be stored."""
    for name, values in attributes.items():
        if ATTRIBUTE_NAME_PATTERN.fullmatch(name) is None:
            raise ConfigurationError(f"`{name}` is no name of an attribute: take letters, digits and `_`")
        require_printable(f"attribute `{name}`", *values)
    if len(dump_attributes(attributes)) > ATTRIBUTE_CHARACTERS_MAX:
        raise ConfigurationError(f"the attributes exceed {ATTRIBUTE_CHARACTERS_MAX:,} characters: shorten them")


def check_email(email: str) -> None:
    """Raise ConfigurationError where a text is no e-mail address."""
    require_printable("e-mail address", email)
    if EMAIL_PATTERN.fullmatch(email) is None:
        raise ConfigurationError(f"`{email}` is no e-mail address: write it as `name@domain`")


def _find_person(connection: Connection, user: str) -> Row[Any]:
    row = find_user(connection, user)
    if row.owner_group is not None:
        raise ConfigurationError(f"`{row.email}` is a service, whose name stays: create another")
    return row


def _name_user_change(connection: Connection, attribution: Attribution, id: str, verb: str) -> None:
    name_change(connection, attribution, SubjectChange(type="User", id=id, verb=verb, person_id=id))


def _build_taken_error(email: str) -> ConfigurationError:
    kind = "person with the e-mail address" if "@" in email else "service"
    return ConfigurationError(f"there is already a {kind} `{email}`")
