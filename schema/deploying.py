"""Rolling out: starting, approving, cancelling, rolling back; and hearing of it."""

from datetime import datetime
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import Argument, BigInt, Changed, allow, owned, with_arguments, with_input
from schema.deployment import Environment

if TYPE_CHECKING:
    from schema.deployment import Deployment


@strawberry.input(description="A deployment to begin: in the company's table, and on GitHub.")
class StartDeploymentInput:
    service: str = strawberry.field(description="What is rolled out; its repository has the same name.")
    version: str = strawberry.field(description="Which version of it.")
    environment: Environment = strawberry.field(description="Where it goes.")
    commit_sha: str = strawberry.field(description="The commit it is built from.")
    description: str | None = strawberry.field(
        description="What GitHub is told of it, at most 140 characters; the service and the version, if not given."
    )
    waits: bool | None = strawberry.field(
        description="Whether somebody has to approve it first; in production, if not given."
    )
    started_at: datetime | None = strawberry.field(description="When it begins; now, if not given.")
    author_id: strawberry.ID | None = strawberry.field(description="The employee who starts it.")


@strawberry.input(description="A deployment that waits, to be let go on.")
class ApproveDeploymentInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    run: strawberry.ID = strawberry.field(description="The run of a workflow that waits, as `repo:number`.")
    environment_id: BigInt = strawberry.field(description="What it waits for, as the run's `pending` names it.")
    comment: str | None = strawberry.field(description="What GitHub is told of it.")


@strawberry.input(description="A deployment to be stopped.")
class CancelDeploymentInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    run: strawberry.ID = strawberry.field(description="The run of a workflow that does it, as `repo:number`.")
    finished_at: datetime | None = strawberry.field(description="When it ended; now, if not given.")


@strawberry.input(description="A deployment to be replaced by the version that was there before.")
class RollBackDeploymentInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    version: str = strawberry.field(description="The version to go back to.")
    commit_sha: str = strawberry.field(description="The commit of that version.")
    github_deployment: strawberry.ID | None = strawberry.field(
        description="The one that is replaced, as `repo:number`, to be told inactive on GitHub."
    )
    description: str | None = strawberry.field(
        description="What GitHub is told of it, at most 140 characters; the service and the version, if not given."
    )
    waits: bool | None = strawberry.field(
        description="Whether somebody has to approve it first; in production, if not given."
    )
    started_at: datetime | None = strawberry.field(description="When it begins; now, if not given.")
    author_id: strawberry.ID | None = strawberry.field(description="The employee who starts it.")


@strawberry.type
class Mutation:
    start_deployment: Changed["Deployment"] = strawberry.field(
        description="Begins a deployment, and asks GitHub for it.",
        directives=[allow("engineering"), owned("platform engineering")],
        metadata=with_input(StartDeploymentInput),
    )
    approve_deployment: Changed["Deployment"] = strawberry.field(
        description="Lets a deployment that waits go on, here and on GitHub.",
        directives=[allow("engineering"), owned("platform engineering")],
        metadata=with_input(ApproveDeploymentInput),
    )
    cancel_deployment: Changed["Deployment"] = strawberry.field(
        description="Stops a deployment that has not ended, here and on GitHub.",
        directives=[allow("engineering"), owned("platform engineering")],
        metadata=with_input(CancelDeploymentInput),
    )
    roll_back_deployment: Changed["Deployment"] = strawberry.field(
        description="Marks a deployment as rolled back, and begins one of the version before in its place.",
        directives=[allow("engineering"), owned("platform engineering")],
        metadata=with_input(RollBackDeploymentInput),
    )


@strawberry.type
class Subscription:
    deployment_changed: Changed["Deployment"] = strawberry.field(
        description="A change of a deployment, as soon as it is made.",
        metadata=with_arguments(id=Argument(strawberry.ID, "Only of this one.", default=None)),
    )
