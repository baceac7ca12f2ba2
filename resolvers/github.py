"""GitHub: an API over HTTP, as demo/github/collections.toml declares it; nearly all stands under a repository.

A service is deployed from the repository of its name, so a deployment of the internal database finds its own by service
and commit.
"""

from onedoor.mapping import Relationship, TypeMapping

REPO = Relationship(to="GithubRepo", local="repo", remote="name")
RUNS = ("repo", "run_id")

MAPPINGS = (
    TypeMapping(
        type="GithubRepo",
        source="github",
        collection="repos",
        key=("name",),
        relationships={
            "deployments": Relationship(to="GithubDeployment", local="name", remote="repo"),
            "runs": Relationship(to="WorkflowRun", local="name", remote="repo"),
        },
    ),
    TypeMapping(
        type="GithubDeployment",
        source="github",
        collection="deployments",
        key=("repo", "id"),
        relationships={
            "repo": REPO,
            "creator": Relationship(to="GithubUser", local="creator_login", remote="login"),
            "statuses": Relationship(
                to="GithubDeploymentStatus", local=("repo", "id"), remote=("repo", "deployment_id")
            ),
            "runs": Relationship(to="WorkflowRun", local=("repo", "sha"), remote=("repo", "head_sha")),
            "deployments": Relationship(to="Deployment", local=("repo", "sha"), remote=("service", "commit_sha")),
        },
    ),
    TypeMapping(
        type="GithubDeploymentStatus",
        source="github",
        collection="deployment_statuses",
        key=("repo", "deployment_id", "id"),
        relationships={
            "creator": Relationship(to="GithubUser", local="creator_login", remote="login"),
            "deployment": Relationship(to="GithubDeployment", local=("repo", "deployment_id"), remote=("repo", "id")),
        },
    ),
    TypeMapping(
        type="WorkflowRun",
        source="github",
        collection="workflow_runs",
        key=("repo", "id"),
        relationships={
            "repo": REPO,
            "actor": Relationship(to="GithubUser", local="actor_login", remote="login"),
            "jobs": Relationship(to="WorkflowJob", local=("repo", "id"), remote=RUNS),
            "approvals": Relationship(to="WorkflowApproval", local=("repo", "id"), remote=RUNS),
            "pending": Relationship(to="PendingDeployment", local=("repo", "id"), remote=RUNS),
            "deployments": Relationship(to="Deployment", local=("repo", "head_sha"), remote=("service", "commit_sha")),
        },
    ),
    TypeMapping(
        type="WorkflowJob",
        source="github",
        collection="workflow_jobs",
        key=("repo", "run_id", "id"),
        columns={"number": "id"},
        relationships={
            "run": Relationship(to="WorkflowRun", local=RUNS, remote=("repo", "id")),
            "log": Relationship(to="WorkflowLog", local=("repo", "id"), remote=("repo", "job_id")),
        },
    ),
    TypeMapping(type="WorkflowLog", source="github", collection="job_logs", key=("repo", "job_id")),
    TypeMapping(
        type="WorkflowApproval",
        source="github",
        collection="approvals",
        key=("repo", "run_id", "user_login", "state", "comment"),
        relationships={"approver": Relationship(to="GithubUser", local="user_login", remote="login")},
    ),
    TypeMapping(
        type="PendingDeployment",
        source="github",
        collection="pending_deployments",
        key=("repo", "run_id", "environment_id"),
    ),
    TypeMapping(
        type="GithubUser",
        source="github",
        collection="users",
        key=("login",),
        relationships={"employee": Relationship(to="Employee", local="email", remote="email")},
    ),
)
