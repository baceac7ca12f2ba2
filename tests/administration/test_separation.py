"""No administrator acts under a second identity: none sees the key of another, nor gives what approvers guard."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from auth import api_keys, users
from auth.attribution import UNATTRIBUTED, Attribution
from auth.directory import claims
from auth.grant_store import list_grants
from auth.user_import import import_users
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.tables import administrative_change_table, key_table
from tests.administration.conftest import Office

ADA, EVE = "ada@acme.example", "eve@acme.example"
GUARDED = "is sensitive, so its approvers decide: ask them with `requestMembership`"
WIDENING = "nobody widens what they see themselves: ask another administrator"
MADE_IT = (
    "you have made this account, or chosen its address, and it has a key or a link by now: ask another administrator"
)


@pytest.fixture
def admin(office: Office) -> str:
    return office.add("root", "user-administration", "sales")


def id_of(office: Office, email: str) -> str:
    return users.find_user_id(office.database, email)


def groups_of(office: Office, user: str) -> set[str]:
    return set(users.load_user(office.database, user).groups) - {"everyone"}


def create_service(office: Office, name: str, owner_group: str) -> None:
    users.create_service(office.database, name=name, owner_group=owner_group)


SHOWING = {
    "a person's key": ("createServiceKey", {"service": ADA}),
    "another secret of a person's key": ("rotateServiceKey", {"service": ADA}),
    "the key of another group's service": ("createServiceKey", {"service": "till-7"}),
}


@pytest.mark.parametrize(("mutation", "given"), SHOWING.values(), ids=SHOWING)
async def test_no_administrator_is_shown_the_key_of_another(
    office: Office, admin: str, mutation: str, given: dict[str, str]
) -> None:
    users.create_user(office.database, first_name="Ada", last_name="L", email=ADA)
    create_service(office, "till-7", "finance")
    refused = await office.change(admin, mutation, given)
    assert refused == "only the group that answers for a service is shown its key"


async def test_every_mutation_that_shows_a_key_is_known(office: Office) -> None:
    schema = office.app_state.engine.catalog.schema
    fields = schema.mutation_type.fields
    assert {name for name, field in fields.items() if "IssuedApiKey" in str(field.type)} == {
        "createServiceKey", "rotateServiceKey", "rotateMyKey",
    }  # fmt: skip


async def test_the_owners_of_a_service_are_shown_its_key_and_nobody_else(office: Office, admin: str) -> None:
    owner, other = office.add("ada", "finance"), office.add("bob", "sales")
    service = {"name": "till-7", "ownerGroup": "finance", "groups": ["sales"]}
    selection = "email ownerGroup memberships { nodes { group } }"
    assert await office.change(admin, "createServiceAccount", service, selection) == {
        "email": "till-7", "ownerGroup": "finance",
        "memberships": {"nodes": [{"group": "everyone"}, {"group": "sales"}]},
    }  # fmt: skip
    named = {"service": "till-7"}
    assert (await office.change(owner, "createServiceKey", named, "secret")) == {"secret": 1}
    assert (await office.change(owner, "rotateServiceKey", named, "secret")) == {"secret": 2}
    for name in ("till-7", ADA):
        refused = await office.change(other, "rotateServiceKey", {"service": name})
        assert refused == "only the group that answers for a service is shown its key"


async def test_nobody_lets_a_service_see_more_whose_key_they_may_have(office: Office, admin: str) -> None:
    own = {"name": "till-7", "ownerGroup": "sales"}
    attributes = [{"name": "customer", "values": ["20"]}]
    for more in ({"groups": ["finance"]}, {"attributes": attributes}):
        assert await office.change(admin, "createServiceAccount", {**own, **more}) == WIDENING
    await office.change(admin, "createServiceAccount", own)
    for mutation, given in (
        ("joinGroups", {"groups": ["finance"]}),
        ("setUserAccountAttributes", {"attributes": attributes}),
        ("requestMembership", {"group": "audit"}),
    ):
        assert await office.change(admin, mutation, {"user": "till-7", **given}) == WIDENING
    csv = "email,first_name,last_name,groups\ntill-7,Till,Seven,finance\n"
    report = await office.change(admin, "importUserAccounts", {"csv": csv}, "lines { nodes { message } }")
    assert report["lines"]["nodes"] == [{"message": "is a service: name people alone"}]
    assert groups_of(office, "till-7") == set()


async def test_who_has_seen_the_key_of_a_service_gives_it_nothing_later(office: Office, admin: str) -> None:
    create_service(office, "till-7", "sales")
    await office.change(admin, "createServiceKey", {"service": "till-7"})
    await office.change(admin, "leaveGroups", {"user": "root@acme.example", "groups": ["sales"]})
    office.forget_lookups()
    assert await office.change(admin, "joinGroups", {"user": "till-7", "groups": ["finance"]}) == WIDENING


async def test_who_has_given_a_service_something_is_not_shown_its_key_later(office: Office, admin: str) -> None:
    given = {"name": "till-7", "ownerGroup": "finance", "groups": ["sales"]}
    await office.change(admin, "createServiceAccount", given)
    users.join_group(office.database, "root@acme.example", "finance")
    office.forget_lookups()
    refused = await office.change(admin, "createServiceKey", {"service": "till-7"})
    assert refused == "you have given this service what it sees: ask another member of the group that answers for it"


def create_expired_key(database: MetadataDatabase, user: str) -> None:
    api_keys.create_key(database, user)
    with database.write_transaction() as connection:
        connection.execute(update(key_table).values(expires_at=database.now() - timedelta(days=1)))


def put_on_record(office: Office, *, actor: str, subject: str, type: str, verb: str) -> None:
    row = {"record_id": "R", "type": type, "subject": "S", "verb": verb, "at": office.database.now()}
    with office.database.write_transaction() as connection:
        connection.execute(insert(administrative_change_table).values(**row, actor=actor, person_id=subject))


async def give_everything(office: Office, key: str, user: str) -> list[Any]:
    """Try every way to give an account a group or an attribute, and return what each came to."""
    until = (office.database.now() + timedelta(hours=1)).isoformat()
    attributes = [{"name": "customer", "values": ["20"]}]
    answers = [
        await office.change(key, "joinGroups", {"user": user, "groups": ["finance"]}),
        await office.change(key, "joinGroups", {"user": user, "groups": ["finance"], "until": until}),
        await office.change(key, "setUserAccountAttributes", {"user": user, "attributes": attributes}),
    ]
    for more in ("groups", "attribute:customer"):
        csv = f"email,first_name,last_name,{more}\n{user},Eve,E,finance\n"
        report = await office.change(key, "importUserAccounts", {"csv": csv}, "lines { nodes { message } }")
        answers += [line["message"] for line in report["lines"]["nodes"]]
    return answers


DELIVERIES: dict[str, Callable[[MetadataDatabase], object]] = {
    "a link": lambda database: claims.replace_claim(database, EVE, UNATTRIBUTED),
    "a key": lambda database: api_keys.create_key(database, EVE),
    "an expired key, which can be extended": lambda database: create_expired_key(database, EVE),
}


@pytest.mark.parametrize("deliver", DELIVERIES.values(), ids=DELIVERIES)
async def test_who_has_made_an_account_gives_it_nothing_once_it_is_delivered(
    office: Office, admin: str, deliver: Callable[[MetadataDatabase], object]
) -> None:
    await office.change(admin, "createUserAccount", {"firstName": "Eve", "lastName": "E", "email": EVE})
    await office.change(admin, "joinGroups", {"user": EVE, "groups": ["sales"]})
    deliver(office.database)
    assert await give_everything(office, admin, EVE) == [MADE_IT] * 5
    assert (groups_of(office, EVE), users.load_user(office.database, EVE).attributes) == ({"sales"}, {})
    other = office.add("ben", "user-administration")
    assert [MADE_IT in str(answer) for answer in await give_everything(office, other, EVE)] == [False] * 5
    assert groups_of(office, EVE) == {"sales", "finance"}


async def test_who_has_chosen_an_address_gives_its_account_nothing_once_it_is_delivered(
    office: Office, admin: str
) -> None:
    users.create_user(office.database, first_name="Ada", last_name="E", email=ADA)
    await office.change(admin, "changeUserAccountEmail", {"user": ADA, "email": EVE})
    claims.replace_claim(office.database, EVE, UNATTRIBUTED)
    assert await give_everything(office, admin, EVE) == [MADE_IT] * 5


async def test_who_has_seen_the_key_of_a_person_gives_them_nothing(office: Office, admin: str) -> None:
    office.add("eve")
    ids = {"actor": id_of(office, "root@acme.example"), "subject": id_of(office, EVE)}
    put_on_record(office, **ids, type="Key", verb="create")
    assert await give_everything(office, admin, EVE) == [WIDENING] * 5


async def test_who_has_made_an_account_may_name_it_in_an_import_that_widens_nothing(office: Office, admin: str) -> None:
    csv = f"email,first_name,last_name,groups\n{EVE},Eve,E,sales\n"
    outcomes = "applied lines { nodes { outcome } }"
    assert (await office.change(admin, "importUserAccounts", {"csv": csv}, outcomes))["applied"]
    api_keys.create_key(office.database, EVE)
    again = await office.change(admin, "importUserAccounts", {"csv": csv}, outcomes)
    assert again == {"applied": True, "lines": {"nodes": [{"outcome": "UNCHANGED"}]}}


async def test_an_import_at_the_server_is_bound_by_no_separation(office: Office) -> None:
    operator = Attribution(actor="os:root", record_id="R")
    users.create_user(office.database, first_name="Eve", last_name="E", email=EVE, attribution=operator)
    api_keys.create_key(office.database, EVE, attribution=operator)
    csv = f"email,first_name,last_name,groups\n{EVE},Eve,E,sales\n"
    assert import_users(office.database, csv, lambda group: None, operator).is_applied


async def test_who_has_made_a_service_may_give_it_more_as_its_key_goes_to_its_group(office: Office, admin: str) -> None:
    await office.change(admin, "createServiceAccount", {"name": "till-7", "ownerGroup": "finance"})
    owner = office.add("ada", "finance")
    await office.change(owner, "createServiceKey", {"service": "till-7"})
    await office.change(admin, "joinGroups", {"user": "till-7", "groups": ["sales"]})
    assert groups_of(office, "till-7") == {"sales"}


async def test_a_grant_of_the_owning_group_shows_no_key_that_would_outlast_it(office: Office, admin: str) -> None:
    holder = office.add("eve", "sales")
    create_service(office, "till-8", "finance")
    until = (office.database.now() + timedelta(hours=1)).isoformat()
    joined = await office.change(admin, "joinGroups", {"user": EVE, "groups": ["finance"], "until": until})
    assert "id" in joined
    office.forget_lookups()
    refused = await office.change(holder, "createServiceKey", {"service": "till-8"})
    assert refused == "a grant ends, and a key would not: ask a member of its group"


async def test_an_address_is_changed_of_who_sees_nothing_alone(office: Office, admin: str) -> None:
    users.create_user(office.database, first_name="Eve", last_name="L", email=EVE)
    office.add("ada")
    changed = await office.change(admin, "changeUserAccountEmail", {"user": EVE, "email": "eva@acme.example"}, "email")
    assert changed == {"email": "eva@acme.example"}
    users.join_group(office.database, "eva@acme.example", "finance")
    for user in (ADA, "eva@acme.example", "root@acme.example"):
        refused = await office.change(admin, "changeUserAccountEmail", {"user": user, "email": "x@acme.example"})
        assert refused.startswith("an address is where a key goes")


async def test_a_sensitive_group_is_given_by_its_approvers_alone(office: Office, admin: str) -> None:
    office.add("ada")
    person = {"firstName": "Eve", "lastName": "E", "email": EVE, "groups": ["audit"]}
    until = (office.database.now() + timedelta(hours=1)).isoformat()
    for mutation, given in (
        ("createUserAccount", person),
        ("createServiceAccount", {"name": "till-7", "ownerGroup": "finance", "groups": ["audit"]}),
        ("joinGroups", {"user": ADA, "groups": ["audit"]}),
        ("joinGroups", {"user": ADA, "groups": ["audit"], "until": until}),
    ):
        assert GUARDED in await office.change(admin, mutation, given), mutation
    csv = f"email,first_name,last_name,groups\n{EVE},Eve,E,audit\n{ADA},Ada,Example,access-review\n"
    report = await office.change(admin, "importUserAccounts", {"csv": csv}, "applied lines { nodes { message } }")
    assert [GUARDED in line["message"] for line in report["lines"]["nodes"]] == [True, True]
    assert [user.email for user in users.list_users(office.database)] == [ADA, "root@acme.example"]
    assert groups_of(office, ADA) == set()


async def test_approvers_let_in_for_good_whom_an_administrator_asks_for(office: Office, admin: str) -> None:
    reviewer = office.add("ben", "access-review")
    office.add("ada")
    state = "id group state hours requestedBy"
    asked = await office.change(admin, "requestMembership", {"user": ADA, "group": "audit"}, state)
    assert asked == {
        "id": asked["id"], "group": "audit", "state": "REQUESTED", "hours": None,
        "requestedBy": id_of(office, "root@acme.example"),
    }  # fmt: skip
    assert groups_of(office, ADA) == set()
    approved = await office.change(reviewer, "approveAccess", {"grant": asked["id"]}, "state decidedBy endsAt")
    assert approved == {"state": "JOINED", "decidedBy": id_of(office, "ben@acme.example"), "endsAt": None}
    assert groups_of(office, ADA) == {"audit"}
    (period,) = users.list_membership_periods(office.database, user=ADA, group="audit")
    assert period.added.actor == id_of(office, "ben@acme.example")
    record = office.records()[-1]
    assert {(change["type"], change["verb"]) for change in record["changes"]} == {
        ("Grant", "approve"), ("Membership", "create"),
    }  # fmt: skip
    seen = await office.ask(admin, "{ accessGrants { nodes { id state } } }")
    assert seen.data["accessGrants"]["nodes"] == [{"id": asked["id"], "state": "JOINED"}]


async def test_a_service_is_let_in_by_approvers_too(office: Office, admin: str) -> None:
    reviewer = office.add("ben", "access-review")
    create_service(office, "till-7", "finance")
    asked = await office.change(admin, "requestMembership", {"user": "till-7", "group": "audit"})
    await office.change(reviewer, "approveAccess", {"grant": asked["id"]})
    assert groups_of(office, "till-7") == {"audit"}


async def test_nobody_decides_on_what_they_asked_for(office: Office) -> None:
    both = office.add("root", "user-administration", "access-review")
    office.add("ben", "access-review")
    office.add("ada")
    asked = await office.change(both, "requestMembership", {"user": ADA, "group": "audit"})
    refused = await office.change(both, "approveAccess", {"grant": asked["id"]})
    assert refused == "nobody decides on what they asked for: ask another approver"
    refused = await office.change(both, "requestMembership", {"user": "root@acme.example", "group": "audit"})
    assert refused == WIDENING


MADE = {
    "the approver is made by whoever asks": ("root", "eve", "User", "create"),
    "the approver has made whoever asks": ("eve", "root", "User", "create"),
    "the key of the approver was seen": ("root", "eve", "Key", "rotate"),
    "the address of the approver was chosen": ("root", "eve", "User", "change-email"),
}


@pytest.mark.parametrize(("actor", "subject", "type", "verb"), MADE.values(), ids=MADE)
async def test_an_identity_decides_for_nobody_who_may_be_behind_it(
    office: Office, actor: str, subject: str, type: str, verb: str
) -> None:
    keys = {"root": office.add("root"), "eve": office.add("eve", "access-review")}
    ids = {name: id_of(office, f"{name}@acme.example") for name in keys}
    put_on_record(office, actor=ids[actor], subject=ids[subject], type=type, verb=verb)
    refused = await office.change(keys["root"], "requestAccess", {"group": "finance"})
    assert refused.startswith("nobody may approve access to `finance`")
    office.add("ben", "access-review")
    asked = await office.change(keys["root"], "requestAccess", {"group": "finance"})
    refused = await office.change(keys["eve"], "approveAccess", {"grant": asked["id"]})
    assert refused == "whoever made an account or saw its key does not decide with it: ask another approver"
    assert [grant.state for grant in list_grants(office.database)] == ["REQUESTED"]


async def test_who_is_activated_again_is_let_into_sensitive_groups_anew(office: Office, admin: str) -> None:
    office.add("ada", "finance", "audit")
    users.deactivate_user(office.database, ADA)
    await office.change(admin, "activateUserAccount", {"user": ADA})
    assert groups_of(office, ADA) == {"finance"}


LASTING: dict[str, dict[str, Any]] = {
    "createUserAccount": {"firstName": "Bob", "lastName": "B", "email": "bob@acme.example"},
    "createServiceAccount": {"name": "till-9", "ownerGroup": "finance"},
    "changeUserAccountEmail": {"user": EVE, "email": "eva@acme.example"},
    "setUserAccountAttributes": {"user": EVE, "attributes": []},
    "activateUserAccount": {"user": EVE},
    "joinGroups": {"user": EVE, "groups": ["sales"]},
    "requestMembership": {"user": EVE, "group": "audit"},
    "extendApiKey": {"user": EVE, "days": 200},
    "importUserAccounts": {"csv": ""},
}


async def test_nothing_that_gives_access_is_made_under_a_grant_as_it_would_outlast_it(office: Office) -> None:
    reviewer, holder = office.add("ben", "access-review"), office.add("ada")
    users.create_user(office.database, first_name="Eve", last_name="L", email=EVE)
    asked = await office.change(holder, "requestAccess", {"group": "user-administration"})
    await office.change(reviewer, "approveAccess", {"grant": asked["id"]})
    office.forget_lookups()
    until = (office.database.now() + timedelta(minutes=1)).isoformat()
    for mutation, given in [*LASTING.items(), ("joinGroups", {**LASTING["joinGroups"], "until": until})]:
        refused = await office.change(holder, mutation, given)
        assert refused == (
            "your grant of `user-administration` ends, and this would not: ask a member of that group"
        ), mutation
    taken = await office.change(holder, "deactivateUserAccount", {"user": EVE})
    assert taken == {"id": id_of(office, EVE)}
    assert len(users.list_users(office.database)) == 3
