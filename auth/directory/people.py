"""Make people of the users that a directory describes: a new one is created, one who left is deactivated.

Laws: a directory reaches the people who came from it, and nobody else; it activates whom it says has come back, never
whom an administrator deactivated meanwhile.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import insert, select, update

from auth import users
from auth.attribution import Attribution, SubjectChange, name_change
from auth.directory.claims import create_claim
from auth.directory.reports import (
    APPROVED_DETAIL,
    DirectoryRefusal,
    Sync,
    SyncChangeKind,
    check_removals,
    list_released_people,
)
from auth.groups import EVERYONE
from auth.memberships import IdentitySource, MembershipKey, end_membership, load_memberships
from auth.users import Attributes, User
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.directory_tables import directory_person_table, directory_user_table
from onedoor.storage.tables import user_table

NAME_CHARACTERS_MAX = 200

NO_LAST_NAME = "-"
"""The last name of who has a single name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a directory says of one of its users."""

    user_name: str
    active: bool
    email: str | None
    """None: it gives no address, so there is no person yet."""
    first_name: str
    last_name: str
    attributes: Attributes = field(default_factory=dict)
    """One without values is taken from the person."""


def build_account(
    *,
    user_name: str,
    active: bool,
    emails: Iterable[str | None],
    given_name: str | None,
    family_name: str | None,
    display_name: str | None,
    attributes: Mapping[str, Iterable[str]],
) -> Account:
    """Build an account of the first address there is, and of the best names."""
    email = next((email for email in emails if email and users.EMAIL_PATTERN.fullmatch(email)), None)
    words = (_clean(display_name) or _clean(user_name)).split()
    given, family = _clean(given_name), _clean(family_name)
    return Account(
        user_name=user_name,
        active=active,
        email=email,
        first_name=given or (words[0] if words else user_name),
        last_name=family or (" ".join(words[1:]) if not given else "") or NO_LAST_NAME,
        attributes={name: tuple(value for value in values if value) for name, values in attributes.items()},
    )


def _clean(text: str | None) -> str:
    """Return a text without characters that cannot be shown, and not longer than a name."""
    return "".join(letter for letter in text or "" if letter.isprintable()).strip()[:NAME_CHARACTERS_MAX]


def apply_account(sync: Sync, account: Account, *, person_id: str | None, was_active: bool) -> str | None:
    """Let the person of an account become what the directory says. Returns their id; None: there is no person.

    Raises DirectoryRefusal, after which the transaction is void.
    """
    if person_id is None:
        return _admit(sync, account) if account.active else None
    changed = _update(sync, person_id, account)
    if was_active and not account.active:
        remove_person(sync, person_id)
    elif account.active and not was_active:
        _activate(sync, person_id)
    elif changed:
        sync.note(SyncChangeKind.CHANGED, account.email or account.user_name, person_id=person_id)
    return person_id


def _admit(sync: Sync, account: Account) -> str | None:
    """Create the person of a new account, or find who they were when the directory had them before."""
    if account.email is None:
        detail = "there is no e-mail address, so nobody who could have a key"
        sync.note(SyncChangeKind.REFUSED, account.user_name, detail=detail)
        return None
    row = sync.connection.execute(select(user_table).filter_by(email_folded=users.fold_email(account.email))).first()
    if row is None:
        return create_person(sync, account, account.email)
    person_id = str(row.id)
    _require_own(sync, person_id, account.email)
    _update(sync, person_id, account)
    _activate(sync, person_id)
    return person_id


def create_person(sync: Sync, account: Account, email: str) -> str:
    """Create the person of an account, from the directory of the sync. Raises DirectoryRefusal."""
    person = User(
        id=users.mint_user_id(), first_name=account.first_name, last_name=account.last_name, email=email,
        created_at=sync.now, deactivated_at=None, attributes=_keep_given(account.attributes),
    )  # fmt: skip
    try:
        users.insert_person(sync.connection, person, sync.attribution)
    except ConfigurationError as reason:
        raise DirectoryRefusal(str(reason), account.user_name) from None
    place_in_directory(sync, person.id)
    create_claim(sync.connection, sync.pepper, person.id, sync.now)
    sync.note(SyncChangeKind.CREATED, email, person_id=person.id)
    return person.id


def place_in_directory(sync: Sync, person_id: str) -> None:
    """Let the directory of a sync answer for a person from now on."""
    values = {"person_id": person_id, "source": sync.source, "since": sync.now}
    sync.connection.execute(insert(directory_person_table).values(values))


def adopt_person(database: MetadataDatabase, user: str, source: IdentitySource, attribution: Attribution) -> None:
    """Hand a person over to a directory; doing so twice changes nothing. Raises ConfigurationError."""
    if source is IdentitySource.LOCAL:
        raise ConfigurationError("`local` is no directory: choose `scim`, `ldap` or `oidc`")
    with database.write_transaction() as connection:
        row = users.find_user(connection, user)
        if row.owner_group is not None:
            raise ConfigurationError(f"`{row.email}` is a service: no directory answers for one")
        known = select(directory_person_table.c.source).filter_by(person_id=row.id)
        current = connection.execute(known).scalar()
        if current is None:
            values = {"person_id": row.id, "source": source, "since": database.now()}
            connection.execute(insert(directory_person_table).values(values))
            name_change(connection, attribution, SubjectChange(type="User", id=row.id, verb="adopt"))
        elif current != source:
            raise ConfigurationError(f"`{row.email}` is from the directory `{current}` already")


def _require_own(sync: Sync, person_id: str, email: str) -> None:
    """Raise DirectoryRefusal where a person is not the directory's, or is another of its users already."""
    source = sync.connection.execute(select(directory_person_table.c.source).filter_by(person_id=person_id)).scalar()
    if source != sync.source:
        message = f"`{email}` is a person who is not from this directory: an administrator may run `directory adopt`"
        raise DirectoryRefusal(message, email)
    other = select(directory_user_table.c.id).filter_by(source=sync.source, person_id=person_id)
    if sync.connection.execute(other).first() is not None:
        raise DirectoryRefusal(f"`{email}` is the address of another user of this directory", email)


def _update(sync: Sync, person_id: str, account: Account) -> bool:
    """Give a person the name, address and attributes of the account, and return whether anything changed."""
    row = sync.connection.execute(select(user_table).filter_by(id=person_id)).one()
    wanted = {
        "first_name": account.first_name,
        "last_name": account.last_name,
        "attributes": users.dump_attributes(
            _keep_given({**users.load_attributes(row.attributes), **account.attributes})
        ),
    }
    if account.email is not None and account.email != row.email:
        folded = users.fold_email(account.email)
        taken = select(user_table.c.id).where(user_table.c.email_folded == folded, user_table.c.id != person_id)
        if sync.connection.execute(taken).first() is not None:
            raise DirectoryRefusal(f"`{account.email}` is the address of another person", account.email)
        if _list_given_memberships(sync, person_id):
            reason = (
                f"`{row.email}` has groups that an administrator gave: change the address with `users change-email`"
            )
            raise DirectoryRefusal(reason, account.email)
        wanted |= {"email": account.email, "email_folded": folded}
    try:
        users.check_attributes(_keep_given(account.attributes))
        users.check_email(wanted.get("email", row.email))
    except ConfigurationError as reason:
        raise DirectoryRefusal(str(reason), account.user_name) from None
    changed = {name: value for name, value in wanted.items() if value != getattr(row, name)}
    if changed:
        sync.connection.execute(update(user_table).filter_by(id=person_id).values(changed))
        name_change(sync.connection, sync.attribution, SubjectChange(type="User", id=person_id, verb="update"))
    return bool(changed)


def _keep_given(attributes: Attributes) -> Attributes:
    """Return the attributes that have values."""
    return {name: values for name, values in attributes.items() if values}


def remove_person(sync: Sync, person_id: str) -> None:
    """Deactivate a person who left: their key, grants, running work, and what administrators gave them, end.

    Raises RemovalsHalted.
    """
    row = sync.connection.execute(select(user_table).filter_by(id=person_id)).one()
    if row.deactivated_at is not None:
        return
    check_removals(sync, [person_id])
    for key in _list_given_memberships(sync, person_id):
        end_membership(sync.connection, key, now=sync.now, attribution=sync.attribution)
    if attributes := users.load_attributes(row.attributes):
        users.update_attributes(sync.connection, person_id, dict.fromkeys(attributes, ()), sync.attribution)
    users.deactivate(sync.connection, person_id, now=sync.now, attribution=sync.attribution)
    detail = APPROVED_DETAIL if person_id in list_released_people(sync) else None
    sync.note(SyncChangeKind.DEACTIVATED, row.email, person_id=person_id, detail=detail)


def _list_given_memberships(sync: Sync, person_id: str) -> Sequence[MembershipKey]:
    """List the memberships that administrators gave a person; `everyone` is none of them."""
    return [
        MembershipKey(person_id=person_id, group=membership.group, source=membership.source)
        for membership in load_memberships(sync.connection, [person_id])[person_id]
        if membership.source is IdentitySource.LOCAL and membership.group != EVERYONE
    ]


def _activate(sync: Sync, person_id: str) -> None:
    row = sync.connection.execute(select(user_table).filter_by(id=person_id)).one()
    if row.deactivated_at is None:
        return
    users.activate(sync.connection, person_id, now=sync.now, attribution=sync.attribution)
    create_claim(sync.connection, sync.pepper, person_id, sync.now)
    sync.note(SyncChangeKind.ACTIVATED, row.email, person_id=person_id)
