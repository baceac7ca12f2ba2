"""Deployments: what was rolled out, where, by whom."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import Argument, ById, History, Looked, Many, One, allow, owned, with_arguments

if TYPE_CHECKING:
    from schema.directory import Shift
    from schema.employee import Employee
    from schema.github import GithubDeployment, WorkflowRun
    from schema.monitoring import Event, LogLine, Monitor
    from schema.slack import Message


@strawberry.enum(description="Where a deployment went.")
class Environment(StrEnum):
    PRODUCTION = "PRODUCTION"
    STAGING = "STAGING"


@strawberry.enum(description="How far a deployment is, or how it ended.")
class DeploymentStatus(StrEnum):
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ROLLED_BACK = "ROLLED_BACK"
    CANCELLED = "CANCELLED"


@strawberry.enum(description="A stretch of time that something is measured over.")
class Window(StrEnum):
    FIVE_MINUTES = "5m"
    ONE_HOUR = "1h"
    ONE_DAY = "1d"


@strawberry.type(
    description="One roll-out of one service.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class Deployment:
    id: strawberry.ID = strawberry.field(description="The deployment's number.")
    service: str = strawberry.field(description="What was rolled out.")
    version: str = strawberry.field(description="Which version of it.")
    environment: Environment = strawberry.field(description="Where it went.")
    status: DeploymentStatus = strawberry.field(description="How far it is, or how it ended.")
    started_at: datetime = strawberry.field(description="When it began.")
    finished_at: datetime | None = strawberry.field(description="When it ended, where it did.")
    commit_sha: str | None = strawberry.field(
        description="The commit it was built from.", directives=[allow("engineering")]
    )
    revision: int = strawberry.field(description="Counts the changes; give it as `ifVersion`.")
    author: One["Employee"] = strawberry.field(description="Who started it.")
    error_rate: Looked[float] = strawberry.field(
        description="The share of its service's requests that failed from when it began, where it went; 1 is all.",
        metadata=with_arguments(window=Argument(Window, "Over how long.", Window.ONE_HOUR)),
    )
    monitors: Many["Monitor"] = strawberry.field(description="What watches its service where it went.")
    events: Many["Event"] = strawberry.field(description="What Datadog was told of its service where it went.")
    logs: Many["LogLine"] = strawberry.field(description="What its service logged where it went.")
    shifts: Many["Shift"] = strawberry.field(description="Who was, is and will be on call for the service.")
    announcements: Many["Message"] = strawberry.field(description="What was said of it in Slack.")
    github_deployments: Many["GithubDeployment"] = strawberry.field(description="The same as GitHub records it.")
    workflow_runs: Many["WorkflowRun"] = strawberry.field(description="The runs of workflows that rolled it out.")
    history: History["Deployment"] = strawberry.field(description="Every change of the deployment that was made here.")


@strawberry.type
class Query:
    deployment: ById["Deployment"] = strawberry.field(description="The deployment with this number.")
    deployments: Many["Deployment"] = strawberry.field(description="All deployments.")
