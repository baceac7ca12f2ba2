"""Define the tables of jobs, and run database calls in threads of their own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
)

from onedoor.runtime.concurrency import build_thread_pool, run_in_thread
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.tables import METADATA, UTCMicroseconds

job_table = Table(
    "job",
    METADATA,
    Column("id", String(26), primary_key=True),
    Column("name", Text, nullable=False),
    Column("person_id", Text, nullable=False),
    Column("person_name", Text, nullable=False),
    Column("key_id", String(12)),
    Column("record_id", String(26)),
    Column("reason", Text),
    Column("idempotency_key", Text),
    Column("parent_id", String(26)),
    Column("input", Text, nullable=False),
    Column("version", String(64), nullable=False),
    Column("state", String(9), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("release", String(64), nullable=False),
    Column("dispatched", Boolean, nullable=False),
    Column("worker_id", String(26)),
    Column("alone", Text),
    Column("alone_now", Text, unique=True),
    Column("done", Float),
    Column("total", Float),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("takeovers", Integer, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("created_at", UTCMicroseconds, nullable=False),
    Column("due_at", UTCMicroseconds),
    Column("started_at", UTCMicroseconds),
    Column("ended_at", UTCMicroseconds),
    Column("cancel_at", UTCMicroseconds),
    Column("cancelled_by", Text),
    Column("result", Text),
    Column("error", Text),
    Column("reads_known", Boolean, nullable=False, server_default=false()),
    Column("grants", Text, nullable=False, server_default=""),
)

# INVARIANT: where `reads_known`, `job_read` has all that the job read; an earlier release kept nothing of it.
# INVARIANT: `alone_now` is `alone` while the job is queued or running, and null before and after.
Index("job_idempotency_unique", job_table.c.person_id, job_table.c.idempotency_key, unique=True)

Index("job_state", job_table.c.state)

Index("job_parent", job_table.c.parent_id)

Index("job_by_record", job_table.c.record_id)

job_line_table = Table(
    "job_line",
    METADATA,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", UTCMicroseconds, nullable=False),
    Column("kind", String(6), nullable=False),
    Column("text", Text, nullable=False),
)

job_step_table = Table(
    "job_step",
    METADATA,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("result", Text, nullable=False),
    Column("at", UTCMicroseconds, nullable=False),
)

job_file_table = Table(
    "job_file",
    METADATA,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("content_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("at", UTCMicroseconds, nullable=False),
)

job_read_table = Table(
    "job_read",
    METADATA,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("coordinate", Text, primary_key=True),
    Column("by_starter", Boolean, nullable=False),
)
"""The schema coordinates that the queries of a job were allowed, as `Order.total`; `by_starter`: those of the job that
started it, which its input may hold too."""

Index("job_read_coordinate", job_read_table.c.coordinate)

job_worker_table = Table(
    "job_worker",
    METADATA,
    Column("id", String(26), primary_key=True),
    Column("host", Text, nullable=False),
    Column("release", String(64), nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("since", UTCMicroseconds, nullable=False),
)

Result = TypeVar("Result")

Arguments = ParamSpec("Arguments")

DB_THREADS = 4


def _create_pool() -> ThreadPoolExecutor:
    return build_thread_pool(DB_THREADS, "jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDatabase:
    """The metadata database with threads for the calls of jobs."""

    metadata: MetadataDatabase
    pool: ThreadPoolExecutor = field(default_factory=_create_pool)

    async def run_in_db_thread(
        self,
        call: Callable[Concatenate[MetadataDatabase, Arguments], Result],
        *arguments: Arguments.args,
        **keywords: Arguments.kwargs,
    ) -> Result:
        """Return what the call gives. Once begun it runs to its end, even if nobody waits for it any more."""
        return await run_in_thread(self.pool, partial(call, self.metadata, *arguments, **keywords))

    def close(self) -> None:
        """Stop the threads once their calls have ended."""
        self.pool.shutdown(wait=True)
