"""Serve jobs, their log lines and their files as collections, of what a principal may see."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    literal,
    not_,
    or_,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from auth.authentication import Principal
from auth.policy import AccessPolicy, SchemaCoordinate
from onedoor.connectors.metadata import (
    FLOAT_COLUMN,
    INTEGER_COLUMN,
    TEXT_COLUMN,
    TIME_COLUMN,
    UNFILTERED_TEXT_COLUMN,
    build_capabilities,
    compile_comparison,
    compile_key_filter,
    compile_sort_key,
    limit_per_key,
)
from onedoor.errors import ConnectorError
from onedoor.jobs.declarations import Job
from onedoor.jobs.models import RunState
from onedoor.jobs.reads import JOBS_SOURCE, ReadDenials, load_read_denials
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
from onedoor.runtime.call_context import WithheldCopy, get_call_context
from onedoor.spi.capabilities import Capabilities, Column
from onedoor.spi.predicates import Comparison, Row, split_conjuncts
from onedoor.spi.scan import ScanRequest
from onedoor.storage.database import MetadataDatabase

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
        "record_id": TEXT_COLUMN,
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
    name: build_capabilities(columns, *KEY_COLUMNS[name]) for name, columns in JOB_COLUMNS.items()
}

JOB_TABLES: Mapping[str, Any] = {"job": job_table, "job_line": job_line_table, "job_file": job_file_table}

LEFT_OUT_TYPES: Mapping[str, str] = {"job_line": "JobLine", "job_file": "JobFile"}

GUARDED_COLUMNS = frozenset({"input", "done", "total", "error", "result"})
"""The columns of `job` that may hold what the job, or the one that started it, has read."""

PRODUCT_ERROR_STATES = (RunState.CANCELLED, RunState.REFUSED)
"""The states whose `error` is a sentence of ours."""

EMPTY_INPUT = "{}"
"""Stands for an input that is not shown, which is never null."""

NO_POLICY = AccessPolicy({})

MAX_TEXT_BYTES = 262_144
"""A larger file, or one that is no text, has no `text`."""


class JobsConnector:
    """`job`, `job_line` and `job_file`, as one principal may see them; without a principal, no row."""

    def __init__(
        self,
        job_database: JobDatabase | None,
        jobs: Mapping[str, Job],
        principal: Principal | None,
        policy: AccessPolicy = NO_POLICY,
    ) -> None:
        """Serve what jobs have left to whom `policy` allows what they have read."""
        self.job_database, self.jobs, self.principal, self.policy = job_database, jobs, principal, policy

    def capabilities(self, collection: str) -> Capabilities:
        return JOB_CAPABILITIES[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        if self.job_database is None or self.principal is None:
            return
        try:
            rows, withheld = await self.job_database.run_in_db_thread(
                read_job_rows, request, self.jobs, self.principal, self.policy
            )
        except SQLAlchemyError:
            raise ConnectorError("the jobs cannot be read now") from None
        if (context := get_call_context()) is not None:
            context.withheld.update(dict.fromkeys(withheld))
        yield rows

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def build_unbound_jobs_connector() -> JobsConnector:
    """Return the connector of no principal, for what it promises."""
    return JobsConnector(None, {}, None)


class JobRows(NamedTuple):
    """Rows of a scan, and what is not shown of them."""

    rows: list[Row]
    withheld: list[WithheldCopy]


def read_job_rows(
    database: MetadataDatabase,
    request: ScanRequest,
    jobs: Mapping[str, Job],
    principal: Principal,
    policy: AccessPolicy,
) -> JobRows:
    """Read the rows that a principal may see, without what they may not see of them."""
    needs_collation = database.engine.dialect.name == "postgresql"
    with database.read_connection() as connection:
        denials = load_read_denials(connection, policy, principal)
        select_ = JobsSelect(request=request, jobs=jobs, denials=denials, needs_collation=needs_collation)
        rows = connection.execute(select_.compile()).all()
        withheld = [
            WithheldCopy(coordinate=coordinate, denials=denials.list_denials(connection, ids))
            for coordinate, ids in _find_withheld_jobs(connection, select_, rows).items()
        ]
    width = len(request.columns)
    return JobRows(rows=_decode_file_texts(request, [tuple(row)[:width] for row in rows]), withheld=withheld)


def _find_withheld_jobs(
    connection: Connection, select_: "JobsSelect", rows: Sequence[Any]
) -> Mapping[SchemaCoordinate, Collection[str]]:
    """Return the ids of the jobs of which something is not shown, by what it is."""
    jobs: dict[SchemaCoordinate, set[str]] = {
        coordinate: set(connection.execute(statement).scalars()) for coordinate, statement in select_.compile_left_out()
    }
    for place, name in enumerate(select_.guarded_columns, len(select_.request.columns)):
        jobs.setdefault(("Job", name), set()).update(row[place] for row in rows if row[place] is not None)
    return {coordinate: ids for coordinate, ids in jobs.items() if ids}


def _decode_file_texts(request: ScanRequest, rows: list[Row]) -> list[Row]:
    if request.collection != "job_file" or "text" not in request.columns:
        return rows
    place = request.columns.index("text")
    return [(*row[:place], _decode_file_text(row[place]), *row[place + 1 :]) for row in rows]


def _decode_file_text(content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsSelect:
    """The statement of one scan, for one principal.

    `needs_collation`: text is ordered by code point only where that is said.
    """

    request: ScanRequest
    jobs: Mapping[str, Job]
    denials: ReadDenials
    needs_collation: bool

    @property
    def guarded_columns(self) -> tuple[str, ...]:
        """The columns of the scan that are null in jobs that have read what the principal may not."""
        return tuple(name for name in self.request.columns if self._is_guarded(name))

    def compile(self) -> Select[Any]:
        """Select the columns of the scan and then, for each guarded column, the id of a job where it is not shown."""
        request, table = self.request, JOB_TABLES[self.request.collection]
        columns = [self._compile_column(name).label(name) for name in request.columns]
        columns += [
            case((self._is_withheld(name), job_table.c.id), else_=None).label(f"withheld_{name}")
            for name in self.guarded_columns
        ]
        statement = (
            select(*columns) if columns else select(literal(1).label("row"))
        )  # rows may be wanted for their number alone
        if request.collection == "job":
            statement = statement.where(self._is_listed())
        else:
            statement = statement.join_from(table, job_table, table.c.job_id == job_table.c.id)
            statement = statement.where(self._is_open(), not_(self.denials.deny_outcome))
        statement = statement.where(*map(self._compile_comparison, split_conjuncts(request.filter)))
        statement = statement.where(self._compile_keys())
        order = [
            compile_sort_key(self._compile_column(key.column), key, needs_collation=self.needs_collation)
            for key in request.sort
        ]
        if request.keys is not None and request.limit is not None:
            return limit_per_key(
                statement, [table.c[name] for name in request.keys.columns], order, limit=request.limit
            )
        return statement.order_by(*order).limit(request.limit)

    def compile_left_out(self) -> Iterator[tuple[SchemaCoordinate, Select[Any]]]:
        """Yield what rows are left out of, or sorted without, with the statement of the jobs that they are of."""
        request, table = self.request, JOB_TABLES[self.request.collection]
        comparisons: list[Comparison] = list(split_conjuncts(request.filter))
        if request.collection != "job":
            statement = select(job_table.c.id).distinct()
            statement = statement.join_from(table, job_table, table.c.job_id == job_table.c.id)
            statement = statement.where(*map(self._compile_comparison, comparisons), self._compile_keys())
            yield (
                (LEFT_OUT_TYPES[request.collection],),
                statement.where(self._is_open(), self.denials.deny_outcome),
            )
            return
        unguarded = [self._compile_comparison(part) for part in comparisons if not self._is_guarded(part.column)]
        used = [part.column for part in comparisons] + [key.column for key in request.sort]
        for name in dict.fromkeys(filter(self._is_guarded, used)):
            statement = select(job_table.c.id).where(self._is_listed(), *unguarded)
            yield ("Job", name), statement.where(self._compile_keys(), self._is_withheld(name))

    def _is_guarded(self, name: str) -> bool:
        return self.request.collection == "job" and name in GUARDED_COLUMNS

    def _is_own(self) -> ColumnElement[bool]:
        return job_table.c.person_id == self.denials.principal.person_id

    def _is_listed(self) -> ColumnElement[bool]:
        return or_(job_table.c.name.in_(list_visible_jobs(self.jobs, self.denials.principal)), self._is_own())

    def _is_open(self) -> ColumnElement[bool]:
        """Whether the declaration of a job shows the principal what came of it."""
        startable = list_startable_jobs(self.jobs, self.denials.principal)
        is_visible = job_table.c.name.in_(list_visible_jobs(self.jobs, self.denials.principal))
        return or_(is_visible, and_(self._is_own(), job_table.c.name.in_(startable)))

    def _is_withheld(self, name: str) -> ColumnElement[bool]:
        """Whether a guarded column has a value that is not shown for what the job has read."""
        conditions = [
            job_table.c[name].is_not(None),
            self.denials.deny_input if name == "input" else self.denials.deny_outcome,
        ]
        if name == "result":
            conditions.append(self._is_open())
        if name == "error":
            conditions.append(job_table.c.state.not_in(PRODUCT_ERROR_STATES))
        return and_(*conditions)

    def _compile_column(self, name: str) -> ColumnElement[Any]:
        if (self.request.collection, name) == ("job_file", "text"):
            return case((job_file_table.c.size <= MAX_TEXT_BYTES, job_file_table.c.content), else_=None)
        column: ColumnElement[Any] = JOB_TABLES[self.request.collection].c[name]
        if not self._is_guarded(name):
            return column
        is_shown: ColumnElement[bool] = not_(self._is_withheld(name))
        if name == "result":
            is_shown = and_(is_shown, self._is_open())
        return case((is_shown, column), else_=EMPTY_INPUT if name == "input" else None)

    def _compile_comparison(self, comparison: Comparison) -> ColumnElement[bool]:
        return compile_comparison(self._compile_column(comparison.column), comparison)

    def _compile_keys(self) -> ColumnElement[bool]:
        return compile_key_filter(JOB_TABLES[self.request.collection], self.request.keys)


JOB_TOPIC = "Job"

MAPPINGS = (
    TypeMapping(
        type="Job",
        source=JOBS_SOURCE,
        collection="job",
        columns={"startedBy": "person_name", "record": "record_id"},
        relationships={
            "parent": Relationship(to="Job", local="parent_id", remote="id"),
            "parts": Relationship(to="Job", local="id", remote="parent_id"),
            "lines": Relationship(to="JobLine", local="id", remote="job_id"),
            "files": Relationship(to="JobFile", local="id", remote="job_id"),
        },
    ),
    TypeMapping(type="JobLine", source=JOBS_SOURCE, collection="job_line", key=("job_id", "number")),
    TypeMapping(type="JobFile", source=JOBS_SOURCE, collection="job_file", key=("job_id", "name")),
)

SUBSCRIPTIONS = {"jobChanged": TopicSubscription(topic=JOB_TOPIC, argument="id")}


def build_job_actions(service: JobService) -> Mapping[str, Action]:
    """Return the actions of the mutations that start and cancel jobs."""
    return {
        "startJob": build_start_any_action(service),
        "cancelJob": build_cancel_action(service),
        **{each.mutation: build_start_action(service, each.name) for each in list_job_mutations(service.jobs)},
    }
