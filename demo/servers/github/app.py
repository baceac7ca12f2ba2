"""GitHub emulator."""

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

from demo.data.activity import FIRST_DEPLOYMENT, FIRST_RUN, ORGANIZATION, Rollout, Status, log
from demo.servers.github import shapes
from demo.servers.github.shapes import Organization, kept

T = TypeVar("T")

MOST, USUAL = 100, 30


def whole(given: Mapping[str, str], name: str, usual: int) -> int:
    """GitHub takes what is no number for what is usual."""
    text = given.get(name, "")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else usual


def page(rows: Sequence[T], url: URL, given: Mapping[str, str]) -> tuple[Sequence[T], dict[str, str]]:
    size, number = min(MOST, whole(given, "per_page", USUAL)), whole(given, "page", 1)
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


class Absent(Exception):
    """There is nothing there, or nothing that the token may see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`places`: what stands in the path."""

    here: Organization
    root: str
    url: URL
    places: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    said: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


def me(call: Call, given: Given) -> Answer:
    first = next(iter(call.here.users.values()))
    return Answer(said=shapes.whole_user(call.root, first))


def user(call: Call, given: Given) -> Answer:
    found = call.here.users.get(call.places["login"].lower())
    if found is None:
        raise Absent
    return Answer(said=shapes.whole_user(call.root, found))


def members(call: Call, given: Given) -> Answer:
    ours(call.places["org"])
    return paged(call, given, [shapes.user(call.root, each) for each in call.here.users.values()])


def repos(call: Call, given: Given) -> Answer:
    ours(call.places["org"])
    rows, links = page(list(call.here.repos.values()), call.url, given)
    return Answer(said=[shapes.repo(call.root, each) for each in rows], headers=links)


def repo(call: Call, given: Given) -> Answer:
    return Answer(said=shapes.repo(call.root, call.here.repos[named(call)]))


def deployments(call: Call, given: Given) -> Answer:
    rows = [shapes.deployment(call.root, call.here, each) for each in call.here.rollouts[named(call)]]
    return paged(call, given, filtered(rows, given, ("sha", "ref", "task", "environment")))


def deployment(call: Call, given: Given) -> Answer:
    return Answer(said=shapes.deployment(call.root, call.here, rollout(call)))


def statuses(call: Call, given: Given) -> Answer:
    of = rollout(call)
    rows = [shapes.status(call.root, call.here, of, each) for each in reversed(of.statuses)]
    return paged(call, given, rows)


def status(call: Call, given: Given) -> Answer:
    of = rollout(call)
    found = [each for each in of.statuses if each.id == call.places["status"]]
    if not found:
        raise Absent
    return Answer(said=shapes.status(call.root, call.here, of, found[0]))


def runs(call: Call, given: Given) -> Answer:
    rows = [shapes.run(call.root, call.here, each) for each in call.here.rollouts[named(call)]]
    rows = filtered(rows, given, ("event", "head_sha", "check_suite_id"))
    if wanted := given.get("status"):
        rows = [each for each in rows if wanted in (each["status"], each["conclusion"])]
    if actor := given.get("actor"):
        rows = [each for each in rows if each["actor"]["login"] == actor]
    if branch := given.get("branch"):
        rows = [each for each in rows if each["head_branch"] == branch]
    return wrapped(call, given, rows, "workflow_runs")


def run(call: Call, given: Given) -> Answer:
    return Answer(said=shapes.run(call.root, call.here, rollout(call)))


def jobs(call: Call, given: Given) -> Answer:
    of = rollout(call)
    return wrapped(call, given, [shapes.job(call.root, of, each) for each in of.jobs], "jobs")


def job(call: Call, given: Given) -> Answer:
    found = call.here.jobs.get((named(call), call.places["job"]))
    if found is None:
        raise Absent
    return Answer(said=shapes.job(call.root, *found))


def pending(call: Call, given: Given) -> Answer:
    return Answer(said=shapes.pending(call.root, rollout(call)))


def approvals(call: Call, given: Given) -> Answer:
    return Answer(said=shapes.approvals(call.root, call.here, rollout(call)))


def ours(owner: str) -> None:
    if owner.lower() != ORGANIZATION:
        raise Absent


def named(call: Call) -> str:
    """The repository's name as it is written, however it was asked for."""
    ours(call.places["owner"])
    name = str(call.places["repo"]).lower()
    if name not in call.here.repos:
        raise Absent
    return name


def rollout(call: Call) -> Rollout:
    """The one whose deployment or whose run stands in the path."""
    for each in call.here.rollouts[named(call)]:
        if call.places.get("deployment") == each.id or call.places.get("run") == each.run:
            return each
    raise Absent


def filtered(rows: Iterable[dict[str, Any]], given: Given, names: Sequence[str]) -> list[dict[str, Any]]:
    wanted = {name: given[name] for name in names if given.get(name) and given[name] != "none"}
    return [row for row in rows if all(str(row.get(name)) == value for name, value in wanted.items())]


def paged(call: Call, given: Given, rows: Sequence[Any]) -> Answer:
    found, links = page(rows, call.url, given)
    return Answer(said=list(found), headers=links)


def wrapped(call: Call, given: Given, rows: Sequence[Any], name: str) -> Answer:
    found, links = page(rows, call.url, given)
    return Answer(said={"total_count": len(rows), name: list(found)}, headers=links)


HOME = "/repos/{owner}/{repo}"

PATHS: Mapping[str, Callable[[Call, Given], Answer]] = {
    "/user": me,
    "/users/{login}": user,
    "/orgs/{org}/members": members,
    "/orgs/{org}/repos": repos,
    HOME: repo,
    f"{HOME}/deployments": deployments,
    f"{HOME}/deployments/{{deployment:int}}": deployment,
    f"{HOME}/deployments/{{deployment:int}}/statuses": statuses,
    f"{HOME}/deployments/{{deployment:int}}/statuses/{{status:int}}": status,
    f"{HOME}/actions/runs": runs,
    f"{HOME}/actions/runs/{{run:int}}": run,
    f"{HOME}/actions/runs/{{run:int}}/jobs": jobs,
    f"{HOME}/actions/runs/{{run:int}}/approvals": approvals,
    f"{HOME}/actions/runs/{{run:int}}/pending_deployments": pending,
    f"{HOME}/actions/jobs/{{job:int}}": job,
}

HOUR = 3600.0


@dataclass(slots=True, kw_only=True)
class Rates:
    """`resets` is in seconds since 1970."""

    limit: int
    used: int = 0
    resets: float = 0.0


def rates(limit: int) -> Rates:
    return Rates(limit=limit)


def counted(of: Rates, now: float) -> bool:
    """Whether the call is let in; one that is not costs nothing more."""
    if now >= of.resets:
        of.used, of.resets = 0, now + HOUR
    if of.used >= of.limit:
        return False
    of.used += 1
    return True


def headers(of: Rates) -> dict[str, str]:
    return {
        "x-ratelimit-limit": str(of.limit),
        "x-ratelimit-remaining": str(of.limit - of.used),
        "x-ratelimit-used": str(of.used),
        "x-ratelimit-reset": str(int(of.resets)),
        "x-ratelimit-resource": "core",
    }


telling_Given: TypeAlias = Mapping[str, Any]

STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")

ENDED = {"success": "success", "failure": "failure", "error": "failure"}

LONGEST = 140
"""Characters of a description."""

BRANCH = "main"


class Rejected(Exception):
    """What GitHub says to what it cannot do: a status, a message, and the fields that are wrong."""

    def __init__(self, status: int, message: str, *errors: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


def invalid(resource: str, name: str, code: str) -> Rejected:
    return Rejected(422, "Validation Failed", {"resource": resource, "field": name, "code": code})


def deploy(call: Call, given: telling_Given) -> Answer:
    """A run begins with it, as the repository's workflow is one on deployments; production waits for a word."""
    repo, ref = named(call), text(given, "Deployment", "ref", needed=True)
    environment = text(given, "Deployment", "environment") or "production"
    sha, version = resolved(call, repo, ref)
    checked(call, repo, sha, given)
    production = given.get("production_environment", environment == "production") is True
    number = 1 + max(each.number for all in call.here.rollouts.values() for each in all)
    made = Rollout(
        id=FIRST_DEPLOYMENT + number, run=FIRST_RUN + number, number=number, repo=repo, sha=sha, version=version,
        environment=environment, creator=next(iter(call.here.users)), approver=None, started=now(), ended=now(),
        conclusion=None, statuses=(), jobs=(), ref=ref, description=text(given, "Deployment", "description"),
        task=text(given, "Deployment", "task") or "deploy", payload=given.get("payload", {}), production=production,
        event="deployment", state="waiting" if production else "in_progress",
    )  # fmt: skip
    return Answer(said=shapes.deployment(call.root, call.here, kept(call.here, made)), status=201)


def resolved(call: Call, repo: str, ref: str) -> tuple[str, str]:
    """The commit and its version that a branch, a tag or a commit names."""
    for each in call.here.rollouts[repo]:
        if ref in (each.sha, f"v{each.version}", BRANCH):
            return each.sha, each.version
    raise Rejected(422, f"No ref found for: {ref}")


def checked(call: Call, repo: str, sha: str, given: telling_Given) -> None:
    """A commit whose run failed is not deployed again, unless its checks are waived."""
    contexts = given.get("required_contexts")
    if contexts is not None and not isinstance(contexts, list):
        raise invalid("Deployment", "required_contexts", "invalid")
    ran = [each for each in call.here.rollouts[repo] if each.sha == sha and each.conclusion is not None]
    if contexts != [] and ran and ran[0].conclusion == "failure":
        raise Rejected(409, f"Conflict: Commit status checks failed for {given['ref']}.")


def tell(call: Call, given: telling_Given) -> Answer:
    """A status; a good one ends what stood in its place before, but for production."""
    of, state = rollout(call), text(given, "DeploymentStatus", "state", needed=True)
    if state not in STATES:
        raise invalid("DeploymentStatus", "state", "custom")
    said = text(given, "DeploymentStatus", "description")
    one = Status(id=next(call.here.statuses), state=state, at=now(), said=said)
    if state == "success" and given.get("auto_inactive", True) and not of.production:
        for each in [each for each in call.here.rollouts[of.repo] if each.environment == of.environment]:
            if each.id != of.id and each.statuses and each.statuses[-1].state != "inactive":
                gone = Status(id=next(call.here.statuses), state="inactive", at=now(), said="")
                kept(call.here, replace(each, statuses=(*each.statuses, gone)))
    after = kept(call.here, replace(of, statuses=(*of.statuses, one)))
    return Answer(said=shapes.status(call.root, call.here, after, one), status=201)


def remove(call: Call, given: telling_Given) -> Answer:
    """Only what is inactive, unless it is the only one."""
    of, listed = rollout(call), call.here.rollouts[named(call)]
    if len(listed) > 1 and (not of.statuses or of.statuses[-1].state != "inactive"):
        raise Rejected(422, "We cannot delete an active deployment unless it is the only deployment.")
    listed.remove(of)
    return Answer(said=None, status=204)


def approve(call: Call, given: telling_Given) -> Answer:
    of, state = rollout(call), given.get("state")
    ids, comment = given.get("environment_ids"), given.get("comment")
    if state not in ("approved", "rejected") or not isinstance(comment, str) or not isinstance(ids, list) or not ids:
        raise Rejected(422, "Invalid request. `environment_ids`, `state` and `comment` are needed.")
    if of.state != "waiting" or any(each != shapes.environment_id(of) for each in ids):
        raise Rejected(422, "No pending deployment requests to approve or reject")
    said = replace(of, approver=next(iter(call.here.users)), word=state, comment=comment, ended=now())
    if state == "approved":
        after = replace(said, state="in_progress")
    else:
        after = replace(said, state="completed", conclusion="failure")
    return Answer(said=[shapes.deployment(call.root, call.here, kept(call.here, after))])


def cancel(call: Call, given: telling_Given) -> Answer:
    of = rollout(call)
    if of.state == "completed":
        raise Rejected(409, "Cannot cancel a workflow run that is completed.")
    kept(call.here, replace(of, state="completed", conclusion="cancelled", ended=now()))
    return Answer(said={}, status=202)


def text(given: telling_Given, resource: str, name: str, *, needed: bool = False) -> str:
    found = given.get(name)
    if found is None and not needed:
        return ""
    if found is None or found == "":
        raise invalid(resource, name, "missing_field")
    if not isinstance(found, str) or (name == "description" and len(found) > LONGEST):
        raise invalid(resource, name, "invalid")
    return found


def now() -> datetime:
    return datetime.now(UTC)


TOLD: Mapping[tuple[str, str], Callable[[Call, telling_Given], Answer]] = {
    ("POST", f"{HOME}/deployments"): deploy,
    ("DELETE", f"{HOME}/deployments/{{deployment:int}}"): remove,
    ("POST", f"{HOME}/deployments/{{deployment:int}}/statuses"): tell,
    ("POST", f"{HOME}/actions/runs/{{run:int}}/pending_deployments"): approve,
    ("POST", f"{HOME}/actions/runs/{{run:int}}/cancel"): cancel,
}

LOGS = "/_logs"

SIGNED = "sig"


def app(token: str, here: Organization, limits: Rates, *, reads: bool = False) -> Starlette:
    """Whole bodies have an ETag, and asked for again with it cost nothing, as GitHub's do; `reads`: the token may."""

    def route(path: str) -> Route:
        async def call(request: Request) -> Response:
            return answered(path, request)

        return Route(path, call, methods=["GET", "HEAD"])

    def telling(method: str, path: str) -> Route:
        async def call(request: Request) -> Response:
            if refusal := refused(request, token, limits):
                return refusal
            if reads:
                return problem(403, "Resource not accessible by personal access token", headers(limits))
            call = Call(here=here, root=str(request.base_url).rstrip("/"), url=request.url, places=request.path_params)
            return told(TOLD[method, path], call, await request.body(), headers(limits))

        return Route(path, call, methods=[method])

    def answered(path: str, request: Request) -> Response:
        if refusal := refused(request, token, limits):
            return refusal
        call = Call(here=here, root=str(request.base_url).rstrip("/"), url=request.url, places=request.path_params)
        try:
            found = PATHS[path](call, dict(request.query_params))
        except Absent:
            return problem(404, "Not Found", headers(limits))
        return fresh(found, request, limits)

    async def logged(request: Request) -> Response:
        """Of a job, to whoever has the url that was signed; a token is neither asked for nor wanted."""
        repo, number = request.path_params["repo"], request.path_params["job"]
        if not hmac.compare_digest(request.query_params.get(SIGNED, ""), signed(token, repo, number)):
            return Response(status_code=403)
        return PlainTextResponse(log(*here.jobs[repo, number]))

    async def logs(request: Request) -> Response:
        if refusal := refused(request, token, limits):
            return refusal
        repo, number = request.path_params["repo"].lower(), request.path_params["job"]
        if request.path_params["owner"].lower() != "acme" or (repo, number) not in here.jobs:
            return problem(404, "Not Found", headers(limits))
        place = f"{request.base_url}{LOGS[1:]}/{repo}/{number}?{SIGNED}={signed(token, repo, number)}"
        return Response(status_code=302, headers={"location": place, **headers(limits)})

    async def absent(request: Request) -> Response:
        return refused(request, token, limits) or problem(404, "Not Found", headers(limits))

    return Starlette(
        routes=[
            *starmap(telling, TOLD),
            *map(route, PATHS),
            Route("/repos/{owner}/{repo}/actions/jobs/{job:int}/logs", logs),
            Route(f"{LOGS}/{{repo}}/{{job:int}}", logged),
            Route("/{rest:path}", absent, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
        ]
    )


def told(act: Callable[[Call, Any], Answer], call: Call, body: bytes, more: Mapping[str, str]) -> Response:
    try:
        given = json.loads(body or b"{}")
    except ValueError:
        return problem(400, "Problems parsing JSON", more)
    if not isinstance(given, dict):
        return problem(400, "Body should be a JSON object", more)
    try:
        found = act(call, given)
    except Absent:
        return problem(404, "Not Found", more)
    except Rejected as rejected:
        return problem(rejected.status, rejected.message, more, *rejected.errors)
    said = b"" if found.said is None else json.dumps(found.said, ensure_ascii=False).encode()
    return Response(said, found.status, dict(more), "application/json; charset=utf-8")


def refused(request: Request, token: str, limits: Rates) -> Response | None:
    """The answer to who may not call, or has called too often; in the order in which GitHub looks."""
    if not request.headers.get("user-agent"):
        return problem(403, "Request forbidden by administrative rules. Please make sure it has a User-Agent header")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if not given:
        return problem(401, "Requires authentication")
    if scheme.lower() not in ("bearer", "token") or not hmac.compare_digest(given.encode(), token.encode()):
        return problem(401, "Bad credentials")
    if not counted(limits, time.time()):
        return problem(403, "API rate limit exceeded for user ID 1.", headers(limits))
    return None


def problem(status: int, message: str, more: Mapping[str, str] | None = None, *errors: Mapping[str, str]) -> Response:
    said: dict[str, Any] = {
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": str(status),
    }
    if errors:
        said["errors"] = [dict(each) for each in errors]
    return Response(json.dumps(said), status, dict(more or {}), "application/json; charset=utf-8")


def fresh(found: Answer, request: Request, limits: Rates) -> Response:
    body: bytes = json.dumps(found.said, ensure_ascii=False).encode()
    tag = f'"{hashlib.sha256(body).hexdigest()}"'
    if request.headers.get("if-none-match", "").removeprefix("W/") == tag:
        limits.used -= 1
        return Response(status_code=304, headers={"etag": tag, **headers(limits)})
    more: dict[str, Any] = {"etag": tag, "x-github-media-type": "github.v3; format=json", **headers(limits)}
    return Response(body, 200, {**more, **found.headers}, "application/json; charset=utf-8")


def signed(token: str, repo: str, job: int) -> str:
    return hmac.digest(token.encode(), f"{repo} {job}".encode(), "sha256").hex()
