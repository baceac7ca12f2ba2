"""GitHub: what was deployed from which commit, the runs that did it, who approved them, and what they logged."""

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
    full_name: str = strawberry.field(description="With the organization before it.")
    description: str | None = strawberry.field(description="What it is for.")
    default_branch: str = strawberry.field(description="The branch that is built.")
    visibility: str | None = strawberry.field(description="Who may see it on GitHub.")
    archived: bool = strawberry.field(description="Whether it is closed for changes.")
    created_at: datetime | None = strawberry.field(description="When it was created.")
    html_url: str = strawberry.field(description="Its page on GitHub.")
    deployments: Many["GithubDeployment"] = strawberry.field(description="What was deployed from it.")
    runs: Many["WorkflowRun"] = strawberry.field(description="The runs of its workflows.")


@strawberry.type(
    description="A deployment as GitHub records it.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class GithubDeployment:
    id: strawberry.ID = strawberry.field(description="The repository and GitHub's number, as `repo:number`.")
    sha: str = strawberry.field(description="The commit that was deployed.")
    ref: str = strawberry.field(description="The branch or the tag it was asked for by.")
    task: str = strawberry.field(description="What was to be done, `deploy` as a rule.")
    environment: str = strawberry.field(description="Where it went, as GitHub names it.")
    production_environment: bool | None = strawberry.field(description="Whether customers see where it went.")
    description: str | None = strawberry.field(description="What was said of it.")
    created_at: datetime = strawberry.field(description="When it was asked for.")
    updated_at: datetime = strawberry.field(description="When its status last changed.")
    repo: One["GithubRepo"] = strawberry.field(description="Where the commit is.")
    creator: One["GithubUser"] = strawberry.field(description="Who asked for it.")
    statuses: Many["GithubDeploymentStatus"] = strawberry.field(description="What became of it, each change.")
    runs: Many["WorkflowRun"] = strawberry.field(description="The runs of workflows on its commit.")
    deployments: Many["Deployment"] = strawberry.field(description="The same in the company's own table.")


@strawberry.type(
    description="One change in the state of a deployment.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class GithubDeploymentStatus:
    id: strawberry.ID = strawberry.field(description="The repository, the deployment and GitHub's number.")
    state: str = strawberry.field(description="Such as `queued`, `in_progress`, `success`, `failure`, `inactive`.")
    description: str = strawberry.field(description="What was said of it.")
    environment: str | None = strawberry.field(description="Where the deployment went.")
    log_url: str | None = strawberry.field(description="Where the log is, as a page.")
    created_at: datetime = strawberry.field(description="When it changed.")
    creator: One["GithubUser"] = strawberry.field(description="Who, or whose workflow, changed it.")
    deployment: One["GithubDeployment"] = strawberry.field(description="The deployment that it is of.")


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
    status: str | None = strawberry.field(description="Where it stands: `queued`, `in_progress`, `completed`.")
    conclusion: str | None = strawberry.field(description="How it ended, where it did.")
    run_number: int = strawberry.field(description="Which run of its workflow it is.")
    run_attempt: int | None = strawberry.field(description="How often it was tried.")
    run_started_at: datetime | None = strawberry.field(description="When it began.")
    updated_at: datetime = strawberry.field(description="When it last changed.")
    html_url: str = strawberry.field(description="Its page on GitHub.")
    repo: One["GithubRepo"] = strawberry.field(description="Whose workflow ran.")
    actor: One["GithubUser"] = strawberry.field(description="Who started it.")
    jobs: Many["WorkflowJob"] = strawberry.field(description="Its parts.")
    approvals: Many["WorkflowApproval"] = strawberry.field(description="Who let it go on, and what they said.")
    pending: Many["PendingDeployment"] = strawberry.field(description="What it waits for somebody's word on.")
    deployments: Many["Deployment"] = strawberry.field(description="What the company's own table has of its commit.")


@strawberry.type(
    description="A part of a run, done by one machine.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class WorkflowJob:
    id: strawberry.ID = strawberry.field(description="The repository, the run and GitHub's number.")
    number: BigInt = strawberry.field(description="GitHub's number of the job.")
    name: str = strawberry.field(description="What the workflow calls it.")
    status: str = strawberry.field(description="Where it stands.")
    conclusion: str | None = strawberry.field(description="How it ended, where it did.")
    started_at: datetime | None = strawberry.field(description="When it began.")
    completed_at: datetime | None = strawberry.field(description="When it ended, where it did.")
    runner_name: str | None = strawberry.field(description="The machine.")
    html_url: str | None = strawberry.field(description="Its page on GitHub.")
    run: One["WorkflowRun"] = strawberry.field(description="The run it is a part of.")
    log: One["WorkflowLog"] = strawberry.field(description="What it wrote; GitHub keeps it for some weeks.")


@strawberry.type(
    description="What a job wrote.",
    directives=[allow("engineering"), owned("platform engineering")],
)
class WorkflowLog:
    id: strawberry.ID = strawberry.field(description="The repository and the job, as `repo:number`.")
    text: str = strawberry.field(description="All of it, a line a step, each after its time.")


@strawberry.type(
    description="Somebody's word on whether a run may go on.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class WorkflowApproval:
    state: str = strawberry.field(description="What was decided: `approved`, `rejected` or `pending`.")
    comment: str = strawberry.field(description="What was said of it.")
    approver: One["GithubUser"] = strawberry.field(description="Who decided.")


@strawberry.type(
    description="An environment that a run may not go on to until somebody lets it.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class PendingDeployment:
    environment_id: BigInt = strawberry.field(description="GitHub's number of the environment.")
    environment_name: str = strawberry.field(description="The environment, as GitHub names it.")
    current_user_can_approve: bool = strawberry.field(description="Whether the door's own token may let it go on.")


@strawberry.type(
    description="Someone on GitHub.",
    directives=[allow("engineering", "audit"), owned("platform engineering")],
)
class GithubUser:
    id: strawberry.ID = strawberry.field(description="The login.")
    name: str | None = strawberry.field(description="The name they give.")
    email: str | None = strawberry.field(description="The address they show.")
    employee: One["Employee"] = strawberry.field(description="The employee with the same e-mail address.")


@strawberry.type
class Query:
    github_repo: ById["GithubRepo"] = strawberry.field(description="The repository with this name.")
    github_repos: Many["GithubRepo"] = strawberry.field(description="All repositories of the organization.")
    github_deployment: ById["GithubDeployment"] = strawberry.field(description="One deployment, by `repo:number`.")
    github_user: ById["GithubUser"] = strawberry.field(description="The user with this login.")
    github_users: Many["GithubUser"] = strawberry.field(description="Everyone in the organization.")
    workflow_run: ById["WorkflowRun"] = strawberry.field(description="One run, by `repo:number`.")
