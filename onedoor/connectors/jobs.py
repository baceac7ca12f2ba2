"""Serve jobs, their log lines and their files as collections, of what a principal may see."""

import operator
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.exc import SQLAlchemyError

from auth.authentication import Principal
from onedoor.errors import ConnectorError
from onedoor.jobs.declarations import Job
from onedoor.jobs.service import (
    JobService,
    build_cancel_action,
    build_start_action,
    build_start_any_action,
    list_job_mutations,
    list_startable_jobs,
    list_visible_jobs,
)
from onedoor.jobs.tables import JobDatabase, job_file_table, job_line_table, job_table
from onedoor.model.catalog import Action, TopicSubscription
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Comparison, Op, Row, split_conjuncts
from onedoor.spi.scan import ScanRequest, SortKey
from onedoor.storage.database import MetadataDatabase

EQUALITY_OPS = frozenset({Op.EQ, Op.IN, Op.IS_NULL})

ORDERED_OPS = EQUALITY_OPS | {Op.LT, Op.LTE, Op.GT, Op.GTE}

TEXT_COLUMN, INTEGER_COLUMN = Column(ColumnType.TEXT, EQUALITY_OPS, True), Column(ColumnType.INTEGER, ORDERED_OPS, True)

TIME_COLUMN, FLOAT_COLUMN = Column(ColumnType.TIME, ORDERED_OPS, True), Column(ColumnType.FLOAT, ORDERED_OPS, True)

UNFILTERED_TEXT_COLUMN = Column(ColumnType.TEXT)

MAX_KEYS = 500

JOB_COLUMNS: Mapping[str, Mapping[str, Column]] = {
    "job": {
        "id": TEXT_COLUMN,
        "name": TEXT_COLUMN,
        "state": TEXT_COLUMN,
        "person_id": TEXT_COLUMN,
        "person_name": TEXT_COLUMN,
        "reason": UNFILTERED_TEXT_COLUMN,
        "parent_id": TEXT_COLUMN,
        "input": UNFILTERED_TEXT_COLUMN,
        "done": FLOAT_COLUMN,
        "total": FLOAT_COLUMN,
        "attempts": INTEGER_COLUMN,
        "created_at": TIME_COLUMN,
        "started_at": TIME_COLUMN,
        "ended_at": TIME_COLUMN,
        "cancelled_by": UNFILTERED_TEXT_COLUMN,
        "error": UNFILTERED_TEXT_COLUMN,
        "result": UNFILTERED_TEXT_COLUMN,
    },
    "job_line": {
        "job_id": TEXT_COLUMN,
        "number": INTEGER_COLUMN,
        "at": TIME_COLUMN,
        "kind": TEXT_COLUMN,
        "text": UNFILTERED_TEXT_COLUMN,
    },
    "job_file": {
        "job_id": TEXT_COLUMN,
        "name": TEXT_COLUMN,
        "content_type": TEXT_COLUMN,
        "size": INTEGER_COLUMN,
        "sha256": TEXT_COLUMN,
        "at": TIME_COLUMN,
        "text": UNFILTERED_TEXT_COLUMN,
    },
}

KEY_COLUMNS: Mapping[str, frozenset[tuple[str, ...]]] = {
    "job": frozenset({("id",), ("parent_id",), ("person_id",), ("name",)}),
    "job_line": frozenset({("job_id",), ("job_id", "number")}),
    "job_file": frozenset({("job_id",), ("job_id", "name")}),
}

JOB_CAPABILITIES: Mapping[str, Capabilities] = {
    name: Capabilities(
        columns=columns, max_keys=MAX_KEYS, key_columns=KEY_COLUMNS[name], limit=True, limit_per_key=True
    )
    for name, columns in JOB_COLUMNS.items()
}

JOB_TABLES: Mapping[str, Any] = {"job": job_table, "job_line": job_line_table, "job_file": job_file_table}

COMPARISON_OPERATORS: Mapping[Op, Callable[[Any, Any], Any]] = {
    Op.EQ: operator.eq, Op.LT: operator.lt, Op.LTE: operator.le, Op.GT: operator.gt, Op.GTE: operator.ge,
    Op.IN: lambda column, values: column.in_(values),
    Op.IS_NULL: lambda column, is_null: column.is_(None) if is_null else column.is_not(None),
}  # fmt: skip

MAX_TEXT_BYTES = 262_144
"""A larger file, or one that is no text, has no `text`."""


class JobsConnector:
    """`job`, `job_line` and `job_file`, as one principal may see them; without a principal, no row."""

    def __init__(self, job_database: JobDatabase | None, jobs: Mapping[str, Job], principal: Principal | None) -> None:
        self.job_database, self.jobs, self.principal = job_database, jobs, principal

    def capabilities(self, collection: str) -> Capabilities:
        return JOB_CAPABILITIES[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        if self.job_database is None or self.principal is None:
            return
        try:
            yield await self.job_database.run_in_db_thread(read_job_rows, request, self.jobs, self.principal)
        except SQLAlchemyError:
            raise ConnectorError("the jobs cannot be read now") from None

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def build_unbound_jobs_connector() -> JobsConnector:
    """Return the connector of no principal, for what it promises."""
    return JobsConnector(None, {}, None)


def read_job_rows(
    database: MetadataDatabase, request: ScanRequest, jobs: Mapping[str, Job], principal: Principal
) -> list[Row]:
    statement = compile_jobs_select(
        request, jobs, principal, needs_collation=database.engine.dialect.name == "postgresql"
    )
    with database.read_connection() as connection:
        rows = connection.execute(statement).all()
    if request.collection != "job_file" or "text" not in request.columns:
        return [tuple(row)[: len(request.columns)] for row in rows]
    text_place = request.columns.index("text")
    return [(*row[:text_place], _decode_file_text(row[text_place]), *row[text_place + 1 :]) for row in rows]


def _decode_file_text(content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def compile_jobs_select(
    request: ScanRequest, jobs: Mapping[str, Job], principal: Principal, *, needs_collation: bool
) -> Select[Any]:
    """Compile a scan to one statement. With `needs_collation` text is ordered by code point only where that is said."""
    is_visible = job_table.c.name.in_(list_visible_jobs(jobs, principal))
    is_own = job_table.c.person_id == principal.person_id
    inside = or_(is_visible, and_(is_own, job_table.c.name.in_(list_startable_jobs(jobs, principal))))
    table = JOB_TABLES[request.collection]
    columns = [_compile_job_column(request.collection, each, inside).label(each) for each in request.columns]
    statement = select(*columns) if columns else select(literal(1))  # rows may be wanted for their number alone
    if request.collection == "job":
        statement = statement.where(or_(is_visible, is_own))
    else:
        statement = statement.join_from(table, job_table, table.c.job_id == job_table.c.id).where(inside)
    statement = statement.where(_compile_job_filter(request.collection, request.filter))
    if request.keys is not None:
        statement = statement.where(_compile_job_keys(request))
    order = [_compile_job_sort_key(table.c[each.column], each, needs_collation) for each in request.sort]
    if request.keys is not None and request.limit is not None:
        return _limit_jobs_per_key(statement, request, order)
    return statement.order_by(*order).limit(request.limit)


def _compile_job_column(collection: str, name: str, inside: ColumnElement[bool]) -> ColumnElement[Any]:
    if (collection, name) == ("job", "result"):
        return case((inside, job_table.c.result), else_=None)
    if (collection, name) == ("job_file", "text"):
        return case((job_file_table.c.size <= MAX_TEXT_BYTES, job_file_table.c.content), else_=None)
    column: ColumnElement[Any] = JOB_TABLES[collection].c[name]
    return column


def _compile_job_filter(collection: str, predicate: Any) -> ColumnElement[bool]:
    """Compile a conjunction of comparisons, the only filters that the capabilities admit."""
    return and_(true(), *(_compile_job_comparison(collection, part) for part in split_conjuncts(predicate)))


def _compile_job_comparison(collection: str, predicate: Comparison) -> ColumnElement[bool]:
    column, value = JOB_TABLES[collection].c[predicate.column], predicate.value
    if isinstance(value, tuple):
        value = tuple(_clamp_integer(column, each) for each in value if _is_storable_text(each))
    elif not _is_storable_text(value):
        return false()
    found: ColumnElement[bool] = COMPARISON_OPERATORS[predicate.op](column, _clamp_integer(column, value))
    return found


def _compile_job_keys(request: ScanRequest) -> ColumnElement[bool]:
    assert request.keys is not None
    columns = [JOB_TABLES[request.collection].c[each] for each in request.keys.columns]
    said = (each for each in request.keys.values if all(map(_is_storable_text, each)))
    values = [tuple(map(_clamp_integer, columns, each)) for each in said]
    if len(columns) == 1:
        found: ColumnElement[bool] = columns[0].in_([each[0] for each in values])
        return found
    return tuple_(*columns).in_(values) if values else false()


def _limit_jobs_per_key(found: Select[Any], request: ScanRequest, order: Sequence[Any]) -> Select[Any]:
    """Take at most `limit` rows for each key, in one statement."""
    assert request.keys is not None
    table = JOB_TABLES[request.collection]
    place = func.row_number().over(
        partition_by=[table.c[each] for each in request.keys.columns], order_by=order or None
    )
    inner = found.add_columns(place.label("place_of_row")).subquery()
    return (
        select(*(inner.c[each] for each in request.columns))
        .where(inner.c.place_of_row <= request.limit)
        .order_by(inner.c.place_of_row)
    )


def _compile_job_sort_key(column: Any, order: SortKey, collated: bool) -> Any:
    if collated and isinstance(column.type, String):
        column = column.collate("C")
    directed = column.desc() if order.descending else column.asc()
    return directed.nulls_first() if order.nulls_first else directed.nulls_last()


def _is_storable_text(value: Any) -> bool:
    """Say whether a database could hold a text; no row has any other."""
    return not isinstance(value, str) or ("\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value))


def _clamp_integer(column: Any, value: Any) -> Any:
    """Clamp a whole number past what the column can hold: it sorts where the largest does, and equals no row's."""
    if type(value) is not int or not isinstance(column.type, Integer):
        return value
    most = 2**63 - 1 if isinstance(column.type, BigInteger) else 2**31 - 1
    return max(-most, min(value, most))


JOB_TOPIC = "Job"

MAPPINGS = (
    TypeMapping(
        type="Job",
        source="jobs",
        collection="job",
        columns={"startedBy": "person_name"},
        relationships={
            "parent": Relationship(to="Job", local="parent_id", remote="id"),
            "parts": Relationship(to="Job", local="id", remote="parent_id"),
            "lines": Relationship(to="JobLine", local="id", remote="job_id"),
            "files": Relationship(to="JobFile", local="id", remote="job_id"),
        },
    ),
    TypeMapping(type="JobLine", source="jobs", collection="job_line", key=("job_id", "number")),
    TypeMapping(type="JobFile", source="jobs", collection="job_file", key=("job_id", "name")),
)

SUBSCRIPTIONS = {"jobChanged": TopicSubscription(topic=JOB_TOPIC, argument="id")}


def build_job_actions(service: JobService) -> Mapping[str, Action]:
    """Return the actions of the mutations that start and cancel jobs."""
    return {
        "startJob": build_start_any_action(service),
        "cancelJob": build_cancel_action(service),
        **{each.mutation: build_start_action(service, each.name) for each in list_job_mutations(service.jobs)},
    }
