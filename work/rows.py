"""Jobs as they are read: which of them a caller sees, and how one stands."""

from collections.abc import Mapping
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
