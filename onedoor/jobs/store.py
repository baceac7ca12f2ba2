"""Store runs of jobs: add, claim, progress, end, requeue and cancel them. All of it blocks: call it in a thread.

What a run writes counts only while the run holds the job's epoch.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from onedoor.jobs.models import (
    OPEN_STATES,
    ChildResult,
    Dispatch,
    JobFileData,
    JobLogLine,
    JobRun,
    Progress,
    RunLost,
    RunResult,
    RunState,
)
from onedoor.jobs.tables import job_file_table, job_line_table, job_read_table, job_step_table, job_table
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.tables import UTCMicroseconds

STARTER_ALONE = "whoever started the job"
"""Kept beside the coordinates of a run that nobody else is shown, as its queries gave rows that are its starter's."""


MAX_TRIES = 5
"""How often a transaction may collide with others about the same key."""


class IdempotencyKeyReused(Exception):
    """The idempotency key belongs to another job, or to one with another input."""


class TooManyOpenJobs(Exception):
    """The person has as many open jobs as one person may have."""


class AddedJob(NamedTuple):
    """The id of a job, and its dispatch if it may run now."""

    id: str
    dispatch: Dispatch | None


def add_job(
    database: MetadataDatabase, row: Mapping[str, Any], open_limit: int, origin_id: str | None = None
) -> AddedJob:
    """Add the job, or return the one with the same idempotency key.

    Its input may hold what the job `origin_id` has read, which therefore counts as read by it too.

    Raises IdempotencyKeyReused and TooManyOpenJobs.
    """
    for _ in range(MAX_TRIES):
        try:
            with database.write_transaction() as connection:
                earlier = _find_earlier_job(connection, row)
                if earlier:
                    return AddedJob(earlier, None)
                added = _insert_job(connection, row, open_limit)
                if origin_id is not None:
                    _inherit_reads(connection, origin_id, added.id, by_starter=True)
                return added
        except IntegrityError:
            continue
    raise RuntimeError("a job could not be added beside others")


def find_earlier_job(database: MetadataDatabase, row: Mapping[str, Any]) -> str | None:
    """Return the id of the job that `add_job` would return for want of adding one. Raises IdempotencyKeyReused."""
    with database.read_connection() as connection:
        return _find_earlier_job(connection, row)


def load_recorded_starts(database: MetadataDatabase, record_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Return the id of the record and the id of the job for the jobs that the requests of these records started."""
    started = select(job_table.c.record_id, job_table.c.id).where(job_table.c.record_id.in_(record_ids))
    with database.read_connection() as connection:
        return [(record_id, id) for record_id, id in connection.execute(started)]


def _find_earlier_job(connection: Connection, row: Mapping[str, Any]) -> str | None:
    """Return the id of the job that has the idempotency key."""
    if row["idempotency_key"] is None:
        return None
    same_key = and_(job_table.c.person_id == row["person_id"], job_table.c.idempotency_key == row["idempotency_key"])
    earlier = connection.execute(select(job_table.c.id, job_table.c.name, job_table.c.input).where(same_key)).first()
    if earlier is None:
        return None
    if (earlier.name, earlier.input) != (row["name"], row["input"]):
        raise IdempotencyKeyReused
    return str(earlier.id)


def _insert_job(connection: Connection, row: Mapping[str, Any], open_limit: int) -> AddedJob:
    is_open = job_table.c.state.in_(OPEN_STATES)
    own = and_(job_table.c.person_id == row["person_id"], job_table.c.parent_id.is_(None), is_open)
    if connection.execute(select(func.count()).select_from(job_table).where(own)).scalar_one() >= open_limit:
        raise TooManyOpenJobs
    others = select(job_table.c.id).where(job_table.c.alone == row["alone"], is_open).limit(1)
    may_run = row["alone"] is None or connection.execute(others).first() is None
    connection.execute(
        insert(job_table).values(
            **row,
            state=RunState.QUEUED if may_run else RunState.WAITING,
            alone_now=row["alone"] if may_run else None,
            epoch=0,
            dispatched=False,
            attempts=0,
            failures=0,
            takeovers=0,
            lines=0,
            reads_known=False,
        )
    )
    dispatch = Dispatch(id=row["id"], epoch=0, is_child=row["parent_id"] is not None, release=row["release"])
    return AddedJob(row["id"], dispatch if may_run else None)


def mark_dispatched(database: MetadataDatabase, dispatch: Dispatch) -> None:
    """Record that the run is in the queue."""
    with database.write_transaction() as connection:
        connection.execute(update(job_table).where(_matches_epoch(dispatch)).values(dispatched=True))


def claim_run(database: MetadataDatabase, id: str, epoch: int, worker_id: str) -> JobRun | None:
    """Make the run this worker's; None: it is not to be run any more."""
    claimable = (job_table.c.id == id, job_table.c.epoch == epoch, job_table.c.state == RunState.QUEUED)
    with database.write_transaction() as connection:
        started_at = func.coalesce(job_table.c.started_at, literal(database.now(), UTCMicroseconds()))
        claim = update(job_table).where(*claimable)
        reads_known = case((job_table.c.attempts == 0, True), else_=job_table.c.reads_known)
        claim = claim.values(
            state=RunState.RUNNING, worker_id=worker_id, started_at=started_at, reads_known=reads_known
        )
        if connection.execute(claim).rowcount != 1:
            return None
        row = connection.execute(select(job_table).where(job_table.c.id == id)).one()
    return JobRun(
        id=row.id,
        epoch=row.epoch,
        name=row.name,
        person_id=row.person_id,
        key_id=row.key_id,
        grants=tuple(row.grants.split()),
        created_at=row.created_at,
        input=orjson.loads(row.input),
        attempts=row.attempts,
        failures=row.failures,
        takeovers=row.takeovers,
        parent_id=row.parent_id,
        version=row.version,
        cancelled_by=row.cancelled_by,
    )


def begin_attempt(database: MetadataDatabase, run: JobRun) -> None:
    """Count another attempt. Raises RunLost."""
    _update_current_run(database, run, attempts=job_table.c.attempts + 1, due_at=None)


def record_failure(database: MetadataDatabase, run: JobRun, due_at: datetime) -> None:
    """Count a failed attempt and set when the next one is due. Raises RunLost."""
    _update_current_run(database, run, failures=job_table.c.failures + 1, due_at=due_at)


def _update_current_run(database: MetadataDatabase, run: JobRun, **values: Any) -> None:
    with database.write_transaction() as connection:
        _lock_current_run(connection, run)
        connection.execute(update(job_table).where(job_table.c.id == run.id).values(**values))


def load_due_time(database: MetadataDatabase, run: JobRun) -> datetime | None:
    """Return when the next attempt may begin; None: now."""
    with database.read_connection() as connection:
        due_at: datetime | None = connection.execute(
            select(job_table.c.due_at).where(job_table.c.id == run.id)
        ).scalar_one()
    return due_at


def save_progress(
    database: MetadataDatabase,
    run: JobRun,
    lines: Sequence[JobLogLine],
    progress: Progress | None,
    line_limit: int,
) -> None:
    """Store lines and progress, and keep the last `line_limit` lines. Raises RunLost."""
    with database.write_transaction() as connection:
        line_count = _lock_current_run(connection, run)
        rows = [
            {"job_id": run.id, "number": number, "at": line.at, "kind": line.kind, "text": line.text}
            for number, line in enumerate(lines, line_count + 1)
        ]
        if rows:
            connection.execute(insert(job_line_table), rows)
        line_count += len(rows)
        values: dict[str, Any] = {"lines": line_count}
        if progress is not None:
            values |= {"done": progress.done, "total": progress.total}
        connection.execute(update(job_table).where(job_table.c.id == run.id).values(**values))
        old = and_(job_line_table.c.job_id == run.id, job_line_table.c.number <= line_count - line_limit)
        connection.execute(delete(job_line_table).where(old))


def load_step_result(database: MetadataDatabase, run: JobRun, name: str) -> str | None:
    """Return the encoded result of a step; None: the step is not finished."""
    step = (job_step_table.c.job_id == run.id, job_step_table.c.name == name)
    with database.read_connection() as connection:
        result: str | None = connection.execute(select(job_step_table.c.result).where(*step)).scalar_one_or_none()
    return result


def save_step_result(database: MetadataDatabase, run: JobRun, name: str, result: str) -> None:
    """Record that a step is finished. Raises RunLost."""
    with database.write_transaction() as connection:
        _lock_current_run(connection, run)
        connection.execute(insert(job_step_table).values(job_id=run.id, name=name, result=result, at=database.now()))


def save_file(database: MetadataDatabase, run: JobRun, file: JobFileData) -> None:
    """Store a file of the job, in place of one of the same name. Raises RunLost."""
    same_name = (job_file_table.c.job_id == run.id, job_file_table.c.name == file.name)
    with database.write_transaction() as connection:
        _lock_current_run(connection, run)
        connection.execute(delete(job_file_table).where(*same_name))
        connection.execute(
            insert(job_file_table).values(
                job_id=run.id,
                name=file.name,
                content_type=file.content_type,
                content=file.content,
                size=len(file.content),
                sha256=hashlib.sha256(file.content).hexdigest(),
                at=database.now(),
            )
        )


def end_run(database: MetadataDatabase, run: JobRun, end: RunResult) -> Dispatch | None:
    """Record how the run ended and return the job that waited for its exclusive key. Raises RunLost."""
    with database.write_transaction() as connection:
        _lock_current_run(connection, run)
        ended = update(job_table).where(job_table.c.id == run.id)
        connection.execute(
            ended.values(
                state=end.state,
                result=None if end.result is None else orjson.dumps(end.result).decode(),
                error=end.reason,
                ended_at=database.now(),
                alone_now=None,
                worker_id=None,
                due_at=None,
            )
        )
        exclusive_key = connection.execute(select(job_table.c.alone).where(job_table.c.id == run.id)).scalar_one()
    return None if exclusive_key is None else queue_next_exclusive(database, exclusive_key)


def queue_next_exclusive(database: MetadataDatabase, exclusive_key: str) -> Dispatch | None:
    """Queue the oldest job that waits for the key, if no job holds it. Several processes may try at once."""
    holder = select(job_table.c.id).where(job_table.c.alone_now == exclusive_key)
    waiting = (job_table.c.alone == exclusive_key, job_table.c.state == RunState.WAITING)
    oldest = select(job_table).where(*waiting).order_by(job_table.c.created_at, job_table.c.id).limit(1)
    try:
        with database.write_transaction() as connection:
            if connection.execute(holder).first() is not None:
                return None
            row = connection.execute(oldest).first()
            if row is None:
                return None
            queue = update(job_table).where(job_table.c.id == row.id, job_table.c.state == RunState.WAITING)
            queue = queue.values(state=RunState.QUEUED, alone_now=exclusive_key, dispatched=False)
            if connection.execute(queue).rowcount != 1:
                return None
    except IntegrityError:
        return None
    return Dispatch(id=row.id, epoch=row.epoch, is_child=row.parent_id is not None, release=row.release)


def requeue_run(
    database: MetadataDatabase, dispatch: Dispatch, was: RunState, release: str, *, taken_over: bool = False
) -> Dispatch | None:
    """Queue the job's next run in place of one that was given up, lost or left; None: another process did so."""
    part_of = select(job_table.c.parent_id).where(job_table.c.id == dispatch.id)
    with database.write_transaction() as connection:
        requeue = update(job_table).where(_matches_epoch(dispatch), job_table.c.state == was)
        requeue = requeue.values(
            state=RunState.QUEUED,
            epoch=dispatch.epoch + 1,
            worker_id=None,
            dispatched=False,
            release=release,
            takeovers=job_table.c.takeovers + int(taken_over),
        )
        if connection.execute(requeue).rowcount != 1:
            return None
        is_child = connection.execute(part_of).scalar_one() is not None
    return Dispatch(id=dispatch.id, epoch=dispatch.epoch + 1, is_child=is_child, release=release)


def cancel_job(database: MetadataDatabase, id: str, by: str) -> list[Dispatch]:
    """Cancel a job and its children: end those that do not run yet and request the end of those that do.

    Returns the jobs that waited for their exclusive keys.
    """
    now = database.now()
    family = (job_table.c.id == id) | (job_table.c.parent_id == id)
    not_running = and_(family, job_table.c.state.in_((RunState.WAITING, RunState.QUEUED)))
    with database.write_transaction() as connection:
        request = update(job_table).where(family, job_table.c.state.in_(OPEN_STATES), job_table.c.cancel_at.is_(None))
        connection.execute(request.values(cancel_at=now, cancelled_by=by))
        freed = connection.execute(select(job_table.c.alone_now).where(not_running)).scalars().all()
        ended = {"state": RunState.CANCELLED, "ended_at": now, "alone_now": None, "error": f"{by} cancelled it"}
        connection.execute(update(job_table).where(not_running).values(**ended, epoch=job_table.c.epoch + 1))
    queued = [queue_next_exclusive(database, exclusive_key) for exclusive_key in freed if exclusive_key is not None]
    return [dispatch for dispatch in queued if dispatch is not None]


def load_child_results(database: MetadataDatabase, ids: Sequence[str]) -> list[ChildResult]:
    """Return the results of those of these jobs that have ended."""
    ended = select(job_table).where(job_table.c.id.in_(ids), job_table.c.state.not_in(OPEN_STATES))
    with database.read_connection() as connection:
        rows = connection.execute(ended).all()
    return [
        ChildResult(
            id=row.id,
            state=RunState(row.state),
            result=None if row.result is None else orjson.loads(row.result),
            reason=row.error,
        )
        for row in rows
    ]


def add_reads(database: MetadataDatabase, run: JobRun, reads: Collection[str]) -> None:
    """Keep coordinates with the run, each once. Raises RunLost."""
    with database.write_transaction() as connection:
        _lock_current_run(connection, run)
        _insert_reads(connection, run.id, reads, by_starter=False)


def add_reads_of(database: MetadataDatabase, run: JobRun, ids: Sequence[str]) -> None:
    """Keep with the run what other jobs have read. Raises RunLost."""
    with database.write_transaction() as connection:
        _lock_current_run(connection, run)
        for id in ids:
            _inherit_reads(connection, id, run.id, by_starter=False)


def _inherit_reads(connection: Connection, from_id: str, to_id: str, *, by_starter: bool) -> None:
    """Keep with one job what another has read; where that is not known, only its starter is shown anything."""
    reads = set(connection.execute(select(job_read_table.c.coordinate).filter_by(job_id=from_id)).scalars())
    is_unknown = and_(job_table.c.reads_known.is_(False), job_table.c.attempts > 0)
    unknown = connection.execute(select(job_table.c.id).where(job_table.c.id == from_id, is_unknown)).first()
    _insert_reads(connection, to_id, reads if unknown is None else reads | {STARTER_ALONE}, by_starter=by_starter)


def _insert_reads(connection: Connection, id: str, reads: Collection[str], *, by_starter: bool) -> None:
    known = set(connection.execute(select(job_read_table.c.coordinate).filter_by(job_id=id)).scalars())
    rows = [
        {"job_id": id, "coordinate": coordinate, "by_starter": by_starter} for coordinate in sorted({*reads} - known)
    ]
    if rows:
        connection.execute(insert(job_read_table), rows)


def list_reads(connection: Connection) -> list[str]:
    """List each coordinate that any job has read, once.

    A recursion that steps from one to the next in the index: `DISTINCT` would read the reads of every job.
    """
    first = select(func.min(job_read_table.c.coordinate).label("coordinate")).cte("reads", recursive=True)
    following = select(func.min(job_read_table.c.coordinate)).where(job_read_table.c.coordinate > first.c.coordinate)
    steps = first.union_all(select(following.scalar_subquery()).where(first.c.coordinate.is_not(None)))
    return list(connection.execute(select(steps.c.coordinate).where(steps.c.coordinate.is_not(None))).scalars())


def _matches_epoch(dispatch: Dispatch) -> ColumnElement[bool]:
    return and_(job_table.c.id == dispatch.id, job_table.c.epoch == dispatch.epoch)


def _lock_current_run(connection: Connection, run: JobRun) -> int:
    """Lock the job's row and return the number of its last line. Raises RunLost where the run is not current."""
    current = select(job_table.c.lines).where(
        job_table.c.id == run.id, job_table.c.epoch == run.epoch, job_table.c.state == RunState.RUNNING
    )
    line_count = connection.execute(current.with_for_update()).scalar_one_or_none()
    if line_count is None:
        raise RunLost
    return int(line_count)
