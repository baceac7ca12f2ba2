"""What is to be put right in the state: jobs of dead workers, jobs the queue never heard of, old jobs. It blocks."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, insert, select, update

from auth.state import State
from work.tables import job, job_file, job_line, job_step, job_worker
from work.words import OPEN, Dispatch, JobState

MOST = 1_000
"""Of jobs looked at in one go."""


class Worker(NamedTuple):
    """A worker and how often it was heard of."""

    id: str
    beat: int
    release: str


class Wished(NamedTuple):
    """A run of this worker as the state has it."""

    id: str
    epoch: int
    cancelled_by: str | None


def appeared(state: State, id: str, host: str, release: str) -> None:
    """A worker says that it lives."""
    with state.writing() as connection:
        connection.execute(insert(job_worker).values(id=id, host=host, release=release, beat=0, since=state.now()))


def heard(state: State, id: str) -> bool:
    """It still lives; False where others took it for dead."""
    with state.writing() as connection:
        beat = update(job_worker).where(job_worker.c.id == id).values(beat=job_worker.c.beat + 1)
        return connection.execute(beat).rowcount == 1


def gone(state: State, worker: str, beat: int | None = None) -> bool:
    """A worker is no more: it said so, or its beat stayed the same for too long. True for the one who found out."""
    with state.writing() as connection:
        its = delete(job_worker).where(job_worker.c.id == worker)
        return connection.execute(its if beat is None else its.where(job_worker.c.beat == beat)).rowcount == 1


def workers(state: State) -> list[Worker]:
    with state.reading() as connection:
        columns = (job_worker.c.id, job_worker.c.beat, job_worker.c.release)
        return [Worker(*row) for row in connection.execute(select(*columns))]


def wished(state: State, worker: str) -> list[Wished]:
    """The runs of a worker, and who wishes their end."""
    with state.reading() as connection:
        columns = (job.c.id, job.c.epoch, job.c.cancelled_by)
        mine = (job.c.worker_id == worker, job.c.state == JobState.RUNNING)
        return [Wished(*row) for row in connection.execute(select(*columns).where(*mine))]


def orphans(state: State) -> list[Dispatch]:
    """Runs whose worker is no more."""
    alive = select(job_worker.c.id)
    return _dispatches(state, job.c.state == JobState.RUNNING, job.c.worker_id.not_in(alive))


def unheard(state: State) -> list[Dispatch]:
    """Runs that the queue has not been told of."""
    return _dispatches(state, job.c.state == JobState.QUEUED, job.c.dispatched.is_(False))


def queued(state: State) -> list[Dispatch]:
    """Runs that the queue was told of, and that nobody has claimed."""
    return _dispatches(state, job.c.state == JobState.QUEUED, job.c.dispatched.is_(True))


def turns(state: State) -> list[str]:
    """What jobs wait for that nobody has."""
    held = select(job.c.alone_now).where(job.c.alone_now.is_not(None))
    with state.reading() as connection:
        waits = select(job.c.alone).where(job.c.state == JobState.WAITING, job.c.alone.not_in(held))
        return list(connection.execute(waits.distinct().limit(MOST)).scalars())


def unfinished(state: State) -> bool:
    with state.reading() as connection:
        return connection.execute(select(job.c.id).where(job.c.state.in_(OPEN)).limit(1)).first() is not None


def declared_as(state: State, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """By job, its name and the version of its declaration."""
    with state.reading() as connection:
        rows = connection.execute(select(job.c.id, job.c.name, job.c.version).where(job.c.id.in_(ids)))
        return {row.id: (row.name, row.version) for row in rows}


def forgotten(state: State, before: datetime) -> list[str]:
    """Ids of what ended before then, gone with all that was kept of it."""
    with state.writing() as connection:
        old = select(job.c.id).where(job.c.ended_at < before).limit(MOST)
        ids = list(connection.execute(old).scalars())
        for table in (job_line, job_step, job_file):
            connection.execute(delete(table).where(table.c.job_id.in_(ids)))
        connection.execute(delete(job).where(job.c.id.in_(ids)))
    return ids


def _dispatches(state: State, *where: object) -> list[Dispatch]:
    columns = (job.c.id, job.c.epoch, job.c.parent_id, job.c.release)
    with state.reading() as connection:
        rows = connection.execute(select(*columns).where(*where).order_by(job.c.created_at).limit(MOST)).all()  # type: ignore[arg-type]
    return [Dispatch(id=row.id, epoch=row.epoch, part=row.parent_id is not None, release=row.release) for row in rows]
