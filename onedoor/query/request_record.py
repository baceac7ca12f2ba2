"""Build the audit record of a request from what is known of it and from its result."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auth.authentication import Principal
from onedoor.audit.record import (
    AuditOutcome,
    AuditRecord,
    ConnectorUsage,
    DeniedField,
    Surface,
    check_client_request_id,
    describe_unparsed,
    format_timestamp,
    hash_literals,
    hash_variables,
    normalize_document,
    to_json,
    to_line,
)
from onedoor.model.catalog import Catalog
from onedoor.query.authorize import is_denied, list_argument_coordinates, list_denied_coordinates
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.query.executor.state import ScanStats
from onedoor.query.planner.nodes import find_denied_members
from onedoor.query.results.complete import map_fields_by_number
from onedoor.query.selection import SelectedField


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
    operation: str | None = None
    """What was done, where no GraphQL operation says so."""
    subscription: str | None = None
    """The id of the record with which the subscription began that this belongs to."""
    events: int | None = None
    """How many events a subscription delivered, once it has ended."""
    count: int = 1
    """How many requests the record stands for."""
    digest: str | None = None
    """The digest of the `data` that the client is sent, and the salt beside it."""
    salt: str | None = None


def build_audit_record(
    engine: QueryEngine, key: bytes, facts: RequestFacts, result: ExecutionResult, outcome: AuditOutcome
) -> AuditRecord:
    """Build the record of a request; `key` keys the hashes of values."""
    principal, cached_plan = facts.principal, result.cached_plan
    catalog = engine.catalog if cached_plan is None else cached_plan.catalog
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
        secret=principal.secret if principal else None,
        groups=tuple(sorted(principal.groups)) if principal else (),
        grants=tuple(grant.id for grant in principal.grants) if principal else (),
        operation=operation_name.value if operation_name else facts.operation,
        document=facts.request.document_id if facts.request else None,
        operation_hash=document.get("operation_hash"),
        text=document.get("text"),
        literals=document.get("literals", ()),
        variables=hash_variables(facts.request.variables, key) if facts.request else None,
        fields=tuple(dict.fromkeys(_resolve_shown_field(catalog, selected) for selected in served)),
        fields_used=tuple(dict.fromkeys(_list_used_fields(catalog, served))),
        withheld=tuple(_list_denied_fields(fields, result)),
        attempted=tuple(dict.fromkeys(_list_attempted_fields(catalog, principal, fields, result))),
        sources=tuple(map(_describe_scan, result.scan_stats)),
        rows=result.row_count,
        bytes=facts.bytes,
        ms=round(facts.ms, 3),
        schema_version=catalog.version,
        policy_version=catalog.version,
        client_request_id=check_client_request_id(facts.client_request_id),
        changes=tuple(result.changes),
        subscription=facts.subscription,
        events=facts.events,
        count=facts.count,
        digest=facts.digest,
        salt=facts.salt,
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
    before_variables, before_sources, before_client_id, end = static_parts
    time = format_timestamp(facts.received_at)
    head = f'{{"id":"{facts.id}","time":"{time}","surface":"{facts.surface}","outcome":"{outcome}"'
    client_request_id = check_client_request_id(facts.client_request_id)
    scans = result.scan_stats
    parts = (
        b'%b,"status":%d,' % (head.encode(), facts.status),
        b"" if facts.digest is None else b'"digest":"%b",' % facts.digest.encode(),
        _serialize_principal(engine, principal),
        before_variables,
        to_json(hash_variables(request.variables, key)) if request.variables else b"{}",
        before_sources,
        to_json([_scan_to_json(scan) for scan in scans]) if scans else b"[]",
        b',"rows":%d,"bytes":%d,"ms":%b' % (result.row_count, facts.bytes, to_json(round(facts.ms, 3))),
        before_client_id,
        b"null" if client_request_id is None else to_json(client_request_id),
        b',"changes":%b,"subscription":null,"events":null' % _serialize_changes(result),
        end,
        b"}" if facts.salt is None else b',"salt":"%b"}' % facts.salt.encode(),
    )
    return b"".join(parts)


def _serialize_static_parts(
    engine: QueryEngine, key: bytes, facts: RequestFacts, result: ExecutionResult, outcome: AuditOutcome
) -> tuple[bytes, bytes, bytes, bytes]:
    """Serialize the parts before the variables, the sources and the client's id, and the end."""
    record = build_audit_record(engine, key, facts, result, outcome).to_json()
    document = {name: record[name] for name in ("operation", "operation_hash", "document", "text", "literals")}
    fields = {name: record[name] for name in ("fields", "fields_used", "withheld")}
    versions = {name: record[name] for name in ("schema_version", "policy_version")}
    return (
        _serialize_members(document) + b',"variables":',
        b"," + _serialize_members(fields) + b',"sources":',
        b"," + _serialize_members(versions) + b',"client_request_id":',
        b',"attempted":' + to_json(record["attempted"]) if "attempted" in record else b"",
    )


def _serialize_principal(engine: QueryEngine, principal: Principal) -> bytes:
    cached = engine.audited_principals.get(principal.key_id)
    if cached is None or cached[0] is not principal:
        groups, grants = tuple(sorted(principal.groups)), tuple(grant.id for grant in principal.grants)
        secret = {} if principal.secret is None else {"secret": principal.secret}
        members = {
            "person": principal.person_id, "key_id": principal.key_id, **secret, "groups": groups, "grants": grants
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
        for denial in copy.denials:
            yield DeniedField(field=".".join(copy.coordinate), reason=".".join(denial.coordinate))
    if result.cached_plan is None:
        return
    decisions = result.cached_plan.decisions
    for selected in fields:
        if is_denied(selected, decisions):
            reason = ".".join(decisions[selected.number].coordinate)
            yield DeniedField(field=f"{selected.parent_type}.{selected.name}", reason=reason)
    for member, decision in find_denied_members(result.cached_plan.plan, None):
        yield DeniedField(field=member.type, reason=".".join(decision.coordinate))


def _list_attempted_fields(
    catalog: Catalog, principal: Principal | None, fields: Sequence[SelectedField], result: ExecutionResult
) -> Iterator[str]:
    """List the guarded fields that denied fields, or their filters, orders, groups and inputs, would have looked at."""
    for denial in (denial for copy in result.withheld for denial in copy.denials if denial.unmet is not None):
        yield ".".join(catalog.policy.underlying_fields.get(denial.coordinate, denial.coordinate))
    if principal is None or result.cached_plan is None:
        return
    decisions = result.cached_plan.decisions
    for selected in fields:
        is_allowed = selected.number in decisions and decisions[selected.number].allowed
        if is_allowed or selected.name.startswith("__"):
            continue
        for coordinate in list_denied_coordinates(catalog.schema, catalog.policy, selected, principal.groups):
            underlying = catalog.policy.underlying_fields.get(coordinate)
            # what lies below a denied field has no decision of its own; of it, fields that hold values are named
            if underlying or coordinate[0] in catalog.mappings or selected.number in decisions:
                yield ".".join(underlying or coordinate)
