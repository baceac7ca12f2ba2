"""The public tester of SCIM finds nothing wrong, and what it leaves is what the database and the records show."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import CheckResult, Status, check_server

from auth import users
from tests.http.scim.conftest import DirectoryServer, run_company
from tests.http.scim.test_administration import ask, create_administrator


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedServer:
    """A server on which the tester has tried everything, beside a few people and a group."""

    server: DirectoryServer
    results: Sequence[CheckResult]
    kept_group: str
    administrator: str
    """The key of an administrator, who is none of the directory's people."""

    __test__ = False


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestedServer]:
    with run_company(tmp_path_factory.mktemp("tested") / "company") as server:
        administrator = create_administrator(server)
        server.create_person("ada")
        kept_group = server.create_group("acme-finance", server.create_person("bob")["id"])["id"]
        results = check_server(SyncSCIMClient(server.client))
        yield TestedServer(server=server, results=results, kept_group=kept_group, administrator=administrator)


def test_the_tester_finds_every_check_right(tested: TestedServer) -> None:
    wrong = [f"{result.title}: {result.reason}" for result in tested.results if result.status is not Status.SUCCESS]
    print(Counter(result.status.name for result in tested.results))
    assert wrong == []
    assert len(tested.results) >= 135


def test_what_the_tester_leaves_is_what_database_and_records_say(tested: TestedServer) -> None:
    server = tested.server
    listed = {name: list_ids(server.client, name) for name in ("Users", "Groups")}
    with server.state.read_connection() as connection:
        stored = {
            "Users": set(connection.exec_driver_sql("SELECT id FROM directory_user").scalars()),
            "Groups": set(connection.exec_driver_sql("SELECT id FROM directory_group").scalars()),
        }
    assert listed == stored
    assert tested.kept_group in stored["Groups"]
    changes = [change for record in server.records() for change in record["changes"]]
    by_verb = {verb: list_changed(changes, "Directory", verb) for verb in ("create", "delete")}
    assert by_verb["create"] - by_verb["delete"] == {("DirectoryUser", id) for id in stored["Users"]} | {
        ("DirectoryGroup", id) for id in stored["Groups"]
    }
    people = [user for user in users.list_users(server.state) if user.email != "root@acme.example"]
    assert list_changed(changes, "User", "create") == {("User", user.id) for user in people}
    inactive = {("User", user.id) for user in people if user.deactivated_at is not None}
    assert list_changed(changes, "User", "deactivate") >= inactive


def test_graphql_shows_what_the_tester_left(tested: TestedServer) -> None:
    server = tested.server
    query = (
        "{ directoryUsers(first: 1000) { nodes { id userName active } } directoryGroups(first: 1000) "
        "{ nodes { id displayName } } userAccounts(first: 1000) { nodes { id } } }"
    )
    shown = ask(server, tested.administrator, query)
    listed = {name: server.client.get(f"/{name}", params={"count": 200}).json() for name in ("Users", "Groups")}
    assert {(user["id"], user["userName"]) for user in shown["directoryUsers"]["nodes"]} == {
        (user["id"], user["userName"]) for user in listed["Users"]["Resources"]
    }
    assert {(group["id"], group["displayName"]) for group in shown["directoryGroups"]["nodes"]} == {
        (group["id"], group["displayName"]) for group in listed["Groups"]["Resources"]
    }
    assert {user["id"] for user in shown["userAccounts"]["nodes"]} == {u.id for u in users.list_users(server.state)}


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
