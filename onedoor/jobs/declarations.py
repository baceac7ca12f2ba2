"""Declare jobs: what a job does, who may start and see it, and how it is run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from onedoor.jobs.context import JobContext


@dataclass(frozen=True, slots=True, kw_only=True)
class NoInput:
    """The input of a job that takes no input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a failed job is tried again, and how long it waits before: `factor` times longer each time."""

    times: int = 0
    first_seconds: float = 1.0
    factor: float = 2.0
    max_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Starts the job at the times of `cron`, in UTC, as a service account that is in these groups."""

    cron: str
    service_account: str
    groups: frozenset[str]
    input: Any = field(default_factory=NoInput)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptLimits:
    """What each process of a script may use; beyond that the process is ended or its call fails."""

    cpu_seconds: int = 60
    memory_bytes: int = 1 << 30
    """Of address space, per process."""
    file_bytes: int = 64 << 20
    """Of each file that it writes."""
    open_files: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A program of the company: `.py`, `.sh`, or executable. Its input comes as JSON on standard input.

    The lines of its standard output and standard error are log lines. Its result is the object in the file
    `result.json` of its folder, else the last line of its output that is a JSON object; the files that it leaves in
    `files/` become files of the job.
    """

    path: Path
    limits: ScriptLimits = field(default_factory=ScriptLimits)


JobFunction: TypeAlias = Callable[[JobContext, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One process of the company. Input and result are frozen dataclasses of the types in `codecs.READERS`."""

    name: str
    description: str
    owner: str
    """The group that is responsible for the job."""
    run: JobFunction | Script
    may_start: frozenset[str]
    """The groups that may start it. Whoever started it must be in one of them for as long as it runs."""
    may_see: frozenset[str]
    """The groups that see every run of it. Whoever started a run sees that one in any case."""
    input: type = NoInput
    result: type | None = None
    exclusive_key: Callable[[Any], str] | None = None
    """Returns a key of the input; jobs with the same key run one after another. None: any number run at once."""
    timeout_seconds: float = 600.0
    """How long one attempt may take."""
    retries: Retries = field(default_factory=Retries)
    schedule: Schedule | None = None
    has_mutation: bool = True
    """Whether the schema has a mutation that starts it; other jobs are started by code, such as child jobs."""
