"""Find the person of whom a provider speaks, let their groups follow its claims, and give them a code for their key."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from auth import users
from auth.attribution import Attribution, SubjectChange, name_change
from auth.directory.claims import SIGN_IN_PERIOD, create_claim
from auth.directory.memberships import MembershipChange, apply_membership_changes
from auth.directory.oidc_client import SignInRefused
from auth.directory.people import build_account, create_person
from auth.directory.reports import DirectoryRefusal, Sync, lock_source
from auth.groups import Groups
from auth.memberships import IdentitySource
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.directory_tables import directory_identity_table
from onedoor.storage.tables import membership_table, user_table

SOURCE = IdentitySource.OIDC

PUSHED_SOURCES = (IdentitySource.SCIM, IdentitySource.LDAP)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRules:
    """What signing in may do."""

    groups: Groups
    has_directory: bool
    """Whether a directory says who is in which group: then claims create nobody, and confirm memberships alone."""
    groups_claim: str
    verified_claim: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Whoever signed in, and the code for their key."""

    person_id: str
    code: str = field(repr=False)


def sign_in(
    database: MetadataDatabase,
    rules: SignInRules,
    claims: Mapping[str, Any],
    *,
    random: bytes,
    attribution: Attribution,
) -> SignedIn:
    """Sign in the person whom claims name, whose provider is trusted. Raises SignInRefused.

    `random` belongs to one attempt, which gives one code.
    """
    try:
        with database.write_transaction() as connection:
            lock_source(connection, SOURCE)
            sync = Sync(
                connection=connection, source=SOURCE, groups=rules.groups, now=database.now(),
                attribution=attribution, pepper=database.pepper,
            )  # fmt: skip
            person_id = _find_person(sync, rules, claims)
            _follow_groups(sync, rules, person_id, _read_groups(rules, claims))
            code = create_claim(connection, database.pepper, person_id, sync.now, period=SIGN_IN_PERIOD, random=random)
            name_change(connection, attribution, SubjectChange(type="User", id=person_id, verb="sign-in"))
            return SignedIn(person_id=person_id, code=code)
    except IntegrityError as reason:
        raise SignInRefused("this sign-in was used already: sign in again") from reason
    except DirectoryRefusal as reason:
        raise SignInRefused(str(reason)) from reason


def _find_person(sync: Sync, rules: SignInRules, claims: Mapping[str, Any]) -> str:
    """Return the active person of an identity; the first time, the one with the address that the provider verified."""
    identity = {"issuer": claims["iss"], "subject": claims["sub"]}
    person_id = sync.connection.execute(select(directory_identity_table.c.person_id).filter_by(**identity)).scalar()
    if person_id is None:
        person_id = _join_person(sync, rules, claims)
        values = {**identity, "person_id": person_id, "created_at": sync.now}
        sync.connection.execute(insert(directory_identity_table).values(values))
    row = sync.connection.execute(select(user_table).filter_by(id=person_id)).one()
    if row.deactivated_at is not None:
        raise SignInRefused("you are deactivated here: ask whoever administers users")
    return str(person_id)


def _join_person(sync: Sync, rules: SignInRules, claims: Mapping[str, Any]) -> str:
    email, verified = claims.get("email"), claims.get(rules.verified_claim)
    if not isinstance(email, str) or not (verified is True or verified == "true"):
        raise SignInRefused("the provider did not confirm your e-mail address: ask whoever runs it")
    row = sync.connection.execute(select(user_table).filter_by(email_folded=users.fold_email(email))).first()
    if row is None and rules.has_directory:
        raise SignInRefused("the directory has not sent you here yet: ask whoever administers users")
    if row is None:
        return _create_person(sync, claims, email)
    if not _is_same_mailbox(email, row.email):
        raise SignInRefused("your e-mail address only looks like one that is known here: ask whoever administers users")
    known = select(directory_identity_table.c.subject).filter_by(issuer=claims["iss"], person_id=row.id)
    if row.owner_group is not None or sync.connection.execute(known).first() is not None:
        raise SignInRefused("your e-mail address belongs to somebody else here: ask whoever administers users")
    return str(row.id)


def _is_same_mailbox(one: str, other: str) -> bool:
    """Whether two addresses are one mailbox: letters that merely fold to the same text are another's."""
    return one == other or (one.isascii() and other.isascii() and one.lower() == other.lower())


def _create_person(sync: Sync, claims: Mapping[str, Any], email: str) -> str:
    texts = {name: str(claims[name]) for name in ("given_name", "family_name", "name") if claims.get(name)}
    account = build_account(
        user_name=email,
        active=True,
        emails=[email],
        given_name=texts.get("given_name"),
        family_name=texts.get("family_name"),
        display_name=texts.get("name"),
        attributes={},
    )
    if account.email is None:
        raise SignInRefused("the provider's word for your e-mail address is none: ask whoever runs it")
    return create_person(sync, account, account.email)


def _read_groups(rules: SignInRules, claims: Mapping[str, Any]) -> Collection[str] | None:
    """Return the groups that the claims list; None: they list none, as there are too many or nobody asked for them."""
    groups = claims.get(rules.groups_claim)
    if not isinstance(groups, list) or rules.groups_claim in (claims.get("_claim_names") or {}):
        return None
    return [group for group in groups if isinstance(group, str)]


def _follow_groups(sync: Sync, rules: SignInRules, person_id: str, names: Collection[str] | None) -> None:
    """Confirm the memberships that claims bear out; without a directory, let memberships be what they say."""
    if names is None:
        return
    wanted = {group.name for group in rules.groups if not set(group.directory_groups).isdisjoint(names)}
    sources = PUSHED_SOURCES if rules.has_directory else (SOURCE,)
    if not rules.has_directory:
        email = sync.connection.execute(select(user_table.c.email).filter_by(id=person_id)).scalar_one()
        held = select(membership_table.c.group_name).filter_by(person_id=person_id, source=SOURCE)
        current = set(sync.connection.execute(held).scalars())
        changes = [
            MembershipChange(person_id=person_id, email=email, group=group, joins=group in wanted)
            for group in sorted(wanted ^ current)
        ]
        apply_membership_changes(sync, changes)
    table = membership_table.c
    confirmed = update(membership_table).where(
        table.person_id == person_id, table.group_name.in_(wanted), table.source.in_(sources)
    )
    sync.connection.execute(confirmed.values(confirmed_at=sync.now))
