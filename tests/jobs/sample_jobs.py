"""Declare the jobs of the tests, which append a line to a ledger whenever a step is executed."""

import asyncio
import os
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from onedoor.jobs.context import JobContext
from onedoor.jobs.declarations import Job, Retries, Script, ScriptLimits
from onedoor.jobs.models import JobFailed

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How many steps to execute, and how long each takes."""

    ledger: str
    steps: int = 3
    seconds: float = 0.0
    key: str = ""
    fails: int = 0
    """How often its last step fails before it succeeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkResult:
    steps: int
    sum: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptInput:
    """The input of a script."""

    text: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    text: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    text: str


def append_line(ledger: str, *words: object) -> None:
    """Append one line, which stays whole whoever else writes."""
    line = " ".join(map(str, (time.time_ns() // 1000, os.getpid(), *words)))
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def read_ledger(ledger: Path) -> list[list[str]]:
    """Return the lines of the ledger: the time, the process, the job, and what happened."""
    return [line.split(" ") for line in ledger.read_text().splitlines()] if ledger.exists() else []


async def walk(context: JobContext, job_input: Walk) -> WalkResult:
    async def step(number: int) -> Decimal:
        append_line(job_input.ledger, context.id, f"step-{number}")
        await asyncio.sleep(job_input.seconds)
        return Decimal(number)

    done = []
    for number in range(job_input.steps):
        done.append(await context.step(f"step {number}", step, number))
        context.report_progress(number + 1, job_input.steps)
    if context.attempt <= job_input.fails:
        raise JobFailed("not yet")
    return WalkResult(steps=len(done), sum=sum(done, Decimal()))


async def ask(context: JobContext, job_input: Question) -> Any:
    context.log(str(await context.query(job_input.text)))


async def sleep(context: JobContext, job_input: Walk) -> None:
    append_line(job_input.ledger, context.id, "began")
    try:
        await asyncio.sleep(3600)
    finally:
        append_line(job_input.ledger, context.id, "stopped" if context.cancel_requested else "ended")


async def crash(context: JobContext, job_input: ScriptInput) -> None:
    raise ValueError(f"a secret: {job_input.text}")


async def say(context: JobContext, job_input: ScriptInput) -> None:
    context.log(job_input.text)


async def whole(context: JobContext, job_input: Walk) -> WalkResult:
    """Start a child job `Walk` for each step."""
    ids = [await context.start_child("Walk", job_input, str(number)) for number in range(job_input.steps)]
    ended = await context.wait_for_children(ids)
    return WalkResult(steps=sum(item.result["steps"] for item in ended), sum=Decimal(len(ended)))


ANYBODY = frozenset({"everyone"})
FINANCE = frozenset({"finance"})


def declare_job(name: str, run: Any, input: type, **options: Any) -> Job:
    options = {"may_start": FINANCE, "may_see": frozenset({"audit"}), "owner": "finance", **options}
    return Job(name=name, description="A job of the tests.", run=run, input=input, **options)


def declare_script(name: str, **options: Any) -> Job:
    script = Script(path=SCRIPTS / f"{name.lower()}.py", limits=ScriptLimits(cpu_seconds=1))
    return declare_job(name, script, ScriptInput, **options)


JOBS = (
    declare_job("Walk", walk, Walk, result=WalkResult, retries=Retries(times=2, first_seconds=0.05)),
    declare_job("WalkAlone", walk, Walk, result=WalkResult, exclusive_key=lambda job_input: job_input.key),
    declare_job("Whole", whole, Walk, result=WalkResult),
    declare_job("Sleep", sleep, Walk),
    declare_job("Hurry", sleep, Walk, timeout_seconds=0.3),
    declare_job("Crash", crash, ScriptInput),
    declare_job("Say", say, ScriptInput),
    declare_job("Ask", ask, Question, may_start=ANYBODY),
    declare_script("Echo", result=Echo),
    declare_script("Linger", timeout_seconds=30.0),
    declare_script("Spin"),
    declare_script("Spy", result=Echo),
)
