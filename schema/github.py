"""Declare GitHub's repositories, deployments and workflow runs, with their approvals and logs."""

from datetime import datetime
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import BigInt, ById, Many, One, allow, owned

if TYPE_CHECKING:
    from schema.deployment import Deployment
    from schema.employee import Employee


@strawberry.type(
    description="A repository of the organization; there is one for each service.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class GithubRepo:
    id: strawberry.ID = strawberry.field(description="The repository's name, without the organization.")
    full_name: str = strawberry.field(description="The name with the organization before it.")
    description: str | None = strawberry.field(description="The purpose of the repository.")
    default_branch: str = strawberry.field(description="The branch that is built.")
    visibility: str | None = strawberry.field(description="The visibility on GitHub.")
    archived: bool = strawberry.field(description="Whether it is closed for changes.")
    created_at: datetime | None = strawberry.field(description="When it was created.")
    html_url: str = strawberry.field(description="Its page on GitHub.")
    deployments: Many["GithubDeployment"] = strawberry.field(description="The deployments from it.")
    runs: Many["WorkflowRun"] = strawberry.field(description="The runs of its workflows.")


@strawberry.type(
    description="A deployment as GitHub records it.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class GithubDeployment:
    id: strawberry.ID = strawberry.field(description="The repository and GitHub's number, as `repo:number`.")
    sha: str = strawberry.field(description="The commit that was deployed.")
    ref: str = strawberry.field(description="The branch or the tag that was requested.")
    task: str = strawberry.field(description="The task, usually `deploy`.")
    environment: str = strawberry.field(description="The environment, as GitHub names it.")
    production_environment: bool | None = strawberry.field(description="Whether customers use the environment.")
    description: str | None = strawberry.field(description="The description or comment on it.")
    created_at: datetime = strawberry.field(description="When it was requested.")
    updated_at: datetime = strawberry.field(description="When its status last changed.")
    repo: One["GithubRepo"] = strawberry.field(description="The repository of the commit.")
    creator: One["GithubUser"] = strawberry.field(description="The user who requested it.")
    statuses: Many["GithubDeploymentStatus"] = strawberry.field(description="The changes of its state.")
    runs: Many["WorkflowRun"] = strawberry.field(description="The workflow runs on its commit.")
    deployments: Many["Deployment"] = strawberry.field(description="The same deployments in the company's own table.")


@strawberry.type(
    description="One change in the state of a deployment.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class GithubDeploymentStatus:
    id: strawberry.ID = strawberry.field(description="The repository, the deployment and GitHub's number.")
    state: str = strawberry.field(description="Such as `queued`, `in_progress`, `success`, `failure`, `inactive`.")
    description: str = strawberry.field(description="The description or comment on it.")
    environment: str | None = strawberry.field(description="The environment of the deployment.")
    log_url: str | None = strawberry.field(description="The page with the log.")
    created_at: datetime = strawberry.field(description="When the state changed.")
    creator: One["GithubUser"] = strawberry.field(description="The user who changed it, or whose workflow did.")
    deployment: One["GithubDeployment"] = strawberry.field(description="The deployment whose state changed.")


@strawberry.type(
    description="One run of a workflow.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class WorkflowRun:
    id: strawberry.ID = strawberry.field(description="The repository and GitHub's number, as `repo:number`.")
    name: str | None = strawberry.field(description="The workflow's name.")
    display_title: str = strawberry.field(description="What the run is for.")
    head_branch: str | None = strawberry.field(description="The branch it ran on.")
    head_sha: str = strawberry.field(description="The commit it ran on.")
    event: str = strawberry.field(description="What started it, such as `push` or `workflow_dispatch`.")
    status: str | None = strawberry.field(description="The status: `queued`, `in_progress` or `completed`.")
    conclusion: str | None = strawberry.field(description="How it ended, if it has.")
    run_number: int = strawberry.field(description="The number of the run in its workflow.")
    run_attempt: int | None = strawberry.field(description="The number of attempts.")
    run_started_at: datetime | None = strawberry.field(description="When it started.")
    updated_at: datetime = strawberry.field(description="When it last changed.")
    html_url: str = strawberry.field(description="Its page on GitHub.")
    repo: One["GithubRepo"] = strawberry.field(description="The repository of the workflow.")
    actor: One["GithubUser"] = strawberry.field(description="The user who started it.")
    jobs: Many["WorkflowJob"] = strawberry.field(description="The jobs of the run.")
    approvals: Many["WorkflowApproval"] = strawberry.field(description="The approvals that the run received.")
    pending: Many["PendingDeployment"] = strawberry.field(description="The deployments that wait for an approval.")
    deployments: Many["Deployment"] = strawberry.field(
        description="The deployments of its commit in the company's own table."
    )


@strawberry.type(
    description="A job of a workflow run, on one machine.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class WorkflowJob:
    id: strawberry.ID = strawberry.field(description="The repository, the run and GitHub's number.")
    number: BigInt = strawberry.field(description="GitHub's number of the job.")
    name: str = strawberry.field(description="The name of the job in the workflow.")
    status: str = strawberry.field(description="The status of the job.")
    conclusion: str | None = strawberry.field(description="How it ended, if it has.")
    started_at: datetime | None = strawberry.field(description="When it started.")
    completed_at: datetime | None = strawberry.field(description="When it ended, if it has.")
    runner_name: str | None = strawberry.field(description="The machine that ran it.")
    html_url: str | None = strawberry.field(description="Its page on GitHub.")
    run: One["WorkflowRun"] = strawberry.field(description="The run it is a part of.")
    log: One["WorkflowLog"] = strawberry.field(description="The log of the job; GitHub stores it for some weeks.")


@strawberry.type(
    description="The log of a job.",
    directives=[allow("engineering"), owned("platform engineering")],
)
class WorkflowLog:
    id: strawberry.ID = strawberry.field(description="The repository and the job, as `repo:number`.")
    text: str = strawberry.field(description="The whole log, each line with its time.")


@strawberry.type(
    description="A decision on whether a run may continue.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class WorkflowApproval:
    state: str = strawberry.field(description="The decision: `approved`, `rejected` or `pending`.")
    comment: str = strawberry.field(description="The description or comment on it.")
    approver: One["GithubUser"] = strawberry.field(description="The user who decided.")


@strawberry.type(
    description="An environment that a run may deploy to only after an approval.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class PendingDeployment:
    environment_id: BigInt = strawberry.field(description="GitHub's number of the environment.")
    environment_name: str = strawberry.field(description="The environment, as GitHub names it.")
    current_user_can_approve: bool = strawberry.field(description="Whether the server's own token may approve it.")


@strawberry.type(
    description="Someone on GitHub.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class GithubUser:
    id: strawberry.ID = strawberry.field(description="The login of the user.")
    name: str | None = strawberry.field(description="The name on the profile.")
    email: str | None = strawberry.field(description="The e-mail address on the profile.")
    employee: One["Employee"] = strawberry.field(description="The employee with the same e-mail address.")


@strawberry.type
class Query:
    github_repo: ById["GithubRepo"] = strawberry.field(description="The repository with this name.")
    github_repos: Many["GithubRepo"] = strawberry.field(description="All repositories of the organization.")
    github_deployment: ById["GithubDeployment"] = strawberry.field(description="One deployment, by `repo:number`.")
    github_user: ById["GithubUser"] = strawberry.field(description="The user with this login.")
    github_users: Many["GithubUser"] = strawberry.field(description="Everyone in the organization.")
    workflow_run: ById["WorkflowRun"] = strawberry.field(description="One run, by `repo:number`.")
