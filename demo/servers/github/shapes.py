"""JSON, accounts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import count
from typing import Any

from demo.data.activity import ORGANIZATION, Account, Job, Repo, Rollout, Status, accounts, repos, rollouts

FIRST_STATUS = 900_000_000
"""Of those that are told; those of the world are below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """`rollouts` are those of each repository, the newest first, as GitHub lists them."""

    users: Mapping[str, Account]
    repos: Mapping[str, Repo]
    rollouts: dict[str, list[Rollout]] = field(default_factory=dict)
    jobs: dict[tuple[str, int], tuple[Rollout, Job]] = field(default_factory=dict)
    statuses: Iterator[int] = field(default_factory=lambda: count(FIRST_STATUS))
    """Numbers for further ones."""


def account(scale: Fraction | float = 1) -> Organization:
    made = Organization(
        users={each.login: each for each in accounts(scale)},
        repos={each.name: each for each in repos()},
        rollouts={each.name: [] for each in repos()},
    )
    for each in rollouts(scale):
        made.rollouts[each.repo].insert(0, each)
        made.jobs.update({(each.repo, job.id): (each, job) for job in each.jobs})
    return made


def kept(here: Organization, of: Rollout) -> Rollout:
    """In the place of what it was; a new one comes first."""
    listed = here.rollouts[of.repo]
    for place, each in enumerate(listed):
        if each.id == of.id:
            listed[place] = of
            return of
    listed.insert(0, of)
    return of


PAGES = "https://github.example"

WORKFLOW = 77


def time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def user(root: str, of: Account) -> dict[str, Any]:
    """As it stands inside other objects."""
    return {
        "login": of.login,
        "id": of.id,
        "node_id": f"U_{of.id}",
        "avatar_url": f"{PAGES}/{of.login}.png",
        "url": f"{root}/users/{of.login}",
        "html_url": f"{PAGES}/{of.login}",
        "type": "User",
        "site_admin": False,
    }


def whole_user(root: str, of: Account) -> dict[str, Any]:
    return user(root, of) | {"name": of.name, "email": of.email, "company": "Acme Inc.", "bio": None}


def owner(root: str) -> dict[str, Any]:
    return {
        "login": ORGANIZATION,
        "id": 1,
        "node_id": "O_1",
        "url": f"{root}/orgs/{ORGANIZATION}",
        "html_url": f"{PAGES}/{ORGANIZATION}",
        "type": "Organization",
        "site_admin": False,
    }


def repo(root: str, of: Repo) -> dict[str, Any]:
    full = f"{ORGANIZATION}/{of.name}"
    return {
        "id": of.id,
        "node_id": f"R_{of.id}",
        "name": of.name,
        "full_name": full,
        "owner": owner(root),
        "private": True,
        "html_url": f"{PAGES}/{full}",
        "description": f"The {of.name} service",
        "fork": False,
        "url": f"{root}/repos/{full}",
        "created_at": time(of.created),
        "updated_at": time(of.created),
        "pushed_at": time(of.created),
        "default_branch": "main",
        "archived": False,
        "disabled": False,
        "visibility": "private",
    }


def deployment(root: str, here: Organization, of: Rollout) -> dict[str, Any]:
    home = f"{root}/repos/{ORGANIZATION}/{of.repo}"
    return {
        "url": f"{home}/deployments/{of.id}",
        "id": of.id,
        "node_id": f"DE_{of.id}",
        "sha": of.sha,
        "ref": of.ref,
        "task": of.task,
        "payload": of.payload,
        "original_environment": of.environment,
        "environment": of.environment,
        "description": of.description,
        "creator": user(root, here.users[of.creator]),
        "created_at": time(of.started),
        "updated_at": time(of.statuses[-1].at if of.statuses else of.started),
        "statuses_url": f"{home}/deployments/{of.id}/statuses",
        "repository_url": home,
        "transient_environment": False,
        "production_environment": of.production,
    }


def status(root: str, here: Organization, of: Rollout, one: Status) -> dict[str, Any]:
    home = f"{root}/repos/{ORGANIZATION}/{of.repo}"
    return {
        "url": f"{home}/deployments/{of.id}/statuses/{one.id}",
        "id": one.id,
        "node_id": f"DES_{one.id}",
        "state": one.state,
        "creator": user(root, here.users[of.creator]),
        "description": one.said,
        "environment": of.environment,
        "target_url": f"{PAGES}/{ORGANIZATION}/{of.repo}/actions/runs/{of.run}",
        "log_url": f"{PAGES}/{ORGANIZATION}/{of.repo}/actions/runs/{of.run}",
        "created_at": time(one.at),
        "updated_at": time(one.at),
        "deployment_url": f"{home}/deployments/{of.id}",
        "repository_url": home,
    }


def run(root: str, here: Organization, of: Rollout) -> dict[str, Any]:
    home = f"{root}/repos/{ORGANIZATION}/{of.repo}"
    url = f"{home}/actions/runs/{of.run}"
    return {
        "id": of.run,
        "name": "Deploy",
        "node_id": f"WFR_{of.run}",
        "head_branch": "main",
        "head_sha": of.sha,
        "path": ".github/workflows/deploy.yml",
        "display_title": f"Deploy {of.repo} {of.version} to {of.environment}",
        "run_number": of.number,
        "run_attempt": 1,
        "event": of.event,
        "status": of.state,
        "conclusion": of.conclusion,
        "workflow_id": WORKFLOW,
        "url": url,
        "html_url": f"{PAGES}/{ORGANIZATION}/{of.repo}/actions/runs/{of.run}",
        "pull_requests": [],
        "created_at": time(of.started),
        "run_started_at": time(of.started),
        "updated_at": time(of.ended),
        "actor": user(root, here.users[of.creator]),
        "triggering_actor": user(root, here.users[of.creator]),
        "jobs_url": f"{url}/jobs",
        "logs_url": f"{url}/logs",
        "repository": repo(root, here.repos[of.repo]),
    }


def job(root: str, of: Rollout, one: Job) -> dict[str, Any]:
    home = f"{root}/repos/{ORGANIZATION}/{of.repo}"
    return {
        "id": one.id,
        "run_id": of.run,
        "run_url": f"{home}/actions/runs/{of.run}",
        "run_attempt": 1,
        "node_id": f"CR_{one.id}",
        "head_sha": of.sha,
        "head_branch": "main",
        "url": f"{home}/actions/jobs/{one.id}",
        "html_url": f"{PAGES}/{ORGANIZATION}/{of.repo}/actions/runs/{of.run}/job/{one.id}",
        "status": "completed",
        "conclusion": one.conclusion,
        "created_at": time(one.started),
        "started_at": time(one.started),
        "completed_at": time(one.ended),
        "name": one.name,
        "steps": [],
        "labels": ["ubuntu-latest"],
        "runner_name": "acme-runner-1",
        "workflow_name": "Deploy",
    }


def approvals(root: str, here: Organization, of: Rollout) -> list[dict[str, Any]]:
    if of.approver is None:
        return []
    return [
        {
            "environments": [place(root, of)],
            "state": of.word,
            "user": user(root, here.users[of.approver]),
            "comment": of.comment,
        }
    ]


def place(root: str, of: Rollout) -> dict[str, Any]:
    """The environment, as it stands inside other objects."""
    url = f"{root}/repos/{ORGANIZATION}/{of.repo}/environments/{of.environment}"
    return {"id": environment_id(of), "node_id": f"EN_{environment_id(of)}", "name": of.environment, "url": url}


def environment_id(of: Rollout) -> int:
    return 9 + sum(of.environment.encode())


def pending(root: str, of: Rollout) -> list[dict[str, Any]]:
    """What a run waits for."""
    if of.state != "waiting":
        return []
    return [
        {
            "environment": place(root, of) | {"html_url": PAGES},
            "wait_timer": 0,
            "wait_timer_started_at": None,
            "current_user_can_approve": True,
            "reviewers": [],
        }
    ]
