"""What tests of deployments ask of the door and of GitHub."""

from typing import Any

from tests.connectors.writing.mutations import Hub, asked, made, seen
from tests.runtime.failures.conftest import Door

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


def told(*parts: object) -> None:
    """For who reads along with `-s`."""
    print("\n", *parts)


def starting(hub: Hub, version: str, environment: str = "STAGING", **more: Any) -> dict[str, Any]:
    return {
        "service": REPO, "version": version, "environment": environment, "commitSha": hub.commits(REPO)[0],
        "description": f"onedoor {version}", **more,
    }  # fmt: skip


async def version(door: Door, version: str) -> list[Any]:
    """The rows of one version."""
    return [each for each in (await asked(door, ROWS)).data["deployments"]["nodes"] if each["version"] == version]


async def changes(door: Door, version: str) -> list[tuple[str, str]]:
    """Verb and state of what was done to it, the latest first."""
    found = (await asked(door, CHANGES)).data["deploymentChanges"]["nodes"]
    of = [each for each in found if version in [(each[side] or {}).get("version") for side in ("before", "after")]]
    return [(each["verb"], each["state"]) for each in of]


def ours(deployment: Any, version: str) -> Any:
    (found,) = [
        each for each in deployment["githubDeployments"]["nodes"] if each["description"] == f"onedoor {version}"
    ]
    return found


async def statuses(hub: Hub, version: str) -> list[str]:
    """Of the deployment of a version, as GitHub's leading client sees them, the latest first."""

    def ask(repo: Any) -> list[str]:
        (found,) = [each for each in repo.get_deployments() if each.description == f"onedoor {version}"]
        return [each.state for each in found.get_statuses()]

    found: list[str] = await seen(hub, REPO, ask)
    return found


async def on_github(hub: Hub, version: str) -> int:
    count: int = await seen(
        hub, REPO, lambda repo: len([x for x in repo.get_deployments() if x.description == f"onedoor {version}"])
    )
    return count


async def waiting(door: Door, hub: Hub, version: str) -> tuple[Any, Any]:
    """A deployment to production, and the run that waits."""
    begun = (await made(door, "startDeployment", starting(hub, version, "PRODUCTION"), SHOWN))["deployment"]
    runs = [each for each in begun["workflowRuns"]["nodes"] if each["status"] == "waiting"]
    return begun, max(runs, key=lambda each: int(each["id"].partition(":")[2]))
