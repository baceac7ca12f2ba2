"""What is to be put right in the state: jobs of dead workers, jobs the queue never heard of, old jobs. It blocks."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, insert, select, update

from onedoor.jobs.models import OPEN_STATES, Dispatch, JobState
from onedoor.jobs.tables import job_file_table, job_line_table, job_step_table, job_table, job_worker_table
from onedoor.storage.database import MetadataDatabase

MAX_JOBS_PER_PASS = 1_000
"""Of jobs looked at in one go."""


class WorkerHeartbeat(NamedTuple):
    """A worker and how often it was heard of."""

    id: str
    beat: int
    release: str


class OwnedRun(NamedTuple):
    """A run of this worker as the state has it."""

    id: str
    epoch: int
    cancelled_by: str | None


def insert_worker(database: MetadataDatabase, id: str, host: str, release: str) -> None:
    """A worker says that it lives."""
    with database.write_transaction() as connection:
        connection.execute(
            insert(job_worker_table).values(id=id, host=host, release=release, beat=0, since=database.now())
        )


def record_heartbeat(database: MetadataDatabase, id: str) -> bool:
    """It still lives; False where others took it for dead."""
    with database.write_transaction() as connection:
        beat = update(job_worker_table).where(job_worker_table.c.id == id).values(beat=job_worker_table.c.beat + 1)
        return connection.execute(beat).rowcount == 1


def delete_worker(database: MetadataDatabase, worker_id: str, beat: int | None = None) -> bool:
    """A worker is no more: it said so, or its beat stayed the same for too long. True for the one who found out."""
    with database.write_transaction() as connection:
        its = delete(job_worker_table).where(job_worker_table.c.id == worker_id)
        return connection.execute(its if beat is None else its.where(job_worker_table.c.beat == beat)).rowcount == 1


def load_workers(database: MetadataDatabase) -> list[WorkerHeartbeat]:
    with database.read_connection() as connection:
        columns = (job_worker_table.c.id, job_worker_table.c.beat, job_worker_table.c.release)
        return [WorkerHeartbeat(*row) for row in connection.execute(select(*columns))]


def load_owned_runs(database: MetadataDatabase, worker_id: str) -> list[OwnedRun]:
    """The runs of a worker, and who wishes their end."""
    with database.read_connection() as connection:
        columns = (job_table.c.id, job_table.c.epoch, job_table.c.cancelled_by)
        mine = (job_table.c.worker_id == worker_id, job_table.c.state == JobState.RUNNING)
        return [OwnedRun(*row) for row in connection.execute(select(*columns).where(*mine))]


def find_orphans(database: MetadataDatabase) -> list[Dispatch]:
    """Runs whose worker is no more."""
    alive = select(job_worker_table.c.id)
    return _load_dispatches(database, job_table.c.state == JobState.RUNNING, job_table.c.worker_id.not_in(alive))


def find_undispatched(database: MetadataDatabase) -> list[Dispatch]:
    """Runs that the queue has not been told of."""
    return _load_dispatches(database, job_table.c.state == JobState.QUEUED, job_table.c.dispatched.is_(False))


def find_dispatched(database: MetadataDatabase) -> list[Dispatch]:
    """Runs that the queue was told of, and that nobody has claimed."""
    return _load_dispatches(database, job_table.c.state == JobState.QUEUED, job_table.c.dispatched.is_(True))


def find_free_exclusive_keys(database: MetadataDatabase) -> list[str]:
    """What jobs wait for that nobody has."""
    held = select(job_table.c.alone_now).where(job_table.c.alone_now.is_not(None))
    with database.read_connection() as connection:
        waits = select(job_table.c.alone).where(job_table.c.state == JobState.WAITING, job_table.c.alone.not_in(held))
        return list(connection.execute(waits.distinct().limit(MAX_JOBS_PER_PASS)).scalars())


def has_unfinished_jobs(database: MetadataDatabase) -> bool:
    with database.read_connection() as connection:
        return (
            connection.execute(select(job_table.c.id).where(job_table.c.state.in_(OPEN_STATES)).limit(1)).first()
            is not None
        )


def load_declarations(database: MetadataDatabase, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """By job, its name and the version of its declaration."""
    with database.read_connection() as connection:
        rows = connection.execute(
            select(job_table.c.id, job_table.c.name, job_table.c.version).where(job_table.c.id.in_(ids))
        )
        return {row.id: (row.name, row.version) for row in rows}


def delete_ended_jobs(database: MetadataDatabase, before: datetime) -> list[str]:
    """Ids of what ended before then, gone with all that was kept of it."""
    with database.write_transaction() as connection:
        old = select(job_table.c.id).where(job_table.c.ended_at < before).limit(MAX_JOBS_PER_PASS)
        ids = list(connection.execute(old).scalars())
        for table in (job_line_table, job_step_table, job_file_table):
            connection.execute(delete(table).where(table.c.job_id.in_(ids)))
        connection.execute(delete(job_table).where(job_table.c.id.in_(ids)))
    return ids


def _load_dispatches(state: MetadataDatabase, *where: ColumnElement[bool]) -> list[Dispatch]:
    columns = (job_table.c.id, job_table.c.epoch, job_table.c.parent_id, job_table.c.release)
    with state.read_connection() as connection:
        rows = connection.execute(
            select(*columns).where(*where).order_by(job_table.c.created_at).limit(MAX_JOBS_PER_PASS)
        ).all()
    return [
        Dispatch(id=row.id, epoch=row.epoch, is_child=row.parent_id is not None, release=row.release) for row in rows
    ]
