"""The words of a declaration: what a job is, who may start and see it, and how it is run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from onedoor.jobs.context import JobContext


@dataclass(frozen=True, slots=True, kw_only=True)
class NoInput:
    """The input of a job that takes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a failed attempt is made again, and how long it waits before: `factor` times longer each time."""

    times: int = 0
    first_seconds: float = 1.0
    factor: float = 2.0
    max_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Starts the job at the times of `cron`, in UTC, as a service person who is in these groups and is nobody else."""

    cron: str
    service_account: str
    groups: frozenset[str]
    input: Any = field(default_factory=NoInput)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptLimits:
    """What each process of a script may use; past it, it is ended or its call fails."""

    cpu_seconds: int = 60
    memory_bytes: int = 1 << 30
    """Of address space."""
    file_bytes: int = 64 << 20
    """Of each file it writes."""
    open_files: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A program of ours: `.py`, `.sh`, or executable. Its input comes as JSON on standard input.

    What it writes on standard output and standard error are log lines. Its result is the object in the file
    `result.json` of its folder, else the last line of its output that is a JSON object; the files it leaves in `files/`
    are the job's.
    """

    path: Path
    limits: ScriptLimits = field(default_factory=ScriptLimits)


JobFunction: TypeAlias = Callable[[JobContext, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One process of the company. Input and result are frozen dataclasses, whose fields `work.kinds` knows."""

    name: str
    description: str
    owner: str
    """The group that answers for it."""
    run: JobFunction | Script
    may_start: frozenset[str]
    """Who is in any of these groups may start it, and must still be while it runs."""
    may_see: frozenset[str]
    """Who is in any of these groups sees every run of it; who started one sees that one in any case."""
    input: type = NoInput
    result: type | None = None
    exclusive_key: Callable[[Any], str] | None = None
    """Of an input, what only one run of this job at a time may be about; None: any number run at once."""
    timeout_seconds: float = 600.0
    """Of one attempt."""
    retries: Retries = field(default_factory=Retries)
    schedule: Schedule | None = None
    has_mutation: bool = True
    """Whether it has a mutation of its own; a job without one is started by our own code, such as a part of another."""
