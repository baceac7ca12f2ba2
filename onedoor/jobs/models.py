"""The words of a run: its states, what is kept of it, how it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from auth.authentication import Principal


class JobState(StrEnum):
    """Where a job is; it leaves the last four no more."""

    WAITING = "WAITING"
    """For its turn: another that it may not run beside has not ended."""
    QUEUED = "QUEUED"
    """For a worker."""
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    REFUSED = "REFUSED"
    """Who started it may not, any more."""


OPEN_STATES = (JobState.WAITING, JobState.QUEUED, JobState.RUNNING)


class LineKind(StrEnum):
    """Who wrote a line: the job's own log, a script's output, or its errors."""

    LOG = "LOG"
    OUTPUT = "OUTPUT"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLogLine:
    """One line of a job's log."""

    at: datetime
    kind: LineKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """A wish to start a job. With `key` it is the same job however often it is wished."""

    job_name: str
    principal: Principal
    input: Any
    """An instance of the job's input."""
    idempotency_key: str | None = None
    reason: str | None = None
    record_id: str | None = None
    """The id of the record of the request that wished it."""
    parent_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One dispatch of a job, as it was claimed: `epoch` tells it from every other, of which none may write any more."""

    id: str
    epoch: int
    name: str
    person_id: str
    key_id: str | None
    created_at: datetime
    input: Mapping[str, Any]
    attempts: int
    failures: int
    takeovers: int
    parent_id: str | None
    version: str
    """Of the declaration it was started under."""
    cancelled_by: str | None
    """Who wished its end before this run began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended: `reason` is a sentence for its starter, wherever it did not succeed."""

    state: JobState
    result: Any = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildResult:
    """What came of a part: its result as JSON has it."""

    id: str
    state: JobState
    result: Any
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """What a worker is handed: a job, and which of its runs."""

    id: str
    epoch: int
    is_child: bool
    release: str

    @property
    def workflow_id(self) -> str:
        """What the queue knows it by: a first run has the job's own id."""
        return self.id if self.epoch == 0 else f"{self.id}.{self.epoch}"


class JobFailed(Exception):
    """Ends an attempt with a sentence that may be shown. `again`: another attempt may do better."""

    def __init__(self, reason: str, *, retryable: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = retryable


class JobRefused(Exception):
    """Who started the job may not run it any more."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RunLost(Exception):
    """Another worker runs the job now: nothing that this one does may count."""


class Notifier(Protocol):
    """Is told of every change of a job's state, progress or lines, by the process that made it."""

    def notify(self, job_id: str) -> None:
        """Returns at once; on the event loop."""
        ...


@dataclass(slots=True)
class NullNotifier:
    """A notifier that tells nobody."""

    def notify(self, job_id: str) -> None:
        """Nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """How jobs are run: the settings' `[jobs]`."""

    url: str | None = field(default=None, repr=False)
    """The queue's database, the same for all workers; by default the state's own server, or a file beside its own."""
    here: bool = True
    """Whether the door runs jobs itself; without it, workers of their own do."""
    at_once: int = 4
    """Jobs that one process runs at once, and as many parts of jobs."""
    lease_seconds: float = 10.0
    """A worker that is not heard of for so long is dead, and others take over what it ran."""
    poll_seconds: float = 0.5
    """How often a worker looks for new jobs, and whether one was cancelled elsewhere."""
    lines: int = 10_000
    """Log lines kept of one job: the last ones."""
    line_characters: int = 2_000
    """Of a line, the rest is cut off."""
    open_most: int = 200
    """Jobs of one person that have not ended."""
    kept_days: float = 30.0
    """Jobs that ended are forgotten after."""


JobLogLines = Sequence[JobLogLine]
