"""The demo's people, one for each functional group, to their keys; a head of department speaks for it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from auth import keyring, people
from auth.groups import EVERYONE
from auth.state import State
from demo.world.staff import HEADS, employees


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An employee of Acme in one group (and in `everyone`), with a question worth asking as that group."""

    group: str
    first_name: str
    last_name: str
    email: str
    question: str


DEPARTMENT_HEADS = {
    "everyone": 9,
    "sales": 2,
    "marketing": 3,
    "finance": 4,
    "people": 5,
    "engineering": 6,
    "support": 7,
    "audit": 8,
}
QUESTIONS = {
    "everyone": "{ me { firstName groups } employees(first: 5) { nodes { fullName title manager { fullName }"
    " desk { label site { city } } } } }",
    "sales": "{ customers(where: {segment: {eq: ENTERPRISE}}, first: 5) { nodes { name channel { name }"
    " revenue(first: 3) { nodes { month revenue } } } } }",
    "marketing": "{ customers(first: 5) { nodes { name country usage(first: 3) { nodes { day activeUsers } } } } }",
    "finance": "{ orders(where: {status: {eq: REFUNDED}}, orderBy: [{total: DESC}], first: 5)"
    " { nodes { id total customer { name creditLimit files(first: 3) { nodes { name size } } } } } }",
    "people": "{ employees(orderBy: [{salary: DESC}], first: 5) { nodes { fullName salary slackUser { name } } } }",
    "engineering": "{ deployments(where: {status: {ne: SUCCEEDED}}, orderBy: [{startedAt: DESC}], first: 5)"
    " { nodes { service version author { fullName } announcements { nodes { text replies { nodes { text } } } } } } }",
    "support": "{ customer(id: 20) { name phone channel { messages(first: 3) { nodes { text } } }"
    " orders(orderBy: [{placedAt: DESC}], first: 3) { nodes { status note items { nodes { product { name } } } } } } }",
    "audit": "{ me { firstName groups key { expiresAt } } employees(first: 3) { nodes { fullName salary } } }",
}
PEOPLE = tuple(
    Person(group=group, first_name=row[1], last_name=row[2], email=row[3], question=QUESTIONS[group])
    for group, row in ((group, employees(HEADS)[number - 1]) for group, number in DEPARTMENT_HEADS.items())
)


def keys(state: State) -> Mapping[str, str]:
    """Each group's key, the same at every start; people who are missing are made. Raises Mistake."""
    known = {person.email for person in people.listed(state)}
    for person in PEOPLE:
        if person.email not in known:
            people.create(state, first_name=person.first_name, last_name=person.last_name, email=person.email)
        if person.group != EVERYONE:
            people.join(state, person.email, person.group)
    for other in other_keys(state):
        keyring.revoke(state, other)
    return {person.group: keyring.create_demo(state, person.email, person.group).text for person in PEOPLE}


def other_keys(state: State) -> Iterator[str]:
    """Keys that the demo's people were given since: a person has one key, and the demo's is shown again."""
    emails = {person.email for person in PEOPLE}
    return (held.id for held in keyring.listed(state) if held.email in emails and held.revoked_at is None)
