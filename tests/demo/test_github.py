"""Call the GitHub emulator with the leading client over the wire, and by hand where a client shows nothing."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from github import Auth, BadCredentialsException, Github, RateLimitExceededException, UnknownObjectException

from demo.data.activity import accounts, repos, rollouts, write_log
from demo.data.business import tables
from demo.servers.github.app import app, build_rate, count_call
from demo.servers.github.shapes import build_organization
from demo.servers.run import RunningServers, address
from tests.servers.rest import serve_app

SCALE = 0.01
ROLLOUTS = list(rollouts(SCALE))
USERS = {account.login: account for account in accounts(SCALE)}
ONE = next(rollout for rollout in ROLLOUTS if rollout.approver)
HOME = f"/repos/acme/{ONE.repo}"


def token(demo_servers: RunningServers) -> str:
    return demo_servers.environment["GITHUB_AUTHORIZATION"].removeprefix("Bearer ")


def open_client(demo_servers: RunningServers, given: str) -> Github:
    host, port = address(demo_servers, "github")
    return Github(
        auth=Auth.Token(given), base_url=f"http://{host}:{port}", retry=None, per_page=3,
        seconds_between_requests=None, seconds_between_writes=None,
    )  # fmt: skip


@pytest.fixture
def client(demo_servers: RunningServers) -> Iterator[Github]:
    with open_client(demo_servers, token(demo_servers)) as github:
        yield github


def test_each_service_has_a_repository(client: Github) -> None:
    page = client.requester.requestJsonAndCheck("GET", "/orgs/acme/repos", parameters={"per_page": 5})
    assert [item["name"] for item in page[1]] == [repo.name for repo in repos()][:5]
    assert client.get_repo("acme/billing").full_name == "acme/billing"


def test_the_deployments_are_those_of_the_internal_table(client: Github) -> None:
    table = tables(SCALE)["deployment"]
    ours = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    results = [
        (repo.name, deployment.sha, deployment.environment.upper(), deployment.created_at)
        for repo in (client.get_repo(f"acme/{one.name}") for one in repos())
        for deployment in repo.get_deployments()
    ]
    assert sorted(results) == sorted(
        (row["service"], row["commit_sha"], row["environment"], row["started_at"]) for row in ours
    )


def test_links_lead_through_every_page_once_the_newest_first(client: Github) -> None:
    deployment = client.get_repo(f"acme/{ONE.repo}").get_deployment(ONE.id)
    client.per_page = 1
    assert [status.state for status in deployment.get_statuses()] == [status.state for status in reversed(ONE.statuses)]


@pytest.mark.parametrize("given", [{"sha": ONE.sha}, {"environment": ONE.environment}, {"ref": f"v{ONE.version}"}])
def test_a_filter_leaves_what_is_equal(client: Github, given: dict[str, str]) -> None:
    (value,) = given.values()
    mine = [rollout for rollout in ROLLOUTS if rollout.repo == ONE.repo]
    wanted = [item.id for item in mine if value in (item.sha, item.environment, f"v{item.version}")]
    deployments = client.get_repo(f"acme/{ONE.repo}").get_deployments(**given)
    assert sorted(item.id for item in deployments) == wanted


def test_a_run_has_its_jobs_and_who_started_it(client: Github) -> None:
    run = client.get_repo(f"acme/{ONE.repo}").get_workflow_run(ONE.run)
    assert (run.head_sha, run.conclusion, run.actor.login) == (ONE.sha, ONE.conclusion, ONE.creator)
    assert [(job.id, job.name, job.conclusion) for job in run.jobs()] == [
        (job.id, job.name, job.conclusion) for job in ONE.jobs
    ]


def test_runs_are_found_by_commit(client: Github) -> None:
    workflow_runs = client.get_repo(f"acme/{ONE.repo}").get_workflow_runs(head_sha=ONE.sha)
    assert (workflow_runs.totalCount, [item.id for item in workflow_runs]) == (1, [ONE.run])


def test_the_reviewer_of_a_deployment_is_shown(client: Github) -> None:
    _, approvals = client.requester.requestJsonAndCheck("GET", f"{HOME}/actions/runs/{ONE.run}/approvals")
    assert [(item["state"], item["user"]["login"]) for item in approvals] == [("approved", ONE.approver)]


async def test_a_log_lies_at_a_url_that_needs_no_token(client: Github) -> None:
    job = next(iter(client.get_repo(f"acme/{ONE.repo}").get_workflow_run(ONE.run).jobs()))
    async with aiohttp.ClientSession() as session:
        async with session.get(job.logs_url()) as response:
            assert await response.text() == write_log(ONE, ONE.jobs[0])
        async with session.get(job.logs_url().partition("?")[0]) as response:
            assert response.status == 403


def test_a_user_is_known_by_the_address_of_an_employee(client: Github) -> None:
    assert client.get_user(ONE.creator).email == USERS[ONE.creator].email


@pytest.mark.parametrize("path", ["/repos/acme/nope", "/repos/other/billing", f"{HOME}/deployments/1", "/users/nobody"])
def test_what_is_not_there_is_an_unknown_object(client: Github, path: str) -> None:
    with pytest.raises(UnknownObjectException):
        client.requester.requestJsonAndCheck("GET", path)


def test_a_wrong_token_opens_nothing(demo_servers: RunningServers) -> None:
    with open_client(demo_servers, "github_pat_other") as client, pytest.raises(BadCredentialsException):
        client.get_repo("acme/billing")


@asynccontextmanager
async def calling(limit: int) -> AsyncIterator[Any]:
    """What a call is answered with: its status, its headers and its body."""
    async with (
        serve_app(app("t", build_organization(SCALE), build_rate(limit))) as url,
        aiohttp.ClientSession(url) as session,
    ):

        async def call(**headers: str) -> tuple[int, Any, bytes]:
            async with session.get(HOME, headers={"authorization": "token t"} | headers) as response:
                return response.status, response.headers, await response.read()

        yield call


async def test_what_has_not_changed_is_not_sent_again_and_costs_nothing() -> None:
    async with calling(10) as call:
        _, headers, _ = await call()
        status, again, body = await call(**{"if-none-match": headers["etag"]})
        assert (status, body) == (304, b"")
        assert again["x-ratelimit-remaining"] == headers["x-ratelimit-remaining"] == "9"


async def test_a_call_over_the_limit_learns_when_the_hour_ends() -> None:
    async with calling(2) as call:
        status, headers, body = [await call() for _ in range(3)][-1]
        raised = Github().requester.createException(status, dict(headers), orjson.loads(body))
        assert (status, headers["x-ratelimit-remaining"]) == (403, "0")
        assert isinstance(raised, RateLimitExceededException)


def test_an_hour_begins_anew() -> None:
    limits = build_rate(1)
    assert [count_call(limits, now) for now in (0.0, 1.0, 3600.0)] == [True, False, True]
