"""Draw people with memberships and grants, put them into a metadata database, and say in a few lines what they have.

A day begins at `START` and has `MOMENTS`. At each of them grants are settled and some are given back; what people have
is looked up some time after it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import delete, insert, update

from auth import api_keys, users
from auth.authentication import Principal, look_up_key
from auth.grant_store import GrantStore, mint_grant_id
from auth.grants import AccessRequest, GrantStep
from auth.groups import EVERYONE, FunctionalGroup, Groups, Sensitivity
from auth.memberships import IdentitySource
from auth.users import dump_attributes
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.tables import grant_table, membership_table, user_table

GROUPS = ("ants", "bees", "cats", "dogs")
WHOLE = "whole"
"""The group that sees everything as it is."""
UNREGISTERED = "eels"
EXCLUSIVE = "dogs"
STALE_AFTER = {"bees": timedelta(hours=24), "cats": timedelta(hours=6)}
"""The groups that are sensitive, and how long a directory's word counts for them."""
GRANT_MAX = {EXCLUSIVE: timedelta(hours=4)}
REGISTER = Groups(
    FunctionalGroup(
        name=name,
        purpose="-",
        owner="-",
        sensitivity=Sensitivity.SENSITIVE if name in STALE_AFTER else Sensitivity.NORMAL,
        stale_after=STALE_AFTER.get(name),
        exclusive=name == EXCLUSIVE,
        grant_max=GRANT_MAX.get(name, timedelta(hours=8)),
    )
    for name in (*GROUPS, WHOLE)
)
ATTRIBUTES = ("colour", "place")
START = datetime(2026, 11, 1, tzinfo=UTC)
MOMENTS = tuple(timedelta(hours=hours) for hours in (0, 2, 5, 11))


@dataclass(slots=True)
class Clock:
    """The clock of the database, which only the tests move."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnMembership:
    group: str
    source: IdentitySource
    confirmed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnGrant:
    """`returned` is the number of the moment at which its holder gives it back, if they have it then."""

    id: str
    group: str
    starts_at: datetime
    duration: timedelta
    is_approved: bool
    returned: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    id: str
    key_id: str
    memberships: Sequence[DrawnMembership] = ()
    grants: Sequence[DrawnGrant] = ()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def list_groups(person: Person, moment: int, now: datetime) -> frozenset[str]:
    """The groups that somebody is in, a while after a moment."""
    members = {item.group for item in person.memberships if counts(item, now)}
    return frozenset({EVERYONE, *members, *(grant.group for grant in person.grants if is_held(grant, moment, now))})


def counts(membership: DrawnMembership, now: datetime) -> bool:
    """Of registered groups alone, of no exclusive one, and of a sensitive one while its directory confirms it."""
    if membership.group in (UNREGISTERED, EXCLUSIVE):
        return False
    if membership.group not in STALE_AFTER or membership.source is IdentitySource.LOCAL:
        return True
    return now <= membership.confirmed_at + STALE_AFTER[membership.group]


def is_held(grant: DrawnGrant, moment: int, now: datetime) -> bool:
    """From the first moment after its start, for its time, unless it is given back."""
    settled = [START + time for time in MOMENTS[: moment + 1] if grant.starts_at <= START + time]
    is_returned = grant.returned is not None and grant.returned <= moment
    return grant.is_approved and not is_returned and bool(settled) and now < settled[0] + grant.duration


def create_people(database: MetadataDatabase, count: int) -> Sequence[Person]:
    """Create so many people, each with a key, and one more who decides on what they ask for."""
    users.create_user(database, first_name="R", last_name="R", email="reviewer@acme.example")
    users.join_group(database, "reviewer@acme.example", "access-review")
    return [create_person(database, f"person-{number}@acme.example") for number in range(count)]


def create_person(database: MetadataDatabase, email: str) -> Person:
    users.create_user(database, first_name="P", last_name="P", email=email)
    key_id = api_keys.create_key(database, email).id
    return Person(id=users.find_user_id(database, email), key_id=key_id)


def draw_people(random: Random, people: Sequence[Person], held: Sequence[str]) -> Sequence[Person]:
    """Give people memberships, grants, and attributes that are often what some row holds, spelled as an id is."""
    drawn = [draw_person(random, person, held) for person in people]
    exclusive = [grant for person in drawn for grant in person.grants if grant.group == EXCLUSIVE and grant.is_approved]
    return [without_grants(person, exclusive[1:]) for person in drawn]


def draw_person(random: Random, person: Person, held: Sequence[str]) -> Person:
    memberships = tuple(draw_memberships(random))
    members = {item.group for item in memberships if counts(item, START)}
    return replace(
        person,
        memberships=memberships,
        grants=tuple(draw_grant(random, group) for group in GROUPS if group not in members and random.random() < 0.3),
        attributes={
            name: tuple(random.choice([*held, "x"]) for _ in range(random.randint(0, 20)))
            for name in ATTRIBUTES
            if random.random() < 0.9
        },
    )


def without_grants(person: Person, grants: Sequence[DrawnGrant]) -> Person:
    return replace(person, grants=tuple(grant for grant in person.grants if grant not in grants))


def draw_memberships(random: Random) -> Iterator[DrawnMembership]:
    """Often by a directory, which has not confirmed them for a while."""
    for group in (*GROUPS, WHOLE, UNREGISTERED):
        for source in random.sample(list(IdentitySource), random.choice([1, 1, 1, 2])):
            if random.random() < (0.1 if group == WHOLE else 0.3):
                yield DrawnMembership(
                    group=group, source=source, confirmed_at=START - timedelta(minutes=random.randint(0, 60 * 30))
                )


def draw_grant(random: Random, group: str) -> DrawnGrant:
    return DrawnGrant(
        id=mint_grant_id(),
        group=group,
        starts_at=START + timedelta(hours=random.choice([0, 0, 1, 2, 4, 7])),
        duration=timedelta(hours=random.choice([1, 2, 4] if group == EXCLUSIVE else [1, 3, 4, 8])),
        is_approved=random.random() < 0.85,
        returned=random.choice([None, None, None, 0, 1, 2, 3]),
    )


def store_people(store: GrantStore, people: Sequence[Person]) -> None:
    """Put people into the database, in place of what they had before, with what they ask for at the start."""
    memberships = [
        {"person_id": person.id, "group_name": item.group, "source": item.source, "since": item.confirmed_at,
         "confirmed_at": item.confirmed_at}
        for person in people for item in person.memberships
    ]  # fmt: skip
    ids = [person.id for person in people]
    with store.database.write_transaction() as connection:
        connection.execute(delete(grant_table))
        given = (membership_table.c.person_id.in_(ids), membership_table.c.group_name != EVERYONE)
        connection.execute(delete(membership_table).where(*given))
        connection.execute(insert(membership_table), memberships)
        for person in people:
            written = dump_attributes(person.attributes)
            connection.execute(update(user_table).filter_by(id=person.id).values(attributes=written))
    requests = [(person, grant) for person in people for grant in person.grants]
    approved = {grant.id: build_request(person, grant) for person, grant in requests if grant.is_approved}
    store.lend(approved, GrantStep(at=store.database.now(), actor="os:root", reason="drawn"))
    for person, grant in requests:
        if not grant.is_approved:
            store.request(grant.id, build_request(person, grant), GrantStep(at=START, actor=person.id, reason="drawn"))


def build_request(person: Person, grant: DrawnGrant) -> AccessRequest:
    return AccessRequest(
        person_id=person.id, group=REGISTER[grant.group], duration=grant.duration, starts_at=grant.starts_at
    )


def pass_moment(store: GrantStore, people: Sequence[Person], moment: int) -> None:
    """Give back what is given back at a moment, and settle what is due."""
    now = store.database.now()
    for person in people:
        for grant in person.grants:
            if grant.returned == moment and is_open(grant, moment, now):
                store.give_back(grant.id, GrantStep(at=now, actor=person.id))
    store.settle()


def is_open(grant: DrawnGrant, moment: int, now: datetime) -> bool:
    """Whether somebody has a grant, or still waits for it."""
    kept = replace(grant, returned=None)
    return not grant.is_approved or is_held(kept, moment, now) or now < grant.starts_at


def look_up(database: MetadataDatabase, person: Person) -> Principal:
    """Look up whom a person's key authenticates, with what they have now."""
    record = look_up_key(database, REGISTER, person.key_id)
    assert record is not None
    return record.current.principal


def spell_values(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Sequence[str]:
    """Spell every value that some row holds."""
    return [str(value) for of in rows.values() for row in of for value in row.values() if value is not None]
