"""Serve grants, and reports of what was done under them, as one principal may see them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Float, Subquery, cast, func, select, true
from sqlalchemy.exc import SQLAlchemyError

from auth.authentication import Principal
from auth.grant_store import FOR_GOOD
from auth.groups import ACCESS_REVIEW, AUDIT
from onedoor.audit.grant_report import GrantReport, load_grant_report
from onedoor.connectors.metadata import (
    INTEGER_COLUMN,
    TEXT_COLUMN,
    TIME_COLUMN,
    UNFILTERED_TEXT_COLUMN,
    build_capabilities,
    read_metadata_rows,
)
from onedoor.errors import ConfigurationError, ConnectorError
from onedoor.jobs.tables import JobDatabase
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.tables import grant_table

GRANTS_SOURCE = "grants"

GRANT_COLLECTION = "grant"

MICROSECONDS_AN_HOUR = 3_600_000_000

REVIEWING_GROUPS = frozenset({ACCESS_REVIEW, AUDIT})
"""Whose members see every grant, and every report."""

GRANT_CAPABILITIES = build_capabilities(
    {
        "id": TEXT_COLUMN,
        "group_name": TEXT_COLUMN,
        "person_id": TEXT_COLUMN,
        "state": TEXT_COLUMN,
        "requested_reason": UNFILTERED_TEXT_COLUMN,
        "requested_at": TIME_COLUMN,
        "requested_by": TEXT_COLUMN,
        "hours": Column(ColumnType.FLOAT),
        "starts_at": TIME_COLUMN,
        "decided_at": TIME_COLUMN,
        "decided_by": TEXT_COLUMN,
        "decided_reason": UNFILTERED_TEXT_COLUMN,
        "active_since": TIME_COLUMN,
        "ends_at": TIME_COLUMN,
        "fencing_token": INTEGER_COLUMN,
        "ended_at": TIME_COLUMN,
        "ended_by": TEXT_COLUMN,
        "ended_reason": UNFILTERED_TEXT_COLUMN,
        "ending": TEXT_COLUMN,
    },
    ("id",),
    ("person_id",),
    ("group_name",),
)

REPORT_KEY = "grant_id"


def _build_report_capabilities(columns: Mapping[str, ColumnType]) -> Capabilities:
    """Return what is promised of a part of reports: each is read whole, of grants that are named."""
    return Capabilities(
        columns={name: Column(type) for name, type in columns.items()},
        max_keys=20,
        key_columns=frozenset({(REPORT_KEY,)}),
        required_columns=(REPORT_KEY,),
        row_cost=10,
    )


REPORT_CAPABILITIES: Mapping[str, Capabilities] = {
    "report": _build_report_capabilities(
        {
            REPORT_KEY: ColumnType.TEXT,
            "request_count": ColumnType.INTEGER,
            "change_count": ColumnType.INTEGER,
            "rows": ColumnType.INTEGER,
        }
    ),
    "report_request": _build_report_capabilities(
        {
            REPORT_KEY: ColumnType.TEXT,
            "record": ColumnType.TEXT,
            "time": ColumnType.TIME,
            "surface": ColumnType.TEXT,
            "outcome": ColumnType.TEXT,
            "operation": ColumnType.TEXT,
            "rows": ColumnType.INTEGER,
        }
    ),
    "report_field": _build_report_capabilities(
        {REPORT_KEY: ColumnType.TEXT, "coordinate": ColumnType.TEXT, "request_count": ColumnType.INTEGER}
    ),
    "report_change": _build_report_capabilities(
        {
            REPORT_KEY: ColumnType.TEXT,
            "record": ColumnType.TEXT,
            "change": ColumnType.TEXT,
            "change_type": ColumnType.TEXT,
            "verb": ColumnType.TEXT,
            "state": ColumnType.TEXT,
        }
    ),
}

GRANT_CAPABILITIES_BY_COLLECTION: Mapping[str, Capabilities] = {
    GRANT_COLLECTION: GRANT_CAPABILITIES,
    **REPORT_CAPABILITIES,
}


def read_report(report: GrantReport) -> Iterable[Row]:
    rows = sum(request.rows for request in report.requests)
    yield report.grant_id, len(report.requests), len(report.changes), rows


def read_report_requests(report: GrantReport) -> Iterable[Row]:
    for request in report.requests:
        time = datetime.fromisoformat(request.time)
        outcome = request.outcome.upper()
        yield report.grant_id, request.record_id, time, request.surface, outcome, request.operation, request.rows


def read_report_fields(report: GrantReport) -> Iterable[Row]:
    for field in report.fields:
        yield report.grant_id, field.coordinate, field.request_count


def read_report_changes(report: GrantReport) -> Iterable[Row]:
    for reported in report.changes:
        change = reported.change
        yield report.grant_id, reported.record_id, change.id, change.type, change.verb, change.state


REPORT_READERS: Mapping[str, Callable[[GrantReport], Iterable[Row]]] = {
    "report": read_report,
    "report_request": read_report_requests,
    "report_field": read_report_fields,
    "report_change": read_report_changes,
}
"""Each gives rows with the columns of its collection, in their order."""


class GrantsConnector:
    """The grants that a principal may see, with their reports; without a principal, no row."""

    def __init__(self, database: JobDatabase | None, records_folder: Path, principal: Principal | None) -> None:
        self.database, self.records_folder, self.principal = database, records_folder, principal

    def capabilities(self, collection: str) -> Capabilities:
        return GRANT_CAPABILITIES_BY_COLLECTION[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        if self.database is None or self.principal is None:
            return
        grants = select_visible_grants(self.principal)
        try:
            if request.collection == GRANT_COLLECTION:
                yield await self.database.run_in_db_thread(read_metadata_rows, request, grants)
                return
            ids = await self.database.run_in_db_thread(list_visible_ids, grants, list_reported_ids(request))
        except SQLAlchemyError:
            raise ConnectorError("grants cannot be read now") from None
        for id in ids:
            yield await self._read_report(id, request)

    async def _read_report(self, id: str, request: ScanRequest) -> Sequence[Row]:
        try:
            report = await asyncio.to_thread(load_grant_report, self.records_folder, id)
        except (OSError, ConfigurationError):
            raise ConnectorError("the records cannot be read") from None
        names = list(REPORT_CAPABILITIES[request.collection].columns)
        places = [names.index(name) for name in request.columns]
        return [tuple(row[place] for place in places) for row in REPORT_READERS[request.collection](report)]

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def build_unbound_grants_connector() -> GrantsConnector:
    """Return the connector of no principal, for what it promises."""
    return GrantsConnector(None, Path(), None)


def select_visible_grants(principal: Principal) -> Subquery:
    """Select the grants that a principal may see: theirs, and what they asked for good; all for those who review."""
    is_theirs = grant_table.c.person_id == principal.person_id
    is_asked = (grant_table.c.requested_by == principal.person_id) & (grant_table.c.duration == FOR_GOOD)
    reviews = bool(principal.groups & REVIEWING_GROUPS)
    is_visible: ColumnElement[bool] = true() if reviews else is_theirs | is_asked
    hours = func.nullif(cast(grant_table.c.duration, Float), 0.0) / MICROSECONDS_AN_HOUR
    return select(grant_table, hours.label("hours")).where(is_visible).subquery("visible_grant")


def list_reported_ids(request: ScanRequest) -> Sequence[str]:
    """Return the ids of the grants of which a scan reads the report; the engine asks for none without naming it."""
    return [] if request.keys is None else [str(key[0]) for key in request.keys.values]


def list_visible_ids(database: MetadataDatabase, grants: Subquery, ids: Sequence[Any]) -> Sequence[str]:
    with database.read_connection() as connection:
        return list(connection.execute(select(grants.c.id).where(grants.c.id.in_(ids))).scalars())


MAPPINGS = (
    TypeMapping(
        type="AccessGrant",
        source=GRANTS_SOURCE,
        collection=GRANT_COLLECTION,
        columns={
            "group": "group_name",
            "reason": "requested_reason",
            "decisionReason": "decided_reason",
            "endReason": "ended_reason",
        },
        relationships={
            "account": Relationship(to="UserAccount", local="person_id", remote="id"),
            "report": Relationship(to="AccessReport", local="id", remote=REPORT_KEY),
        },
    ),
    TypeMapping(
        type="AccessReport",
        source=GRANTS_SOURCE,
        collection="report",
        key=(REPORT_KEY,),
        relationships={
            "requests": Relationship(to="AccessReportRequest", local=REPORT_KEY, remote=REPORT_KEY),
            "fields": Relationship(to="AccessReportField", local=REPORT_KEY, remote=REPORT_KEY),
            "changes": Relationship(to="AccessReportChange", local=REPORT_KEY, remote=REPORT_KEY),
        },
    ),
    TypeMapping(
        type="AccessReportRequest", source=GRANTS_SOURCE, collection="report_request", key=(REPORT_KEY, "record")
    ),
    TypeMapping(
        type="AccessReportField", source=GRANTS_SOURCE, collection="report_field", key=(REPORT_KEY, "coordinate")
    ),
    TypeMapping(
        type="AccessReportChange",
        source=GRANTS_SOURCE,
        collection="report_change",
        key=(REPORT_KEY, "record", "change"),
    ),
)
