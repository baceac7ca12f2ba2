"""Declare jobs, their lines and files, and the operations that start, cancel and follow them."""

from datetime import datetime
from enum import StrEnum

import strawberry

from onedoor.schema.annotations import Argument, BigInt, ById, Json, Many, One, allow, owned, with_arguments, with_input


@strawberry.enum(description="The state of a job.")
class JobState(StrEnum):
    WAITING = "WAITING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    REFUSED = "REFUSED"


@strawberry.enum(description="The origin of a line: the job's own log, a script's output, or its errors.")
class JobLineKind(StrEnum):
    LOG = "LOG"
    OUTPUT = "OUTPUT"
    ERROR = "ERROR"


@strawberry.type(
    description="A job that was started. You see your own jobs and those of kinds that your groups may see.",
    directives=[allow("everyone"), owned("platform")],
)
class Job:
    id: strawberry.ID = strawberry.field(description="The id of the job; ids sort by time of start.")
    name: str = strawberry.field(description="The name under which the job is declared.")
    state: JobState = strawberry.field(
        description="The state of the job; SUCCEEDED, FAILED, CANCELLED and REFUSED are final."
    )
    done: float | None = strawberry.field(description="The progress, in a unit of the job.")
    total: float | None = strawberry.field(description="The progress at the end, if it is known.")
    person_id: str = strawberry.field(description="The id of the person who started it, as in `me { id }`.")
    started_by: str = strawberry.field(description="The name of the person who started it.")
    reason: str | None = strawberry.field(description="The reason for starting it, if one was given.")
    record: str | None = strawberry.field(description="The id of the audit record of the request that started it.")
    input: Json = strawberry.field(description="The input of the job.")
    result: Json | None = strawberry.field(
        description="The result, once it has succeeded, if you may read all that the job has read; for your own jobs, "
        "as long as you may start such jobs, too."
    )
    error: str | None = strawberry.field(description="Why the job did not succeed.")
    cancelled_by: str | None = strawberry.field(description="The person who cancelled it.")
    attempts: int = strawberry.field(description="The number of attempts to run it.")
    created_at: datetime = strawberry.field(description="When the job was requested.")
    started_at: datetime | None = strawberry.field(description="When a worker first ran it.")
    ended_at: datetime | None = strawberry.field(description="When it ended.")
    parent: One["Job"] = strawberry.field(description="The job that this one is a part of.")
    parts: Many["Job"] = strawberry.field(description="The jobs it started as parts of itself.")
    lines: Many["JobLine"] = strawberry.field(
        description="The last lines of its log, if you may read all that the job has read."
    )
    files: Many["JobFile"] = strawberry.field(
        description="The files that it produced, if you may read all that the job has read."
    )


@strawberry.type(
    description="One line of a job's log.",
    directives=[allow("everyone"), owned("platform")],
)
class JobLine:
    id: strawberry.ID = strawberry.field(description="The id of the job and the number of the line.")
    number: int = strawberry.field(
        description="The number of the line, from 1; numbers of removed lines are not used again."
    )
    at: datetime = strawberry.field(description="When the line was written.")
    kind: JobLineKind = strawberry.field(description="The origin of the line.")
    text: str = strawberry.field(description="The line, without its line break.")


@strawberry.type(
    description="A file that a job produced.",
    directives=[allow("everyone"), owned("platform")],
)
class JobFile:
    id: strawberry.ID = strawberry.field(description="The id of the job and the name of the file.")
    name: str = strawberry.field(description="The name of the file.")
    content_type: str = strawberry.field(description="The media type.")
    size: BigInt = strawberry.field(description="The size in bytes.")
    sha256: str = strawberry.field(description="The SHA-256 digest of the content.")
    at: datetime = strawberry.field(description="When the file was stored.")
    text: str | None = strawberry.field(description="The content, if it is text of at most 256 KB.")


@strawberry.type
class Query:
    job: ById["Job"] = strawberry.field(description="The job with this id.")
    jobs: Many["Job"] = strawberry.field(description="The jobs you may see.")


@strawberry.input(description="The job to start, by its name.")
class StartJobInput:
    name: str = strawberry.field(description="The name under which the job is declared.")
    input: Json | None = strawberry.field(description="The input of the job, an object.")
    idempotency_key: str | None = strawberry.field(
        description="A key of yours: a repeated request with it returns the same job and starts no other."
    )
    reason: str | None = strawberry.field(description="The reason, for those who see the job.")


@strawberry.input(description="The job to cancel.")
class CancelJobInput:
    id: strawberry.ID = strawberry.field(description="The id of the job.")


@strawberry.type
class Mutation:
    start_job: One["Job"] = strawberry.field(
        description="Starts any job that your groups may start; each also has a mutation of its own.",
        directives=[allow("everyone"), owned("platform")],
        metadata=with_input(StartJobInput),
    )
    cancel_job: One["Job"] = strawberry.field(
        description="Cancels a job; one that has ended stays as it is.",
        directives=[allow("everyone"), owned("platform")],
        metadata=with_input(CancelJobInput),
    )


@strawberry.type
class Subscription:
    job_changed: One["Job"] = strawberry.field(
        description="The job, whenever its state, its progress or its log changes.",
        metadata=with_arguments(id=Argument(strawberry.ID, "The id of the job.")),
    )
