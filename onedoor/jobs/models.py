"""Define runs of jobs: their states, what is stored about them, how they end and how they are configured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from auth.authentication import Principal


class RunState(StrEnum):
    """The state of a job. The last four are final."""

    WAITING = "WAITING"
    """A job with the same exclusive key has not ended."""
    QUEUED = "QUEUED"
    """No worker runs it yet."""
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    REFUSED = "REFUSED"
    """Whoever started it may not start it any more."""


OPEN_STATES = (RunState.WAITING, RunState.QUEUED, RunState.RUNNING)


class LineKind(StrEnum):
    """Where a line comes from: the job's own log, a script's output, or its errors."""

    LOG = "LOG"
    OUTPUT = "OUTPUT"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLogLine:
    at: datetime
    kind: LineKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is, in any unit; the total is None where it is not known."""

    done: float
    total: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFileData:
    """A file of a job."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """A request to start a job. With an idempotency key it starts the same job however often it is made."""

    job_name: str
    principal: Principal
    input: Any
    """An instance of the job's input."""
    idempotency_key: str | None = None
    reason: str | None = None
    record_id: str | None = None
    """The id of the audit record of the request; None: no request asked for it."""
    parent_id: str | None = None
    origin_id: str | None = None
    """The id of the job that makes the request, if one does: the input may hold what it has read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One dispatch of a job that a worker has claimed.

    `epoch` tells it from the job's other dispatches, none of which may write any more.
    """

    id: str
    epoch: int
    name: str
    person_id: str
    key_id: str | None
    grants: tuple[str, ...] = ()
    """The ids of the grants that its starter held then; it ends when one of them does."""
    created_at: datetime
    input: Mapping[str, Any]
    attempts: int
    failures: int
    takeovers: int
    parent_id: str | None
    version: str
    """The version of the declaration under which the job was started."""
    cancelled_by: str | None
    """Who cancelled the job before this run began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended. `reason` is a sentence for whoever started the job; None where it succeeded."""

    state: RunState
    result: Any = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildResult:
    """How a child job ended; its result is as JSON has it."""

    id: str
    state: RunState
    result: Any
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """What the queue hands to a worker: a job, and which of its runs."""

    id: str
    epoch: int
    is_child: bool
    release: str

    @property
    def workflow_id(self) -> str:
        """The queue's id of the run; that of a first run is the job's own id."""
        return self.id if self.epoch == 0 else f"{self.id}.{self.epoch}"


class JobFailed(Exception):
    """Ends an attempt with a sentence that may be shown. If `retryable`, another attempt may succeed."""

    def __init__(self, reason: str, *, retryable: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retryable = retryable


class JobRefused(Exception):
    """Whoever started the job may not run it any more."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RunLost(Exception):
    """Another worker runs the job now: nothing that this one does may count."""


class Notifier(Protocol):
    """Hears of every change of a job's state, progress or lines, in the process that made it."""

    def notify(self, job_id: str) -> None:
        """Return at once. Called on the event loop."""
        ...


@dataclass(slots=True)
class NullNotifier:
    """A notifier that does nothing."""

    def notify(self, job_id: str) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """How jobs are run: the section `[jobs]` of the settings."""

    url: str | None = field(default=None, repr=False)
    """The database of the queue, the same for all workers; by default the metadata database's server, or a file
    beside its file."""
    here: bool = True
    """Whether the server runs jobs itself; otherwise workers of their own do."""
    at_once: int = 4
    """How many jobs, and as many child jobs, one process runs at once."""
    lease_seconds: float = 10.0
    """A worker without a heartbeat for so long is dead, and others take over its runs."""
    poll_seconds: float = 0.5
    """How often a worker looks for new jobs, and for jobs that were cancelled elsewhere."""
    lines: int = 10_000
    """How many log lines of one job are kept: the last ones."""
    line_characters: int = 2_000
    """How long a line may be; the rest is cut off."""
    open_most: int = 200
    """How many open jobs one person may have."""
    kept_days: float = 30.0
    """How long ended jobs are kept."""
