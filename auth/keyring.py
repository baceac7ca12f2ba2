"""The keys in the state: created, listed, revoked, rotated. The text of a key leaves here once and is kept nowhere."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from auth import people
from auth.keys import DEFAULT_DAYS, RANDOM_BYTES, Key, demo_key, digest, mint, written
from auth.mistake import Mistake, unknown
from auth.state import State
from auth.tables import key, person


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A key just made; `text` is what its person carries, shown this once."""

    id: str
    text: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the state tells of a key: never its secret, nor the digest of it."""

    id: str
    email: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


def create(state: State, email: str, *, days: int = DEFAULT_DAYS) -> Issued:
    """A key for a person who has none that still opens. Raises Mistake where there is one, or the person is gone."""
    with state.writing() as connection:
        person_id = present(connection, email)
        revoke_expired(connection, state, person_id)
        try:
            return issue(connection, state, person_id, days)
        except IntegrityError as reason:
            raise Mistake(f"`{email}` already has a key: rotate it, or revoke it first") from reason


def rotate(state: State, email: str, *, days: int = DEFAULT_DAYS) -> Issued:
    """A new key, with a new id, in place of the old one, which stops opening within a second.

    Records tell the two apart by key id and hold them together by person.
    """
    with state.writing() as connection:
        person_id = present(connection, email)
        old = update(key).filter_by(person_id=person_id, revoked_at=None).values(revoked_at=state.now())
        if connection.execute(old).rowcount == 0:
            raise Mistake(f"`{email}` has no key to rotate: create one")
        return issue(connection, state, person_id, days)


def revoke(state: State, key_id: str) -> None:
    """Shuts one key, for good; it stops opening within a second. Doing so twice changes nothing."""
    with state.writing() as connection:
        if connection.execute(select(key.c.id).filter_by(id=key_id)).first() is None:
            raise unknown("key", key_id, connection.execute(select(key.c.id).filter_by(revoked_at=None)).scalars())
        connection.execute(update(key).filter_by(id=key_id, revoked_at=None).values(revoked_at=state.now()))


def listed(state: State) -> tuple[Held, ...]:
    """Every key there ever was, by e-mail address, the newest first."""
    columns = (key.c.id, person.c.email, key.c.created_at, key.c.expires_at, key.c.revoked_at)
    statement = select(*columns).join(person).order_by(person.c.email_folded, key.c.created_at.desc(), key.c.id)
    with state.reading() as connection:
        return tuple(Held(**row) for row in connection.execute(statement).mappings())


def create_demo(state: State, email: str, group: str) -> Issued:
    """The demo's key for a group, given to a person; the next start gives the same one, its expiry put off."""
    made = demo_key(state.pepper, group)
    with state.writing() as connection:
        connection.execute(delete(key).filter_by(id=made.id))
        return keep(connection, state, made, person_id=present(connection, email), days=DEFAULT_DAYS, demo=True)


def made_by_demo(state: State) -> bool:
    """Whether a demo key still opens: such a state must not be served to other machines."""
    with state.reading() as connection:
        return bool(connection.execute(select(exists().where(key.c.demo, key.c.revoked_at.is_(None)))).scalar())


def present(connection: Connection, email: str) -> str:
    """The id of a person who may hold a key."""
    found = people.find(connection, email)
    if found.deactivated_at is not None:
        raise Mistake(f"`{email}` is deactivated and can have no key")
    return str(found.id)


def revoke_expired(connection: Connection, state: State, person_id: str) -> None:
    """Makes room: an expired key opens nothing, but would still count as the person's one key."""
    expired = update(key).filter_by(person_id=person_id, revoked_at=None).where(key.c.expires_at <= state.now())
    connection.execute(expired.values(revoked_at=state.now()))


def issue(connection: Connection, state: State, person_id: str, days: int) -> Issued:
    if not 1 <= days <= 3650:
        raise Mistake(f"a key cannot last {days} days: choose 1 to 3650")
    return keep(connection, state, mint(secrets.token_bytes(RANDOM_BYTES)), person_id=person_id, days=days, demo=False)


def keep(connection: Connection, state: State, made: Key, *, person_id: str, days: int, demo: bool) -> Issued:
    now = state.now()
    expires_at = now + timedelta(days=days)
    connection.execute(
        insert(key).values(
            id=made.id, person_id=person_id, digest=digest(state.pepper, made.secret), demo=demo,
            created_at=now, expires_at=expires_at,
        )
    )  # fmt: skip
    return Issued(id=made.id, text=written(made), expires_at=expires_at)
