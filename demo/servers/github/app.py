"""Serve deployments, workflow runs and what belongs to them as GitHub does."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import starmap
from typing import Any, TypeAlias, TypeVar

from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from demo.data.activity import FIRST_DEPLOYMENT, FIRST_RUN, ORGANIZATION, Rollout, Status, write_log
from demo.servers.github import shapes
from demo.servers.github.shapes import Organization, store_rollout

T = TypeVar("T")

MOST, USUAL = 100, 30


def parse_integer(given: Mapping[str, str], name: str, usual: int) -> int:
    """Read an integer; GitHub takes the default for anything else."""
    text = given.get(name, "")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else usual


def cut_page(rows: Sequence[T], url: URL, given: Mapping[str, str]) -> tuple[Sequence[T], dict[str, str]]:
    size, number = min(MOST, parse_integer(given, "per_page", USUAL)), parse_integer(given, "page", 1)
    last = max(1, -(-len(rows) // size))
    places = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
    meant = {
        name: place
        for name, place in places.items()
        if (1 <= place <= last and (number < last if name in ("next", "last") else number > 1))
    }
    links = [f'<{url.include_query_params(page=place)}>; rel="{name}"' for name, place in meant.items()]
    return rows[(number - 1) * size : number * size], {"link": ", ".join(links)} if links else {}


Given: TypeAlias = Mapping[str, str]


class NotFound(Exception):
    """There is nothing there, or nothing that the token may see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubCall:
    """A call; `places` holds its path parameters."""

    here: Organization
    root: str
    url: URL
    places: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubAnswer:
    said: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


def get_me(call: GitHubCall, given: Given) -> GitHubAnswer:
    first = next(iter(call.here.users.values()))
    return GitHubAnswer(said=shapes.format_whole_user(call.root, first))


def get_user(call: GitHubCall, given: Given) -> GitHubAnswer:
    user = call.here.users.get(call.places["login"].lower())
    if user is None:
        raise NotFound
    return GitHubAnswer(said=shapes.format_whole_user(call.root, user))


def list_members(call: GitHubCall, given: Given) -> GitHubAnswer:
    check_organization(call.places["org"])
    return answer_page(call, given, [shapes.format_user(call.root, user) for user in call.here.users.values()])


def list_repos(call: GitHubCall, given: Given) -> GitHubAnswer:
    check_organization(call.places["org"])
    rows, links = cut_page(list(call.here.repos.values()), call.url, given)
    return GitHubAnswer(said=[shapes.format_repo(call.root, row) for row in rows], headers=links)


def get_repo(call: GitHubCall, given: Given) -> GitHubAnswer:
    return GitHubAnswer(said=shapes.format_repo(call.root, call.here.repos[find_repo_name(call)]))


def list_deployments(call: GitHubCall, given: Given) -> GitHubAnswer:
    rows = [
        shapes.format_deployment(call.root, call.here, rollout) for rollout in call.here.rollouts[find_repo_name(call)]
    ]
    return answer_page(call, given, filter_rows(rows, given, ("sha", "ref", "task", "environment")))


def get_deployment(call: GitHubCall, given: Given) -> GitHubAnswer:
    return GitHubAnswer(said=shapes.format_deployment(call.root, call.here, find_rollout(call)))


def list_statuses(call: GitHubCall, given: Given) -> GitHubAnswer:
    rollout = find_rollout(call)
    rows = [shapes.format_status(call.root, call.here, rollout, status) for status in reversed(rollout.statuses)]
    return answer_page(call, given, rows)


def get_status(call: GitHubCall, given: Given) -> GitHubAnswer:
    rollout = find_rollout(call)
    results = [status for status in rollout.statuses if status.id == call.places["status"]]
    if not results:
        raise NotFound
    return GitHubAnswer(said=shapes.format_status(call.root, call.here, rollout, results[0]))


def list_runs(call: GitHubCall, given: Given) -> GitHubAnswer:
    rows = [shapes.format_run(call.root, call.here, rollout) for rollout in call.here.rollouts[find_repo_name(call)]]
    rows = filter_rows(rows, given, ("event", "head_sha", "check_suite_id"))
    if wanted := given.get("status"):
        rows = [row for row in rows if wanted in (row["status"], row["conclusion"])]
    if actor := given.get("actor"):
        rows = [row for row in rows if row["actor"]["login"] == actor]
    if branch := given.get("branch"):
        rows = [row for row in rows if row["head_branch"] == branch]
    return answer_counted_page(call, given, rows, "workflow_runs")


def get_run(call: GitHubCall, given: Given) -> GitHubAnswer:
    return GitHubAnswer(said=shapes.format_run(call.root, call.here, find_rollout(call)))


def list_jobs(call: GitHubCall, given: Given) -> GitHubAnswer:
    rollout = find_rollout(call)
    return answer_counted_page(
        call, given, [shapes.format_job(call.root, rollout, job) for job in rollout.jobs], "jobs"
    )


def get_job(call: GitHubCall, given: Given) -> GitHubAnswer:
    job = call.here.jobs.get((find_repo_name(call), call.places["job"]))
    if job is None:
        raise NotFound
    return GitHubAnswer(said=shapes.format_job(call.root, *job))


def list_pending(call: GitHubCall, given: Given) -> GitHubAnswer:
    return GitHubAnswer(said=shapes.format_pending(call.root, find_rollout(call)))


def list_approvals(call: GitHubCall, given: Given) -> GitHubAnswer:
    return GitHubAnswer(said=shapes.format_approvals(call.root, call.here, find_rollout(call)))


def check_organization(owner: str) -> None:
    if owner.lower() != ORGANIZATION:
        raise NotFound


def find_repo_name(call: GitHubCall) -> str:
    """Return a repository's name as it is spelled, however the call spells it."""
    check_organization(call.places["owner"])
    name = str(call.places["repo"]).lower()
    if name not in call.here.repos:
        raise NotFound
    return name


def find_rollout(call: GitHubCall) -> Rollout:
    """Return the rollout whose deployment or run the path names."""
    for rollout in call.here.rollouts[find_repo_name(call)]:
        if call.places.get("deployment") == rollout.id or call.places.get("run") == rollout.run:
            return rollout
    raise NotFound


def filter_rows(rows: Iterable[dict[str, Any]], given: Given, names: Sequence[str]) -> list[dict[str, Any]]:
    wanted = {name: given[name] for name in names if given.get(name) and given[name] != "none"}
    return [row for row in rows if all(str(row.get(name)) == value for name, value in wanted.items())]


def answer_page(call: GitHubCall, given: Given, rows: Sequence[Any]) -> GitHubAnswer:
    page, links = cut_page(rows, call.url, given)
    return GitHubAnswer(said=list(page), headers=links)


def answer_counted_page(call: GitHubCall, given: Given, rows: Sequence[Any], name: str) -> GitHubAnswer:
    page, links = cut_page(rows, call.url, given)
    return GitHubAnswer(said={"total_count": len(rows), name: list(page)}, headers=links)


HOME = "/repos/{owner}/{repo}"

READ_PATHS: Mapping[str, Callable[[GitHubCall, Given], GitHubAnswer]] = {
    "/user": get_me,
    "/users/{login}": get_user,
    "/orgs/{org}/members": list_members,
    "/orgs/{org}/repos": list_repos,
    HOME: get_repo,
    f"{HOME}/deployments": list_deployments,
    f"{HOME}/deployments/{{deployment:int}}": get_deployment,
    f"{HOME}/deployments/{{deployment:int}}/statuses": list_statuses,
    f"{HOME}/deployments/{{deployment:int}}/statuses/{{status:int}}": get_status,
    f"{HOME}/actions/runs": list_runs,
    f"{HOME}/actions/runs/{{run:int}}": get_run,
    f"{HOME}/actions/runs/{{run:int}}/jobs": list_jobs,
    f"{HOME}/actions/runs/{{run:int}}/approvals": list_approvals,
    f"{HOME}/actions/runs/{{run:int}}/pending_deployments": list_pending,
    f"{HOME}/actions/jobs/{{job:int}}": get_job,
}

HOUR = 3600.0


@dataclass(slots=True, kw_only=True)
class HourlyRate:
    """A limit for each hour; `resets` is in seconds since 1970."""

    limit: int
    used: int = 0
    resets: float = 0.0


def build_rate(limit: int) -> HourlyRate:
    return HourlyRate(limit=limit)


def count_call(rate: HourlyRate, now: float) -> bool:
    """Count a call and return whether it is let in; a refused call costs nothing more."""
    if now >= rate.resets:
        rate.used, rate.resets = 0, now + HOUR
    if rate.used >= rate.limit:
        return False
    rate.used += 1
    return True


def build_rate_headers(rate: HourlyRate) -> dict[str, str]:
    return {
        "x-ratelimit-limit": str(rate.limit),
        "x-ratelimit-remaining": str(rate.limit - rate.used),
        "x-ratelimit-used": str(rate.used),
        "x-ratelimit-reset": str(int(rate.resets)),
        "x-ratelimit-resource": "core",
    }


JsonBody: TypeAlias = Mapping[str, Any]

STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")

CONCLUSIONS_BY_STATE = {"success": "success", "failure": "failure", "error": "failure"}

DESCRIPTION_MAX_LENGTH = 140
"""Characters of a description."""

BRANCH = "main"


class GitHubRejection(Exception):
    """An error in GitHub's form: a status, a message, and the fields that are wrong."""

    def __init__(self, status: int, message: str, *errors: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


def build_invalid_field(resource: str, name: str, code: str) -> GitHubRejection:
    return GitHubRejection(422, "Validation Failed", {"resource": resource, "field": name, "code": code})


def create_deployment(call: GitHubCall, body: JsonBody) -> GitHubAnswer:
    """Create a deployment and its run; one to production waits for an approval."""
    repo, ref = find_repo_name(call), parse_text(body, "Deployment", "ref", needed=True)
    environment = parse_text(body, "Deployment", "environment") or "production"
    sha, version = resolve_ref(call, repo, ref)
    check_commit_status(call, repo, sha, body)
    production = body.get("production_environment", environment == "production") is True
    number = 1 + max(item.number for all in call.here.rollouts.values() for item in all)
    rollout = Rollout(
        id=FIRST_DEPLOYMENT + number,
        run=FIRST_RUN + number,
        number=number,
        repo=repo,
        sha=sha,
        version=version,
        environment=environment,
        creator=next(iter(call.here.users)),
        approver=None,
        started=get_now(),
        ended=get_now(),
        conclusion=None,
        statuses=(),
        jobs=(),
        ref=ref,
        description=parse_text(body, "Deployment", "description"),
        task=parse_text(body, "Deployment", "task") or "deploy",
        payload=body.get("payload", {}),
        production=production,
        event="deployment",
        state="waiting" if production else "in_progress",
    )
    return GitHubAnswer(
        said=shapes.format_deployment(call.root, call.here, store_rollout(call.here, rollout)), status=201
    )


def resolve_ref(call: GitHubCall, repo: str, ref: str) -> tuple[str, str]:
    """Return the commit and version that a branch, tag or commit names."""
    for rollout in call.here.rollouts[repo]:
        if ref in (rollout.sha, f"v{rollout.version}", BRANCH):
            return rollout.sha, rollout.version
    raise GitHubRejection(422, f"No ref found for: {ref}")


def check_commit_status(call: GitHubCall, repo: str, sha: str, body: JsonBody) -> None:
    """Refuse a commit whose run failed, unless its checks are waived."""
    contexts = body.get("required_contexts")
    if contexts is not None and not isinstance(contexts, list):
        raise build_invalid_field("Deployment", "required_contexts", "invalid")
    ran = [rollout for rollout in call.here.rollouts[repo] if rollout.sha == sha and rollout.conclusion is not None]
    if contexts != [] and ran and ran[0].conclusion == "failure":
        raise GitHubRejection(409, f"Conflict: Commit status checks failed for {body['ref']}.")


def create_status(call: GitHubCall, body: JsonBody) -> GitHubAnswer:
    """Add a status; a success makes earlier deployments inactive, except in production."""
    of, state = find_rollout(call), parse_text(body, "DeploymentStatus", "state", needed=True)
    if state not in STATES:
        raise build_invalid_field("DeploymentStatus", "state", "custom")
    text = parse_text(body, "DeploymentStatus", "description")
    status = Status(id=next(call.here.statuses), state=state, at=get_now(), said=text)
    if state == "success" and body.get("auto_inactive", True) and not of.production:
        for item in [rollout for rollout in call.here.rollouts[of.repo] if rollout.environment == of.environment]:
            if item.id != of.id and item.statuses and item.statuses[-1].state != "inactive":
                gone = Status(id=next(call.here.statuses), state="inactive", at=get_now(), said="")
                store_rollout(call.here, replace(item, statuses=(*item.statuses, gone)))
    after = store_rollout(call.here, replace(of, statuses=(*of.statuses, status)))
    return GitHubAnswer(said=shapes.format_status(call.root, call.here, after, status), status=201)


def delete_deployment(call: GitHubCall, body: JsonBody) -> GitHubAnswer:
    """Delete an inactive deployment, or the only one."""
    of, listed = find_rollout(call), call.here.rollouts[find_repo_name(call)]
    if len(listed) > 1 and (not of.statuses or of.statuses[-1].state != "inactive"):
        raise GitHubRejection(422, "We cannot delete an active deployment unless it is the only deployment.")
    listed.remove(of)
    return GitHubAnswer(said=None, status=204)


def review_run(call: GitHubCall, body: JsonBody) -> GitHubAnswer:
    of, state = find_rollout(call), body.get("state")
    ids, comment = body.get("environment_ids"), body.get("comment")
    if state not in ("approved", "rejected") or not isinstance(comment, str) or not isinstance(ids, list) or not ids:
        raise GitHubRejection(422, "Invalid request. `environment_ids`, `state` and `comment` are needed.")
    if of.state != "waiting" or any(id != shapes.get_environment_id(of) for id in ids):
        raise GitHubRejection(422, "No pending deployment requests to approve or reject")
    result = replace(of, approver=next(iter(call.here.users)), word=state, comment=comment, ended=get_now())
    if state == "approved":
        after = replace(result, state="in_progress")
    else:
        after = replace(result, state="completed", conclusion="failure")
    return GitHubAnswer(said=[shapes.format_deployment(call.root, call.here, store_rollout(call.here, after))])


def cancel_run(call: GitHubCall, body: JsonBody) -> GitHubAnswer:
    rollout = find_rollout(call)
    if rollout.state == "completed":
        raise GitHubRejection(409, "Cannot cancel a workflow run that is completed.")
    store_rollout(call.here, replace(rollout, state="completed", conclusion="cancelled", ended=get_now()))
    return GitHubAnswer(said={}, status=202)


def parse_text(body: JsonBody, resource: str, name: str, *, needed: bool = False) -> str:
    result = body.get(name)
    if result is None and not needed:
        return ""
    if result is None or result == "":
        raise build_invalid_field(resource, name, "missing_field")
    if not isinstance(result, str) or (name == "description" and len(result) > DESCRIPTION_MAX_LENGTH):
        raise build_invalid_field(resource, name, "invalid")
    return result


def get_now() -> datetime:
    return datetime.now(UTC)


WRITE_PATHS: Mapping[tuple[str, str], Callable[[GitHubCall, JsonBody], GitHubAnswer]] = {
    ("POST", f"{HOME}/deployments"): create_deployment,
    ("DELETE", f"{HOME}/deployments/{{deployment:int}}"): delete_deployment,
    ("POST", f"{HOME}/deployments/{{deployment:int}}/statuses"): create_status,
    ("POST", f"{HOME}/actions/runs/{{run:int}}/pending_deployments"): review_run,
    ("POST", f"{HOME}/actions/runs/{{run:int}}/cancel"): cancel_run,
}

LOGS = "/_logs"

SIGNED = "sig"


def app(token: str, organization: Organization, limits: HourlyRate, *, reads: bool = False) -> Starlette:
    """Answer with ETags, and let calls that match one cost nothing, as GitHub does; `reads` allows only reading."""

    def route(path: str) -> Route:
        async def call(request: Request) -> Response:
            return answered(path, request)

        return Route(path, call, methods=["GET", "HEAD"])

    def telling(method: str, path: str) -> Route:
        async def call(request: Request) -> Response:
            if refusal := refuse_call(request, token, limits):
                return refusal
            if reads:
                return build_problem(
                    403, "Resource not accessible by personal access token", build_rate_headers(limits)
                )
            call = GitHubCall(
                here=organization, root=str(request.base_url).rstrip("/"), url=request.url, places=request.path_params
            )
            return answer_write(WRITE_PATHS[method, path], call, await request.body(), build_rate_headers(limits))

        return Route(path, call, methods=[method])

    def answered(path: str, request: Request) -> Response:
        if refusal := refuse_call(request, token, limits):
            return refusal
        call = GitHubCall(
            here=organization, root=str(request.base_url).rstrip("/"), url=request.url, places=request.path_params
        )
        try:
            result = READ_PATHS[path](call, dict(request.query_params))
        except NotFound:
            return build_problem(404, "Not Found", build_rate_headers(limits))
        return answer_with_etag(result, request, limits)

    async def logged(request: Request) -> Response:
        """Serve the log of a job to the holder of its signed URL, without a token."""
        repo, number = request.path_params["repo"], request.path_params["job"]
        if not hmac.compare_digest(request.query_params.get(SIGNED, ""), sign_log(token, repo, number)):
            return Response(status_code=403)
        return PlainTextResponse(write_log(*organization.jobs[repo, number]))

    async def logs(request: Request) -> Response:
        if refusal := refuse_call(request, token, limits):
            return refusal
        repo, number = request.path_params["repo"].lower(), request.path_params["job"]
        if request.path_params["owner"].lower() != "acme" or (repo, number) not in organization.jobs:
            return build_problem(404, "Not Found", build_rate_headers(limits))
        place = f"{request.base_url}{LOGS[1:]}/{repo}/{number}?{SIGNED}={sign_log(token, repo, number)}"
        return Response(status_code=302, headers={"location": place, **build_rate_headers(limits)})

    async def absent(request: Request) -> Response:
        return refuse_call(request, token, limits) or build_problem(404, "Not Found", build_rate_headers(limits))

    return Starlette(
        routes=[
            *starmap(telling, WRITE_PATHS),
            *map(route, READ_PATHS),
            Route("/repos/{owner}/{repo}/actions/jobs/{job:int}/logs", logs),
            Route(f"{LOGS}/{{repo}}/{{job:int}}", logged),
            Route("/{rest:path}", absent, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
        ]
    )


def answer_write(
    act: Callable[[GitHubCall, Any], GitHubAnswer], call: GitHubCall, body: bytes, more: Mapping[str, str]
) -> Response:
    try:
        payload = json.loads(body or b"{}")
    except ValueError:
        return build_problem(400, "Problems parsing JSON", more)
    if not isinstance(payload, dict):
        return build_problem(400, "Body should be a JSON object", more)
    try:
        result = act(call, payload)
    except NotFound:
        return build_problem(404, "Not Found", more)
    except GitHubRejection as rejected:
        return build_problem(rejected.status, rejected.message, more, *rejected.errors)
    text = b"" if result.said is None else json.dumps(result.said, ensure_ascii=False).encode()
    return Response(text, result.status, dict(more), "application/json; charset=utf-8")


def refuse_call(request: Request, token: str, limits: HourlyRate) -> Response | None:
    """Return the refusal of a call without rights or over the rate, in the order in which GitHub checks."""
    if not request.headers.get("user-agent"):
        return build_problem(
            403, "Request forbidden by administrative rules. Please make sure it has a User-Agent header"
        )
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if not given:
        return build_problem(401, "Requires authentication")
    if scheme.lower() not in ("bearer", "token") or not hmac.compare_digest(given.encode(), token.encode()):
        return build_problem(401, "Bad credentials")
    if not count_call(limits, time.time()):
        return build_problem(403, "API rate limit exceeded for user ID 1.", build_rate_headers(limits))
    return None


def build_problem(
    status: int, message: str, more: Mapping[str, str] | None = None, *errors: Mapping[str, str]
) -> Response:
    said: dict[str, Any] = {
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": str(status),
    }
    if errors:
        said["errors"] = [dict(error) for error in errors]
    return Response(json.dumps(said), status, dict(more or {}), "application/json; charset=utf-8")


def answer_with_etag(answer: GitHubAnswer, request: Request, limits: HourlyRate) -> Response:
    body: bytes = json.dumps(answer.said, ensure_ascii=False).encode()
    tag = f'"{hashlib.sha256(body).hexdigest()}"'
    if request.headers.get("if-none-match", "").removeprefix("W/") == tag:
        limits.used -= 1
        return Response(status_code=304, headers={"etag": tag, **build_rate_headers(limits)})
    more: dict[str, Any] = {"etag": tag, "x-github-media-type": "github.v3; format=json", **build_rate_headers(limits)}
    return Response(body, 200, {**more, **answer.headers}, "application/json; charset=utf-8")


def sign_log(token: str, repo: str, job: int) -> str:
    return hmac.digest(token.encode(), f"{repo} {job}".encode(), "sha256").hex()
