"""Declare the changes of deployments: start, approve, cancel and roll back, and the events about them."""

from datetime import datetime
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import Argument, BigInt, Changed, allow, owned, with_arguments, with_input
from schema.deployment import Environment

if TYPE_CHECKING:
    from schema.deployment import Deployment


@strawberry.input(description="A deployment to start, in the company's table and on GitHub.")
class StartDeploymentInput:
    service: str = strawberry.field(description="The service to deploy; its repository has the same name.")
    version: str = strawberry.field(description="The version to deploy.")
    environment: Environment = strawberry.field(description="The environment to deploy to.")
    commit_sha: str = strawberry.field(description="The commit that the version is built from.")
    description: str | None = strawberry.field(
        description="The description on GitHub, at most 140 characters; the service and the version, if not given."
    )
    waits: bool | None = strawberry.field(
        description="Whether somebody has to approve it first; if not given, only in production."
    )
    started_at: datetime | None = strawberry.field(description="When it starts; now, if not given.")
    author_id: strawberry.ID | None = strawberry.field(description="The employee who starts it.")


@strawberry.input(description="The waiting deployment to approve.")
class ApproveDeploymentInput:
    id: strawberry.ID = strawberry.field(description="The id of the deployment.")
    run: strawberry.ID = strawberry.field(description="The waiting workflow run, as `repo:number`.")
    environment_id: BigInt = strawberry.field(description="The environment it waits for, from the run's `pending`.")
    comment: str | None = strawberry.field(description="The comment on GitHub.")


@strawberry.input(description="The deployment to cancel.")
class CancelDeploymentInput:
    id: strawberry.ID = strawberry.field(description="The id of the deployment.")
    run: strawberry.ID = strawberry.field(description="The workflow run that deploys it, as `repo:number`.")
    finished_at: datetime | None = strawberry.field(description="When it ended; now, if not given.")


@strawberry.input(description="The deployment to replace by an earlier version.")
class RollBackDeploymentInput:
    id: strawberry.ID = strawberry.field(description="The id of the deployment.")
    version: str = strawberry.field(description="The version to go back to.")
    commit_sha: str = strawberry.field(description="The commit of that version.")
    github_deployment: strawberry.ID | None = strawberry.field(
        description="The deployment on GitHub to mark inactive, as `repo:number`."
    )
    description: str | None = strawberry.field(
        description="The description on GitHub, at most 140 characters; the service and the version, if not given."
    )
    waits: bool | None = strawberry.field(
        description="Whether somebody has to approve it first; if not given, only in production."
    )
    started_at: datetime | None = strawberry.field(description="When it starts; now, if not given.")
    author_id: strawberry.ID | None = strawberry.field(description="The employee who starts it.")


@strawberry.type
class Mutation:
    start_deployment: Changed["Deployment"] = strawberry.field(
        description="Starts a deployment, here and on GitHub.",
        directives=[allow("engineering"), owned("platform engineering")],
        metadata=with_input(StartDeploymentInput),
    )
    approve_deployment: Changed["Deployment"] = strawberry.field(
        description="Approves a waiting deployment, here and on GitHub.",
        directives=[allow("engineering"), owned("platform engineering")],
        metadata=with_input(ApproveDeploymentInput),
    )
    cancel_deployment: Changed["Deployment"] = strawberry.field(
        description="Cancels a deployment that has not ended, here and on GitHub.",
        directives=[allow("engineering"), owned("platform engineering")],
        metadata=with_input(CancelDeploymentInput),
    )
    roll_back_deployment: Changed["Deployment"] = strawberry.field(
        description="Marks a deployment as rolled back and starts one of an earlier version in its place.",
        directives=[allow("engineering"), owned("platform engineering")],
        metadata=with_input(RollBackDeploymentInput),
    )


@strawberry.type
class Subscription:
    deployment_changed: Changed["Deployment"] = strawberry.field(
        description="A change of a deployment, as soon as it is made.",
        metadata=with_arguments(
            id=Argument(strawberry.ID, "Only changes of the deployment with this id.", default=None)
        ),
    )
