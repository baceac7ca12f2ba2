"""Query deployments through Onedoor and on GitHub."""

from typing import Any

from tests.connectors.writing.mutations import Hub, apply_mutation, execute, query_github
from tests.runtime.failures.conftest import RunningServer

REPO = "billing"
SHOWN = """versionAfter after { service status } deployment {
    id status revision startedAt finishedAt
    githubDeployments { nodes { id description statuses { nodes { state } } } }
    workflowRuns { nodes { id status pending { nodes { environmentId } } } }
}"""
ROWS = """{ deployments(where: {service: {eq: "billing"}}, orderBy: [{id: DESC}], first: 100) {
    nodes { id version status commitSha startedAt } } }"""
CHANGES = """{ deploymentChanges(orderBy: [{at: DESC}], first: 100) {
    nodes { row verb mutation state reason after { version } before { version } } } }"""


def print_steps(*parts: object) -> None:
    """For who reads along with `-s`."""
    print("\n", *parts)


def build_input(hub: Hub, version: str, environment: str = "STAGING", **more: Any) -> dict[str, Any]:
    return {
        "service": REPO, "version": version, "environment": environment, "commitSha": hub.commits(REPO)[0],
        "description": f"onedoor {version}", **more,
    }  # fmt: skip


async def version(server: RunningServer, version: str) -> list[Any]:
    """The rows of one version."""
    return [node for node in (await execute(server, ROWS)).data["deployments"]["nodes"] if node["version"] == version]


async def changes(server: RunningServer, version: str) -> list[tuple[str, str]]:
    """Verb and state of what was done to it, the latest first."""
    nodes = (await execute(server, CHANGES)).data["deploymentChanges"]["nodes"]
    of = [node for node in nodes if version in [(node[side] or {}).get("version") for side in ("before", "after")]]
    return [(item["verb"], item["state"]) for item in of]


def find_deployment(deployment: Any, version: str) -> Any:
    (node,) = [item for item in deployment["githubDeployments"]["nodes"] if item["description"] == f"onedoor {version}"]
    return node


async def statuses(hub: Hub, version: str) -> list[str]:
    """Of the deployment of a version, as GitHub's leading client sees them, the latest first."""

    def ask(repo: Any) -> list[str]:
        (deployment,) = [item for item in repo.get_deployments() if item.description == f"onedoor {version}"]
        return [status.state for status in deployment.get_statuses()]

    names: list[str] = await query_github(hub, REPO, ask)
    return names


async def on_github(hub: Hub, version: str) -> int:
    count: int = await query_github(
        hub, REPO, lambda repo: len([x for x in repo.get_deployments() if x.description == f"onedoor {version}"])
    )
    return count


async def waiting(server: RunningServer, hub: Hub, version: str) -> tuple[Any, Any]:
    """A deployment to production, and the run that waits."""
    begun = (await apply_mutation(server, "startDeployment", build_input(hub, version, "PRODUCTION"), SHOWN))[
        "deployment"
    ]
    runs = [node for node in begun["workflowRuns"]["nodes"] if node["status"] == "waiting"]
    return begun, max(runs, key=lambda run: int(run["id"].partition(":")[2]))
