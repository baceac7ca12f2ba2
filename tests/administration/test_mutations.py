"""Whatever a terminal changes of users, memberships and keys, a mutation changes, too."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from auth import api_keys, users
from auth.attribution import UNATTRIBUTED
from auth.memberships import MembershipKey, confirm_membership
from auth.policy import decide
from onedoor.administration.actions import ACTS
from tests.administration.conftest import Office

ADA = "ada@acme.example"
USER = "firstName lastName email attributes deactivatedAt memberships { nodes { group source } }"


@pytest.fixture
def admin(office: Office) -> str:
    return office.add("root", "user-administration")


async def test_a_person_is_created_with_groups_and_attributes(office: Office, admin: str) -> None:
    given = {
        "firstName": "Ada", "lastName": "Lovelace", "email": ADA, "groups": ["finance"],
        "attributes": [{"name": "customer", "values": ["20", "21"]}],
    }  # fmt: skip
    assert await office.change(admin, "createUserAccount", given, USER) == {
        "firstName": "Ada", "lastName": "Lovelace", "email": ADA, "attributes": {"customer": ["20", "21"]},
        "deactivatedAt": None,
        "memberships": {"nodes": [{"group": "everyone", "source": "LOCAL"}, {"group": "finance", "source": "LOCAL"}]},
    }  # fmt: skip
    again = await office.change(admin, "createUserAccount", {**given, "email": "ADA@acme.example"})
    assert again == "there is already a person with the e-mail address `ADA@acme.example`"


async def test_a_change_takes_a_user_by_address_or_id(office: Office, admin: str) -> None:
    users.create_user(office.database, first_name="Ada", last_name="L", email=ADA)
    id = users.find_user_id(office.database, ADA)
    for user, name in ((ADA, "Augusta"), (id, "Ada")):
        renamed = {"user": user, "firstName": name, "lastName": "King"}
        assert await office.change(admin, "renameUserAccount", renamed, "firstName") == {"firstName": name}
    changed = {"user": id, "email": "king@acme.example"}
    assert await office.change(admin, "changeUserAccountEmail", changed, "id email") == {
        "id": id, "email": "king@acme.example",
    }  # fmt: skip
    unknown = await office.change(admin, "deactivateUserAccount", {"user": "kink@acme.example"})
    assert unknown == "there is no person `kink@acme.example`: did you mean `king@acme.example`"


async def test_whoever_is_deactivated_can_come_back(office: Office, admin: str) -> None:
    key = office.add("ada", "finance")
    gone = await office.change(admin, "deactivateUserAccount", {"user": ADA}, "memberships { nodes { group } }")
    assert gone == {"memberships": {"nodes": []}}
    assert await office.app_state.authenticator.authenticate(key) is None
    back = await office.change(
        admin, "activateUserAccount", {"user": ADA}, "deactivatedAt memberships { nodes { group } }"
    )
    assert back == {"deactivatedAt": None, "memberships": {"nodes": [{"group": "everyone"}, {"group": "finance"}]}}


async def test_groups_are_joined_and_left_as_a_whole_or_not_at_all(office: Office, admin: str) -> None:
    office.add("ada")
    selection = "memberships { nodes { group } }"
    joined = await office.change(admin, "joinGroups", {"user": ADA, "groups": ["finance", "sale"]}, selection)
    assert joined == "there is no group `sale`: did you mean `sales`"
    joined = await office.change(admin, "joinGroups", {"user": ADA, "groups": ["finance", "sales"]}, selection)
    assert [row["group"] for row in joined["memberships"]["nodes"]] == ["everyone", "finance", "sales"]
    left = await office.change(admin, "leaveGroups", {"user": ADA, "groups": ["finance", "audit"]}, selection)
    assert left == f"`{ADA}` is not in the group `audit`"
    assert users.load_user(office.database, ADA).groups == ("everyone", "finance", "sales")
    await office.change(admin, "leaveGroups", {"user": ADA, "groups": ["finance", "sales"]}, selection)
    assert users.load_user(office.database, ADA).groups == ("everyone",)


async def test_nobody_widens_what_they_see_themselves(office: Office, admin: str) -> None:
    myself = "root@acme.example"
    for mutation, given in (
        ("joinGroups", {"groups": ["finance"]}),
        ("setUserAccountAttributes", {"attributes": [{"name": "customer", "values": ["20"]}]}),
    ):
        refused = await office.change(admin, mutation, {"user": myself, **given})
        assert refused == "nobody widens what they see themselves: ask another administrator"
    csv = f"email,first_name,last_name,groups\n{myself},Root,Example,finance\n"
    report = await office.change(admin, "importUserAccounts", {"csv": csv}, "applied lines { nodes { message } }")
    message = "is you: nobody widens what they see themselves, leave this line out"
    assert report == {"applied": False, "lines": {"nodes": [{"message": message}]}}
    assert users.load_user(office.database, myself).groups == ("everyone", "user-administration")


async def test_an_issued_key_is_in_its_answer_and_nowhere_else(
    office: Office, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    owner = office.add("ada", "finance")
    users.create_service(office.database, name="till-7", owner_group="finance")
    with caplog.at_level("DEBUG"):
        created = await office.change(owner, "createServiceKey", {"service": "till-7"}, "key")
        rotated = await office.change(created["key"], "rotateMyKey", {}, "key")
        failed = await office.change(owner, "createServiceKey", {"service": "till-7"}, "key")
    shown = [read_all_files(tmp_path), caplog.text, *capfd.readouterr(), failed]
    for key in (created["key"], rotated["key"]):
        assert key.split("_")[2] not in "".join(shown)


def read_all_files(folder: Path) -> str:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()).decode(errors="replace")


async def test_the_life_of_a_key(office: Office, admin: str) -> None:
    key = office.add("ada")
    id = api_keys.find_key_id(office.database, ADA)
    mine = await office.change(key, "rotateMyKey", {"graceHours": 0}, "id key secret")
    assert (mine["id"], mine["secret"]) == (id, 2)
    assert (await office.app_state.authenticator.authenticate(mine["key"])).secret == 2
    extended = await office.change(admin, "extendApiKey", {"user": ADA, "days": 100}, "id secret")
    assert extended == {"id": id, "secret": 2}
    revoked = await office.change(admin, "revokeApiKey", {"key": ADA}, "id account { email }")
    assert revoked == {"id": id, "account": {"email": ADA}}


CSV = (
    "email,first_name,last_name,groups,attribute:customer\n"
    "ada@acme.example,Ada,Lovelace,finance sales,20 21\n"
    '"bob@acme.example",Bob,"Böhm, Dr.",,\n'
)


async def test_people_are_imported_as_a_whole_or_not_at_all(office: Office, admin: str) -> None:
    selection = "applied created updated unchanged refused lines { nodes { line email outcome message } }"

    async def run(csv: str, **more: Any) -> Any:
        report = await office.change(admin, "importUserAccounts", {"csv": csv, **more}, selection)
        assert not isinstance(report, str), report
        lines = [(line["outcome"], line["message"]) for line in report.pop("lines")["nodes"]]
        return [*report.values(), *lines]

    new = ("CREATED", None)
    assert await run(CSV, dryRun=True) == [False, 2, 0, 0, 0, new, new]
    wrong = f"{CSV}eve,Eve,E,,\neva@acme.example,Eva,E,sale,\nBOB@acme.example,B,B,,\n"
    assert await run(wrong) == [
        False, 2, 0, 0, 3, new, new,
        ("REFUSED", "`eve` is no e-mail address: write it as `name@domain`"),
        ("REFUSED", "there is no group `sale`: did you mean `sales`"),
        ("REFUSED", "line 3 has this address, too: keep one"),
    ]  # fmt: skip
    assert [user.email for user in users.list_users(office.database)] == ["root@acme.example"]
    assert await run(CSV) == [True, 2, 0, 0, 0, new, new]
    changed = CSV.replace("Ada,", "Augusta,").replace("sales,20 21", "sales on-call,22")
    assert await run(changed) == [
        True, 0, 1, 1, 0, ("UPDATED", "name, attributes, on-call"), ("UNCHANGED", None),
    ]  # fmt: skip
    ada = users.load_user(office.database, ADA)
    assert (ada.first_name, ada.groups, ada.attributes) == (
        "Augusta", ("everyone", "finance", "on-call", "sales"), {"customer": ("22",)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ("", "the file is empty: its first line names the columns `email`, `first_name`, `last_name`"),
        ("email,first_name\n", "the file has no column `last_name`: name it in the first line"),
        ("email,first_name,last_name,groop\n", "there is no column `groop`: did you mean `groups`"),
        ("email,first_name,last_name,email\n", "the column `email` is there twice: keep one"),
        ("email,first_name,last_name\na@b,A\n", "line 2 has 2 values: write 3, one for each column"),
    ],
)
async def test_a_file_that_cannot_be_read_is_one_sentence(office: Office, admin: str, csv: str, message: str) -> None:
    assert await office.change(admin, "importUserAccounts", {"csv": csv}) == message


async def test_every_change_is_on_record_before_it_is_made_and_names_what_it_changed(
    office: Office, admin: str
) -> None:
    await office.change(
        admin, "createUserAccount", {"firstName": "Ada", "lastName": "L", "email": ADA, "groups": ["finance"]}
    )
    issued = api_keys.create_key(office.database, ADA)
    rotated = await office.change(issued.text, "rotateMyKey", {}, "key")
    await office.change(admin, "deactivateUserAccount", {"user": ADA})
    id = users.find_user_id(office.database, ADA)
    records = office.records()
    assert [
        (record["outcome"], {f"{change['verb']} {change['type']} {change['id']}" for change in record["changes"]})
        for record in records
    ] == [
        ("answered", {f"create User {id}", f"create Membership {id}/everyone", f"create Membership {id}/finance"}),
        ("answered", {f"rotate Key {issued.id}"}),
        ("answered", {f"deactivate User {id}", f"revoke Key {issued.id}"}),
    ]
    assert rotated["key"].split("_")[2] not in repr(records)


async def test_what_was_changed_of_a_user_is_listed_with_who_and_why(office: Office, admin: str) -> None:
    office.add("ada")
    await office.change(admin, "joinGroups", {"user": ADA, "groups": ["finance"], "reason": "the year's end"})
    query = (
        "query($email: String!) { userAccounts(where: {foldedEmail: {eq: $email}}) "
        "{ nodes { changes { nodes { verb subjectType actor reason } } } } }"
    )
    result = await office.ask(admin, query, email=ADA)
    assert result.data["userAccounts"]["nodes"][0]["changes"]["nodes"] == [
        {
            "verb": "create", "subjectType": "Membership", "reason": "the year's end",
            "actor": users.find_user_id(office.database, "root@acme.example"),
        }
    ]  # fmt: skip


async def test_members_and_keys_that_expire_are_found(office: Office, admin: str) -> None:
    for name, groups in (("ada", ("finance",)), ("bob", ("finance", "sales")), ("eve", ("finance",))):
        office.add(name, *groups)
    users.deactivate_user(office.database, "eve@acme.example")
    members = await office.ask(
        admin, '{ groupMemberships(where: {group: {eq: "finance"}}) { nodes { account { email } } } }'
    )
    emails = {row["account"]["email"] for row in members.data["groupMemberships"]["nodes"]}
    assert emails == {"ada@acme.example", "bob@acme.example"}
    api_keys.extend_key(office.database, "bob@acme.example", days=100)
    soon = (await office.ask(
        admin,
        "query($soon: DateTime!) { apiKeys(where: {expiresAt: {lt: $soon}, revokedAt: {isNull: true}}) "
        "{ nodes { account { email } } } }",
        soon=(office.database.now() + timedelta(days=95)).isoformat(),
    )).data  # fmt: skip
    assert {row["account"]["email"] for row in soon["apiKeys"]["nodes"]} == {"root@acme.example", "ada@acme.example"}


@pytest.mark.parametrize("groups", [(), ("audit",), ("access-review",), ("finance", "sales")])
async def test_nobody_else_may_change_users(office: Office, groups: tuple[str, ...]) -> None:
    key = office.add("ada", *groups)
    reviewed = {"leaveGroups", "revokeApiKey"} if "access-review" in groups else set()
    schema = office.app_state.engine.catalog.schema
    for mutation in ACTS.keys() - reviewed - {"rotateMyKey", "createServiceKey", "rotateServiceKey"}:
        argument = schema.mutation_type.fields[mutation].args["input"].type.of_type
        text = f"mutation($input: {argument.name}!) {{ {mutation}(input: $input) {{ id }} }}"
        result = await office.ask(key, text, input={name: fill(field.type) for name, field in argument.fields.items()})
        assert [error.code for error in result.errors] == ["FORBIDDEN"], mutation
    assert len(users.list_users(office.database)) == 1


def fill(type: Any) -> Any:
    """A value of an input field."""
    name = str(type).removesuffix("!")
    return {"String": "x", "Int": 1, "Float": 1.0, "Boolean": False, "DateTime": "2026-11-01T12:00:00Z"}.get(name, [])


async def test_nobody_else_sees_users(office: Office) -> None:
    key = office.add("ada", "finance")
    result = await office.ask(key, "{ userAccounts { nodes { email } } apiKeys { nodes { id } } }")
    assert [error.code for error in result.errors] == ["FORBIDDEN"] * 2


async def test_everybody_sees_who_they_are_and_where_their_groups_come_from(office: Office, admin: str) -> None:
    key = office.add("ada", "finance")
    users.set_attributes(office.database, ADA, {"customer": ("20",)})
    by_directory = MembershipKey(person_id=users.find_user_id(office.database, ADA), group="sales", source="ldap")
    with office.database.write_transaction() as connection:
        confirm_membership(connection, by_directory, now=office.database.now(), attribution=UNATTRIBUTED)
    query = (
        "{ me { firstName lastName groups isAdmin attributes memberships { nodes { group source } } key { secret } } }"
    )
    assert (await office.ask(key, query)).data["me"] == {
        "firstName": "Ada", "lastName": "Example", "groups": ["everyone", "finance", "sales"], "isAdmin": False,
        "attributes": {"customer": ["20"]}, "key": {"secret": 1},
        "memberships": {"nodes": [
            {"group": "everyone", "source": "LOCAL"}, {"group": "finance", "source": "LOCAL"},
            {"group": "sales", "source": "LDAP"},
        ]},
    }  # fmt: skip
    assert (await office.ask(admin, "{ me { isAdmin } }")).data["me"] == {"isAdmin": True}


async def test_being_an_administrator_opens_no_data(office: Office, admin: str) -> None:
    schema, policy = office.app_state.engine.catalog.schema, office.app_state.engine.catalog.policy
    groups = frozenset({"everyone", "user-administration"})
    opened = {
        type for type, *_ in policy.requirements
        if type in schema.type_map and decide(policy, (type, "id"), groups).allowed
    } & office.app_state.engine.catalog.mappings.keys()  # fmt: skip
    without = {type for type in opened if decide(policy, (type, "id"), frozenset({"everyone"})).allowed}
    assert opened - without == {
        "UserAccount", "GroupMembership", "ApiKey", "AdministrativeChange", "UserImport", "UserImportLine",
        "Simulation", "SimulatedField",
    }  # fmt: skip
