"""Write GitHub's JSON, and hold the organization's state."""

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
    """The organization; `rollouts` are by repository, the newest first, as GitHub lists them."""

    users: Mapping[str, Account]
    repos: Mapping[str, Repo]
    rollouts: dict[str, list[Rollout]] = field(default_factory=dict)
    jobs: dict[tuple[str, int], tuple[Rollout, Job]] = field(default_factory=dict)
    statuses: Iterator[int] = field(default_factory=lambda: count(FIRST_STATUS))
    """Numbers for further ones."""


def build_organization(scale: Fraction | float = 1) -> Organization:
    organization = Organization(
        users={account.login: account for account in accounts(scale)},
        repos={repo.name: repo for repo in repos()},
        rollouts={repo.name: [] for repo in repos()},
    )
    for rollout in rollouts(scale):
        organization.rollouts[rollout.repo].insert(0, rollout)
        organization.jobs.update({(rollout.repo, job.id): (rollout, job) for job in rollout.jobs})
    return organization


def store_rollout(organization: Organization, rollout: Rollout) -> Rollout:
    """Replace a rollout, or put a new one first."""
    listed = organization.rollouts[rollout.repo]
    for place, item in enumerate(listed):
        if item.id == rollout.id:
            listed[place] = rollout
            return rollout
    listed.insert(0, rollout)
    return rollout


PAGES = "https://github.example"

WORKFLOW = 77


def format_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def format_user(root: str, account: Account) -> dict[str, Any]:
    """Write a user as other objects hold it."""
    return {
        "login": account.login,
        "id": account.id,
        "node_id": f"U_{account.id}",
        "avatar_url": f"{PAGES}/{account.login}.png",
        "url": f"{root}/users/{account.login}",
        "html_url": f"{PAGES}/{account.login}",
        "type": "User",
        "site_admin": False,
    }


def format_whole_user(root: str, account: Account) -> dict[str, Any]:
    return format_user(root, account) | {
        "name": account.name,
        "email": account.email,
        "company": "Acme Inc.",
        "bio": None,
    }


def format_owner(root: str) -> dict[str, Any]:
    return {
        "login": ORGANIZATION,
        "id": 1,
        "node_id": "O_1",
        "url": f"{root}/orgs/{ORGANIZATION}",
        "html_url": f"{PAGES}/{ORGANIZATION}",
        "type": "Organization",
        "site_admin": False,
    }


def format_repo(root: str, repo: Repo) -> dict[str, Any]:
    full = f"{ORGANIZATION}/{repo.name}"
    return {
        "id": repo.id,
        "node_id": f"R_{repo.id}",
        "name": repo.name,
        "full_name": full,
        "owner": format_owner(root),
        "private": True,
        "html_url": f"{PAGES}/{full}",
        "description": f"The {repo.name} service",
        "fork": False,
        "url": f"{root}/repos/{full}",
        "created_at": format_time(repo.created),
        "updated_at": format_time(repo.created),
        "pushed_at": format_time(repo.created),
        "default_branch": "main",
        "archived": False,
        "disabled": False,
        "visibility": "private",
    }


def format_deployment(root: str, organization: Organization, rollout: Rollout) -> dict[str, Any]:
    home = f"{root}/repos/{ORGANIZATION}/{rollout.repo}"
    return {
        "url": f"{home}/deployments/{rollout.id}",
        "id": rollout.id,
        "node_id": f"DE_{rollout.id}",
        "sha": rollout.sha,
        "ref": rollout.ref,
        "task": rollout.task,
        "payload": rollout.payload,
        "original_environment": rollout.environment,
        "environment": rollout.environment,
        "description": rollout.description,
        "creator": format_user(root, organization.users[rollout.creator]),
        "created_at": format_time(rollout.started),
        "updated_at": format_time(rollout.statuses[-1].at if rollout.statuses else rollout.started),
        "statuses_url": f"{home}/deployments/{rollout.id}/statuses",
        "repository_url": home,
        "transient_environment": False,
        "production_environment": rollout.production,
    }


def format_status(root: str, organization: Organization, rollout: Rollout, status: Status) -> dict[str, Any]:
    home = f"{root}/repos/{ORGANIZATION}/{rollout.repo}"
    return {
        "url": f"{home}/deployments/{rollout.id}/statuses/{status.id}",
        "id": status.id,
        "node_id": f"DES_{status.id}",
        "state": status.state,
        "creator": format_user(root, organization.users[rollout.creator]),
        "description": status.said,
        "environment": rollout.environment,
        "target_url": f"{PAGES}/{ORGANIZATION}/{rollout.repo}/actions/runs/{rollout.run}",
        "log_url": f"{PAGES}/{ORGANIZATION}/{rollout.repo}/actions/runs/{rollout.run}",
        "created_at": format_time(status.at),
        "updated_at": format_time(status.at),
        "deployment_url": f"{home}/deployments/{rollout.id}",
        "repository_url": home,
    }


def format_run(root: str, organization: Organization, rollout: Rollout) -> dict[str, Any]:
    home = f"{root}/repos/{ORGANIZATION}/{rollout.repo}"
    url = f"{home}/actions/runs/{rollout.run}"
    return {
        "id": rollout.run,
        "name": "Deploy",
        "node_id": f"WFR_{rollout.run}",
        "head_branch": "main",
        "head_sha": rollout.sha,
        "path": ".github/workflows/deploy.yml",
        "display_title": f"Deploy {rollout.repo} {rollout.version} to {rollout.environment}",
        "run_number": rollout.number,
        "run_attempt": 1,
        "event": rollout.event,
        "status": rollout.state,
        "conclusion": rollout.conclusion,
        "workflow_id": WORKFLOW,
        "url": url,
        "html_url": f"{PAGES}/{ORGANIZATION}/{rollout.repo}/actions/runs/{rollout.run}",
        "pull_requests": [],
        "created_at": format_time(rollout.started),
        "run_started_at": format_time(rollout.started),
        "updated_at": format_time(rollout.ended),
        "actor": format_user(root, organization.users[rollout.creator]),
        "triggering_actor": format_user(root, organization.users[rollout.creator]),
        "jobs_url": f"{url}/jobs",
        "logs_url": f"{url}/logs",
        "repository": format_repo(root, organization.repos[rollout.repo]),
    }


def format_job(root: str, rollout: Rollout, job: Job) -> dict[str, Any]:
    home = f"{root}/repos/{ORGANIZATION}/{rollout.repo}"
    return {
        "id": job.id,
        "run_id": rollout.run,
        "run_url": f"{home}/actions/runs/{rollout.run}",
        "run_attempt": 1,
        "node_id": f"CR_{job.id}",
        "head_sha": rollout.sha,
        "head_branch": "main",
        "url": f"{home}/actions/jobs/{job.id}",
        "html_url": f"{PAGES}/{ORGANIZATION}/{rollout.repo}/actions/runs/{rollout.run}/job/{job.id}",
        "status": "completed",
        "conclusion": job.conclusion,
        "created_at": format_time(job.started),
        "started_at": format_time(job.started),
        "completed_at": format_time(job.ended),
        "name": job.name,
        "steps": [],
        "labels": ["ubuntu-latest"],
        "runner_name": "acme-runner-1",
        "workflow_name": "Deploy",
    }


def format_approvals(root: str, organization: Organization, rollout: Rollout) -> list[dict[str, Any]]:
    if rollout.approver is None:
        return []
    return [
        {
            "environments": [format_environment(root, rollout)],
            "state": rollout.word,
            "user": format_user(root, organization.users[rollout.approver]),
            "comment": rollout.comment,
        }
    ]


def format_environment(root: str, rollout: Rollout) -> dict[str, Any]:
    """Write an environment as other objects hold it."""
    url = f"{root}/repos/{ORGANIZATION}/{rollout.repo}/environments/{rollout.environment}"
    return {
        "id": get_environment_id(rollout),
        "node_id": f"EN_{get_environment_id(rollout)}",
        "name": rollout.environment,
        "url": url,
    }


def get_environment_id(rollout: Rollout) -> int:
    return 9 + sum(rollout.environment.encode())


def format_pending(root: str, rollout: Rollout) -> list[dict[str, Any]]:
    """Write the approvals that a run waits for."""
    if rollout.state != "waiting":
        return []
    return [
        {
            "environment": format_environment(root, rollout) | {"html_url": PAGES},
            "wait_timer": 0,
            "wait_timer_started_at": None,
            "current_user_can_approve": True,
            "reviewers": [],
        }
    ]
