"""Where GitHub refuses, is away or dies, a deployment is in neither place, or it is said what stands."""

import asyncio
import time

from tests.connectors.writing.deploying import REPO, changes, starting, statuses, told, version
from tests.connectors.writing.mutations import DIES, Hub, refused
from tests.runtime.failures.conftest import Door


async def test_what_github_refuses_is_not_in_the_table_either(door: Door, hub: Hub) -> None:
    (failing, *_) = hub.commits(REPO, "failure")
    for number, (commit, code) in enumerate([(failing, "VERSION_CONFLICT"), ("0" * 40, "BAD_USER_INPUT")]):
        found = await refused(door, "startDeployment", {**starting(hub, f"8.3.{number}"), "commitSha": commit})
        told("step 2 refused:", *found)
        assert found[0] == code
        assert found[1].endswith("was undone")
        assert await version(door, f"8.3.{number}") == []
        assert await changes(door, f"8.3.{number}") == [("DELETE", "DONE"), ("CREATE", "UNDONE")]


async def test_where_its_status_is_refused_the_deployment_is_inactive_and_the_row_gone(door: Door, hub: Hub) -> None:
    hub.refuses += [("/statuses", 422)]
    found = await refused(door, "startDeployment", starting(hub, "8.4.0"))
    told("step 3 refused:", *found)
    assert found[0] == "BAD_USER_INPUT"
    assert found[1].endswith("was undone")
    assert await version(door, "8.4.0") == []
    assert await statuses(hub, "8.4.0") == ["inactive"]


async def test_what_cannot_be_undone_is_named(door: Door, hub: Hub) -> None:
    hub.refuses += [("/statuses", 422), ("/statuses", 422)]
    code, said = await refused(door, "startDeployment", starting(hub, "8.5.0"))
    told("step 3 and undoing step 2 refused:", code, said)
    assert code == "CHANGE_UNSETTLED"
    assert said.partition(": ")[2] == (
        "`deployment` was undone, `githubDeployment` stands (the API refused the values with status 422), "
        "`githubStatus` was not made (the API refused the values with status 422)"
    )
    assert await version(door, "8.5.0") == []
    assert await statuses(hub, "8.5.0") == []


async def test_while_github_is_away_nothing_is_begun(door: Door, hub: Hub) -> None:
    hub.stop()
    try:
        found = await refused(door, "startDeployment", starting(hub, "8.6.0"))
    finally:
        hub.start()
    told("GitHub away:", *found)
    assert found[1].endswith("was undone")
    assert await version(door, "8.6.0") == []


async def test_where_github_dies_in_the_middle_it_is_settled_once_it_is_back(door: Door, hub: Hub) -> None:
    hub.refuses += [("/statuses", DIES)]
    code, said = await refused(door, "startDeployment", starting(hub, "8.7.0"))
    told("GitHub dies at step 3:", code, said)
    assert code == "CHANGE_UNSETTLED"
    hub.stop()
    hub.start()
    deadline = time.monotonic() + 60
    while await version(door, "8.7.0"):
        assert time.monotonic() < deadline, "it was not settled"
        await asyncio.sleep(0.3)
    assert await statuses(hub, "8.7.0") == ["inactive"]
    assert ("CREATE", "UNDONE") in await changes(door, "8.7.0")


async def test_a_refusal_names_the_source_the_status_and_the_input_field(door: Door, hub: Hub) -> None:
    found = await refused(door, "startDeployment", {**starting(hub, "8.8.0"), "commitSha": "0" * 40})
    assert found[0] == "BAD_USER_INPUT"
    assert found[1].startswith("`github`: the API refused `commitSha` with status 422; what change `")
    assert found[1].endswith("` made of `deployment` was undone")


async def test_a_reference_to_no_row_names_the_input_field(door: Door, hub: Hub) -> None:
    order = {"customerId": "99999999", "status": "PAID", "placedAt": "2031-01-02T00:00:00Z", "total": "1.00"}
    code, said = await refused(door, "createOrder", order, group="sales")
    told("an order of nobody:", code, said)
    assert (code, said) == ("BAD_USER_INPUT", "no row of `customer` has the key given as `customerId`")
