"""Jobs of the tests: they leave a line in a ledger whenever a step really happens."""

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
    """So many steps, each of so many seconds."""

    ledger: str
    steps: int = 3
    seconds: float = 0.0
    key: str = ""
    fails: int = 0
    """How often its last step fails before it succeeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    steps: int
    sum: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a script is given."""

    text: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    text: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    text: str


def written(ledger: str, *words: object) -> None:
    """One line, whole, whoever else writes."""
    line = " ".join(map(str, (time.time_ns() // 1000, os.getpid(), *words)))
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def read(ledger: Path) -> list[list[str]]:
    """Its lines: when, which process, which job, what."""
    return [line.split(" ") for line in ledger.read_text().splitlines()] if ledger.exists() else []


async def walk(context: JobContext, given: Walk) -> Walked:
    async def step(number: int) -> Decimal:
        written(given.ledger, context.id, f"step-{number}")
        await asyncio.sleep(given.seconds)
        return Decimal(number)

    done = []
    for number in range(given.steps):
        done.append(await context.step(f"step {number}", step, number))
        context.report_progress(number + 1, given.steps)
    if context.attempt <= given.fails:
        raise JobFailed("not yet")
    return Walked(steps=len(done), sum=sum(done, Decimal()))


async def ask(context: JobContext, given: Question) -> Any:
    context.log(str(await context.query(given.text)))


async def sleep(context: JobContext, given: Walk) -> None:
    written(given.ledger, context.id, "began")
    try:
        await asyncio.sleep(3600)
    finally:
        written(given.ledger, context.id, "stopped" if context.cancel_requested else "ended")


async def crash(context: JobContext, given: Said) -> None:
    raise ValueError(f"a secret: {given.text}")


async def say(context: JobContext, given: Said) -> None:
    context.log(given.text)


async def whole(context: JobContext, given: Walk) -> Walked:
    """In parts: each a walk."""
    ids = [await context.start_child("Walk", given, str(number)) for number in range(given.steps)]
    ended = await context.wait_for_children(ids)
    return Walked(steps=sum(each.result["steps"] for each in ended), sum=Decimal(len(ended)))


ANYBODY = frozenset({"everyone"})
FINANCE = frozenset({"finance"})


def job(name: str, run: Any, input: type, **more: Any) -> Job:
    given = {"may_start": FINANCE, "may_see": frozenset({"audit"}), "owner": "finance", **more}
    return Job(name=name, description="Of the tests.", run=run, input=input, **given)


def script(name: str, **more: Any) -> Job:
    return job(name, Script(path=SCRIPTS / f"{name.lower()}.py", limits=ScriptLimits(cpu_seconds=2)), Said, **more)


JOBS = (
    job("Walk", walk, Walk, result=Walked, retries=Retries(times=2, first_seconds=0.05)),
    job("WalkAlone", walk, Walk, result=Walked, exclusive_key=lambda given: given.key),
    job("Whole", whole, Walk, result=Walked),
    job("Sleep", sleep, Walk),
    job("Hurry", sleep, Walk, timeout_seconds=0.3),
    job("Crash", crash, Said),
    job("Say", say, Said),
    job("Ask", ask, Question, may_start=ANYBODY),
    script("Echo", result=Echo),
    script("Linger", timeout_seconds=30.0),
    script("Spin"),
    script("Spy", result=Echo),
)
