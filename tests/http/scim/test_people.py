"""People, keys and memberships follow what a directory pushes, as far as it may reach; every change is on record."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Client, Response

from auth import users
from auth.attribution import Attribution
from auth.directory import reports
from auth.directory.reports import SyncChangeKind, SyncState
from auth.grant_store import GrantStore, list_grants, mint_grant_id
from auth.grants import AccessRequest, GrantStep
from auth.groups import Groups
from onedoor.http import scim
from tests.http.scim.conftest import CORE, ENTERPRISE, SETTINGS, TOKEN, DirectoryServer, run_company

ME = "{ me { firstName } }"


def deactivate(server: DirectoryServer, user: dict[str, Any]) -> int:
    return server.patch(f"/Users/{user['id']}", {"op": "replace", "path": "active", "value": False}).status_code


def test_a_user_with_an_address_is_a_person(server: DirectoryServer) -> None:
    server.create_person("ada", **{ENTERPRISE: {"department": "Finance"}}, externalId="1")
    person = server.find_person("ada")
    assert (person.first_name, person.last_name, person.attributes) == ("ada", "Example", {"department": ("Finance",)})
    assert person.id != "1"
    (user,) = server.client.get("/Users").json()["Resources"]
    server.patch(f"/Users/{user['id']}", {"op": "remove", "path": f"{ENTERPRISE}:department"})
    assert server.find_person("ada").attributes == {}, "a row rule must not go on with what the directory took back"


def test_a_user_without_an_address_is_nobody_yet(server: DirectoryServer) -> None:
    user = server.create("bot-7")
    assert users.list_users(server.state) == ()
    email = {"op": "add", "path": "emails", "value": [{"value": "bot@acme.example", "type": "work"}]}
    assert server.patch(f"/Users/{user['id']}", email).status_code in (200, 204)
    assert server.find_person("bot").first_name == "bot-7"


def test_a_new_name_and_address_keep_person_and_key(server: DirectoryServer) -> None:
    user = server.create_person("ada")
    before, key = server.find_person("ada"), server.create_key("ada")
    changes = {"op": "replace", "value": {"name.familyName": "King", "userName": "countess@acme.example"}}
    assert server.patch(f"/Users/{user['id']}", changes).status_code in (200, 204)
    after = server.find_person("countess")
    assert (after.id, after.last_name) == (before.id, "King")
    assert server.ask(key, ME)["data"] == {"me": {"firstName": "ada"}}


def test_a_new_address_reaches_nobody_whom_an_administrator_gave_groups(server: DirectoryServer) -> None:
    user = server.create_person("ada")
    users.join_group(server.state, "ada@acme.example", "user-administration")
    change = {"op": "replace", "value": {"userName": "eve@acme.example"}}
    refused = server.patch(f"/Users/{user['id']}", change)
    assert (refused.status_code // 100, "users change-email" in refused.text) == (4, True)
    assert server.find_person("ada").id


def test_functional_groups_follow_the_groups_of_the_directory(server: DirectoryServer) -> None:
    ada, bob = server.create_person("ada"), server.create_person("bob")
    nested = server.create_group("Nested", bob["id"])
    group = server.create_group("acme-finance", ada["id"])
    server.create_group("finance", ada["id"])
    server.create_group("operators", ada["id"], bob["id"])
    assert server.groups_of("ada") == {"everyone": "local", "finance": "scim"}
    outer = server.create_group("acme-support", nested["id"])
    assert server.groups_of("bob") == {"everyone": "local", "finance": "scim", "support": "scim"}
    circle = {"op": "add", "path": "members", "value": [{"value": outer["id"]}]}
    server.patch(f"/Groups/{nested['id']}", circle)
    assert set(server.groups_of("bob")) == {"everyone", "finance", "support"}
    server.patch(f"/Groups/{group['id']}", {"op": "replace", "path": "displayName", "value": "operators"})
    assert server.groups_of("ada") == {"everyone": "local"}
    server.client.delete(f"/Groups/{nested['id']}")
    assert server.groups_of("bob") == {"everyone": "local"}


def test_a_group_given_by_hand_is_not_the_directorys_to_take(server: DirectoryServer) -> None:
    ada = server.create_person("ada")
    users.join_group(server.state, "ada@acme.example", "finance")
    group = server.create_group("acme-finance", ada["id"])
    server.client.delete(f"/Groups/{group['id']}")
    assert server.groups_of("ada") == {"everyone": "local", "finance": "local"}


@pytest.mark.parametrize("attack", ["create", "patch the address", "patch the user name"])
def test_people_who_are_not_from_the_directory_are_out_of_its_reach(server: DirectoryServer, attack: str) -> None:
    users.create_user(server.state, first_name="Op", last_name="Erator", email="op@acme.example")
    users.join_group(server.state, "op@acme.example", "operators")
    operator, key = server.find_person("op"), server.create_key("op")
    if attack == "create":
        body = {
            "schemas": [f"{CORE}User"],
            "userName": "x",
            "active": False,
            "emails": [{"value": "ＯＰ@acme.example"}],
        }
        inactive = server.send("POST", "/Users", body)
        assert inactive.status_code == 201
        response = server.patch(f"/Users/{inactive.json()['id']}", {"op": "replace", "path": "active", "value": True})
    elif attack == "patch the address":
        path = f"/Users/{server.create_person('ada')['id']}"
        response = server.patch(path, {"op": "add", "path": "emails", "value": [{"value": "op@acme.example"}]})
    else:
        path = f"/Users/{server.create_person('ada')['id']}"
        response = server.patch(path, {"op": "replace", "path": "userName", "value": "OP@acme.example"})
    assert (response.status_code, response.json()["scimType"]) == (409, "uniqueness")
    assert server.find_person("op") == operator
    assert server.ask(key, ME)["data"] == {"me": {"firstName": "Op"}}
    assert SyncChangeKind.REFUSED in server.syncs()[0].counts


@pytest.mark.parametrize("how", ["deactivated", "deleted"])
def test_who_leaves_loses_key_and_groups(server: DirectoryServer, how: str) -> None:
    user = server.create_person("ada")
    server.create_group("acme-finance", user["id"])
    key = server.create_key("ada")
    assert server.ask(key, ME)["data"] == {"me": {"firstName": "ada"}}
    if how == "deactivated":
        assert deactivate(server, user) in (200, 204)
    else:
        assert server.client.delete(f"/Users/{user['id']}").status_code == 204
    replied = time.monotonic()
    while "data" in server.ask(key, ME):
        assert time.monotonic() - replied < 5
    assert server.find_person("ada").deactivated_at is not None
    assert server.groups_of("ada") == {"everyone": "local"}


WAITING_JOB = """\"\"\"Waits.\"\"\"

import asyncio

from onedoor.jobs import Job, JobContext, NoInput


async def wait(context: JobContext, given: NoInput) -> None:
    await asyncio.sleep(3600)


JOBS = (
    Job(
        name="Wait", description="Waits.", owner="support", run=wait,
        may_start=frozenset({"everyone"}), may_see=frozenset({"everyone"}),
    ),
)
"""


def test_who_leaves_loses_grants_and_running_work(tmp_path: Path) -> None:
    with run_company(tmp_path / "company", files={"jobs/waiting.py": WAITING_JOB}) as server:
        user, watching = server.create_person("ada"), server.create_person("bob") and server.create_key("bob")
        register = Groups.load(server.folder / "groups.toml")
        asked = AccessRequest(
            person_id=server.find_person("ada").id, group=register["operators"], duration=timedelta(hours=1)
        )
        step = GrantStep(at=server.state.now(), actor="os:root", reason="ticket 7")
        GrantStore(database=server.state, groups=register).lend({mint_grant_id(): asked}, step)
        started = server.ask(server.create_key("ada"), "mutation { startWait(input: {}) { id } }")
        assert "errors" not in started, started

        def look() -> tuple[str, str]:
            (job,) = server.ask(watching, "{ jobs { nodes { state } } }")["data"]["jobs"]["nodes"]
            return job["state"], list_grants(server.state)[0].state

        began = time.monotonic()
        while look() != ("RUNNING", "ACTIVE"):
            assert time.monotonic() - began < 30
        assert deactivate(server, user) in (200, 204)
        replied = time.monotonic()
        while look() != ("REFUSED", "ENDED"):
            assert time.monotonic() - replied < 5
        assert [grant.ending for grant in list_grants(server.state)] == ["REVOKED"]


def test_who_comes_back_is_the_same_person_without_the_old_key(server: DirectoryServer) -> None:
    user = server.create_person("ada")
    before, key = server.find_person("ada"), server.create_key("ada")
    users.join_group(server.state, "ada@acme.example", "user-administration")
    users.set_attributes(server.state, "ada@acme.example", {"region": ("EU",)})
    server.client.delete(f"/Users/{user['id']}")
    again = server.create_person("ada")
    after = server.find_person("ada")
    assert (again["id"] != user["id"], after.id, after.deactivated_at) == (True, before.id, None)
    assert (server.groups_of("ada"), after.attributes) == ({"everyone": "local"}, {})
    left = {(change["type"], change["verb"]) for change in server.records()[1]["changes"]}
    assert {("Membership", "delete"), ("User", "deactivate set-attributes")} <= left
    assert server.ask(key, ME)["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_a_replayed_request_brings_nobody_back(server: DirectoryServer) -> None:
    """An old sync that is sent again finds the user active already, or another version."""
    user = server.create_person("ada")
    users.deactivate_user(server.state, "ada@acme.example")
    body = {"schemas": [f"{CORE}User"], "userName": "ada@acme.example", "active": True, "title": "again"}
    assert server.send("PUT", f"/Users/{user['id']}", body).status_code == 200
    assert server.find_person("ada").deactivated_at is not None
    replayed = server.send("PUT", f"/Users/{user['id']}", body, if_match=user["meta"]["version"])
    assert replayed.status_code == 412


def test_a_sync_that_removes_many_people_halts_until_somebody_approves(server: DirectoryServer) -> None:
    people = [server.create_person(f"p{number}") for number in range(10)]
    server.age_people()
    assert [deactivate(server, user) // 100 for user in people[:5]] == [2] * 5
    refused = server.client.delete(f"/Users/{people[5]['id']}")
    assert (refused.status_code, "must approve" in refused.json()["detail"]) == (409, True)
    assert deactivate(server, people[6]) == 409
    assert server.find_person("p5").deactivated_at is server.find_person("p6").deactivated_at is None
    (halted,) = [sync for sync in server.syncs() if sync.state is SyncState.HALTED]
    assert halted.counts[SyncChangeKind.WAITING] == 2
    attribution = Attribution(actor="os:root", reason="the branch is closed")
    waiting = reports.decide_halted_sync(server.state, halted.id, approve=True, attribution=attribution)
    assert waiting == ("p5@acme.example", "p6@acme.example")
    assert server.client.delete(f"/Users/{people[5]['id']}").status_code == 204
    assert deactivate(server, people[6]) in (200, 204)
    assert deactivate(server, people[7]) == 409, "who did not wait then was not approved"
    again = server.syncs()[0]
    reports.decide_halted_sync(server.state, again.id, approve=False, attribution=attribution)
    assert deactivate(server, people[7]) == 409


EMPTYING = {
    "PATCH that removes": ("PATCH", {"op": "remove", "path": "members"}),
    "PATCH that replaces": ("PATCH", {"op": "replace", "path": "members", "value": []}),
    "PUT": ("PUT", None),
    "DELETE": ("DELETE", None),
    "another name": ("PATCH", {"op": "replace", "path": "displayName", "value": "other"}),
}


@pytest.mark.parametrize(("method", "operation"), EMPTYING.values(), ids=EMPTYING)
def test_a_group_that_is_emptied_halts_until_somebody_approves(
    server: DirectoryServer, method: str, operation: dict[str, Any] | None
) -> None:
    people = [server.create_person(f"p{number}") for number in range(6)]
    group = server.create_group("acme-finance", *(person["id"] for person in people))
    server.age_people()
    path = f"/Groups/{group['id']}"
    body = {"schemas": [f"{CORE}Group"], "displayName": "acme-finance", "members": []}

    def empty() -> Response:
        if operation is not None:
            return server.patch(path, operation)
        return server.send(method, path, body if method == "PUT" else None)

    refused = empty()
    assert (refused.status_code, "removed from `finance`" in refused.json()["detail"]) == (409, True)
    assert {name for name in ("p0", "p5") if "finance" in server.groups_of(name)} == {"p0", "p5"}
    member = {"op": "remove", "path": f'members[value eq "{people[0]["id"]}"]'}
    assert server.patch(path, member).status_code == 409, "nobody leaves this group while others wait to"
    (halted,) = [sync for sync in server.syncs() if sync.state is SyncState.HALTED]
    attribution = Attribution(actor="os:root", reason="the team is gone")
    waiting = reports.decide_halted_sync(server.state, halted.id, approve=True, attribution=attribution)
    assert waiting == tuple(f"p{number}@acme.example finance" for number in range(6))
    assert empty().status_code // 100 == 2
    assert server.groups_of("p5") == {"everyone": "local"}


def test_who_leaves_a_group_one_by_one_is_counted_together(server: DirectoryServer) -> None:
    people = [server.create_person(f"p{number}") for number in range(8)]
    group = server.create_group("acme-finance", *(person["id"] for person in people))
    server.age_people()
    left = [
        server.patch(f"/Groups/{group['id']}", {"op": "remove", "path": f'members[value eq "{person["id"]}"]'})
        for person in people[:6]
    ]
    assert [response.status_code // 100 for response in left] == [2] * 5 + [4]


def test_people_come_and_change_while_removals_wait(server: DirectoryServer) -> None:
    people = [server.create_person(f"p{number}") for number in range(7)]
    server.age_people()
    assert [deactivate(server, user) for user in people[:6]][-1] == 409
    server.create_person("new")
    title = {"op": "replace", "path": "name.familyName", "value": "Renamed"}
    assert server.patch(f"/Users/{people[6]['id']}", title).status_code in (200, 204)
    assert server.find_person("p6").last_name == "Renamed"


def test_a_fifth_of_many_people_may_go(server: DirectoryServer) -> None:
    people = [server.create_person(f"p{number}") for number in range(40)]
    server.age_people()
    assert [deactivate(server, user) // 100 for user in people[:9]] == [2] * 8 + [4]


def test_every_change_is_on_record_before_it_is_made(server: DirectoryServer) -> None:
    user = server.create_person("ada")
    server.create_group("acme-finance", user["id"])
    server.client.delete(f"/Users/{user['id']}")
    id = server.find_person("ada").id
    records = [record for record in server.records() if record["surface"] == "scim"]
    assert [
        (record["operation"], record["status"], {f"{change['verb']} {change['type']}" for change in record["changes"]})
        for record in records
    ] == [
        ("scim POST Users", 201, {"create DirectoryUser", "create User", "create Membership"}),
        ("scim POST Groups", 201, {"create DirectoryGroup", "create Membership"}),
        ("scim DELETE Users", 204, {"delete DirectoryUser", "deactivate User", "delete Membership"}),
    ]
    assert {(record["person"], record["outcome"]) for record in records} == {("directory:scim", "answered")}
    (period,) = users.list_membership_periods(server.state, group="finance")
    assert (period.added.record_id, period.removed.record_id) == (records[1]["id"], records[2]["id"])
    assert f"{id}/finance" in {change["id"] for change in records[1]["changes"]}


def test_nothing_is_served_without_the_credential(server: DirectoryServer) -> None:
    key = server.create_person("ada") and server.create_key("ada")
    requests = ("GET", "/Users"), ("POST", "/Users"), ("GET", "/ServiceProviderConfig"), ("GET", "/Schemas")
    for credentials in (None, "Bearer x", f"Bearer {key}", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Basic eA=="):
        headers = {} if credentials is None else {"authorization": credentials}
        for method, path in requests:
            with Client(base_url=server.client.base_url, headers=headers) as stranger:
                response = stranger.request(method, path)
            assert (response.status_code, response.json()["status"]) == (401, "401")
            assert response.headers["www-authenticate"] == "Bearer"
    assert server.ask(TOKEN, ME)["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_a_request_over_the_directorys_own_limit_is_turned_away(tmp_path: Path) -> None:
    settings = SETTINGS.replace("[directory.scim]", "[directory.scim]\nrequests_a_minute = 3")
    with run_company(tmp_path / "company", settings=settings) as server:
        replies = [server.client.get("/Users") for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    assert ("retry-after" in replies[3].headers, replies[3].json()["status"]) == (True, "429")


def test_memberships_are_confirmed_whenever_the_directory_comes(
    server: DirectoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.create_group("acme-finance", server.create_person("ada")["id"])
    with server.state.write_transaction() as connection:
        connection.exec_driver_sql("UPDATE membership SET confirmed_at = 0")
    monkeypatch.setattr(scim, "CONFIRM_SECONDS", 0.0)
    assert server.client.get("/Users").status_code == 200
    years = {item.group: item.confirmed_at.year for item in server.find_person("ada").memberships}
    assert (years["everyone"], years["finance"] > 1970) == (1970, True)
