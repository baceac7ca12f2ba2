"""A request and what came of it in, its one audit record out."""

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
from onedoor.query.authorize import is_denied, list_argument_coordinates
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.query.executor.state import ScanStats
from onedoor.query.planner.nodes import find_denied_members
from onedoor.query.results.complete import map_fields_by_number
from onedoor.query.selection import SelectedField

GRAPHQL_SURFACE = "graphql"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """One request as the door saw it."""

    id: str
    received_at: datetime
    principal: Principal | None
    request: GraphQLRequest | None
    client_request_id: str | None
    status: int
    bytes: int
    ms: float
    surface: str = GRAPHQL_SURFACE
    subscription: str | None = None
    """The id of the record with which what this belongs to began."""
    events: int | None = None
    """How many it was told of, once it has ended."""


def classify_outcome(result: ExecutionResult) -> AuditOutcome:
    """What came of a question that was answered, or refused."""
    if result.rejected:
        return AuditOutcome.REFUSED
    if result.data is None and not result.plan_only:
        return AuditOutcome.FAILED
    return AuditOutcome.PARTIAL if result.errors else AuditOutcome.ANSWERED


def build_audit_record(
    engine: QueryEngine, key: bytes, facts: RequestFacts, result: ExecutionResult, outcome: AuditOutcome
) -> AuditRecord:
    """`key` is what values are hashed with."""
    caller, compiled, house = facts.principal, result.cached_plan, engine.catalog
    named = result.operation.name if result.operation else None
    said = _describe_document(engine, result, facts.request, key)
    picks = list(map_fields_by_number(compiled.fields).values()) if compiled else []
    served = [each for each in picks if result.data is not None and _is_allowed(each, result)]
    return AuditRecord(
        id=facts.id,
        time=format_timestamp(facts.received_at),
        surface=facts.surface,
        outcome=outcome,
        status=facts.status,
        person=caller.person_id if caller else None,
        key_id=(caller.key_id or None) if caller else None,
        groups=tuple(sorted(caller.groups)) if caller else (),
        grants=caller.grants if caller else (),
        operation=named.value if named else None,
        document=facts.request.document_id if facts.request else None,
        operation_hash=said.get("operation_hash"),
        text=said.get("text"),
        literals=said.get("literals", ()),
        variables=hash_variables(facts.request.variables, key) if facts.request else None,
        fields=tuple(dict.fromkeys(_resolve_shown_field(house, each) for each in served)),
        fields_used=tuple(dict.fromkeys(_list_used_fields(house, served))),
        withheld=tuple(_list_denied_fields(picks, result)),
        sources=tuple(map(_describe_scan, result.scan_stats)),
        rows=sum(each.row_count for each in result.scan_stats),
        bytes=facts.bytes,
        ms=round(facts.ms, 3),
        schema_version=house.version,
        policy_version=house.version,
        client_request_id=check_client_request_id(facts.client_request_id),
        changes=tuple(result.changes),
        subscription=facts.subscription,
        events=facts.events,
    )


def serialize_audit_record(
    engine: QueryEngine, key: bytes, facts: RequestFacts, result: ExecutionResult, outcome: AuditOutcome
) -> bytes:
    """What `to_line` makes of the record; of an answer, put together from parts that were written before.

    A record has 28 fields, of which a question asked again changes eleven: written whole it costs 60 us, so 10.
    """
    caller, question, compiled = facts.principal, facts.request, result.cached_plan
    if caller is None or question is None or compiled is None or facts.surface != GRAPHQL_SURFACE:
        return to_line(build_audit_record(engine, key, facts, result, outcome))
    under = (result.data is not None, question.document_id)
    known = compiled.audit_parts.get(under)
    if known is None:
        known = compiled.audit_parts[under] = _serialize_static_parts(engine, key, facts, result, outcome)
    before, after, end = known
    head = f'{{"id":"{facts.id}","time":"{format_timestamp(facts.received_at)}","surface":"{facts.surface}","outcome":"{outcome}"'
    theirs = check_client_request_id(facts.client_request_id)
    calls = result.scan_stats
    parts = (
        b'%b,"status":%d,' % (head.encode(), facts.status),
        _serialize_principal(engine, caller),
        before,
        to_json(hash_variables(question.variables, key)) if question.variables else b"{}",
        after,
        to_json([_use_json(each) for each in calls]) if calls else b"[]",
        b',"rows":%d,"bytes":%d,"ms":%b'
        % (sum(each.row_count for each in calls), facts.bytes, to_json(round(facts.ms, 3))),
        end,
        b"null" if theirs is None else to_json(theirs),
        b',"changes":%b,"subscription":null,"events":null}' % _changes(result),
    )
    return b"".join(parts)


def _serialize_static_parts(
    engine: QueryEngine, key: bytes, facts: RequestFacts, result: ExecutionResult, outcome: AuditOutcome
) -> tuple[bytes, bytes, bytes]:
    """Of a record, what stands between the caller and the variables, then up to the sources, then after the time."""
    made = build_audit_record(engine, key, facts, result, outcome).to_json()
    before = {name: made[name] for name in ("operation", "operation_hash", "document", "text", "literals")}
    after = {name: made[name] for name in ("fields", "fields_used", "withheld")}
    end = {name: made[name] for name in ("schema_version", "policy_version")}
    return (
        _serialize_members(before) + b',"variables":',
        b"," + _serialize_members(after) + b',"sources":',
        b"," + _serialize_members(end) + b',"client_request_id":',
    )


def _serialize_principal(engine: QueryEngine, principal: Principal) -> bytes:
    known = engine.audited_principals.get(principal.key_id)
    if known is None or known[0] is not principal:
        groups = tuple(sorted(principal.groups))
        who = {"person": principal.person_id, "key_id": principal.key_id, "groups": groups, "grants": principal.grants}
        known = principal, _serialize_members(who) + b","
        engine.audited_principals[principal.key_id] = known
    return known[1]


def _serialize_members(value: Mapping[str, Any]) -> bytes:
    return to_json(value)[1:-1]


def _describe_scan(call: ScanStats) -> ConnectorUsage:
    return ConnectorUsage(
        source=call.source,
        collection=call.collection,
        calls=call.call_count,
        cached=call.cached_count,
        rows=call.row_count,
        outgrown=call.spilled_row_count,
        ms=round(call.milliseconds, 3),
    )


def _use_json(call: ScanStats) -> dict[str, Any]:
    """`_use(call).to_json()`, which costs 2 us more a call."""
    return {
        "source": call.source,
        "collection": call.collection,
        "calls": call.call_count,
        "cached": call.cached_count,
        "rows": call.row_count,
        "outgrown": call.spilled_row_count,
        "ms": round(call.milliseconds, 3),
    }


def _changes(told: ExecutionResult) -> bytes:
    return to_json([each.to_json() for each in told.changes]) if told.changes else b"[]"


def _describe_document(
    engine: QueryEngine, result: ExecutionResult, request: GraphQLRequest | None, key: bytes
) -> Mapping[str, Any]:
    if result.document is None:
        return {"text": describe_unparsed(request.query, key)} if request else {}
    known = engine.audited_documents.get(result.document.text)
    if known is None:
        text = normalize_document(result.document.node)
        known = {
            "text": text,
            "operation_hash": hashlib.sha256(text.encode()).hexdigest(),
            "literals": hash_literals(result.document.node, key),
        }
        engine.audited_documents[result.document.text] = known
    return known


def _is_allowed(field: SelectedField, result: ExecutionResult) -> bool:
    """Judged and allowed; what lies below a withheld pick was never judged, so never served."""
    assert result.cached_plan is not None
    verdict = result.cached_plan.decisions.get(field.number)
    return verdict is not None and verdict.allowed


def _resolve_shown_field(catalog: Catalog, field: SelectedField) -> str:
    """The field whose values the pick shows: of a sum, or a key of a group, the one that was summed or grouped by."""
    own = (field.parent_type, field.name)
    return ".".join(catalog.policy.underlying_fields.get(own, own))


def _list_used_fields(catalog: Catalog, fields: Sequence[SelectedField]) -> Iterator[str]:
    """The fields that filters, orders, groups and what they must have looked at, of what was served."""
    for pick in fields:
        if pick.arguments:
            touched = (
                catalog.policy.underlying_fields.get(each) for each in list_argument_coordinates(catalog.schema, pick)
            )
            yield from (".".join(each) for each in touched if each is not None)


def _list_denied_fields(fields: Sequence[SelectedField], result: ExecutionResult) -> Iterator[DeniedField]:
    assert result.cached_plan is not None or not fields
    for pick in fields:
        if result.cached_plan and is_denied(pick, result.cached_plan.decisions):
            verdict = result.cached_plan.decisions[pick.number]
            yield DeniedField(field=f"{pick.parent_type}.{pick.name}", reason=".".join(verdict.coordinate))
    for each, verdict in find_denied_members(result.cached_plan.plan, None) if result.cached_plan else ():
        yield DeniedField(field=each.type, reason=".".join(verdict.coordinate))
