"""The tables that jobs are kept in, in the state; auth/migrations makes them, and a test compares the two."""

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from auth.tables import TABLES, Moment

job = Table(
    "job",
    TABLES,
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
    Column("created_at", Moment, nullable=False),
    Column("due_at", Moment),
    Column("started_at", Moment),
    Column("ended_at", Moment),
    Column("cancel_at", Moment),
    Column("cancelled_by", Text),
    Column("result", Text),
    Column("error", Text),
)
# INVARIANT: `alone_now` is `alone` while the job is queued or running, and null before and after
Index("job_idempotency_unique", job.c.person_id, job.c.idempotency_key, unique=True)
Index("job_state", job.c.state)
Index("job_parent", job.c.parent_id)

job_line = Table(
    "job_line",
    TABLES,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("kind", String(6), nullable=False),
    Column("text", Text, nullable=False),
)

job_step = Table(
    "job_step",
    TABLES,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("result", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

job_file = Table(
    "job_file",
    TABLES,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("content_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False),
)

job_worker = Table(
    "job_worker",
    TABLES,
    Column("id", String(26), primary_key=True),
    Column("host", Text, nullable=False),
    Column("release", String(64), nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("since", Moment, nullable=False),
)
