"""Administrators see over GraphQL what a directory did, decide about it, and people claim their keys."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert

from auth import api_keys, users
from auth.directory import claims
from auth.directory.reports import SyncState
from onedoor.storage.tables import administrative_change_table
from tests.http.scim.conftest import DirectoryServer

CLAIM = "mutation { claimKey(input: {}) { id key secret } }"
ME = "{ me { firstName groups } }"


def create_administrator(server: DirectoryServer) -> str:
    users.create_user(server.state, first_name="Root", last_name="Example", email="root@acme.example")
    users.join_group(server.state, "root@acme.example", "user-administration")
    return server.create_key("root")


def ask(server: DirectoryServer, key: str, query: str) -> Mapping[str, Any]:
    reply = server.ask(key, query)
    assert "errors" not in reply, reply
    return reply["data"]


def find_code(server: DirectoryServer) -> str:
    (claim,) = claims.list_claims(server.state)
    return claim.text


def test_a_new_person_exchanges_the_code_for_a_key_once(server: DirectoryServer) -> None:
    server.create_group("acme-finance", server.create_person("ada")["id"])
    code = find_code(server)
    assert ask(server, code, ME) == {"me": {"firstName": "ada", "groups": ["everyone"]}}
    issued = ask(server, code, CLAIM)["claimKey"]
    assert ask(server, issued["key"], ME) == {"me": {"firstName": "ada", "groups": ["everyone", "finance"]}}
    again = server.ask(code, CLAIM)
    assert again["errors"][0]["extensions"]["code"] in ("UNAUTHENTICATED", "BAD_USER_INPUT")
    assert len(api_keys.list_keys(server.state)) == 1
    (record,) = (record for record in server.records() if any(c["type"] == "KeyClaim" for c in record["changes"]))
    assert (record["key_id"], code in str(server.records())) == (code[:15], False)


def test_a_code_is_good_for_a_key_alone(server: DirectoryServer) -> None:
    server.create_person("ada")
    server.create_key("ada")
    refused = server.ask(find_code(server), "mutation { rotateMyKey(input: {}) { key } }")
    assert (refused["data"]["rotateMyKey"], "good for `claimKey` alone" in refused["errors"][0]["message"]) == (
        None,
        True,
    )


def test_who_has_a_key_gets_another_secret_and_the_former_is_over(server: DirectoryServer) -> None:
    server.create_person("ada")
    former = server.create_key("ada")
    issued = ask(server, find_code(server), CLAIM)["claimKey"]
    assert (issued["id"], issued["secret"]) == (former[3:15], 2)
    assert ask(server, issued["key"], "{ me { firstName } }") == {"me": {"firstName": "ada"}}
    assert [key.revoked_at for key in api_keys.list_keys(server.state)] == [None]


def test_a_key_is_no_code_and_a_code_of_others_no_key(server: DirectoryServer) -> None:
    server.create_person("ada")
    code = find_code(server)
    key = server.create_key("ada")
    assert server.ask(key, CLAIM)["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    for forged in (code[:-1] + ("0" if code[-1] != "0" else "1"), code.replace("oc_", "od_"), code[:15]):
        assert server.ask(forged, CLAIM)["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_administrators_have_links_sent_to_others_and_see_none(server: DirectoryServer) -> None:
    key = create_administrator(server)
    server.create_person("ada")
    first = find_code(server)
    make = 'mutation { createKeyClaim(input: {user: "%s@acme.example", reason: "lost"}) { id email expiresAt } }'
    reply = server.ask(key, make % "ada")
    code = find_code(server)
    assert (reply["data"]["createKeyClaim"]["email"], code.split("_")[2] in str(reply)) == ("ada@acme.example", False)
    assert server.ask(first, CLAIM)["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert server.ask(key, make % "root")["errors"][0]["extensions"]["code"] == "FORBIDDEN"


def test_who_made_an_account_does_not_have_its_link_sent(server: DirectoryServer) -> None:
    key = create_administrator(server)
    ask(
        server,
        key,
        'mutation { createUserAccount(input: {firstName: "E", lastName: "E", email: "eve@elsewhere.example", '
        'groups: ["finance"], reason: "new"}) { id } }',
    )
    refused = server.ask(
        key, 'mutation { createKeyClaim(input: {user: "eve@elsewhere.example", reason: "hers"}) { id } }'
    )
    assert refused["errors"][0]["message"] == (
        "you have made this account, or chosen its address: ask another administrator to send its link"
    )
    assert claims.list_claims(server.state) == ()


def test_a_halted_sync_is_seen_and_approved_over_graphql(server: DirectoryServer) -> None:
    key = create_administrator(server)
    people = [server.create_person(f"p{number}") for number in range(6)]
    server.age_people()
    statuses = [server.client.delete(f"/Users/{user['id']}").status_code for user in people]
    assert statuses == [204] * 5 + [409]
    syncs = "{ directorySyncs(where: {state: {eq: HALTED}}) { nodes { id source changes(where: {kind: {eq: WAITING}}) "
    (halted,) = ask(server, key, syncs + "{ nodes { subject account { email } } } } } }")["directorySyncs"]["nodes"]
    assert (halted["source"], halted["changes"]["nodes"]) == (
        "SCIM", [{"subject": "p5@acme.example", "account": {"email": "p5@acme.example"}}],
    )  # fmt: skip
    approve = 'mutation { approveDirectorySync(input: {sync: "%s", reason: "closed"}) { state decidedReason } }'
    decided = ask(server, key, approve % halted["id"])["approveDirectorySync"]
    assert decided == {"state": "APPROVED", "decidedReason": "closed"}
    assert server.client.delete(f"/Users/{people[5]['id']}").status_code == 204
    again = server.ask(key, approve % halted["id"])
    assert again["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_who_may_be_among_those_to_be_removed_does_not_dismiss(server: DirectoryServer) -> None:
    root, other = create_administrator(server), server.create_person("ben")["userName"]
    people = [server.create_person(f"p{number}") for number in range(6)]
    for email in ("p5@acme.example", other):
        users.join_group(server.state, email, "user-administration")
    server.age_people()
    for user in people:
        server.client.delete(f"/Users/{user['id']}")
    with server.state.write_transaction() as connection:
        connection.execute(
            insert(administrative_change_table).values(
                record_id="R", type="User", subject="S", verb="create", at=server.state.now(),
                actor=users.find_user_id(server.state, "root@acme.example"),
                person_id=users.find_user_id(server.state, "p5@acme.example"),
            )
        )  # fmt: skip
    halted = next(sync.id for sync in server.syncs() if sync.state is SyncState.HALTED)
    dismiss = f'mutation {{ dismissDirectorySync(input: {{sync: "{halted}", reason: "wrong"}}) {{ state }} }}'
    for key in (root, server.create_key("p5")):
        (error,) = server.ask(key, dismiss)["errors"]
        assert (error["extensions"]["code"], error["message"]) == (
            "FORBIDDEN",
            "you wait to be removed, or an account does that you made or that made yours: ask another member of "
            "`user-administration` or `access-review` to dismiss this",
        )
    assert ask(server, server.create_key("ben"), dismiss) == {"dismissDirectorySync": {"state": "DISMISSED"}}


def test_others_see_nothing_of_the_directory(server: DirectoryServer) -> None:
    server.create_person("ada")
    reply = server.ask(server.create_key("ada"), "{ directoryUsers { nodes { userName } } }")
    assert reply["errors"][0]["extensions"]["code"] == "FORBIDDEN"
