"""People and their groups in the state: who was created, joined, left, was deactivated."""

import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from auth.groups import EVERYONE, NAMES, registered
from auth.keys import identifier
from auth.mistake import Mistake, unknown
from auth.state import State
from auth.tables import key, membership, person

EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as the state knows them; `groups` sorted."""

    id: str
    first_name: str
    last_name: str
    email: str
    groups: tuple[str, ...]
    created_at: datetime
    deactivated_at: datetime | None


def create(state: State, *, first_name: str, last_name: str, email: str) -> Person:
    """A new person, in the group `everyone` from the start. Raises Mistake where the e-mail address is taken."""
    for name, value in (("first name", first_name), ("last name", last_name), ("e-mail address", email)):
        refuse_unreadable(name, value)
    if EMAIL.fullmatch(email) is None:
        raise Mistake(f"`{email}` is no e-mail address: write it as `name@domain`")
    made = Person(
        id=identifier(secrets.token_bytes(16)), first_name=first_name, last_name=last_name, email=email,
        groups=(EVERYONE,), created_at=state.now(), deactivated_at=None,
    )  # fmt: skip
    try:
        with state.writing() as connection:
            keep(connection, made)
    except IntegrityError as reason:
        raise Mistake(f"there is already a person with the e-mail address `{email}`") from reason
    return made


def listed(state: State) -> tuple[Person, ...]:
    """Everyone the state knows, by e-mail address."""
    with state.reading() as connection:
        groups: dict[str, list[str]] = {}
        for member in connection.execute(select(membership).order_by(membership.c.group_name)):
            groups.setdefault(member.person_id, []).append(member.group_name)
        rows = connection.execute(select(person).order_by(person.c.email_folded)).all()
    return tuple(
        Person(
            id=row.id, first_name=row.first_name, last_name=row.last_name, email=row.email,
            groups=tuple(sorted(groups.get(row.id, ()))), created_at=row.created_at, deactivated_at=row.deactivated_at,
        )
        for row in rows
    )  # fmt: skip


def by_id(state: State, id: str) -> Person | None:
    """A person as they are now, in the groups that are registered; None: nobody has this id."""
    with state.reading() as connection:
        row = connection.execute(select(person).where(person.c.id == id)).first()
        held = connection.execute(select(membership.c.group_name).where(membership.c.person_id == id)).scalars().all()
    if row is None:
        return None
    return Person(
        id=row.id, first_name=row.first_name, last_name=row.last_name, email=row.email,
        groups=tuple(sorted(NAMES.intersection(held))), created_at=row.created_at, deactivated_at=row.deactivated_at,
    )  # fmt: skip


def join(state: State, email: str, group: str) -> None:
    """Puts a person into a registered group; a person already in it stays, since when they were first put there."""
    refuse_unregistered(group)
    with state.writing() as connection:
        held = {"person_id": find(connection, email).id, "group_name": group}
        if connection.execute(select(membership).filter_by(**held)).first() is None:
            connection.execute(insert(membership).values(**held, since=state.now()))


def leave(state: State, email: str, group: str) -> None:
    """Takes a person out of a group. Nobody leaves `everyone`: a person who is gone is deactivated."""
    refuse_unregistered(group)
    if group == EVERYONE:
        raise Mistake(f"nobody leaves `{EVERYONE}`: deactivate the person instead")
    with state.writing() as connection:
        found = find(connection, email)
        gone = delete(membership).filter_by(person_id=found.id, group_name=group)
        if connection.execute(gone).rowcount == 0:
            raise Mistake(f"`{found.email}` is not in the group `{group}`")


def deactivate(state: State, email: str) -> None:
    """Shuts a person out and revokes their key; what they did stays on record. Doing so twice changes nothing."""
    with state.writing() as connection:
        found, now = find(connection, email), state.now()
        connection.execute(update(person).filter_by(id=found.id, deactivated_at=None).values(deactivated_at=now))
        connection.execute(update(key).filter_by(person_id=found.id, revoked_at=None).values(revoked_at=now))


def find(connection: Connection, email: str) -> Row[tuple[object, ...]]:
    """The row of the person with an e-mail address, however it is written; else offers a near one."""
    row = connection.execute(select(person).filter_by(email_folded=folded(email))).first()
    if row is None:
        raise unknown("person", email, connection.execute(select(person.c.email)).scalars())
    return row


def folded(email: str) -> str:
    """What two ways of writing one address have in common: NFKC, case folded, NFKC again as folding undoes it."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email).casefold())


def keep(connection: Connection, made: Person) -> None:
    connection.execute(
        insert(person).values(
            id=made.id, first_name=made.first_name, last_name=made.last_name, email=made.email,
            email_folded=folded(made.email), created_at=made.created_at,
        )
    )  # fmt: skip
    connection.execute(insert(membership).values(person_id=made.id, group_name=EVERYONE, since=made.created_at))


def refuse_unregistered(group: str) -> None:
    if not registered(group):
        raise unknown("group", group, NAMES)


def refuse_unreadable(name: str, value: str) -> None:
    """A name is shown on terminals and in records, so it holds nothing that could move a cursor or hide a letter."""
    if not value.strip() or not value.isprintable():
        raise Mistake(f"the {name} is empty or holds characters that cannot be shown")
