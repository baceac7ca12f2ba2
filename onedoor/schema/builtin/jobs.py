"""Jobs: the company's own processes, as they were started, ran and ended."""

from datetime import datetime
from enum import StrEnum

import strawberry

from onedoor.schema.annotations import Argument, BigInt, ById, Json, Many, One, allow, owned, with_arguments, with_input


@strawberry.enum(description="Where a job is.")
class JobState(StrEnum):
    WAITING = "WAITING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    REFUSED = "REFUSED"


@strawberry.enum(description="Who wrote a line: the job's own log, a script's output, or its errors.")
class JobLineKind(StrEnum):
    LOG = "LOG"
    OUTPUT = "OUTPUT"
    ERROR = "ERROR"


@strawberry.type(
    description="One job that was started. Only jobs of your own, and of kinds that your groups see, are there at all.",
    directives=[allow("everyone"), owned("platform")],
)
class Job:
    id: strawberry.ID = strawberry.field(description="The job's id; ids sort by when they were started.")
    name: str = strawberry.field(description="Which job it is, as it is declared.")
    state: JobState = strawberry.field(
        description="Where it is; it leaves SUCCEEDED, FAILED, CANCELLED, REFUSED no more."
    )
    done: float | None = strawberry.field(description="How far it came, in its own unit.")
    total: float | None = strawberry.field(description="How far it goes, where that is known.")
    person_id: str = strawberry.field(description="Who started it, as `me { id }` names them.")
    started_by: str = strawberry.field(description="The name of who started it.")
    reason: str | None = strawberry.field(description="Why it was started, where that was said.")
    input: Json = strawberry.field(description="What it was given.")
    result: Json | None = strawberry.field(
        description="What it gave, once it succeeded; of your own, as long as you may start such jobs."
    )
    error: str | None = strawberry.field(description="Why it did not succeed.")
    cancelled_by: str | None = strawberry.field(description="Who wished its end.")
    attempts: int = strawberry.field(description="How often it was begun.")
    created_at: datetime = strawberry.field(description="When it was started.")
    started_at: datetime | None = strawberry.field(description="When a worker first began it.")
    ended_at: datetime | None = strawberry.field(description="When it ended.")
    parent: One["Job"] = strawberry.field(description="The job it is a part of.")
    parts: Many["Job"] = strawberry.field(description="The jobs it started as parts of itself.")
    lines: Many["JobLine"] = strawberry.field(description="What it logged: the last lines of it.")
    files: Many["JobFile"] = strawberry.field(description="The files it left.")


@strawberry.type(
    description="One line of a job's log.",
    directives=[allow("everyone"), owned("platform")],
)
class JobLine:
    id: strawberry.ID = strawberry.field(description="The job's id and the line's number.")
    number: int = strawberry.field(description="Lines are counted from 1; those that are gone keep their numbers.")
    at: datetime = strawberry.field(description="When it was written.")
    kind: JobLineKind = strawberry.field(description="Who wrote it.")
    text: str = strawberry.field(description="The line, without its end.")


@strawberry.type(
    description="A file that a job left.",
    directives=[allow("everyone"), owned("platform")],
)
class JobFile:
    id: strawberry.ID = strawberry.field(description="The job's id and the file's name.")
    name: str = strawberry.field(description="Its name.")
    content_type: str = strawberry.field(description="Its media type.")
    size: BigInt = strawberry.field(description="Its size in bytes.")
    sha256: str = strawberry.field(description="SHA-256 of what is in it.")
    at: datetime = strawberry.field(description="When it was kept.")
    text: str | None = strawberry.field(description="What is in it, where that is text of at most 256 KB.")


@strawberry.type
class Query:
    job: ById["Job"] = strawberry.field(description="The job with this id.")
    jobs: Many["Job"] = strawberry.field(description="The jobs you may see.")


@strawberry.input(description="A job to be started, by its name.")
class StartJobInput:
    name: str = strawberry.field(description="The job, as it is declared.")
    input: Json | None = strawberry.field(description="What it is given, an object.")
    idempotency_key: str | None = strawberry.field(
        description="Yours for this one job: sent again, it is answered again and not started again."
    )
    reason: str | None = strawberry.field(description="Why, for those who see the job.")


@strawberry.input(description="A job that is to end.")
class CancelJobInput:
    id: strawberry.ID = strawberry.field(description="Which one.")


@strawberry.type
class Mutation:
    start_job: One["Job"] = strawberry.field(
        description="Starts any job that your groups may start; each has a mutation of its own, too.",
        directives=[allow("everyone"), owned("platform")],
        metadata=with_input(StartJobInput),
    )
    cancel_job: One["Job"] = strawberry.field(
        description="Ends a job; one that has ended stays as it is.",
        directives=[allow("everyone"), owned("platform")],
        metadata=with_input(CancelJobInput),
    )


@strawberry.type
class Subscription:
    job_changed: One["Job"] = strawberry.field(
        description="A job, whenever its state, its progress or its log is another.",
        metadata=with_arguments(id=Argument(strawberry.ID, "Which one.")),
    )
