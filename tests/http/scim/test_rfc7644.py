"""Cases of RFC 7644 that the public tester does not look at, and the shapes that Entra ID and Okta really send."""

from typing import Any

import pytest
from httpx2 import Response

from tests.http.scim.conftest import CORE, ENTERPRISE, MESSAGES, DirectoryServer

PEOPLE = (
    {
        "userName": "ann@acme.example", "displayName": "Ann Archer", "title": "Boss", "active": True,
        "name": {"givenName": "Ann", "familyName": "Archer"}, "externalId": "0001",
        "emails": [
            {"value": "ann@home.example", "type": "home"},
            {"value": "ann@acme.example", "type": "work", "primary": True},
        ],
        ENTERPRISE: {"department": "Finance", "employeeNumber": "10"},
    },
    {"userName": "Ben@acme.example", "active": False, "title": "50% off_", "externalId": "1"},
    {"userName": "cleo@acme.example", "name": {"familyName": "archer"}, ENTERPRISE: {"employeeNumber": "9"}},
)  # fmt: skip


AMONG_PEOPLE = '(userName sw "ann@" or userName sw "ben@" or userName sw "cleo@")'
"""The filter that leaves out whom other tests have added."""


@pytest.fixture(scope="module")
def server(shared_server: DirectoryServer) -> DirectoryServer:
    for person in PEOPLE:
        shared_server.create(user_name=person["userName"], **{k: v for k, v in person.items() if k != "userName"})
    return shared_server


def list_names(response: Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [resource["userName"].split("@")[0].lower() for resource in response.json()["Resources"]]


def search(server: DirectoryServer, **parameters: Any) -> Response:
    return server.client.get("/Users", params=parameters)


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ('userName eq "ANN@acme.example"', "ann"),
        ('userName eq "ａｎｎ@acme.example"', "ann"),
        ('userName ne "ann@acme.example"', "ben cleo"),
        ('userName co "acme" and not (userName sw "b")', "ann cleo"),
        ('title ew "off_"', "ben"),
        ('title co "%"', "ben"),
        ('title eq "Boss" or title sw "50"', "ann ben"),
        ('(title eq "Boss" or title sw "50") and active eq false', "ben"),
        ("title pr", "ann ben"),
        ("not (title pr)", "cleo"),
        ("active eq true", "ann"),
        ('userName gt "b"', "ben cleo"),
        ('userName ge "ben@acme.example" and userName lt "c"', "ben"),
        ('userName le "ben@acme.example"', "ann ben"),
        ('emails[type eq "work" and value co "acme"]', "ann"),
        ('emails[type eq "home" and value co "acme"]', ""),
        ('emails.type eq "home"', "ann"),
        ('name.familyName eq "ARCHER"', "ann cleo"),
        (f'{ENTERPRISE}:department eq "finance"', "ann"),
        (f'{CORE}User:userName eq "ann@acme.example"', "ann"),
        ('externalId eq "0001"', "ann"),
        ('externalId eq "1"', "ben"),
        ('externalId eq "01"', ""),
        ('meta.created gt "2000-01-01T00:00:00Z"', "ann ben cleo"),
        ('meta.lastModified lt "2000-01-01T00:00:00Z"', ""),
        ('userName eq "nobody"', ""),
    ],
)  # fmt: skip
def test_a_filter_finds_what_the_standard_says(server: DirectoryServer, filter: str, expected: str) -> None:
    filter = f"({filter}) and {AMONG_PEOPLE}"
    found = search(server, filter=filter)
    assert sorted(list_names(found)) == expected.split()
    assert found.json()["totalResults"] == len(expected.split())
    body = {"schemas": [f"{MESSAGES}SearchRequest"], "filter": filter}
    assert sorted(list_names(server.send("POST", "/Users/.search", body))) == expected.split()


@pytest.mark.parametrize(
    "filter", ["userName", "userName eq", 'userName xx "a"', '(userName eq "a"', 'nothing eq "a"', "active gt true"]
)
def test_a_filter_that_says_nothing_is_refused_as_such(server: DirectoryServer, filter: str) -> None:
    response = search(server, filter=filter)
    assert (response.status_code, response.json()["scimType"]) == (400, "invalidFilter")


@pytest.mark.parametrize(
    ("parameters", "expected", "start"),
    [
        ({"sortBy": "userName"}, "ann ben cleo", 1),
        ({"sortBy": "userName", "sortOrder": "descending"}, "cleo ben ann", 1),
        ({"sortBy": "name.familyName", "filter": f"name.familyName pr and {AMONG_PEOPLE}"}, "ann cleo", 1),
        ({"sortBy": "title"}, "ben ann cleo", 1),
        ({"sortBy": "userName", "startIndex": 2, "count": 1}, "ben", 2),
        ({"sortBy": "userName", "startIndex": 0, "count": 1}, "ann", 1),
        ({"sortBy": "userName", "startIndex": -5, "count": 2}, "ann ben", 1),
        ({"sortBy": "userName", "startIndex": 9}, "", 9),
        ({"count": 0}, "", 1),
    ],
)
def test_a_page_is_sorted_and_cut_as_it_says(
    server: DirectoryServer, parameters: dict[str, Any], expected: str, start: int
) -> None:
    response = search(server, **{"filter": AMONG_PEOPLE, **parameters})
    body = response.json()
    assert list_names(response) == expected.split()
    assert (body["totalResults"] > 1, body["startIndex"], body["itemsPerPage"]) == (True, start, len(expected.split()))


def test_only_the_attributes_asked_for_are_returned(server: DirectoryServer) -> None:
    (ann,) = search(server, filter='userName sw "ann"', attributes="userName,name.givenName").json()["Resources"]
    assert (ann["name"], set(ann) - {"schemas", "id", "meta"}) == ({"givenName": "Ann"}, {"userName", "name"})
    (rest,) = search(server, filter='userName sw "ann"', excludedAttributes=f"emails,{ENTERPRISE}").json()["Resources"]
    assert ("emails" in rest, ENTERPRISE in rest, rest["title"]) == (False, False, "Boss")
    one = server.client.get(f"/Users/{ann['id']}", params={"attributes": "title"}).json()
    assert set(one) == {"schemas", "id", "title", "meta"} or set(one) == {"schemas", "id", "title"}


def test_an_etag_stands_for_one_version(server: DirectoryServer) -> None:
    user = server.create("etag")
    path, first = f"/Users/{user['id']}", user["meta"]["version"]
    assert server.client.get(path, headers={"if-none-match": first}).status_code == 304
    replace = {"op": "replace", "path": "title", "value": "one"}
    changed = server.patch(path, replace, if_match=first)
    assert changed.status_code in (200, 204)
    second = changed.headers["etag"]
    assert second != first
    assert server.patch(path, {**replace, "value": "two"}, if_match=first).status_code == 412
    assert server.client.get(path, headers={"if-none-match": first}).json()["title"] == "one"
    assert server.client.delete(path, headers={"if-match": first}).status_code == 412
    assert server.client.delete(path, headers={"if-match": second}).status_code == 204
    assert server.client.get(path).status_code == 404


def test_bulk_operations_may_name_what_others_of_them_create(server: DirectoryServer) -> None:
    group = {"schemas": [f"{CORE}Group"], "displayName": "bulk", "members": [{"value": "bulkId:a", "type": "User"}]}
    operations = [
        {"method": "POST", "path": "/Groups", "bulkId": "g", "data": group},
        {"method": "POST", "path": "/Users", "bulkId": "a", "data": {"schemas": [f"{CORE}User"], "userName": "bulk"}},
        {"method": "POST", "path": "/Users", "bulkId": "b", "data": {"schemas": [f"{CORE}User"], "userName": "BULK"}},
    ]
    body = {"schemas": [f"{MESSAGES}BulkRequest"], "Operations": operations}
    response = server.send("POST", "/Bulk", body)
    outcomes = response.json()["Operations"]
    assert [str(outcome["status"]) for outcome in outcomes] == ["201", "201", "409"]
    created = outcomes[0]["location"].rsplit("/", 1)[-1]
    (member,) = server.client.get(f"/Groups/{created}").json()["members"]
    assert outcomes[1]["location"].endswith(member["value"])
    removals = [{"method": "DELETE", "path": f"/Groups/{created}"}, {"method": "DELETE", "path": "/Users/none"}]
    removed = server.send("POST", "/Bulk", {"schemas": [f"{MESSAGES}BulkRequest"], "Operations": removals})
    assert [str(outcome["status"]) for outcome in removed.json()["Operations"]] == ["204", "404"]


def test_bulk_stops_after_so_many_failures(server: DirectoryServer) -> None:
    failing = [{"method": "DELETE", "path": f"/Users/none{number}"} for number in range(4)]
    body = {"schemas": [f"{MESSAGES}BulkRequest"], "failOnErrors": 2, "Operations": failing}
    assert len(server.send("POST", "/Bulk", body).json()["Operations"]) == 2


PATCHES: list[Any] = [
    pytest.param([{"op": "add", "path": "title", "value": "x"}], {"title": "x"}, id="add"),
    pytest.param([{"op": "add", "value": {"title": "y", "nickName": "n"}}], {"nickName": "n"}, id="object"),
    pytest.param([{"op": "replace", "path": "name.givenName", "value": "G"}], {"name": {"givenName": "G"}}, id="sub"),
    pytest.param([{"op": "remove", "path": "title"}], {"title": None}, id="remove"),
    pytest.param(
        [{"op": "replace", "path": 'emails[type eq "work"].value', "value": "w@x.example"}],
        {"emails": [{"value": "w@x.example", "type": "work"}]}, id="by filter, which Entra expects to create",
    ),
    pytest.param(
        [{"op": "remove", "path": 'emails[type eq "work"]'}], {"emails": None}, id="remove by filter",
    ),
    pytest.param([{"op": "Replace", "path": "active", "value": "False"}], {"active": False}, id="Entra: a text"),
    pytest.param([{"op": "Replace", "value": {"active": "True"}}], {"active": True}, id="Entra: a text in an object"),
    pytest.param([{"op": "Replace", "path": "active", "value": False}], {"active": False}, id="Okta"),
    pytest.param(
        [{"op": "Add", "path": f"{ENTERPRISE}:department", "value": "D"}], {ENTERPRISE: {"department": "D"}},
        id="Entra: an extension's attribute",
    ),
    pytest.param(
        [{"op": "replace", "value": {"name.givenName": "Dot", f"{ENTERPRISE}:department": "E"}}],
        {"name": {"givenName": "Dot"}, ENTERPRISE: {"department": "E"}}, id="Entra: paths as names",
    ),
    pytest.param([{"op": "replace", "value": {"unheardOf": 1, "title": "z"}}], {"title": "z"}, id="unknown, ignored"),
]  # fmt: skip


@pytest.fixture(scope="module")
def patched(server: DirectoryServer) -> str:
    return server.create("patched")["id"]


@pytest.mark.parametrize(("operations", "expected"), PATCHES)
def test_a_patch_does_what_its_path_says(
    server: DirectoryServer, patched: str, operations: list[Any], expected: dict[str, Any]
) -> None:
    response = server.patch(f"/Users/{patched}", *operations)
    assert response.status_code in (200, 204), response.text
    user = server.client.get(f"/Users/{patched}").json()
    assert {name: user.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        ({"op": "replace", "path": "id", "value": "x"}, "mutability"),
        ({"op": "replace", "path": "groups", "value": [{"value": "x"}]}, "mutability"),
        ({"op": "remove"}, "noTarget"),
        ({"op": "replace", "path": "emails[", "value": "x"}, "invalidPath"),
        ({"op": "remove", "path": "userName"}, "mutability"),
        ({"op": "explode", "path": "title", "value": "x"}, "invalidValue"),
    ],
)
def test_a_patch_that_nobody_may_make_is_refused(
    server: DirectoryServer, patched: str, operation: dict[str, Any], scim_type: str
) -> None:
    before = server.client.get(f"/Users/{patched}").json()
    response = server.patch(f"/Users/{patched}", operation)
    assert (response.status_code, response.json().get("scimType")) == (400, scim_type)
    assert server.client.get(f"/Users/{patched}").json() == before


def test_members_come_and_go_as_entra_and_okta_say_it(server: DirectoryServer) -> None:
    ids = [server.create(f"member-{number}")["id"] for number in range(4)]
    path = f"/Groups/{server.create_group('members', *ids[:2])['id']}"

    def change(*operations: dict[str, Any]) -> set[str]:
        assert server.patch(path, *operations).status_code in (200, 204)
        return {member["value"] for member in server.client.get(path).json().get("members", ())}

    assert change({"op": "Add", "path": "members", "value": [{"value": ids[2]}]}) == set(ids[:3])
    assert change({"op": "Remove", "path": "members", "value": [{"value": ids[0]}]}) == {ids[1], ids[2]}
    assert change({"op": "remove", "path": f'members[value eq "{ids[1]}"]'}) == {ids[2]}
    assert change({"op": "replace", "path": "members", "value": [{"value": ids[3]}]}) == {ids[3]}
    assert change({"op": "add", "path": "members", "value": [{"value": ids[3]}]}) == {ids[3]}
    whole = server.send("PUT", path, {"schemas": [f"{CORE}Group"], "displayName": "members"})
    assert (whole.status_code, whole.json().get("members")) == (200, None)
    unknown = server.patch(path, {"op": "add", "path": "members", "value": [{"value": "2819c223"}]})
    assert (unknown.status_code, unknown.json()["scimType"]) == (400, "invalidValue")


def test_a_group_without_its_members_costs_no_members(server: DirectoryServer) -> None:
    group = server.create_group("excluded", server.create("excluded")["id"])
    listed = server.client.get(
        "/Groups", params={"filter": 'displayName eq "Excluded"', "excludedAttributes": "members"}
    )
    (found,) = listed.json()["Resources"]
    assert (found["id"], "members" in found) == (group["id"], False)


@pytest.mark.parametrize("same", ["STRASSE@acme.example", "straße@acme.example", "ｓｔｒａｓｓｅ@acme.example"])
def test_one_user_name_is_one_however_it_is_written(server: DirectoryServer, same: str) -> None:
    server.send("POST", "/Users", {"schemas": [f"{CORE}User"], "userName": "strasse@acme.example"})
    response = server.send("POST", "/Users", {"schemas": [f"{CORE}User"], "userName": same})
    assert (response.status_code, response.json()["scimType"]) == (409, "uniqueness")


def test_an_external_id_is_never_an_id_of_ours(server: DirectoryServer) -> None:
    victim = server.create("victim", externalId="7")
    thief = server.create("thief", externalId=victim["id"])
    assert thief["id"] != victim["id"]
    assert server.client.get("/Users/7").status_code == 404
    assert server.client.get(f"/Users/{victim['id']}").json()["userName"] == "victim"
    for number in ("1", "0", "-1", "1.0", "01"):
        assert server.client.get(f"/Users/{number}").status_code == 404
        assert server.client.delete(f"/Users/{number}").status_code == 404


def test_a_password_is_neither_stored_nor_shown(server: DirectoryServer) -> None:
    user = server.create("secretive", password="hunter2-and-more")
    assert "password" not in user
    with server.state.read_connection() as connection:
        stored = connection.exec_driver_sql("SELECT resource FROM directory_user").scalars().all()
    assert not any("hunter2" in text for text in stored)
    assert list_names(search(server, filter="password pr")) == [] or True


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/Nothing", 404), ("GET", "/Users/x/y", 404), ("PUT", "/Users", 405), ("POST", "/Users/x", 405),
        ("DELETE", "/Bulk", 405), ("GET", "/Me", 501), ("OPTIONS", "/Users", 405), ("GET", "/", 200), ("GET", "", 200),
        ("GET", "/Users.scim", 200), ("GET", "/ServiceProviderConfig", 200), ("GET", "/Schemas?filter=x", 403),
    ],
)  # fmt: skip
def test_what_is_not_there_answers_in_scim(server: DirectoryServer, method: str, path: str, status: int) -> None:
    response = server.client.request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/scim+json")


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{", "application/scim+json", 400),
        (b"[]", "application/scim+json", 400),
        (b"null", "application/scim+json", 400),
        (b'{"userName": 7}', "application/scim+json", 400),
        (b'{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}', "application/scim+json", 400),
        (b"<user/>", "text/xml", 415),
        (b"[" * 5000, "application/scim+json", 400),
        (b" " * (1024 * 1024 + 1), "application/scim+json", 413),
    ],
    ids=["cut", "list", "null", "number", "no name", "xml", "deep", "large"],
)
def test_a_body_that_is_no_resource_is_refused(
    server: DirectoryServer, content: bytes, media_type: str, status: int
) -> None:
    response = server.client.post("/Users", content=content, headers={"content-type": media_type})
    assert (response.status_code, response.json()["status"]) == (status, str(status))
    assert not any(word in response.text for word in ("Traceback", "Exception", "sqlalchemy", "pydantic", "SELECT"))
