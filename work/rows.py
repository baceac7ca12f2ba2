"""Jobs as they are read: which of them a caller sees, and how one stands."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select

from auth.caller import Caller
from auth.state import State
from work.declared import Job
from work.tables import job, job_file


class One(NamedTuple):
    """How a job stands."""

    name: str
    person_id: str
    state: str


def one(state: State, id: str) -> One | None:
    if not id.isascii() or not id.isalnum():
        return None
    with state.reading() as connection:
        row = connection.execute(select(job.c.name, job.c.person_id, job.c.state).where(job.c.id == id)).first()
    return None if row is None else One(*row)


class Mark(NamedTuple):
    """What changes of a job: who compares two of them knows whether there is anything new, whoever ran it."""

    state: str
    epoch: int
    done: float | None
    total: float | None
    lines: int


def marks(state: State, ids: Sequence[str]) -> dict[str, Mark]:
    """By job; for who follows jobs that other processes run."""
    columns = (job.c.id, job.c.state, job.c.epoch, job.c.done, job.c.total, job.c.lines)
    with state.reading() as connection:
        rows = connection.execute(select(*columns).where(job.c.id.in_(ids)))
        return {row[0]: Mark(*row[1:]) for row in rows}


def content(state: State, id: str, name: str) -> bytes | None:
    """A file of a job. Whoever asks was judged before."""
    with state.reading() as connection:
        wanted = (job_file.c.job_id == id, job_file.c.name == name)
        found: bytes | None = connection.execute(select(job_file.c.content).where(*wanted)).scalar_one_or_none()
    return found


def sees(jobs: Mapping[str, Job], caller: Caller) -> frozenset[str]:
    """The names of jobs whose every run a caller sees, and what came of it."""
    return frozenset(name for name, each in jobs.items() if each.sees & caller.groups)


def starts(jobs: Mapping[str, Job], caller: Caller) -> frozenset[str]:
    """The names of jobs that a caller may start: of their own they see what came of it."""
    return frozenset(name for name, each in jobs.items() if each.starts & caller.groups)
