"""The public tester of SCIM finds nothing wrong, and what it leaves is what the database and the records show."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

from auth import users
from tests.http.scim.conftest import DirectoryServer


def test_the_tester_finds_every_check_right(server: DirectoryServer) -> None:
    results = check_server(SyncSCIMClient(server.client))
    wrong = [f"{result.title}: {result.reason}" for result in results if result.status is not Status.SUCCESS]
    print(Counter(result.status.name for result in results))
    assert wrong == []
    assert len(results) >= 135


def test_what_the_tester_leaves_is_what_database_and_records_say(server: DirectoryServer) -> None:
    server.create_person("ada")
    kept = server.create_group("acme-finance", server.create_person("bob")["id"])
    check_server(SyncSCIMClient(server.client))
    listed = {name: list_ids(server.client, name) for name in ("Users", "Groups")}
    with server.state.read_connection() as connection:
        stored = {
            "Users": set(connection.exec_driver_sql("SELECT id FROM directory_user").scalars()),
            "Groups": set(connection.exec_driver_sql("SELECT id FROM directory_group").scalars()),
        }
    assert listed == stored
    assert kept["id"] in stored["Groups"]
    changes = [change for record in server.records() for change in record["changes"]]
    by_verb = {verb: list_changed(changes, "Directory", verb) for verb in ("create", "delete")}
    assert by_verb["create"] - by_verb["delete"] == {("DirectoryUser", id) for id in stored["Users"]} | {
        ("DirectoryGroup", id) for id in stored["Groups"]
    }
    people = {user.id for user in users.list_users(server.state)}
    active = {user.id for user in users.list_users(server.state) if user.deactivated_at is None}
    assert list_changed(changes, "User", "create") == {("User", id) for id in people}
    assert list_changed(changes, "User", "deactivate") >= {("User", id) for id in people - active}


def list_ids(client: Client, endpoint: str) -> set[str]:
    listing = client.get(f"/{endpoint}", params={"count": 200}).json()
    assert listing["totalResults"] <= 200
    return {resource["id"] for resource in listing["Resources"]}


def list_changed(changes: Iterable[Mapping[str, Any]], type_prefix: str, verb: str) -> set[tuple[str, str]]:
    return {
        (change["type"], change["id"])
        for change in changes
        if change["type"].startswith(type_prefix) and verb in change["verb"].split()
    }
