"""Run GraphQL requests and record each: the one path from every surface to the query engine.

A surface (HTTP, WebSocket, event stream, export, job) begins an `AuditedRequest`, has an `AuditedExecutor` execute it,
and shows nothing of the result before its record is durable. Outcome, status, log line and what a client is shown of a
failure are decided here, so they are the same on every surface.
"""

import asyncio
import hashlib
import logging
import secrets
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias, TypeVar

import orjson

from auth.authentication import Principal
from onedoor.audit.log import AuditLog, AuditLogUnavailable
from onedoor.audit.record import (
    RANDOM_BYTES,
    AuditOutcome,
    AuditRecord,
    ConnectorUsage,
    DeniedField,
    Surface,
    build_record_id,
    check_client_request_id,
    describe_unparsed,
    format_timestamp,
    hash_literals,
    hash_variables,
    normalize_document,
    to_json,
    to_line,
)
from onedoor.errors import ClientDisconnected, ErrorCode, GraphQLErrorInfo, HTTPError, RequestRejected
from onedoor.model.catalog import Catalog
from onedoor.query import engine as query_engine
from onedoor.query.authorize import is_denied, list_argument_coordinates
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine, get_partial_result
from onedoor.query.executor.state import ScanStats
from onedoor.query.planner.nodes import find_denied_members
from onedoor.query.results.complete import map_fields_by_number
from onedoor.query.selection import SelectedField
from onedoor.query.subscriptions import SubscriptionEvent
from onedoor.storage.database import MetadataDatabaseUnavailable

log = logging.getLogger("onedoor.query")

TRACEBACK_FRAMES_MAX = 12

LOG_CHARACTERS_MAX = 1_500

Result = TypeVar("Result")

CountServedBytes: TypeAlias = Callable[[ExecutionResult], int | None]
"""Counts, for a request that was only planned, the bytes its principal reads in place of data; None: they may not."""


@dataclass(slots=True, kw_only=True)
class AuditedRequest:
    """One request under way, as far as it has come: what its record will say, whatever stops it."""

    surface: Surface
    principal: Principal | None = None
    request: GraphQLRequest | None = None
    client_request_id: str | None = None
    subscription_id: str | None = None
    """The id of the record with which the subscription began that this belongs to."""
    event_count: int | None = None
    """How many events a subscription delivered, once it has ended."""
    result: ExecutionResult = field(default_factory=ExecutionResult)
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=perf_counter)
    id: str = ""
    """The id of its record."""

    def __post_init__(self) -> None:
        self.id = build_record_id(self.received_at, secrets.token_bytes(RANDOM_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What a request came to, and the errors shown in place of its result; none where the result is shown."""

    outcome: AuditOutcome
    status: int
    errors: Sequence[GraphQLErrorInfo] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    """HTTP headers that the errors call for, such as `retry-after`."""


CANCELLED = Conclusion(outcome=AuditOutcome.CANCELLED, status=499)

KEYS_UNAVAILABLE = Conclusion(
    outcome=AuditOutcome.FAILED,
    status=503,
    errors=(GraphQLErrorInfo(code=ErrorCode.INTERNAL, message="keys cannot be checked now, ask again"),),
    headers={"retry-after": "1"},
)

AUDIT_UNAVAILABLE = Conclusion(
    outcome=AuditOutcome.FAILED,
    status=503,
    errors=(
        GraphQLErrorInfo(
            code=ErrorCode.AUDIT_UNAVAILABLE,
            message="the request could not be recorded, so it is not answered; ask again",
        ),
    ),
    headers={"retry-after": "1"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedExecutor:
    """Executes and records requests, whatever surface they come from; nothing else calls the engine."""

    engine: QueryEngine
    audit_log: AuditLog
    redaction_key: bytes

    async def run(
        self,
        principal: Principal,
        request: GraphQLRequest,
        *,
        surface: Surface,
        client_request_id: str | None = None,
        count_served_bytes: CountServedBytes | None = None,
    ) -> ExecutionResult:
        """Execute a request of a surface that has no wire and return its result, once its record is durable.

        A crash is a result with one error. With `count_served_bytes` the request is only planned, and its record says
        that so many bytes were served. Raises AuditLogUnavailable.
        """
        audited = AuditedRequest(
            surface=surface, principal=principal, request=request, client_request_id=client_request_id
        )
        conclusion = await self.conclude(audited, self.execute(audited))
        result = audited.result
        if conclusion.errors:
            result.data, result.errors, result.rejected = None, conclusion.errors, True
        byte_count = 0
        if result.data is not None:
            body = orjson.dumps(result.data, option=orjson.OPT_UTC_Z)
            byte_count = len(body)
            if result.cached_plan is not None and result.cached_plan.introspection_key is not None:
                result.data = orjson.loads(body)  # what it says of the schema was JSON already
        if count_served_bytes is not None and not result.rejected:
            served = count_served_bytes(result)
            byte_count, result.rejected = served or 0, served is None
            result.data = None if served is None else {}
            conclusion = conclude_result(result)
        await self.record(audited, conclusion, byte_count)
        return result

    async def execute(self, audited: AuditedRequest, event: SubscriptionEvent | None = None) -> Conclusion:
        """Execute a request, or a subscription's request for one event; `audited` keeps the result, however it ends."""
        request = audited.request if event is None else event.request
        assert audited.principal is not None
        assert request is not None
        row_id = None if event is None else event.row_id
        try:
            audited.result = await query_engine.execute(
                self.engine, audited.principal, request, event=row_id, record_id=audited.id
            )
        except BaseException as error:
            audited.result = get_partial_result(error)
            raise
        return conclude_result(audited.result)

    async def conclude(self, audited: AuditedRequest, work: Awaitable[Result]) -> Result | Conclusion:
        """Await `work`; whatever stops it is a conclusion too.

        A request that is cancelled is recorded before the cancellation goes on.
        """
        try:
            return await work
        except asyncio.CancelledError:
            with suppress(AuditLogUnavailable):
                await asyncio.shield(self.record(audited, CANCELLED, 0))
            raise
        except Exception as error:
            return conclude_failure(audited, error)

    async def record(self, audited: AuditedRequest, conclusion: Conclusion, byte_count: int) -> None:
        """Return when the record of a request is durable. Raises AuditLogUnavailable: show nothing of its result."""
        facts = _collect_facts(audited, conclusion, byte_count)
        await self.audit_log.append_line(
            serialize_audit_record(self.engine, self.redaction_key, facts, audited.result, conclusion.outcome)
        )

    def record_nowait(self, audited: AuditedRequest, conclusion: Conclusion, byte_count: int) -> None:
        """Record a request that a limit turned away, without waiting: a flood would be waited for too."""
        facts = _collect_facts(audited, conclusion, byte_count)
        self.audit_log.append_nowait(
            build_audit_record(self.engine, self.redaction_key, facts, audited.result, conclusion.outcome)
        )


def conclude_result(result: ExecutionResult) -> Conclusion:
    """Conclude a request that the engine executed or rejected; its result is shown."""
    return Conclusion(outcome=classify_outcome(result), status=400 if result.rejected else 200)


def conclude_failure(audited: AuditedRequest, error: Exception) -> Conclusion:
    """Conclude a request that an exception stopped. What nobody expected is masked; the log says where it happened."""
    match error:
        case RequestRejected():
            audited.result.errors, audited.result.rejected = error.errors, True
            return conclude_result(audited.result)
        case HTTPError():
            return Conclusion(
                outcome=AuditOutcome.REFUSED, status=error.status, errors=(error.error,), headers=error.headers
            )
        case ClientDisconnected():
            return CANCELLED
        case MetadataDatabaseUnavailable():
            return KEYS_UNAVAILABLE
        case AuditLogUnavailable():
            return AUDIT_UNAVAILABLE
    log.error("request %s crashed: %s", audited.id, locate_error(error))
    message = f"something went wrong here; it is on record as {audited.id}"
    return Conclusion(
        outcome=AuditOutcome.CRASHED, status=500, errors=(GraphQLErrorInfo(code=ErrorCode.INTERNAL, message=message),)
    )


def classify_outcome(result: ExecutionResult) -> AuditOutcome:
    """Classify what the engine made of a request."""
    if result.rejected:
        return AuditOutcome.REFUSED
    if result.data is None and not result.plan_only:
        return AuditOutcome.FAILED
    return AuditOutcome.PARTIAL if result.errors else AuditOutcome.ANSWERED


def locate_error(error: BaseException) -> str:
    """Describe an exception in one line for the log: its class and where it was raised.

    Its message may hold values, so it is left out.
    """
    frames = traceback.extract_tb(error.__traceback__)[-TRACEBACK_FRAMES_MAX:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}"[:LOG_CHARACTERS_MAX]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """What a record says of a request beside its result."""

    id: str
    received_at: datetime
    principal: Principal | None
    request: GraphQLRequest | None
    client_request_id: str | None
    status: int
    bytes: int
    ms: float
    surface: str = Surface.GRAPHQL
    subscription: str | None = None
    """The id of the record with which the subscription began that this belongs to."""
    events: int | None = None
    """How many events a subscription delivered, once it has ended."""


def _collect_facts(audited: AuditedRequest, conclusion: Conclusion, byte_count: int) -> RequestFacts:
    return RequestFacts(
        id=audited.id,
        received_at=audited.received_at,
        principal=audited.principal,
        request=audited.request,
        client_request_id=audited.client_request_id,
        status=conclusion.status,
        bytes=byte_count,
        ms=(perf_counter() - audited.started) * 1000,
        surface=audited.surface,
        subscription=audited.subscription_id,
        events=audited.event_count,
    )


def build_audit_record(
    engine: QueryEngine, key: bytes, facts: RequestFacts, result: ExecutionResult, outcome: AuditOutcome
) -> AuditRecord:
    """Build the record of a request; `key` keys the hashes of values."""
    principal, cached_plan, catalog = facts.principal, result.cached_plan, engine.catalog
    operation_name = result.operation.name if result.operation else None
    document = _describe_document(engine, result, facts.request, key)
    fields = list(map_fields_by_number(cached_plan.fields).values()) if cached_plan else []
    served = [selected for selected in fields if result.data is not None and _is_allowed(selected, result)]
    return AuditRecord(
        id=facts.id,
        time=format_timestamp(facts.received_at),
        surface=facts.surface,
        outcome=outcome,
        status=facts.status,
        person=principal.person_id if principal else None,
        key_id=(principal.key_id or None) if principal else None,
        groups=tuple(sorted(principal.groups)) if principal else (),
        grants=principal.grants if principal else (),
        operation=operation_name.value if operation_name else None,
        document=facts.request.document_id if facts.request else None,
        operation_hash=document.get("operation_hash"),
        text=document.get("text"),
        literals=document.get("literals", ()),
        variables=hash_variables(facts.request.variables, key) if facts.request else None,
        fields=tuple(dict.fromkeys(_resolve_shown_field(catalog, selected) for selected in served)),
        fields_used=tuple(dict.fromkeys(_list_used_fields(catalog, served))),
        withheld=tuple(_list_denied_fields(fields, result)),
        sources=tuple(map(_describe_scan, result.scan_stats)),
        rows=sum(scan.row_count for scan in result.scan_stats),
        bytes=facts.bytes,
        ms=round(facts.ms, 3),
        schema_version=catalog.version,
        policy_version=catalog.version,
        client_request_id=check_client_request_id(facts.client_request_id),
        changes=tuple(result.changes),
        subscription=facts.subscription,
        events=facts.events,
    )


def serialize_audit_record(
    engine: QueryEngine, key: bytes, facts: RequestFacts, result: ExecutionResult, outcome: AuditOutcome
) -> bytes:
    """Serialize the record of a request as `to_line` does, from parts that are kept with its plan where it can.

    A record has 28 fields, of which a request that was sent before changes eleven: whole it costs 60 us, so 10.
    """
    principal, request, cached_plan = facts.principal, facts.request, result.cached_plan
    is_usual = facts.surface == Surface.GRAPHQL and not result.withheld
    if principal is None or request is None or cached_plan is None or not is_usual:
        return to_line(build_audit_record(engine, key, facts, result, outcome))
    parts_key = (result.data is not None, request.document_id)
    static_parts = cached_plan.audit_parts.get(parts_key)
    if static_parts is None:
        static_parts = cached_plan.audit_parts[parts_key] = _serialize_static_parts(engine, key, facts, result, outcome)
    before_variables, before_sources, before_client_id = static_parts
    time = format_timestamp(facts.received_at)
    head = f'{{"id":"{facts.id}","time":"{time}","surface":"{facts.surface}","outcome":"{outcome}"'
    client_request_id = check_client_request_id(facts.client_request_id)
    scans = result.scan_stats
    parts = (
        b'%b,"status":%d,' % (head.encode(), facts.status),
        _serialize_principal(engine, principal),
        before_variables,
        to_json(hash_variables(request.variables, key)) if request.variables else b"{}",
        before_sources,
        to_json([_scan_to_json(scan) for scan in scans]) if scans else b"[]",
        b',"rows":%d,"bytes":%d,"ms":%b'
        % (sum(scan.row_count for scan in scans), facts.bytes, to_json(round(facts.ms, 3))),
        before_client_id,
        b"null" if client_request_id is None else to_json(client_request_id),
        b',"changes":%b,"subscription":null,"events":null}' % _serialize_changes(result),
    )
    return b"".join(parts)


def _serialize_static_parts(
    engine: QueryEngine, key: bytes, facts: RequestFacts, result: ExecutionResult, outcome: AuditOutcome
) -> tuple[bytes, bytes, bytes]:
    """Serialize what stands between principal and variables, variables and sources, time and the client's id."""
    record = build_audit_record(engine, key, facts, result, outcome).to_json()
    document = {name: record[name] for name in ("operation", "operation_hash", "document", "text", "literals")}
    fields = {name: record[name] for name in ("fields", "fields_used", "withheld")}
    versions = {name: record[name] for name in ("schema_version", "policy_version")}
    return (
        _serialize_members(document) + b',"variables":',
        b"," + _serialize_members(fields) + b',"sources":',
        b"," + _serialize_members(versions) + b',"client_request_id":',
    )


def _serialize_principal(engine: QueryEngine, principal: Principal) -> bytes:
    cached = engine.audited_principals.get(principal.key_id)
    if cached is None or cached[0] is not principal:
        groups = tuple(sorted(principal.groups))
        members = {
            "person": principal.person_id, "key_id": principal.key_id, "groups": groups, "grants": principal.grants
        }  # fmt: skip
        cached = principal, _serialize_members(members) + b","
        engine.audited_principals[principal.key_id] = cached
    return cached[1]


def _serialize_members(value: Mapping[str, Any]) -> bytes:
    return to_json(value)[1:-1]


def _describe_scan(scan: ScanStats) -> ConnectorUsage:
    return ConnectorUsage(
        source=scan.source,
        collection=scan.collection,
        calls=scan.call_count,
        cached=scan.cached_count,
        rows=scan.row_count,
        outgrown=scan.spilled_row_count,
        ms=round(scan.milliseconds, 3),
    )


def _scan_to_json(scan: ScanStats) -> dict[str, Any]:
    """Convert as `_describe_scan(scan).to_json()` does, which costs 2 us more a scan."""
    return {
        "source": scan.source,
        "collection": scan.collection,
        "calls": scan.call_count,
        "cached": scan.cached_count,
        "rows": scan.row_count,
        "outgrown": scan.spilled_row_count,
        "ms": round(scan.milliseconds, 3),
    }


def _serialize_changes(result: ExecutionResult) -> bytes:
    return to_json([change.to_json() for change in result.changes]) if result.changes else b"[]"


def _describe_document(
    engine: QueryEngine, result: ExecutionResult, request: GraphQLRequest | None, key: bytes
) -> Mapping[str, Any]:
    if result.document is None:
        return {"text": describe_unparsed(request.query, key)} if request else {}
    cached = engine.audited_documents.get(result.document.text)
    if cached is None:
        text = normalize_document(result.document.node)
        cached = {
            "text": text,
            "operation_hash": hashlib.sha256(text.encode()).hexdigest(),
            "literals": hash_literals(result.document.node, key),
        }
        engine.audited_documents[result.document.text] = cached
    return cached


def _is_allowed(selected: SelectedField, result: ExecutionResult) -> bool:
    """Whether a field was allowed; what lies below a denied field was never decided, so never served."""
    assert result.cached_plan is not None
    decision = result.cached_plan.decisions.get(selected.number)
    return decision is not None and decision.allowed


def _resolve_shown_field(catalog: Catalog, selected: SelectedField) -> str:
    """Name the field whose values are shown: of an aggregate or a group key, the one it is computed from."""
    coordinate = (selected.parent_type, selected.name)
    return ".".join(catalog.policy.underlying_fields.get(coordinate, coordinate))


def _list_used_fields(catalog: Catalog, fields: Sequence[SelectedField]) -> Iterator[str]:
    """List the fields that the filters, orders and groupings of the served fields looked at."""
    for selected in fields:
        if selected.arguments:
            for coordinate in list_argument_coordinates(catalog.schema, selected):
                underlying = catalog.policy.underlying_fields.get(coordinate)
                if underlying is not None:
                    yield ".".join(underlying)


def _list_denied_fields(fields: Sequence[SelectedField], result: ExecutionResult) -> Iterator[DeniedField]:
    for copy in result.withheld:
        yield DeniedField(field=".".join(copy.coordinate), reason=".".join(copy.decision.coordinate))
    if result.cached_plan is None:
        return
    decisions = result.cached_plan.decisions
    for selected in fields:
        if is_denied(selected, decisions):
            reason = ".".join(decisions[selected.number].coordinate)
            yield DeniedField(field=f"{selected.parent_type}.{selected.name}", reason=reason)
    for member, decision in find_denied_members(result.cached_plan.plan, None):
        yield DeniedField(field=member.type, reason=".".join(decision.coordinate))
