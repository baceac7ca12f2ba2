"""Deployments are changed in the company's table and on GitHub."""

import asyncio
import json

import aiohttp
import pytest

from demo.servers.run import HOST
from tests.connectors.writing.deployments import (
    REPO,
    SHOWN,
    build_input,
    changes,
    find_deployment,
    on_github,
    print_steps,
    statuses,
    version,
    waiting,
)
from tests.connectors.writing.mutations import Hub, apply_mutation, execute, get_refusal, mutation, query_github
from tests.runtime.failures.conftest import RunningServer


async def test_a_deployment_is_started_in_the_table_and_on_github(server: RunningServer, hub: Hub) -> None:
    begun = await apply_mutation(server, "startDeployment", build_input(hub, "7.0.0"), SHOWN)
    assert (begun["state"], begun["after"]) == ("DONE", {"service": REPO, "status": "RUNNING"})
    on_door = find_deployment(begun["deployment"], "7.0.0")
    assert [node["state"] for node in on_door["statuses"]["nodes"]] == ["queued"]
    number = int(on_door["id"].partition(":")[2])
    theirs = await query_github(hub, REPO, lambda repo: repo.get_deployment(number))
    assert (theirs.environment, theirs.production_environment, theirs.sha) == (
        "staging", False, hub.commits(REPO)[0],
    )  # fmt: skip
    assert theirs.payload["onedoor"].startswith(begun["id"].rpartition("-")[0])
    assert [item["status"] for item in await version(server, "7.0.0")] == ["RUNNING"]


async def test_what_waits_goes_on_once_it_is_approved_and_not_twice(server: RunningServer, hub: Hub) -> None:
    begun, run = await waiting(server, hub, "7.1.0")
    assert begun["status"] == "WAITING"
    word = {
        "id": begun["id"], "run": run["id"], "comment": "fine",
        "environmentId": run["pending"]["nodes"][0]["environmentId"],
    }  # fmt: skip
    done = await apply_mutation(server, "approveDeployment", {**word, "ifVersion": str(begun["revision"])}, SHOWN)
    assert (done["after"]["status"], done["deployment"]["status"]) == ("RUNNING", "RUNNING")
    number = int(run["id"].partition(":")[2])
    assert await query_github(hub, REPO, lambda repo: repo.get_workflow_run(number).status) == "in_progress"
    code, message = await get_refusal(server, "approveDeployment", word)
    print_steps("approved twice:", code, message)
    assert code == "VERSION_CONFLICT"
    assert message.startswith("`github`: the deployment is `RUNNING`, and not WAITING; what change `")
    stale = await get_refusal(server, "approveDeployment", {**word, "ifVersion": str(begun["revision"])})
    assert stale[0] == "VERSION_CONFLICT"
    assert [item["status"] for item in await version(server, "7.1.0")] == ["RUNNING"]


async def test_a_run_of_another_repository_is_not_approved(server: RunningServer, hub: Hub) -> None:
    begun, _ = await waiting(server, hub, "7.1.1")
    word = {"id": begun["id"], "run": "search:5000001", "environmentId": "1"}
    assert (await get_refusal(server, "approveDeployment", word))[1].startswith(
        "`github`: `run` is of `search`, the deployment of `billing`; "
    )
    assert [item["status"] for item in await version(server, "7.1.1")] == ["WAITING"]


async def test_a_deployment_is_cancelled_here_and_there(server: RunningServer, hub: Hub) -> None:
    begun, run = await waiting(server, hub, "7.2.0")
    done = await apply_mutation(
        server, "cancelDeployment", {"id": begun["id"], "run": run["id"], "reason": "wrong day"}, SHOWN
    )
    assert (done["deployment"]["status"], done["deployment"]["finishedAt"] is None) == ("CANCELLED", False)
    number = int(run["id"].partition(":")[2])
    assert await query_github(hub, REPO, lambda repo: repo.get_workflow_run(number).conclusion) == "cancelled"


async def test_rolling_back_begins_the_version_before_in_its_place(server: RunningServer, hub: Hub) -> None:
    begun = (await apply_mutation(server, "startDeployment", build_input(hub, "7.3.0"), SHOWN))["deployment"]
    earlier = hub.commits(REPO)[1]
    back = {"id": begun["id"], "version": "7.2.9", "commitSha": earlier, "description": "onedoor 7.2.9"}
    done = await apply_mutation(
        server, "rollBackDeployment",
        {**back, "githubDeployment": find_deployment(begun, "7.3.0")["id"], "reason": "it fails"},
        SHOWN,
    )  # fmt: skip
    assert done["deployment"]["status"] == "ROLLED_BACK"
    (row,) = await version(server, "7.2.9")
    assert (row["status"], row["commitSha"]) == ("RUNNING", earlier)
    assert await statuses(hub, "7.3.0") == ["inactive", "queued"]
    theirs = await query_github(
        hub, REPO, lambda repo: [x.sha for x in repo.get_deployments() if x.description == "onedoor 7.2.9"]
    )
    assert theirs == [earlier]
    assert await changes(server, "7.2.9") == [("CREATE", "DONE")]


async def test_rolling_back_needs_no_deployment_of_github_to_replace(server: RunningServer, hub: Hub) -> None:
    begun = (await apply_mutation(server, "startDeployment", build_input(hub, "7.4.0"), SHOWN))["deployment"]
    back = {"id": begun["id"], "version": "7.3.9", "commitSha": hub.commits(REPO)[1]}
    assert (await apply_mutation(server, "rollBackDeployment", back, SHOWN))["state"] == "DONE"
    assert await statuses(hub, "7.4.0") == ["queued"]


async def test_a_dry_run_begins_nothing(server: RunningServer, hub: Hub) -> None:
    tried = await apply_mutation(
        server, "startDeployment", build_input(hub, "8.0.0", dryRun=True), "after { status startedAt }"
    )
    assert (tried["state"], tried["after"]["status"]) == ("TRIED", "RUNNING")
    assert tried["after"]["startedAt"] is not None
    assert await version(server, "8.0.0") == []
    assert await on_github(hub, "8.0.0") == 0


async def test_a_repeated_idempotency_key_starts_one_deployment(server: RunningServer, hub: Hub) -> None:
    given = build_input(hub, "8.1.0", idempotencyKey="release-8.1.0")
    first = await apply_mutation(server, "startDeployment", given, SHOWN)
    await asyncio.sleep(0.01)
    again = await apply_mutation(server, "startDeployment", given, SHOWN)
    assert (again["id"], again["deployment"]) == (first["id"], first["deployment"])
    assert len(await version(server, "8.1.0")) == await on_github(hub, "8.1.0") == 1
    assert (await get_refusal(server, "startDeployment", {**given, "waits": True}))[0] == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize("group", ["marketing", "support"])
async def test_only_engineers_begin_anything(server: RunningServer, hub: Hub, group: str) -> None:
    for name, given in (
        ("startDeployment", build_input(hub, "8.2.0")),
        ("approveDeployment", {"id": "1", "run": "billing:1", "environmentId": "1"}),
        ("cancelDeployment", {"id": "1", "run": "billing:1"}),
        ("rollBackDeployment", {"id": "1", "version": "1", "commitSha": "1"}),
    ):
        reply = await execute(server, mutation(name, ""), group, input=given)
        assert {error["extensions"]["code"] for error in reply.errors} == {"FORBIDDEN"}
        assert (reply.data or {}).get(name) is None
    assert await version(server, "8.2.0") == []


async def test_its_history_says_who_when_why_before_and_after(server: RunningServer, hub: Hub) -> None:
    begun, run = await waiting(server, hub, "8.8.0")
    word = {
        "id": begun["id"], "run": run["id"], "environmentId": run["pending"]["nodes"][0]["environmentId"],
        "reason": "the tests passed",
    }  # fmt: skip
    await apply_mutation(server, "approveDeployment", word)
    result = await execute(
        server,
        f"""{{ me {{ id }} deployment(id: "{begun["id"]}") {{ history(orderBy: [{{at: ASC}}]) {{
        nodes {{ at person verb mutation reason before {{ status }} after {{ status }} }} }} }} }}""",
    )
    assert result.errors == []
    history = result.data["deployment"]["history"]["nodes"]
    print_steps("history:", *history)
    assert [{name: value for name, value in change.items() if name != "at"} for change in history] == [
        {"person": result.data["me"]["id"], "verb": verb, "mutation": name, "reason": why, "before": was, "after": now}
        for verb, name, why, was, now in (
            ("CREATE", "startDeployment", None, None, {"status": "WAITING"}),
            ("UPDATE", "approveDeployment", "the tests passed", {"status": "WAITING"}, {"status": "RUNNING"}),
        )
    ]
    assert history[0]["at"] < history[1]["at"]


async def test_who_listens_hears_of_a_deployment_as_soon_as_it_is_begun(server: RunningServer, hub: Hub) -> None:
    listening = "subscription { deploymentChanged { mutation after { version status } deployment { service } } }"
    headers = {"authorization": f"Bearer {server.keys['support']}", "accept": "text/event-stream"}
    async with (
        aiohttp.ClientSession(f"http://{HOST}:{server.port}", read_bufsize=2**16) as session,
        session.post("/graphql", json={"query": listening}, headers=headers) as stream,
    ):
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        await apply_mutation(server, "startDeployment", build_input(hub, "8.9.0"))
        async with asyncio.timeout(20):
            while not (line := await stream.content.readline()).startswith(b"data: {"):
                assert line, "the stream ended"
    assert json.loads(line.removeprefix(b"data: "))["data"]["deploymentChanged"] == {
        "mutation": "startDeployment",
        "after": {"version": "8.9.0", "status": "RUNNING"},
        "deployment": {"service": REPO},
    }


async def test_what_has_ended_otherwise_is_not_rolled_back(server: RunningServer, hub: Hub) -> None:
    begun, run = await waiting(server, hub, "9.0.0")
    await apply_mutation(server, "cancelDeployment", {"id": begun["id"], "run": run["id"]})
    back = {"id": begun["id"], "version": "8.9.9", "commitSha": hub.commits(REPO)[1]}
    code, message = await get_refusal(server, "rollBackDeployment", back)
    assert (code, message.partition("; ")[0]) == (
        "VERSION_CONFLICT",
        "`internal`: the deployment is `CANCELLED`, and not SUCCEEDED or FAILED or WAITING or RUNNING",
    )
    assert [item["status"] for item in await version(server, "9.0.0")] == ["CANCELLED"]
    assert await version(server, "8.9.9") == []
