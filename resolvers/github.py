"""GitHub: an API over HTTP, as demo/github/collections.toml declares it; nearly all stands under a repository.

A service is deployed from the repository of its name, so a deployment of the internal database finds its own by service
and commit.
"""

from engine.binding import Binding, Link

REPO = Link(to="GithubRepo", here="repo", there="name")
RUNS = ("repo", "run_id")

BINDINGS = (
    Binding(
        type="GithubRepo",
        source="github",
        collection="repos",
        key=("name",),
        links={
            "deployments": Link(to="GithubDeployment", here="name", there="repo"),
            "runs": Link(to="WorkflowRun", here="name", there="repo"),
        },
    ),
    Binding(
        type="GithubDeployment",
        source="github",
        collection="deployments",
        key=("repo", "id"),
        links={
            "repo": REPO,
            "creator": Link(to="GithubUser", here="creator_login", there="login"),
            "statuses": Link(to="GithubDeploymentStatus", here=("repo", "id"), there=("repo", "deployment_id")),
            "runs": Link(to="WorkflowRun", here=("repo", "sha"), there=("repo", "head_sha")),
            "deployments": Link(to="Deployment", here=("repo", "sha"), there=("service", "commit_sha")),
        },
    ),
    Binding(
        type="GithubDeploymentStatus",
        source="github",
        collection="deployment_statuses",
        key=("repo", "deployment_id", "id"),
        links={
            "creator": Link(to="GithubUser", here="creator_login", there="login"),
            "deployment": Link(to="GithubDeployment", here=("repo", "deployment_id"), there=("repo", "id")),
        },
    ),
    Binding(
        type="WorkflowRun",
        source="github",
        collection="workflow_runs",
        key=("repo", "id"),
        links={
            "repo": REPO,
            "actor": Link(to="GithubUser", here="actor_login", there="login"),
            "jobs": Link(to="WorkflowJob", here=("repo", "id"), there=RUNS),
            "approvals": Link(to="WorkflowApproval", here=("repo", "id"), there=RUNS),
            "pending": Link(to="PendingDeployment", here=("repo", "id"), there=RUNS),
            "deployments": Link(to="Deployment", here=("repo", "head_sha"), there=("service", "commit_sha")),
        },
    ),
    Binding(
        type="WorkflowJob",
        source="github",
        collection="workflow_jobs",
        key=("repo", "run_id", "id"),
        columns={"number": "id"},
        links={
            "run": Link(to="WorkflowRun", here=RUNS, there=("repo", "id")),
            "log": Link(to="WorkflowLog", here=("repo", "id"), there=("repo", "job_id")),
        },
    ),
    Binding(type="WorkflowLog", source="github", collection="job_logs", key=("repo", "job_id")),
    Binding(
        type="WorkflowApproval",
        source="github",
        collection="approvals",
        key=("repo", "run_id", "user_login", "state", "comment"),
        links={"approver": Link(to="GithubUser", here="user_login", there="login")},
    ),
    Binding(
        type="PendingDeployment",
        source="github",
        collection="pending_deployments",
        key=("repo", "run_id", "environment_id"),
    ),
    Binding(
        type="GithubUser",
        source="github",
        collection="users",
        key=("login",),
        links={"employee": Link(to="Employee", here="email", there="email")},
    ),
)
