"""A path of GitHub's REST API and its parameters to what lies there."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from starlette.datastructures import URL

from demo.github import shapes
from demo.github.account import Organization
from demo.github.paging import page
from demo.world.github import ORGANIZATION, Rollout

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
