"""Deployments to what GitHub knows of them: a run each, its statuses and jobs, who approved, what was logged."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from demo.world.names import SERVICES
from demo.world.sizes import NOW, size
from demo.world.staff import Deployment, Employee, deployments, employees

ORGANIZATION = "acme"
REPOS_SINCE = NOW - timedelta(days=900)
FIRST_DEPLOYMENT, FIRST_RUN = 1_000_000, 5_000_000
JOBS = (("build", Fraction(1, 4)), ("test", Fraction(1, 2)), ("deploy", Fraction(1)))
"""Each with the part of the run after which it has ended."""
GAVE_UP = timedelta(hours=1)
ENDED = {"SUCCEEDED": "success", "FAILED": "failure", "ROLLED_BACK": "success"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An employee as a user of GitHub."""

    id: int
    login: str
    name: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repo:
    id: int
    name: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One moment of a deployment."""

    id: int
    state: str
    at: datetime
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A part of a run; what failed comes last, and what would have come after it was skipped."""

    id: int
    name: str
    conclusion: str
    started: datetime
    ended: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A deployment of the internal table with all that GitHub holds of it: its statuses, and the run it is of."""

    id: int
    run: int
    number: int
    repo: str
    sha: str
    version: str
    environment: str
    creator: str
    approver: str | None
    started: datetime
    ended: datetime
    conclusion: str | None
    statuses: tuple[Status, ...]
    jobs: tuple[Job, ...]
    ref: str
    description: str
    task: str = "deploy"
    payload: Any = field(default_factory=dict)
    production: bool = False
    event: str = "workflow_dispatch"
    state: str = "completed"
    """Of its run."""
    word: str = "approved"
    """What the approver said, and how."""
    comment: str = ""


def login(email: str) -> str:
    """A user's handle, from the address alone."""
    return email.partition("@")[0].replace(".", "-")


def accounts(scale: Fraction | float = 1) -> list[Account]:
    return [
        Account(id=row[0], login=login(row[3]), name=f"{row[1]} {row[2]}", email=row[3])
        for row in employees(size("employee", scale))
    ]


def repos() -> list[Repo]:
    return [
        Repo(id=500 + place, name=name, created=REPOS_SINCE + timedelta(days=place))
        for place, name in enumerate(SERVICES)
    ]


def rollouts(scale: Fraction | float = 1) -> Iterator[Rollout]:
    staff = employees(size("employee", scale))
    for each in deployments(size("deployment", scale), len(staff)):
        yield rollout(each, staff)


def rollout(of: Deployment, staff: Sequence[Employee]) -> Rollout:
    number, service, version, environment, status, author, started, finished, sha, *_ = of
    ended = finished or started + GAVE_UP
    conclusion = ENDED[status] if finished else "timed_out"
    manager = staff[author - 1][6] or 1
    return Rollout(
        id=FIRST_DEPLOYMENT + number, run=FIRST_RUN + number, number=number, repo=service, sha=sha, version=version,
        environment=environment.lower(), creator=login(staff[author - 1][3]),
        approver=login(staff[manager - 1][3]) if environment == "PRODUCTION" else None,
        started=started, ended=ended, conclusion=conclusion,
        statuses=tuple(statuses(number, status, started, finished)),
        jobs=tuple(jobs(FIRST_RUN + number, conclusion, started, ended)), ref=f"v{version}",
        description=f"{service} {version}", production=environment == "PRODUCTION",
        comment=f"{version} may go out",
    )  # fmt: skip


def statuses(number: int, status: str, started: datetime, finished: datetime | None) -> Iterator[Status]:
    """In the order of time; what was rolled back was good before, and what crashed never ended."""
    moments = [("queued", started, "Waiting for a runner"), ("in_progress", started + timedelta(seconds=9), "Started")]
    if finished is not None:
        moments.append((ENDED[status], finished, "Finished in time" if ENDED[status] == "success" else "Checks failed"))
        if status == "ROLLED_BACK":
            moments.append(("inactive", finished + timedelta(minutes=20), "Rolled back"))
    for place, (state, at, said) in enumerate(moments):
        yield Status(id=number * 10 + place, state=state, at=at, said=said)


def jobs(run: int, conclusion: str, started: datetime, ended: datetime) -> Iterator[Job]:
    began = started
    for place, (name, part) in enumerate(JOBS):
        at = started + (ended - started) * float(part)
        at = at.replace(microsecond=0)
        last = place == len(JOBS) - 1
        yield Job(id=run * 10 + place, name=name, conclusion=conclusion if last else "success", started=began, ended=at)
        began = at


def log(of: Rollout, job: Job) -> str:
    """What a runner wrote, a line a step, each after its time."""
    said: Mapping[str, Sequence[str]] = {
        "build": (f"Checking out {ORGANIZATION}/{of.repo} at {of.sha}", f"Building {of.repo} {of.version}", "Built"),
        "test": (f"Testing {of.repo} {of.version}", "412 passed", "Done"),
        "deploy": (f"Deploying {of.repo} {of.version} to {of.environment}", f"Ended: {job.conclusion}"),
    }
    lines = said[job.name]
    step = (job.ended - job.started) / len(lines)
    times = (job.started + step * place for place in range(len(lines)))
    return "".join(f"{at:%Y-%m-%dT%H:%M:%S}.0000000Z {line}\n" for at, line in zip(times, lines, strict=True))
