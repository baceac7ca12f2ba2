"""Rolling out: each change is one of the internal table and of GitHub, step by step."""

from onedoor.mapping import TopicSubscription, TypeMapping
from onedoor.mutations import (
    ChangeKind,
    ChangeResult,
    ColumnType,
    Compensation,
    ConnectorError,
    ErrorCode,
    InputFields,
    RowChange,
    RowValues,
    Saga,
    Step,
    StepResults,
    parse_id_field,
)

MAPPINGS: tuple[TypeMapping, ...] = ()
SUBSCRIPTIONS = {"deploymentChanged": TopicSubscription(topic="Deployment", argument="id")}
PRODUCTION = "PRODUCTION"
ONGOING_STATUSES = ("WAITING", "RUNNING")


def map_deployment_key(given: InputFields, _: StepResults) -> RowValues:
    return parse_id_field(given, "id", id=ColumnType.INTEGER)


def build_deployment_row(given: InputFields, service: str, environment: str) -> RowValues:
    """Build the row of a deployment that begins."""
    waits = given.get("waits")
    author = (
        parse_id_field(given, "authorId", author_id=ColumnType.INTEGER) if given.get("authorId") is not None else {}
    )
    return {
        "service": service,
        "version": given["version"],
        "environment": environment,
        "status": "WAITING" if (environment == PRODUCTION if waits is None else waits) else "RUNNING",
        "started_at": given["startedAt"],
        "commit_sha": given["commitSha"],
        **author,
    }


def build_github_deployment(given: InputFields, service: str, environment: str) -> RowValues:
    """Build the deployment that GitHub is to create."""
    return {
        "ref": given["commitSha"],
        "environment": environment.lower(),
        "description": given.get("description") or f"{service} {given['version']}",
        "task": "deploy",
        "production_environment": environment == PRODUCTION,
    }


def read_deployment(before: StepResults) -> RowValues:
    """Return the deployment as the first step left it."""
    after = before["deployment"].after
    assert after is not None  # INVARIANT: the step updates it
    return after


def require_same_service(before: StepResults, field: str, key: RowValues) -> RowValues:
    """Return the key, which must be of the repository that the deployment's service is deployed from."""
    service = read_deployment(before)["service"]
    if key["repo"] != service:
        raise ConnectorError(
            f"`{field}` is of `{key['repo']}`, the deployment of `{service}`", ErrorCode.BAD_USER_INPUT
        )
    return key


def require_status(before: StepResults, *statuses: str) -> None:
    """Check the status the deployment was in. Raises ConnectorError where it was in another."""
    was = (before["deployment"].before or {}).get("status")
    if was not in statuses:
        raise ConnectorError(f"the deployment is `{was}`, and not {' or '.join(statuses)}", ErrorCode.VERSION_CONFLICT)


def build_inactive_status(_: InputFields, made: ChangeResult) -> RowChange:
    """GitHub keeps a deployment that was asked for; what is inactive stands in nobody's way."""
    after = made.after or {}
    key = {"repo": after["repo"], "deployment_id": after["id"]}
    said = {"state": "inactive", "description": "Taken back"}
    return RowChange(id="", collection="deployment_statuses", kind=ChangeKind.CREATE, key=key, values=said)


def map_github_deployment_key(_: InputFields, before: StepResults) -> RowValues:
    after = before["githubDeployment"].after or {}
    return {"repo": after["repo"], "deployment_id": after["id"]}


def map_approval_key(given: InputFields, before: StepResults) -> RowValues:
    require_status(before, "WAITING")
    return require_same_service(
        before, "run", parse_id_field(given, "run", repo=ColumnType.TEXT, run_id=ColumnType.INTEGER)
    )


def map_cancelled_run(given: InputFields, before: StepResults) -> RowValues:
    require_status(before, *ONGOING_STATUSES)
    return require_same_service(
        before, "run", parse_id_field(given, "run", repo=ColumnType.TEXT, id=ColumnType.INTEGER)
    )


def map_earlier_deployment(given: InputFields, before: StepResults) -> RowValues:
    require_status(before, "SUCCEEDED", "FAILED", *ONGOING_STATUSES)
    return build_deployment_row(given, read_deployment(before)["service"], read_deployment(before)["environment"])


def map_replaced_deployment(given: InputFields, before: StepResults) -> RowValues:
    key = parse_id_field(given, "githubDeployment", repo=ColumnType.TEXT, deployment_id=ColumnType.INTEGER)
    return require_same_service(before, "githubDeployment", key)


START = Saga(
    field="startDeployment",
    type="Deployment",
    timestamp_fields=("startedAt",),
    steps=(
        Step(
            name="deployment",
            source="internal",
            collection="deployment",
            kind=ChangeKind.CREATE,
            values=lambda given, _: build_deployment_row(given, given["service"], given["environment"]),
        ),
        Step(
            name="githubDeployment",
            source="github",
            collection="deployments",
            kind=ChangeKind.CREATE,
            key=lambda given, _: {"repo": given["service"]},
            values=lambda given, _: build_github_deployment(given, given["service"], given["environment"]),
            compensation=build_inactive_status,
        ),
        Step(
            name="githubStatus",
            source="github",
            collection="deployment_statuses",
            kind=ChangeKind.CREATE,
            depends_on=("githubDeployment",),
            key=map_github_deployment_key,
            values=lambda _, __: {"state": "queued"},
            compensation=Compensation.NONE,
        ),
    ),
)
APPROVE = Saga(
    field="approveDeployment",
    type="Deployment",
    steps=(
        Step(
            name="deployment",
            source="internal",
            collection="deployment",
            kind=ChangeKind.UPDATE,
            key=map_deployment_key,
            values=lambda _, __: {"status": "RUNNING"},
        ),
        Step(
            name="approval",
            source="github",
            collection="approvals",
            kind=ChangeKind.CREATE,
            depends_on=("deployment",),
            key=map_approval_key,
            compensation=Compensation.NONE,
            values=lambda given, _: {
                "environment_id": given["environmentId"],
                "state": "approved",
                "comment": given.get("comment") or "",
            },
        ),
    ),
)
CANCEL = Saga(
    field="cancelDeployment",
    type="Deployment",
    timestamp_fields=("finishedAt",),
    steps=(
        Step(
            name="deployment",
            source="internal",
            collection="deployment",
            kind=ChangeKind.UPDATE,
            key=map_deployment_key,
            values=lambda given, _: {"status": "CANCELLED", "finished_at": given["finishedAt"]},
        ),
        Step(
            name="run",
            source="github",
            collection="workflow_runs",
            kind=ChangeKind.UPDATE,
            depends_on=("deployment",),
            key=map_cancelled_run,
            values=lambda _, __: {"conclusion": "cancelled"},
            compensation=Compensation.NONE,
        ),
    ),
)
ROLL_BACK = Saga(
    field="rollBackDeployment",
    type="Deployment",
    timestamp_fields=("startedAt",),
    steps=(
        Step(
            name="deployment",
            source="internal",
            collection="deployment",
            kind=ChangeKind.UPDATE,
            key=map_deployment_key,
            values=lambda _, __: {"status": "ROLLED_BACK"},
        ),
        Step(
            name="earlier",
            source="internal",
            collection="deployment",
            kind=ChangeKind.CREATE,
            depends_on=("deployment",),
            values=map_earlier_deployment,
        ),
        Step(
            name="githubDeployment",
            source="github",
            collection="deployments",
            kind=ChangeKind.CREATE,
            depends_on=("deployment",),
            compensation=build_inactive_status,
            key=lambda _, before: {"repo": read_deployment(before)["service"]},
            values=lambda given, before: build_github_deployment(
                given, read_deployment(before)["service"], read_deployment(before)["environment"]
            ),
        ),
        Step(
            name="githubStatus",
            source="github",
            collection="deployment_statuses",
            kind=ChangeKind.CREATE,
            depends_on=("deployment",),
            key=map_replaced_deployment,
            compensation=Compensation.NONE,
            values=lambda given, _: {"state": "inactive", "description": f"Rolled back to {given['version']}"},
            condition=lambda given: given.get("githubDeployment") is not None,
        ),
    ),
)
MUTATIONS = (START, APPROVE, CANCEL, ROLL_BACK)
