"""Declare deployments: what was deployed, where and by whom."""

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


@strawberry.enum(description="The environment of a deployment.")
class Environment(StrEnum):
    PRODUCTION = "PRODUCTION"
    STAGING = "STAGING"


@strawberry.enum(description="The progress of a deployment, or how it ended.")
class DeploymentStatus(StrEnum):
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ROLLED_BACK = "ROLLED_BACK"
    CANCELLED = "CANCELLED"


@strawberry.enum(description="A period that a measurement covers.")
class Window(StrEnum):
    FIVE_MINUTES = "5m"
    ONE_HOUR = "1h"
    ONE_DAY = "1d"


@strawberry.type(
    description="One deployment of one service.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class Deployment:
    id: strawberry.ID = strawberry.field(description="The deployment's number.")
    service: str = strawberry.field(description="The service that was deployed.")
    version: str = strawberry.field(description="The version that was deployed.")
    environment: Environment = strawberry.field(description="The environment it was deployed to.")
    status: DeploymentStatus = strawberry.field(description="The progress of the deployment, or how it ended.")
    started_at: datetime = strawberry.field(description="When it started.")
    finished_at: datetime | None = strawberry.field(description="When it ended, if it has.")
    commit_sha: str | None = strawberry.field(
        description="The commit it was built from.", directives=[allow("engineering")]
    )
    revision: int = strawberry.field(description="The number of changes so far; pass it as `ifVersion`.")
    author: One["Employee"] = strawberry.field(description="The employee who started it.")
    error_rate: Looked[float] = strawberry.field(
        description="The share of the service's requests in its environment that failed from its start on; 1 is all.",
        metadata=with_arguments(
            window=Argument(Window, "The period to measure, from the start of the deployment.", Window.ONE_HOUR)
        ),
    )
    monitors: Many["Monitor"] = strawberry.field(description="The monitors of its service in its environment.")
    events: Many["Event"] = strawberry.field(description="The events of its service in its environment.")
    logs: Many["LogLine"] = strawberry.field(description="The lines that its service logged in its environment.")
    shifts: Many["Shift"] = strawberry.field(description="The on-call shifts of the service: past, present and future.")
    announcements: Many["Message"] = strawberry.field(description="The messages about it in Slack.")
    github_deployments: Many["GithubDeployment"] = strawberry.field(description="The same deployment on GitHub.")
    workflow_runs: Many["WorkflowRun"] = strawberry.field(description="The workflow runs that deployed it.")
    history: History["Deployment"] = strawberry.field(
        description="Every change of the deployment that was made through Onedoor."
    )


@strawberry.type
class Query:
    deployment: ById["Deployment"] = strawberry.field(description="The deployment with this number.")
    deployments: Many["Deployment"] = strawberry.field(description="All deployments.")
