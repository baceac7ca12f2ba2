"""Report what was done under a grant, from the audit records that carry its id."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onedoor.audit.reader import find_records
from onedoor.audit.record import AuditedChange

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRequest:
    """One request that was made under the grant."""

    record_id: str
    time: str
    surface: str
    outcome: str
    operation: str | None
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedField:
    """A field that was served, and by how many requests."""

    coordinate: str
    request_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedChange:
    """A change that a request made, as its record says it."""

    record_id: str
    change: AuditedChange


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantReport:
    """What was done under one grant, in the order in which it was; fields by name."""

    grant_id: str
    requests: Sequence[ReportedRequest]
    fields: Sequence[ReportedField]
    changes: Sequence[ReportedChange]


def load_grant_report(folder: Path, grant_id: str) -> GrantReport:
    """Read the audit log for what was done under a grant: nothing is added once it has ended. It blocks."""
    records = [record for record in find_records(folder, grant_id) if grant_id in (record.get("grants") or ())]
    return build_grant_report(grant_id, records)


def build_grant_report(grant_id: str, records: Iterable[Record]) -> GrantReport:
    """Build the report from the records of the requests, by time.

    It says nothing of events about rows that the holder of the grant did not see.
    """
    known = [record for record in records if not _is_hidden_event(record)]
    counts = Counter(field for record in known for field in dict.fromkeys(record.get("fields") or ()))
    return GrantReport(
        grant_id=grant_id,
        requests=[_describe_request(record) for record in known],
        fields=[ReportedField(coordinate=name, request_count=counts[name]) for name in sorted(counts)],
        changes=[
            ReportedChange(record_id=record["id"], change=AuditedChange.from_json(change))
            for record in known
            for change in record.get("changes") or ()
        ],
    )


def _is_hidden_event(record: Record) -> bool:
    """Whether a record is that of an event of a subscription of which nothing was delivered."""
    subscription = record.get("subscription")
    is_event = subscription not in (None, record["id"]) and record.get("events") is None
    return is_event and not record.get("bytes")


def _describe_request(record: Record) -> ReportedRequest:
    return ReportedRequest(
        record_id=record["id"],
        time=record["time"],
        surface=record["surface"],
        outcome=record["outcome"],
        operation=record.get("operation"),
        rows=record.get("rows") or 0,
    )
