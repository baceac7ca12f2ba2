"""Runs in the state: started, claimed, noted, ended, cancelled. What a run writes counts only while it holds its epoch.

All of it blocks: call it in a thread.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from onedoor.jobs.models import OPEN_STATES, ChildResult, Dispatch, JobLogLine, JobRun, JobState, RunLost, RunResult
from onedoor.jobs.tables import job_file_table, job_line_table, job_step_table, job_table
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.tables import UTCMicroseconds

MAX_TRIES = 5
"""Of a transaction that met another one about the same key."""


class IdempotencyKeyReused(Exception):
    """The idempotency key stands for another job, or for one with another input."""


class TooManyOpenJobs(Exception):
    """The person has as many jobs that have not ended as one may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFileData:
    """A file of a job."""

    name: str
    content_type: str
    content: bytes


def add_job(database: MetadataDatabase, row: Mapping[str, Any], open_limit: int) -> tuple[str, Dispatch | None]:
    """The job's id, and what is to be dispatched, if its turn is now. Raises Reused, TooMany."""
    for _ in range(MAX_TRIES):
        try:
            with database.write_transaction() as connection:
                return _insert_job(connection, row, open_limit)
        except IntegrityError:
            continue
    raise RuntimeError("a job could not be added beside others")


def _insert_job(connection: Connection, row: Mapping[str, Any], most: int) -> tuple[str, Dispatch | None]:
    if row["idempotency_key"] is not None:
        mine = and_(job_table.c.person_id == row["person_id"], job_table.c.idempotency_key == row["idempotency_key"])
        known = connection.execute(select(job_table.c.id, job_table.c.name, job_table.c.input).where(mine)).first()
        if known is not None:
            if (known.name, known.input) != (row["name"], row["input"]):
                raise IdempotencyKeyReused
            return known.id, None
    theirs = and_(
        job_table.c.person_id == row["person_id"], job_table.c.parent_id.is_(None), job_table.c.state.in_(OPEN_STATES)
    )
    if connection.execute(select(func.count()).select_from(job_table).where(theirs)).scalar_one() >= most:
        raise TooManyOpenJobs
    others = (
        select(job_table.c.id).where(job_table.c.alone == row["alone"], job_table.c.state.in_(OPEN_STATES)).limit(1)
    )
    free = row["alone"] is None or connection.execute(others).first() is None
    connection.execute(
        insert(job_table).values(
            **row, state=JobState.QUEUED if free else JobState.WAITING, alone_now=row["alone"] if free else None,
            epoch=0, dispatched=False, attempts=0, failures=0, takeovers=0, lines=0,
        )
    )  # fmt: skip
    part = row["parent_id"] is not None
    return row["id"], Dispatch(id=row["id"], epoch=0, is_child=part, release=row["release"]) if free else None


def mark_dispatched(database: MetadataDatabase, dispatch: Dispatch) -> None:
    """Notes that the queue has it."""
    with database.write_transaction() as connection:
        connection.execute(update(job_table).where(_matches_epoch(dispatch)).values(dispatched=True))


def claim_run(database: MetadataDatabase, id: str, epoch: int, worker_id: str) -> JobRun | None:
    """The run, which is then this worker's; None where it is not to be run, any more."""
    with database.write_transaction() as connection:
        mine = (job_table.c.id == id, job_table.c.epoch == epoch, job_table.c.state == JobState.QUEUED)
        begun = func.coalesce(job_table.c.started_at, literal(database.now(), UTCMicroseconds()))
        taken = update(job_table).where(*mine).values(state=JobState.RUNNING, worker_id=worker_id, started_at=begun)
        if connection.execute(taken).rowcount != 1:
            return None
        row = connection.execute(select(job_table).where(job_table.c.id == id)).one()
    return JobRun(
        id=row.id, epoch=row.epoch, name=row.name, person_id=row.person_id, key_id=row.key_id,
        created_at=row.created_at, input=orjson.loads(row.input), attempts=row.attempts, failures=row.failures,
        takeovers=row.takeovers, parent_id=row.parent_id, version=row.version,
        cancelled_by=row.cancelled_by,
    )  # fmt: skip


def begin_attempt(database: MetadataDatabase, run: JobRun) -> None:
    """Another attempt. Raises Lost."""
    with database.write_transaction() as connection:
        _require_current_run(connection, run)
        connection.execute(
            update(job_table).where(job_table.c.id == run.id).values(attempts=job_table.c.attempts + 1, due_at=None)
        )


def record_failure(database: MetadataDatabase, run: JobRun, due_at: datetime) -> None:
    """The attempt failed, and the next is due. Raises Lost."""
    with database.write_transaction() as connection:
        _require_current_run(connection, run)
        connection.execute(
            update(job_table).where(job_table.c.id == run.id).values(failures=job_table.c.failures + 1, due_at=due_at)
        )


def load_due_time(database: MetadataDatabase, run: JobRun) -> datetime | None:
    """When the next attempt may begin, where one before failed."""
    with database.read_connection() as connection:
        found: datetime | None = connection.execute(
            select(job_table.c.due_at).where(job_table.c.id == run.id)
        ).scalar_one()
    return found


def save_progress(
    database: MetadataDatabase,
    run: JobRun,
    lines: Sequence[JobLogLine],
    progress: tuple[float, float | None] | None,
    line_limit: int,
) -> None:
    """Lines and progress, of which at most `most` lines stay. Raises Lost."""
    with database.write_transaction() as connection:
        before = _require_current_run(connection, run)
        rows = [
            {"job_id": run.id, "number": before + place, "at": each.at, "kind": each.kind, "text": each.text}
            for place, each in enumerate(lines, 1)
        ]
        if rows:
            connection.execute(insert(job_line_table), rows)
        values: dict[str, Any] = {"lines": before + len(rows)}
        if progress is not None:
            values |= {"done": progress[0], "total": progress[1]}
        connection.execute(update(job_table).where(job_table.c.id == run.id).values(**values))
        old = and_(job_line_table.c.job_id == run.id, job_line_table.c.number <= before + len(rows) - line_limit)
        connection.execute(delete(job_line_table).where(old))


def load_step_result(database: MetadataDatabase, run: JobRun, name: str) -> str | None:
    """What a finished step gave."""
    with database.read_connection() as connection:
        mine = (job_step_table.c.job_id == run.id, job_step_table.c.name == name)
        found: str | None = connection.execute(select(job_step_table.c.result).where(*mine)).scalar_one_or_none()
    return found


def save_step_result(database: MetadataDatabase, run: JobRun, name: str, result: str) -> None:
    """A step is finished. Raises Lost."""
    with database.write_transaction() as connection:
        _require_current_run(connection, run)
        connection.execute(insert(job_step_table).values(job_id=run.id, name=name, result=result, at=database.now()))


def save_file(database: MetadataDatabase, run: JobRun, file: JobFileData) -> None:
    """A file of the job, in place of one of the same name. Raises Lost."""
    with database.write_transaction() as connection:
        _require_current_run(connection, run)
        connection.execute(
            delete(job_file_table).where(job_file_table.c.job_id == run.id, job_file_table.c.name == file.name)
        )
        connection.execute(
            insert(job_file_table).values(
                job_id=run.id, name=file.name, content_type=file.content_type, content=file.content,
                size=len(file.content), sha256=hashlib.sha256(file.content).hexdigest(), at=database.now(),
            )
        )  # fmt: skip


def end_run(database: MetadataDatabase, run: JobRun, end: RunResult) -> Dispatch | None:
    """It is over, and what waited for it is to be dispatched. Raises Lost."""
    with database.write_transaction() as connection:
        _require_current_run(connection, run)
        result = None if end.result is None else orjson.dumps(end.result).decode()
        connection.execute(
            update(job_table)
            .where(job_table.c.id == run.id)
            .values(
                state=end.state, result=result, error=end.reason, ended_at=database.now(), alone_now=None, worker_id=None,
                due_at=None,
            )
        )  # fmt: skip
        alone = connection.execute(select(job_table.c.alone).where(job_table.c.id == run.id)).scalar_one()
    return None if alone is None else queue_next_exclusive(database, alone)


def queue_next_exclusive(database: MetadataDatabase, exclusive_key: str) -> Dispatch | None:
    """The oldest that waits for its turn, where nobody has it; several processes may ask at once."""
    try:
        with database.write_transaction() as connection:
            if (
                connection.execute(select(job_table.c.id).where(job_table.c.alone_now == exclusive_key)).first()
                is not None
            ):
                return None
            waits = (job_table.c.alone == exclusive_key, job_table.c.state == JobState.WAITING)
            row = connection.execute(
                select(job_table).where(*waits).order_by(job_table.c.created_at, job_table.c.id).limit(1)
            ).first()
            if row is None:
                return None
            turn = update(job_table).where(job_table.c.id == row.id, job_table.c.state == JobState.WAITING)
            taken = connection.execute(
                turn.values(state=JobState.QUEUED, alone_now=exclusive_key, dispatched=False)
            ).rowcount
    except IntegrityError:
        return None
    part = row.parent_id is not None
    return Dispatch(id=row.id, epoch=row.epoch, is_child=part, release=row.release) if taken == 1 else None


def requeue_run(
    database: MetadataDatabase, dispatch: Dispatch, was: JobState, release: str, *, taken_over: bool = False
) -> Dispatch | None:
    """The job's next run, in place of one that was given up, lost or left by a dead worker; None: another did so."""
    with database.write_transaction() as connection:
        again = (
            update(job_table)
            .where(_matches_epoch(dispatch), job_table.c.state == was)
            .values(
                state=JobState.QUEUED, epoch=dispatch.epoch + 1, worker_id=None, dispatched=False, release=release,
                takeovers=job_table.c.takeovers + int(taken_over),
            )
        )  # fmt: skip
        if connection.execute(again).rowcount != 1:
            return None
        part = (
            connection.execute(select(job_table.c.parent_id).where(job_table.c.id == dispatch.id)).scalar_one()
            is not None
        )
    return Dispatch(id=dispatch.id, epoch=dispatch.epoch + 1, is_child=part, release=release)


def cancel_job(database: MetadataDatabase, id: str, by: str) -> list[Dispatch]:
    """Ends a job that does not run yet, and wishes the end of one that does, its parts too; whose turn it then is."""
    now = database.now()
    with database.write_transaction() as connection:
        those = (job_table.c.id == id) | (job_table.c.parent_id == id)
        wish = update(job_table).where(those, job_table.c.state.in_(OPEN_STATES), job_table.c.cancel_at.is_(None))
        connection.execute(wish.values(cancel_at=now, cancelled_by=by))
        still = and_(those, job_table.c.state.in_((JobState.WAITING, JobState.QUEUED)))
        freed = connection.execute(select(job_table.c.alone_now).where(still)).scalars().all()
        over = {"state": JobState.CANCELLED, "ended_at": now, "alone_now": None, "error": f"{by} cancelled it"}
        connection.execute(update(job_table).where(still).values(**over, epoch=job_table.c.epoch + 1))
    found = (queue_next_exclusive(database, each) for each in freed if each is not None)
    return [each for each in found if each is not None]


def load_child_results(database: MetadataDatabase, ids: Sequence[str]) -> list[ChildResult]:
    """What came of those that have ended."""
    with database.read_connection() as connection:
        rows = connection.execute(
            select(job_table).where(job_table.c.id.in_(ids), job_table.c.state.not_in(OPEN_STATES))
        ).all()
    return [
        ChildResult(
            id=row.id, state=JobState(row.state), result=None if row.result is None else orjson.loads(row.result),
            reason=row.error,
        )
        for row in rows
    ]  # fmt: skip


def _matches_epoch(dispatch: Dispatch) -> ColumnElement[bool]:
    return and_(job_table.c.id == dispatch.id, job_table.c.epoch == dispatch.epoch)


def _require_current_run(connection: Connection, run: JobRun) -> int:
    """The number of the job's last line, its row locked. Raises Lost where the run is not the job's any more."""
    mine = select(job_table.c.lines).where(
        job_table.c.id == run.id, job_table.c.epoch == run.epoch, job_table.c.state == JobState.RUNNING
    )
    lines = connection.execute(mine.with_for_update()).scalar_one_or_none()
    if lines is None:
        raise RunLost
    return int(lines)
