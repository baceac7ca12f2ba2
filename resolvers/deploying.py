"""Rolling out: each change is one of the internal table and of GitHub, step by step."""

from engine.binding import Binding
from engine.change.declared import Before, Input, Saga, Step, Undo
from engine.change.named import named
from engine.change.words import Change, Made, Values, Verb
from engine.errors import Code, SourceFailed
from engine.feed import Listens
from engine.words import Kind

BINDINGS: tuple[Binding, ...] = ()
FEEDS = {"deploymentChanged": Listens(topic="Deployment", argument="id")}
PRODUCTION = "PRODUCTION"
UNDER_WAY = ("WAITING", "RUNNING")


def number(given: Input, _: Before) -> Values:
    return named(given, "id", id=Kind.INTEGER)


def begun(given: Input, service: str, environment: str) -> Values:
    """The row of a deployment that begins."""
    waits = given.get("waits")
    author = named(given, "authorId", author_id=Kind.INTEGER) if given.get("authorId") is not None else {}
    return {
        "service": service,
        "version": given["version"],
        "environment": environment,
        "status": "WAITING" if (environment == PRODUCTION if waits is None else waits) else "RUNNING",
        "started_at": given["startedAt"],
        "commit_sha": given["commitSha"],
        **author,
    }


def asked(given: Input, service: str, environment: str) -> Values:
    """What GitHub is asked to deploy."""
    return {
        "ref": given["commitSha"],
        "environment": environment.lower(),
        "description": given.get("description") or f"{service} {given['version']}",
        "task": "deploy",
        "production_environment": environment == PRODUCTION,
    }


def row(before: Before) -> Values:
    """The deployment as the first step left it."""
    after = before["deployment"].after
    assert after is not None  # INVARIANT: the step updates it
    return after


def of_service(before: Before, field: str, key: Values) -> Values:
    """The key, which must be of the repository that the deployment's service is deployed from."""
    service = row(before)["service"]
    if key["repo"] != service:
        raise SourceFailed(f"`{field}` is of `{key['repo']}`, the deployment of `{service}`", Code.BAD_USER_INPUT)
    return key


def while_it(before: Before, *statuses: str) -> None:
    """Raises SourceFailed where the deployment was in another status."""
    was = (before["deployment"].before or {}).get("status")
    if was not in statuses:
        raise SourceFailed(f"the deployment is `{was}`, and not {' or '.join(statuses)}", Code.VERSION_CONFLICT)


def inactive(_: Input, made: Made) -> Change:
    """GitHub keeps a deployment that was asked for; what is inactive stands in nobody's way."""
    after = made.after or {}
    key = {"repo": after["repo"], "deployment_id": after["id"]}
    said = {"state": "inactive", "description": "Taken back"}
    return Change(id="", collection="deployment_statuses", verb=Verb.CREATE, key=key, values=said)


def queued(_: Input, before: Before) -> Values:
    after = before["githubDeployment"].after or {}
    return {"repo": after["repo"], "deployment_id": after["id"]}


def approved(given: Input, before: Before) -> Values:
    while_it(before, "WAITING")
    return of_service(before, "run", named(given, "run", repo=Kind.TEXT, run_id=Kind.INTEGER))


def cancelled(given: Input, before: Before) -> Values:
    while_it(before, *UNDER_WAY)
    return of_service(before, "run", named(given, "run", repo=Kind.TEXT, id=Kind.INTEGER))


def earlier(given: Input, before: Before) -> Values:
    while_it(before, "SUCCEEDED", "FAILED", *UNDER_WAY)
    return begun(given, row(before)["service"], row(before)["environment"])


def replaced(given: Input, before: Before) -> Values:
    key = named(given, "githubDeployment", repo=Kind.TEXT, deployment_id=Kind.INTEGER)
    return of_service(before, "githubDeployment", key)


START = Saga(
    field="startDeployment",
    type="Deployment",
    stamps=("startedAt",),
    steps=(
        Step(
            name="deployment", source="internal", collection="deployment", verb=Verb.CREATE,
            values=lambda given, _: begun(given, given["service"], given["environment"]),
        ),
        Step(
            name="githubDeployment", source="github", collection="deployments", verb=Verb.CREATE,
            key=lambda given, _: {"repo": given["service"]},
            values=lambda given, _: asked(given, given["service"], given["environment"]),
            undo=inactive,
        ),
        Step(
            name="githubStatus", source="github", collection="deployment_statuses", verb=Verb.CREATE,
            needs=("githubDeployment",), key=queued, values=lambda _, __: {"state": "queued"}, undo=Undo.NONE,
        ),
    ),
)  # fmt: skip
APPROVE = Saga(
    field="approveDeployment",
    type="Deployment",
    steps=(
        Step(
            name="deployment", source="internal", collection="deployment", verb=Verb.UPDATE,
            key=number, values=lambda _, __: {"status": "RUNNING"},
        ),
        Step(
            name="approval", source="github", collection="approvals", verb=Verb.CREATE,
            needs=("deployment",), key=approved, undo=Undo.NONE,
            values=lambda given, _: {
                "environment_id": given["environmentId"], "state": "approved", "comment": given.get("comment") or "",
            },
        ),
    ),
)  # fmt: skip
CANCEL = Saga(
    field="cancelDeployment",
    type="Deployment",
    stamps=("finishedAt",),
    steps=(
        Step(
            name="deployment", source="internal", collection="deployment", verb=Verb.UPDATE,
            key=number, values=lambda given, _: {"status": "CANCELLED", "finished_at": given["finishedAt"]},
        ),
        Step(
            name="run", source="github", collection="workflow_runs", verb=Verb.UPDATE,
            needs=("deployment",), key=cancelled, values=lambda _, __: {"conclusion": "cancelled"}, undo=Undo.NONE,
        ),
    ),
)  # fmt: skip
ROLL_BACK = Saga(
    field="rollBackDeployment",
    type="Deployment",
    stamps=("startedAt",),
    steps=(
        Step(
            name="deployment", source="internal", collection="deployment", verb=Verb.UPDATE,
            key=number, values=lambda _, __: {"status": "ROLLED_BACK"},
        ),
        Step(
            name="earlier", source="internal", collection="deployment", verb=Verb.CREATE,
            needs=("deployment",), values=earlier,
        ),
        Step(
            name="githubDeployment", source="github", collection="deployments", verb=Verb.CREATE,
            needs=("deployment",), undo=inactive,
            key=lambda _, before: {"repo": row(before)["service"]},
            values=lambda given, before: asked(given, row(before)["service"], row(before)["environment"]),
        ),
        Step(
            name="githubStatus", source="github", collection="deployment_statuses", verb=Verb.CREATE,
            needs=("deployment",), key=replaced, undo=Undo.NONE,
            values=lambda given, _: {"state": "inactive", "description": f"Rolled back to {given['version']}"},
            when=lambda given: given.get("githubDeployment") is not None,
        ),
    ),
)  # fmt: skip
CHANGES = (START, APPROVE, CANCEL, ROLL_BACK)
