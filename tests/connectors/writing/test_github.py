"""Write deployments, statuses and approvals over the wire, and read them with GitHub's leading client."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from github import Auth, Github
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.run import GITHUB
from demo.servers.github.app import app, build_rate
from demo.servers.github.shapes import Organization, build_organization
from onedoor.connectors.rest.connector import RestConnector, RestOptions, connect
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, WritableConnector
from onedoor.spi.scan import KeyFilter, ScanRequest
from tests.connectors.writing.hostile import texts
from tests.connectors.writing.proxy import open_proxy
from tests.servers.rest import HOST, serve_app

TOKEN = "github_pat_secret"
SECONDS = 30.0
REPO = "billing"
Served = tuple["Front", Organization, int]


class Front:
    """Passes on all but what `instead` says; `told` are the calls that were to change something."""

    def __init__(self, behind: ASGIApp) -> None:
        self.behind = behind
        self.instead: Callable[[], Response] | None = None
        self.requests: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            self.requests.append(f"{scope['method']} {scope['path']}")
            if self.instead is not None:
                await self.instead()(scope, receive, send)
                return
        await self.behind(scope, receive, send)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
async def github_server() -> AsyncIterator[Served]:
    here = build_organization(0.01)
    front = Front(app(TOKEN, here, build_rate(10_000)))
    async with serve_app(front) as url:
        yield front, here, urlsplit(url).port or 0


@pytest.fixture
def front(github_server: Served) -> Front:
    return github_server[0]


@pytest.fixture
async def github(github_server: Served) -> AsyncIterator[RestConnector]:
    source = await connect_github(github_server[2])
    yield source
    await source.close()


async def connect_github(port: int, **more: Any) -> RestConnector:
    given = {"writable": True, "timeout": SECONDS, "private_addresses": True, "described": GITHUB} | more
    headers = {"authorization": f"Bearer {TOKEN}"}
    return await connect(RestOptions(base_url=f"http://{HOST}:{port}", headers=headers, **given))


async def query_client(port: int, ask: Callable[[Any], Any]) -> Any:
    """What the leading client says of the repository."""

    def asked() -> Any:
        auth = Auth.Token(TOKEN)
        with Github(auth=auth, base_url=f"http://{HOST}:{port}", retry=None, seconds_between_requests=None) as client:
            return ask(client.get_repo(f"acme/{REPO}"))

    return await asyncio.to_thread(asked)


def change(collection: str, verb: ChangeKind, id: str, key: Mapping[str, Any], **values: Any) -> RowChange:
    return RowChange(id=id, collection=collection, kind=verb, key={"repo": REPO, **key}, values=values)


deployment = partial(change, "deployments", ChangeKind.CREATE)
status = partial(change, "deployment_statuses", ChangeKind.CREATE)
approval = partial(change, "approvals", ChangeKind.CREATE)


def cancelling(id: str, run: int, conclusion: str = "cancelled") -> RowChange:
    return change("workflow_runs", ChangeKind.UPDATE, id, {"id": run}, conclusion=conclusion)


async def apply_one(github: RestConnector, change: RowChange, *, dry: bool = False) -> ChangeResult:
    (result,) = await github.apply([change], dry_run=dry)
    return result


async def after(github: RestConnector, change: RowChange) -> Mapping[str, Any]:
    found = (await apply_one(github, change)).after
    assert found is not None
    return found


async def refusal(github: RestConnector, change: RowChange, *, dry: bool = False) -> ChangeRejected:
    with pytest.raises(ChangeRejected) as raised:
        await github.apply([change], dry_run=dry)
    return raised.value


async def rows(github: RestConnector, collection: str, **keys: Any) -> list[Mapping[str, Any]]:
    columns = tuple(github.capabilities(collection).columns)
    ask = ScanRequest(collection=collection, columns=columns, keys=KeyFilter(tuple(keys), (tuple(keys.values()),)))
    return [dict(zip(columns, row, strict=True)) async for batch in github.scan(ask) for row in batch]


def good(here: Organization) -> str:
    """A commit whose checks passed."""
    return next(rollout.sha for rollout in here.rollouts[REPO] if rollout.conclusion == "success")


async def waiting(
    github: RestConnector, here: Organization, id: str = "c1"
) -> tuple[Mapping[str, Any], Mapping[str, Any], int]:
    """A deployment to production that was started, its run, and the environment it waits for."""
    begun = await after(github, deployment(id, {}, ref=good(here), environment="production"))
    (run,) = [row for row in await rows(github, "workflow_runs", repo=REPO, head_sha=begun["sha"])
              if row["status"] == "waiting"]  # fmt: skip
    (pending,) = await rows(github, "pending_deployments", repo=REPO, run_id=run["id"])
    return begun, run, pending["environment_id"]


async def test_a_deployment_is_started_as_githubs_own_client_sees_it(
    github: RestConnector, github_server: Served
) -> None:
    sha = good(github_server[1])
    begun = await after(github, deployment("c1", {}, ref=sha, environment="staging", description="a <b> & c"))
    theirs = await query_client(github_server[2], lambda repo: repo.get_deployment(begun["id"]))
    assert (theirs.sha, theirs.environment, theirs.description) == (sha, "staging", "a <b> & c")
    assert (theirs.payload, theirs.task, theirs.ref) == ({"onedoor": "c1"}, "deploy", sha)
    assert await rows(github, "deployments", repo=REPO, id=begun["id"]) == [begun]
    assert begun["change"] == "c1"


async def test_what_githubs_own_client_starts_is_not_ours(github: RestConnector, github_server: Served) -> None:
    sha = good(github_server[1])
    theirs = await query_client(
        github_server[2],
        lambda repo: repo.create_deployment(
            sha, auto_merge=False, required_contexts=[], payload={"onedoor": "c2"}, environment="staging"
        ).create_status("success", description="up"),
    )
    assert theirs.state == "success"
    assert await github.find_change(deployment("c1", {}, ref=sha, environment="staging")) is None
    assert await github.find_change(deployment("c2", {}, ref=sha, environment="staging")) is not None


async def test_a_deployment_goes_its_whole_way(github: RestConnector, github_server: Served) -> None:
    begun, run, environment = await waiting(github, github_server[1])
    word = approval("c2", {"run_id": run["id"]}, environment_id=environment, state="approved", comment="fine")
    approved = await after(github, word)
    result = [
        await after(github, status(f"c3{state}", {"deployment_id": begun["id"]}, state=state, description="on it"))
        for state in ("in_progress", "success", "inactive")
    ]
    theirs = await query_client(
        github_server[2], lambda repo: [item.state for item in repo.get_deployment(begun["id"]).get_statuses()]
    )
    going = await query_client(github_server[2], lambda repo: repo.get_workflow_run(run["id"]).status)
    assert (approved["state"], approved["comment"], approved["environment_id"]) == (
        "approved", "fine (onedoor c2)", environment,
    )  # fmt: skip
    assert [item["state"] for item in result] == theirs[::-1] == ["in_progress", "success", "inactive"]
    assert result[0]["description"] == "on it (onedoor c3in_progress)"
    assert (going, await rows(github, "pending_deployments", repo=REPO, run_id=run["id"])) == ("in_progress", [])


async def test_a_run_is_cancelled_once(github: RestConnector, github_server: Served) -> None:
    _, run, _ = await waiting(github, github_server[1])
    done = await apply_one(github, cancelling("c2", run["id"]))
    theirs = await query_client(github_server[2], lambda repo: repo.get_workflow_run(run["id"]).conclusion)
    assert ((done.before or {})["conclusion"], (done.after or {})["conclusion"], theirs) == (
        None, "cancelled", "cancelled",
    )  # fmt: skip
    again = await refusal(github, cancelling("c3", run["id"]))
    assert (again.code, again.reason) == (
        ErrorCode.VERSION_CONFLICT, "the API says that this is in conflict with what it holds",
    )  # fmt: skip


async def test_rolling_back_is_a_deployment_of_the_commit_before(github: RestConnector, github_server: Served) -> None:
    first, second = [rollout for rollout in github_server[1].rollouts[REPO] if rollout.conclusion == "success"][:2]
    for number, item in enumerate((second, first, second)):
        begun = await after(github, deployment(f"c{number}", {}, ref=item.sha, environment="staging", task="deploy"))
        await apply_one(github, status(f"d{number}", {"deployment_id": begun["id"]}, state="success"))
    theirs = await query_client(github_server[2], lambda repo: [
        (item.sha, item.get_statuses()[0].state) for item in repo.get_deployments(environment="staging")[:3]
    ])  # fmt: skip
    assert theirs == [(second.sha, "success"), (first.sha, "inactive"), (second.sha, "inactive")]


async def test_what_was_started_can_be_taken_back(github: RestConnector, github_server: Served) -> None:
    begun = await after(github, deployment("c1", {}, ref=good(github_server[1]), environment="staging"))
    gone = change("deployments", ChangeKind.DELETE, "c2", {"id": begun["id"]})
    assert (await refusal(github, gone)).code is ErrorCode.BAD_USER_INPUT
    assert await github.find_change(gone) is None
    await apply_one(github, status("c3", {"deployment_id": begun["id"]}, state="inactive"))
    assert (await apply_one(github, gone)).after is None
    assert await github.find_change(gone) == ChangeResult(before=None, after=None)
    assert (await refusal(github, gone)).code is ErrorCode.NOT_FOUND


async def test_each_is_found_again_by_its_id_and_no_other(github: RestConnector, github_server: Served) -> None:
    begun, run, environment = await waiting(github, github_server[1])
    word = {"environment_id": environment, "state": "approved"}
    result = status("c2", {"deployment_id": begun["id"]}, state="in_progress")
    approved = approval("c3", {"run_id": run["id"]}, **word)
    afters = [await after(github, item) for item in (result, approved)]
    assert [await github.find_change(item) for item in (result, approved)] == [
        ChangeResult(before=None, after=item) for item in afters
    ]
    unmade = (
        deployment("c9", {}, ref=begun["sha"], environment="production"),
        status("c9", {"deployment_id": begun["id"]}, state="in_progress"),
        approval("c9", {"run_id": run["id"]}, **word),
        status("2", {"deployment_id": begun["id"]}, state="in_progress"),
        cancelling("c9", run["id"]),
    )
    assert [await github.find_change(item) for item in unmade] == [None] * 5


@pytest.mark.parametrize("dry", [False, True])
async def test_what_cannot_be_is_refused(github: RestConnector, github_server: Served, front: Front, dry: bool) -> None:
    failed = next(rollout for rollout in github_server[1].rollouts[REPO] if rollout.conclusion == "failure")
    sha, run = good(github_server[1]), github_server[1].rollouts[REPO][0].run
    before = [rollout.id for rollout in github_server[1].rollouts[REPO]]
    everywhere: list[tuple[RowChange, ErrorCode]] = [
        (change("deployments", ChangeKind.CREATE, "c1", {"repo": "nothing"}, ref=sha), ErrorCode.NOT_FOUND),
        (change("deployments", ChangeKind.CREATE, "c1", {"repo": "../billing"}, ref=sha), ErrorCode.NOT_FOUND),
        (change("deployments", ChangeKind.CREATE, "c1", {"repo": ".."}, ref=sha), ErrorCode.NOT_FOUND),
        (deployment("c1", {}, ref=sha, sha="x"), ErrorCode.BAD_USER_INPUT),
        (deployment("c1", {}, ref="\ud800"), ErrorCode.BAD_USER_INPUT),
        (status("c1", {"deployment_id": 1}, state="success"), ErrorCode.NOT_FOUND),
        (cancelling("c1", 1), ErrorCode.NOT_FOUND),
        (replace(cancelling("c1", run), version="1"), ErrorCode.BAD_USER_INPUT),
        (cancelling("c1", run, "success"), ErrorCode.BAD_USER_INPUT),
        (change("deployments", ChangeKind.DELETE, "c1", {"id": 1}), ErrorCode.NOT_FOUND),
        (change("deployments", ChangeKind.UPDATE, "c1", {"id": 1}), ErrorCode.CANNOT_ANSWER),
    ]
    result = [
        (deployment("c1", {}), ErrorCode.BAD_USER_INPUT),
        (deployment("c1", {}, ref="no-such-branch"), ErrorCode.BAD_USER_INPUT),
        (deployment("c1", {}, ref=failed.sha), ErrorCode.VERSION_CONFLICT),
        (deployment("c1", {}, ref=sha, description="x" * 141), ErrorCode.BAD_USER_INPUT),
        (status("c1", {"deployment_id": failed.id}, state="splendid"), ErrorCode.BAD_USER_INPUT),
        (approval("c1", {"run_id": run}, environment_id=1, state="approved"), ErrorCode.BAD_USER_INPUT),
        (cancelling("c1", run), ErrorCode.VERSION_CONFLICT),
    ]
    codes = [(await refusal(github, item, dry=dry)).code for item, _ in everywhere]
    if not dry:
        codes += [(await refusal(github, item)).code for item, _ in result]
    assert codes == [code for _, code in everywhere] + ([] if dry else [code for _, code in result])
    assert [rollout.id for rollout in github_server[1].rollouts[REPO]] == before
    assert not dry or front.requests == []


async def test_a_dry_run_leaves_no_trace(github: RestConnector, github_server: Served, front: Front) -> None:
    begun, run, environment = await waiting(github, github_server[1])
    before, front.requests = list(github_server[1].rollouts[REPO]), []
    result = (
        deployment("d1", {}, ref=begun["sha"], environment="staging"),
        status("d2", {"deployment_id": begun["id"]}, state="success"),
        approval("d3", {"run_id": run["id"]}, environment_id=environment, state="approved"),
        cancelling("d4", run["id"]),
        change("deployments", ChangeKind.DELETE, "d5", {"id": begun["id"]}),
    )
    results = [await apply_one(github, item, dry=True) for item in result]
    assert results[0] == ChangeResult(before=None, after={"repo": REPO, "ref": begun["sha"], "environment": "staging"})
    assert results[3] == ChangeResult(before=run, after={**run, "conclusion": "cancelled"})
    assert results[4] == ChangeResult(before=begun, after=None)
    assert (github_server[1].rollouts[REPO], front.requests) == (before, [])
    assert [await github.find_change(item) for item in result] == [None] * 5


async def test_whatever_is_typed_is_a_value_and_nothing_more(github: RestConnector, github_server: Served) -> None:
    sha = good(github_server[1])
    for number, text in enumerate(texts()):
        begun = await after(github, deployment(f"h{number}", {}, ref=sha, environment="staging", description=text))
        assert begun["description"] == text
        change = await github.find_change(deployment(f"h{number}", {}, ref=sha, environment="staging"))
        assert change is not None
        assert (change.after or {})["id"] == begun["id"]


async def test_a_rate_limit_is_an_error_that_says_how_long_to_wait_after_one_call(
    github: RestConnector, github_server: Served, front: Front
) -> None:
    front.instead = lambda: JSONResponse({"message": "secondary rate limit"}, 403, {"retry-after": "60"})
    error = await refusal(github, deployment("c1", {}, ref=good(github_server[1])))
    assert (error.code, error.reason, len(front.requests)) == (
        ErrorCode.SOURCE_OVERLOADED, "the API takes no more calls for now, ask again in 60 s", 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ErrorCode.BAD_USER_INPUT),
        (401, ErrorCode.SOURCE_UNAVAILABLE),
        (403, ErrorCode.SOURCE_UNAVAILABLE),
        (404, ErrorCode.NOT_FOUND),
        (409, ErrorCode.VERSION_CONFLICT),
        (412, ErrorCode.VERSION_CONFLICT),
        (418, ErrorCode.SOURCE_INVALID),
        (422, ErrorCode.BAD_USER_INPUT),
        (429, ErrorCode.SOURCE_OVERLOADED),
    ],
)
async def test_a_refusal_is_certain(
    github: RestConnector, github_server: Served, front: Front, status: int, code: ErrorCode
) -> None:
    front.instead = lambda: JSONResponse({"message": "SECRET at /srv"}, status)
    error = await refusal(github, deployment("c1", {}, ref=good(github_server[1])))
    assert (error.code, "SECRET" in error.reason, len(front.requests)) == (code, False, 1)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda: JSONResponse({"message": "SECRET"}, 500), id="it failed"),
        pytest.param(lambda: Response("<html>SECRET", 502, {"retry-after": "0"}), id="a proxy"),
        pytest.param(lambda: Response(status_code=307, headers={"location": "/user"}), id="a redirect"),
        pytest.param(lambda: Response(status_code=303, headers={"location": "/user"}), id="another redirect"),
        pytest.param(lambda: Response(status_code=408), id="it took too long"),
        pytest.param(lambda: Response("<html>SECRET", 201), id="no JSON"),
        pytest.param(lambda: JSONResponse({"id": "SECRET"}, 201), id="another thing"),
        pytest.param(lambda: JSONResponse({"message": "merged"}, 202), id="it did something else"),
        pytest.param(lambda: Response(b"[" + b" " * 20_000_000, 201), id="no end"),
    ],
)
async def test_an_unknown_outcome_is_not_reported_as_undone_and_not_sent_twice(
    github: RestConnector, github_server: Served, front: Front, answer: Callable[[], Response]
) -> None:
    front.instead = answer
    item = deployment("c1", {}, ref=good(github_server[1]))
    with pytest.raises(ConnectorError) as raised:
        await github.apply([item])
    assert (raised.value.retryable, "SECRET" in raised.value.reason, len(front.requests)) == (False, False, 1)
    assert await github.find_change(item) is None


async def test_a_lost_answer_is_not_known_and_then_found(github_server: Served, front: Front) -> None:
    async with open_proxy(github_server[2]) as (wire, port):
        github = await connect_github(port)
        begun, run, environment = await waiting(github, github_server[1])
        front.requests = []
        wire.lost = b"POST "
        result = (
            deployment("l1", {}, ref=begun["sha"], environment="staging"),
            status("l2", {"deployment_id": begun["id"]}, state="in_progress"),
            approval("l3", {"run_id": run["id"]}, environment_id=environment, state="approved"),
            cancelling("l4", run["id"]),
        )
        for item in result:
            assert await github.find_change(item) is None
            with pytest.raises(ConnectorError):
                await github.apply([item])
            assert await github.find_change(item) is not None
        assert (wire.applied, len(front.requests)) == (4, 4)
        await github.close()


async def test_what_is_done_is_not_undone_by_what_cannot_be_read(github_server: Served) -> None:
    """Of a cancelled run GitHub says nothing, and reads it once more; the answer to that is lost."""
    async with open_proxy(github_server[2]) as (wire, port):
        github = await connect_github(port)
        _, run, _ = await waiting(github, github_server[1])
        gate = github_server[0].behind

        async def then_silent(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["method"] == "POST":
                wire.lost = b"GET "
            await gate(scope, receive, send)

        github_server[0].behind = then_silent
        assert (await apply_one(github, cancelling("c2", run["id"]))).after == {**run, "conclusion": "cancelled"}
        await github.close()


async def test_a_token_that_reads_cannot_write() -> None:
    here = build_organization(0.01)
    async with serve_app(app(TOKEN, here, build_rate(100), reads=True)) as url:
        github = await connect_github(urlsplit(url).port or 0)
        assert (await refusal(github, deployment("c1", {}, ref=good(here)))).reason == "the API refused the credentials"
        await github.close()


async def test_a_server_that_is_not_there_got_no_change() -> None:
    with socket.create_server((HOST, 0)) as ear:
        port = ear.getsockname()[1]
    github = await connect_github(port)
    assert (await refusal(github, deployment("c1", {}, ref="main"))).code is ErrorCode.SOURCE_UNAVAILABLE
    await github.close()


async def test_only_settings_open_it(github_server: Served, front: Front) -> None:
    github = await connect_github(github_server[2], writable=False)
    assert isinstance(github, WritableConnector)
    assert github.write_capabilities("deployments") is None
    assert (await refusal(github, deployment("c1", {}, ref="main"))).code is ErrorCode.CANNOT_ANSWER
    assert front.requests == []
    await github.close()


async def test_capabilities_are_those_declared(github: RestConnector) -> None:
    results = {
        name: capabilities.settable_columns
        for name in github.collections
        if (capabilities := github.write_capabilities(name)) is not None
    }
    assert results == {
        "deployments": {
            ChangeKind.CREATE: {"repo", "ref", "task", "environment", "description", "production_environment"},
            ChangeKind.DELETE: frozenset(),
        },
        "deployment_statuses": {ChangeKind.CREATE: {"repo", "deployment_id", "state", "description", "log_url"}},
        "workflow_runs": {ChangeKind.UPDATE: {"conclusion"}},
        "approvals": {ChangeKind.CREATE: {"repo", "run_id", "environment_id", "state", "comment"}},
    }
