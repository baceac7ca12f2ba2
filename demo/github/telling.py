"""What changes the organization: deployments, their statuses, approvals, cancelled runs; checked as GitHub does."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

from demo.github import shapes
from demo.github.account import kept
from demo.github.paths import HOME, Answer, Call, named, rollout
from demo.world.github import FIRST_DEPLOYMENT, FIRST_RUN, Rollout, Status

Given: TypeAlias = Mapping[str, Any]
STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
ENDED = {"success": "success", "failure": "failure", "error": "failure"}
LONGEST = 140
"""Characters of a description."""
BRANCH = "main"


class Rejected(Exception):
    """What GitHub says to what it cannot do: a status, a message, and the fields that are wrong."""

    def __init__(self, status: int, message: str, *errors: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


def invalid(resource: str, name: str, code: str) -> Rejected:
    return Rejected(422, "Validation Failed", {"resource": resource, "field": name, "code": code})


def deploy(call: Call, given: Given) -> Answer:
    """A run begins with it, as the repository's workflow is one on deployments; production waits for a word."""
    repo, ref = named(call), text(given, "Deployment", "ref", needed=True)
    environment = text(given, "Deployment", "environment") or "production"
    sha, version = resolved(call, repo, ref)
    checked(call, repo, sha, given)
    production = given.get("production_environment", environment == "production") is True
    number = 1 + max(each.number for all in call.here.rollouts.values() for each in all)
    made = Rollout(
        id=FIRST_DEPLOYMENT + number, run=FIRST_RUN + number, number=number, repo=repo, sha=sha, version=version,
        environment=environment, creator=next(iter(call.here.users)), approver=None, started=now(), ended=now(),
        conclusion=None, statuses=(), jobs=(), ref=ref, description=text(given, "Deployment", "description"),
        task=text(given, "Deployment", "task") or "deploy", payload=given.get("payload", {}), production=production,
        event="deployment", state="waiting" if production else "in_progress",
    )  # fmt: skip
    return Answer(said=shapes.deployment(call.root, call.here, kept(call.here, made)), status=201)


def resolved(call: Call, repo: str, ref: str) -> tuple[str, str]:
    """The commit and its version that a branch, a tag or a commit names."""
    for each in call.here.rollouts[repo]:
        if ref in (each.sha, f"v{each.version}", BRANCH):
            return each.sha, each.version
    raise Rejected(422, f"No ref found for: {ref}")


def checked(call: Call, repo: str, sha: str, given: Given) -> None:
    """A commit whose run failed is not deployed again, unless its checks are waived."""
    contexts = given.get("required_contexts")
    if contexts is not None and not isinstance(contexts, list):
        raise invalid("Deployment", "required_contexts", "invalid")
    ran = [each for each in call.here.rollouts[repo] if each.sha == sha and each.conclusion is not None]
    if contexts != [] and ran and ran[0].conclusion == "failure":
        raise Rejected(409, f"Conflict: Commit status checks failed for {given['ref']}.")


def tell(call: Call, given: Given) -> Answer:
    """A status; a good one ends what stood in its place before, but for production."""
    of, state = rollout(call), text(given, "DeploymentStatus", "state", needed=True)
    if state not in STATES:
        raise invalid("DeploymentStatus", "state", "custom")
    said = text(given, "DeploymentStatus", "description")
    one = Status(id=next(call.here.statuses), state=state, at=now(), said=said)
    if state == "success" and given.get("auto_inactive", True) and not of.production:
        for each in [each for each in call.here.rollouts[of.repo] if each.environment == of.environment]:
            if each.id != of.id and each.statuses and each.statuses[-1].state != "inactive":
                gone = Status(id=next(call.here.statuses), state="inactive", at=now(), said="")
                kept(call.here, replace(each, statuses=(*each.statuses, gone)))
    after = kept(call.here, replace(of, statuses=(*of.statuses, one)))
    return Answer(said=shapes.status(call.root, call.here, after, one), status=201)


def remove(call: Call, given: Given) -> Answer:
    """Only what is inactive, unless it is the only one."""
    of, listed = rollout(call), call.here.rollouts[named(call)]
    if len(listed) > 1 and (not of.statuses or of.statuses[-1].state != "inactive"):
        raise Rejected(422, "We cannot delete an active deployment unless it is the only deployment.")
    listed.remove(of)
    return Answer(said=None, status=204)


def approve(call: Call, given: Given) -> Answer:
    of, state = rollout(call), given.get("state")
    ids, comment = given.get("environment_ids"), given.get("comment")
    if state not in ("approved", "rejected") or not isinstance(comment, str) or not isinstance(ids, list) or not ids:
        raise Rejected(422, "Invalid request. `environment_ids`, `state` and `comment` are needed.")
    if of.state != "waiting" or any(each != shapes.environment_id(of) for each in ids):
        raise Rejected(422, "No pending deployment requests to approve or reject")
    said = replace(of, approver=next(iter(call.here.users)), word=state, comment=comment, ended=now())
    if state == "approved":
        after = replace(said, state="in_progress")
    else:
        after = replace(said, state="completed", conclusion="failure")
    return Answer(said=[shapes.deployment(call.root, call.here, kept(call.here, after))])


def cancel(call: Call, given: Given) -> Answer:
    of = rollout(call)
    if of.state == "completed":
        raise Rejected(409, "Cannot cancel a workflow run that is completed.")
    kept(call.here, replace(of, state="completed", conclusion="cancelled", ended=now()))
    return Answer(said={}, status=202)


def text(given: Given, resource: str, name: str, *, needed: bool = False) -> str:
    found = given.get(name)
    if found is None and not needed:
        return ""
    if found is None or found == "":
        raise invalid(resource, name, "missing_field")
    if not isinstance(found, str) or (name == "description" and len(found) > LONGEST):
        raise invalid(resource, name, "invalid")
    return found


def now() -> datetime:
    return datetime.now(UTC)


TOLD: Mapping[tuple[str, str], Callable[[Call, Given], Answer]] = {
    ("POST", f"{HOME}/deployments"): deploy,
    ("DELETE", f"{HOME}/deployments/{{deployment:int}}"): remove,
    ("POST", f"{HOME}/deployments/{{deployment:int}}/statuses"): tell,
    ("POST", f"{HOME}/actions/runs/{{run:int}}/pending_deployments"): approve,
    ("POST", f"{HOME}/actions/runs/{{run:int}}/cancel"): cancel,
}
