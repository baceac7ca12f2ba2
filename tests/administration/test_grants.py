"""A grant goes from request to report by mutations, each under the right group and on record."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from auth import api_keys, users
from auth.grant_store import list_grants
from auth.groups import ACCESS_REVIEW
from tests.administration.conftest import Office

STATE = "id group state reason hours ending decidedBy fencingToken"


@pytest.fixture
async def people(office: Office) -> AsyncIterator[dict[str, str]]:
    """The keys of people: Ada asks, Ben and Cy decide."""
    return {
        "ada": office.add("ada"),
        "ben": office.add("ben", ACCESS_REVIEW),
        "cy": office.add("cy", ACCESS_REVIEW),
        "eve": office.add("eve"),
    }


def id_of(office: Office, name: str) -> str:
    return users.find_user_id(office.database, f"{name}@acme.example")


async def request(office: Office, key: str, **options: Any) -> str:
    asked = await office.change(key, "requestAccess", {"group": "finance", **options}, "id")
    return asked["id"]


async def test_a_grant_from_request_to_report(office: Office, people: dict[str, str]) -> None:
    asked = await office.change(people["ada"], "requestAccess", {"group": "finance", "hours": 2}, STATE)
    id = asked["id"]
    assert asked == {
        "id": id, "group": "finance", "state": "REQUESTED", "reason": "as the ticket says", "hours": 2.0,
        "ending": None, "decidedBy": None, "fencingToken": None,
    }  # fmt: skip
    approved = await office.change(people["ben"], "approveAccess", {"grant": id}, STATE)
    assert (approved["state"], approved["decidedBy"], approved["fencingToken"]) == ("ACTIVE", id_of(office, "ben"), 1)
    office.forget_lookups()
    seen = await office.ask(people["ada"], "{ me { groups grants } }")
    assert seen.data == {"me": {"groups": ["everyone", "finance"], "grants": [id]}}
    returned = await office.change(people["ada"], "returnAccess", {"grant": id}, STATE)
    assert (returned["state"], returned["ending"]) == ("ENDED", "RETURNED")
    seen = await office.ask(people["ada"], "{ me { groups grants } }")
    assert seen.data == {"me": {"groups": ["everyone"], "grants": []}}
    report = """query($id: ID!) { accessGrant(id: $id) { report { requestCount changeCount
        requests(orderBy: [{time: ASC}]) { nodes { surface outcome } }
        fields { nodes { coordinate requestCount } }
        changes { nodes { changeType change verb state } } } } }"""
    reported = await office.ask(people["cy"], report, id=id)
    assert reported.errors == []
    assert reported.data["accessGrant"]["report"] == {
        "requestCount": 2,
        "changeCount": 1,
        "requests": {"nodes": [{"surface": "graphql", "outcome": "ANSWERED"}] * 2},
        "fields": {
            "nodes": [
                {"coordinate": name, "requestCount": count}
                for name, count in sorted(
                    [
                        *((f"AccessGrant.{field}", 1) for field in STATE.split()),
                        ("Me.grants", 1),
                        ("Me.groups", 1),
                        ("Mutation.returnAccess", 1),
                        ("Query.me", 1),
                    ]
                )
            ]
        },
        "changes": {"nodes": [{"changeType": "Grant", "change": id, "verb": "return", "state": "DONE"}]},
    }
    steps = [(record["operation"], record["changes"]) for record in office.records() if record["changes"]]
    assert [[(change["type"], change["id"], change["verb"]) for change in changes] for _, changes in steps] == [
        [("Grant", id, "request")],
        [("Grant", id, "approve")],
        [("Grant", id, "return")],
    ]


async def test_nobody_decides_on_their_own_request(office: Office, people: dict[str, str]) -> None:
    id = await request(office, people["ben"])
    for mutation in ("approveAccess", "denyAccess"):
        refused = await office.change(people["ben"], mutation, {"grant": id})
        assert refused == "nobody decides on access of their own: ask another approver"
    assert await office.change(people["cy"], "denyAccess", {"grant": id}, "state decisionReason") == {
        "state": "DENIED",
        "decisionReason": "as the ticket says",
    }


async def test_who_is_not_in_access_review_decides_nothing(office: Office, people: dict[str, str]) -> None:
    id = await request(office, people["ada"])
    for mutation in ("approveAccess", "denyAccess", "forceReturnAccess"):
        assert "access-review" in await office.change(people["eve"], mutation, {"grant": id})
    assert [grant.state for grant in list_grants(office.database)] == ["REQUESTED"]


async def test_two_approvers_take_a_grant_back(office: Office, people: dict[str, str]) -> None:
    id = await request(office, people["ada"])
    await office.change(people["ben"], "approveAccess", {"grant": id})
    states = [
        await office.change(people[name], "forceReturnAccess", {"grant": id}, "state ending") for name in ("ben", "cy")
    ]
    assert states == [{"state": "ACTIVE", "ending": None}, {"state": "ENDED", "ending": "FORCED"}]


async def test_everybody_sees_their_own_grants_and_reviewers_see_all(office: Office, people: dict[str, str]) -> None:
    own, other = await request(office, people["ada"]), await request(office, people["eve"])
    listing = "{ accessGrants(orderBy: [{requestedAt: ASC}]) { totalCount nodes { id report { id } } } }"
    for name, visible in (("ada", [own]), ("eve", [other]), ("ben", [own, other])):
        listed = await office.ask(people[name], listing)
        assert listed.data["accessGrants"] == {
            "totalCount": len(visible),
            "nodes": [{"id": id, "report": {"id": id}} for id in visible],
        }
    single = "query($id: ID!) { accessGrant(id: $id) { id } }"
    assert (await office.ask(people["eve"], single, id=own)).data == {"accessGrant": None}
    filtered = "query($id: ID!) { accessGrants(where: {id: {eq: $id}}) { totalCount } }"
    assert (await office.ask(people["eve"], filtered, id=own)).data == {"accessGrants": {"totalCount": 0}}


REFUSED = {
    "no group": ({"group": "finanse"}, "there is no group `finanse`: did you mean `finance`"),
    "too long": ({"group": "finance", "hours": 1e300}, "`finance` is lent for 8 hours at most"),
    "no time": ({"group": "finance", "hours": -1e300}, "`finance` is lent for 8 hours at most"),
    "no reason": ({"group": "finance", "reason": "  "}, "the reason is empty"),
    "too far ahead": ({"group": "finance", "startsAt": "2999-01-01T00:00:00Z"}, "a grant starts within 30 days"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
async def test_a_request_is_refused_in_a_sentence(
    office: Office, people: dict[str, str], given: dict[str, Any], message: str
) -> None:
    assert message in await office.change(people["ada"], "requestAccess", given)
    assert list_grants(office.database) == []


async def test_a_service_asks_for_nothing(office: Office, people: dict[str, str]) -> None:
    users.create_service(office.database, name="till-7", owner_group="finance")
    key = api_keys.create_key(office.database, "till-7").text
    refused = await office.change(key, "requestAccess", {"group": "sales"})
    assert refused == "a service holds no grant: have its owner put it into the group"


async def test_an_exclusive_group_is_handed_on(office: Office, people: dict[str, str]) -> None:
    ids = [await request(office, people[name], group="on-call") for name in ("ada", "eve")]
    for id in ids:
        await office.change(people["ben"], "approveAccess", {"grant": id})
    assert [grant.state for grant in list_grants(office.database)] == ["ACTIVE", "WAITING"]
    await office.change(people["ada"], "returnAccess", {"grant": ids[0]})
    held = await office.ask(people["eve"], "{ accessGrants { nodes { state fencingToken } } }")
    assert held.data["accessGrants"]["nodes"] == [{"state": "ACTIVE", "fencingToken": 2}]


async def test_a_member_of_an_exclusive_group_is_in_it_by_a_grant_alone(office: Office, people: dict[str, str]) -> None:
    users.join_group(office.database, "ada@acme.example", "on-call")
    office.forget_lookups()
    assert (await office.ask(people["ada"], "{ me { groups } }")).data == {"me": {"groups": ["everyone"]}}


async def test_an_administrator_lends_groups_until_a_time_and_never_to_themselves(
    office: Office, people: dict[str, str]
) -> None:
    admin = office.add("root", "user-administration")
    until = (office.database.now() + timedelta(hours=1)).isoformat()
    given = {"user": "ada@acme.example", "groups": ["finance", "sales"], "until": until}
    joined = await office.change(admin, "joinGroups", given, "memberships { nodes { group } }")
    assert joined == {"memberships": {"nodes": [{"group": "everyone"}]}}
    lent = list_grants(office.database)
    assert {(grant.group, grant.state, grant.decided.actor) for grant in lent} == {
        ("finance", "ACTIVE", id_of(office, "root")),
        ("sales", "ACTIVE", id_of(office, "root")),
    }
    refused = await office.change(admin, "joinGroups", {**given, "user": "root@acme.example"})
    assert refused == "nobody widens what they see themselves: ask another administrator"
    late = (office.database.now() + timedelta(hours=9)).isoformat()
    refused = await office.change(admin, "joinGroups", {**given, "user": "eve@acme.example", "until": late})
    assert refused.startswith("`finance` is lent for 8 hours at most")


async def test_what_needs_a_grant_is_not_read_after_the_mutation_that_returns_it(
    office: Office, people: dict[str, str]
) -> None:
    id = await request(office, people["ada"], group="user-administration")
    await office.change(people["ben"], "approveAccess", {"grant": id})
    office.forget_lookups()
    refused = await office.change(people["ada"], "returnAccess", {"grant": id}, "id account { email }")
    assert refused == (
        f"`returnAccess` was done, but your grant `{id}` of `user-administration` has ended: "
        "ask for access again with `requestAccess`"
    )
    assert [grant.state for grant in list_grants(office.database)] == ["ENDED"]
