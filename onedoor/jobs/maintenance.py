"""Find what a worker has to put right: jobs of dead workers, undispatched jobs, old jobs. All of it blocks."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, insert, select, update

from onedoor.jobs.models import OPEN_STATES, Dispatch, RunState
from onedoor.jobs.tables import (
    job_file_table,
    job_line_table,
    job_read_table,
    job_step_table,
    job_table,
    job_worker_table,
)
from onedoor.storage.database import MetadataDatabase

MAX_JOBS_PER_PASS = 1_000


class WorkerHeartbeat(NamedTuple):
    """A worker and how many heartbeats it has sent."""

    id: str
    beat: int
    release: str


class OwnedRun(NamedTuple):
    """A run that the database says a worker runs."""

    id: str
    epoch: int
    cancelled_by: str | None


def insert_worker(database: MetadataDatabase, id: str, host: str, release: str) -> None:
    worker = insert(job_worker_table).values(id=id, host=host, release=release, beat=0, since=database.now())
    with database.write_transaction() as connection:
        connection.execute(worker)


def record_heartbeat(database: MetadataDatabase, id: str) -> bool:
    """Return whether the worker is still known; False where others have declared it dead."""
    beat = update(job_worker_table).where(job_worker_table.c.id == id).values(beat=job_worker_table.c.beat + 1)
    with database.write_transaction() as connection:
        return connection.execute(beat).rowcount == 1


def delete_worker(database: MetadataDatabase, worker_id: str) -> None:
    """Delete a worker that stops."""
    with database.write_transaction() as connection:
        connection.execute(delete(job_worker_table).where(job_worker_table.c.id == worker_id))


def delete_dead_worker(database: MetadataDatabase, worker_id: str, beat: int) -> bool:
    """Delete a worker that has not sent a heartbeat since `beat`; True for the one process that deleted it."""
    dead = (job_worker_table.c.id == worker_id, job_worker_table.c.beat == beat)
    with database.write_transaction() as connection:
        return connection.execute(delete(job_worker_table).where(*dead)).rowcount == 1


def load_workers(database: MetadataDatabase) -> list[WorkerHeartbeat]:
    columns = (job_worker_table.c.id, job_worker_table.c.beat, job_worker_table.c.release)
    with database.read_connection() as connection:
        return [WorkerHeartbeat(*row) for row in connection.execute(select(*columns))]


def load_owned_runs(database: MetadataDatabase, worker_id: str) -> list[OwnedRun]:
    columns = (job_table.c.id, job_table.c.epoch, job_table.c.cancelled_by)
    owned = (job_table.c.worker_id == worker_id, job_table.c.state == RunState.RUNNING)
    with database.read_connection() as connection:
        return [OwnedRun(*row) for row in connection.execute(select(*columns).where(*owned))]


def find_orphans(database: MetadataDatabase) -> list[Dispatch]:
    """Return the runs whose worker is dead."""
    alive = select(job_worker_table.c.id)
    return _load_dispatches(database, job_table.c.state == RunState.RUNNING, job_table.c.worker_id.not_in(alive))


def find_undispatched(database: MetadataDatabase) -> list[Dispatch]:
    """Return the runs that were never put into the queue."""
    return _load_dispatches(database, job_table.c.state == RunState.QUEUED, job_table.c.dispatched.is_(False))


def find_dispatched(database: MetadataDatabase) -> list[Dispatch]:
    """Return the runs that are in the queue and that no worker has claimed."""
    return _load_dispatches(database, job_table.c.state == RunState.QUEUED, job_table.c.dispatched.is_(True))


def find_free_exclusive_keys(database: MetadataDatabase) -> list[str]:
    """Return the exclusive keys that jobs wait for and that no job holds."""
    held = select(job_table.c.alone_now).where(job_table.c.alone_now.is_not(None))
    waiting = select(job_table.c.alone).where(job_table.c.state == RunState.WAITING, job_table.c.alone.not_in(held))
    with database.read_connection() as connection:
        return list(connection.execute(waiting.distinct().limit(MAX_JOBS_PER_PASS)).scalars())


def has_unfinished_jobs(database: MetadataDatabase) -> bool:
    unfinished = select(job_table.c.id).where(job_table.c.state.in_(OPEN_STATES)).limit(1)
    with database.read_connection() as connection:
        return connection.execute(unfinished).first() is not None


def delete_ended_jobs(database: MetadataDatabase, before: datetime) -> list[str]:
    """Delete the jobs that ended before then, with their lines, steps and files. Returns their ids."""
    old = select(job_table.c.id).where(job_table.c.ended_at < before).limit(MAX_JOBS_PER_PASS)
    with database.write_transaction() as connection:
        ids = list(connection.execute(old).scalars())
        for table in (job_line_table, job_step_table, job_file_table, job_read_table):
            connection.execute(delete(table).where(table.c.job_id.in_(ids)))
        connection.execute(delete(job_table).where(job_table.c.id.in_(ids)))
    return ids


def _load_dispatches(database: MetadataDatabase, *conditions: ColumnElement[bool]) -> list[Dispatch]:
    columns = (job_table.c.id, job_table.c.epoch, job_table.c.parent_id, job_table.c.release)
    oldest_first = select(*columns).where(*conditions).order_by(job_table.c.created_at)
    with database.read_connection() as connection:
        rows = connection.execute(oldest_first.limit(MAX_JOBS_PER_PASS)).all()
    return [
        Dispatch(id=row.id, epoch=row.epoch, is_child=row.parent_id is not None, release=row.release) for row in rows
    ]
