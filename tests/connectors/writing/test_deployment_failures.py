"""Where GitHub refuses, is away or dies, a deployment is in neither place, or the error names what remains."""

import asyncio
import time

from tests.connectors.writing.deployments import REPO, build_input, changes, print_steps, statuses, version
from tests.connectors.writing.mutations import DIES, Hub, get_refusal
from tests.runtime.failures.conftest import RunningServer


async def test_what_github_refuses_is_not_in_the_table_either(server: RunningServer, hub: Hub) -> None:
    (failing, *_) = hub.commits(REPO, "failure")
    for number, (commit, code) in enumerate([(failing, "VERSION_CONFLICT"), ("0" * 40, "BAD_USER_INPUT")]):
        error = await get_refusal(server, "startDeployment", {**build_input(hub, f"8.3.{number}"), "commitSha": commit})
        print_steps("step 2 refused:", *error)
        assert error[0] == code
        assert error[1].endswith("was undone")
        assert await version(server, f"8.3.{number}") == []
        assert await changes(server, f"8.3.{number}") == [("DELETE", "DONE"), ("CREATE", "UNDONE")]


async def test_where_its_status_is_refused_the_deployment_is_inactive_and_the_row_gone(
    server: RunningServer, hub: Hub
) -> None:
    hub.refuses += [("/statuses", 422)]
    error = await get_refusal(server, "startDeployment", build_input(hub, "8.4.0"))
    print_steps("step 3 refused:", *error)
    assert error[0] == "BAD_USER_INPUT"
    assert error[1].endswith("was undone")
    assert await version(server, "8.4.0") == []
    assert await statuses(hub, "8.4.0") == ["inactive"]


async def test_what_cannot_be_undone_is_named(server: RunningServer, hub: Hub) -> None:
    hub.refuses += [("/statuses", 422), ("/statuses", 422)]
    code, message = await get_refusal(server, "startDeployment", build_input(hub, "8.5.0"))
    print_steps("step 3 and undoing step 2 refused:", code, message)
    assert code == "CHANGE_UNSETTLED"
    assert message.partition(": ")[2] == (
        "`deployment` was undone, `githubDeployment` stands (the API refused the values with status 422), "
        "`githubStatus` was not made (the API refused the values with status 422)"
    )
    assert await version(server, "8.5.0") == []
    assert await statuses(hub, "8.5.0") == []


async def test_while_github_is_away_nothing_is_begun(server: RunningServer, hub: Hub) -> None:
    hub.stop()
    try:
        error = await get_refusal(server, "startDeployment", build_input(hub, "8.6.0"))
    finally:
        hub.start()
    print_steps("GitHub away:", *error)
    assert error[1].endswith("was undone")
    assert await version(server, "8.6.0") == []


async def test_where_github_dies_in_the_middle_it_is_settled_once_it_is_back(server: RunningServer, hub: Hub) -> None:
    hub.refuses += [("/statuses", DIES)]
    code, message = await get_refusal(server, "startDeployment", build_input(hub, "8.7.0"))
    print_steps("GitHub dies at step 3:", code, message)
    assert code == "CHANGE_UNSETTLED"
    hub.stop()
    hub.start()
    deadline = time.monotonic() + 60
    while await version(server, "8.7.0"):
        assert time.monotonic() < deadline, "it was not settled"
        await asyncio.sleep(0.3)
    assert await statuses(hub, "8.7.0") == ["inactive"]
    assert ("CREATE", "UNDONE") in await changes(server, "8.7.0")


async def test_a_refusal_names_the_source_the_status_and_the_input_field(server: RunningServer, hub: Hub) -> None:
    code, message = await get_refusal(server, "startDeployment", {**build_input(hub, "8.8.0"), "commitSha": "0" * 40})
    assert code == "BAD_USER_INPUT"
    assert message.startswith("`github`: the API refused `commitSha` with status 422; what change `")
    assert message.endswith("` made of `deployment` was undone")


async def test_a_reference_to_no_row_names_the_input_field(server: RunningServer, hub: Hub) -> None:
    order = {"customerId": "99999999", "status": "PAID", "placedAt": "2031-01-02T00:00:00Z", "total": "1.00"}
    refusal = await get_refusal(server, "createOrder", order, group="sales")
    assert refusal == ("BAD_USER_INPUT", "no row of `customer` has the key given as `customerId`")
