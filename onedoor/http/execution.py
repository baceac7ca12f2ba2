"""RequestContext; run one request and audit it before replying."""

import asyncio
import logging
import secrets
import traceback
from collections import Counter as Counted
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from auth.authentication import Authenticator, Principal
from onedoor.audit.log import AuditLog, AuditLogUnavailable
from onedoor.audit.record import RANDOM_BYTES, AuditOutcome, build_record_id
from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.http.negotiation import JSON, HTTPError, choose_media_type
from onedoor.http.persisted_documents import PersistedDocuments, register_automatic_query
from onedoor.http.rate_limit import LimitRejection, RateLimited, RateLimiter
from onedoor.http.requests import ClientDisconnected, RequestHead, parse_head
from onedoor.http.responses import AUDIT_UNAVAILABLE, HTTPResponse, encode_response, encode_result
from onedoor.jobs.worker import JobRuntime
from onedoor.query.audited import (
    GRAPHQL_SURFACE,
    RequestFacts,
    build_audit_record,
    classify_outcome,
    serialize_audit_record,
)
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine, get_partial_result
from onedoor.query.engine import execute
from onedoor.query.subscriptions import SubscribeFunction, subscribe
from onedoor.runtime.pubsub import InMemoryEventStore, PubSub
from onedoor.storage.database import MetadataDatabaseUnavailable

CONCURRENT_EVENTS_MAX = 16
"""Events that are answered at once in this process."""


@dataclass(slots=True)
class ActiveStreams:
    """Who listens now. `leaving` is set once the door is told to stop."""

    count_by_key: Counted[str] = field(default_factory=Counted)
    """Event streams, by key."""
    event_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENT_EVENTS_MAX))
    """Left while an event is answered: one event may wake all who listen."""
    shutting_down: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """What the door needs at hand."""

    engine: QueryEngine
    authenticator: Authenticator
    audit_log: AuditLog
    redaction_key: bytes
    rate_limiter: RateLimiter
    allowed_origins: frozenset[str] = frozenset()
    """Of the web pages that may call from a browser."""
    documents: PersistedDocuments = field(default_factory=PersistedDocuments)
    pubsub: PubSub = field(default_factory=lambda: PubSub(InMemoryEventStore()))
    subscribe: SubscribeFunction = subscribe
    active_streams: ActiveStreams = field(default_factory=ActiveStreams)
    job_runtime: JobRuntime | None = None


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """One question under way, as far as it has come, or one event of a subscription."""

    id: str
    received_at: datetime
    started: float
    head: RequestHead
    address: str
    principal: Principal | None = None
    request: GraphQLRequest | None = None
    result: ExecutionResult = field(default_factory=ExecutionResult)
    surface: str = GRAPHQL_SURFACE
    subscription_id: str | None = None
    """The id with which the subscription began that this belongs to."""
    event_count: int | None = None
    """How many events there were, once it has ended."""
    outcome_if_cancelled: AuditOutcome = AuditOutcome.CANCELLED
    """What it comes to if it is cancelled now."""


def begin_request(head: RequestHead, address: str, **fields: Any) -> RequestContext:
    """From now on."""
    at = datetime.now(UTC)
    id = build_record_id(at, secrets.token_bytes(RANDOM_BYTES))
    return RequestContext(id=id, received_at=at, started=perf_counter(), head=head, address=address, **fields)


def begin_http_request(scope: Mapping[str, Any]) -> RequestContext:
    """A request, as its head says it."""
    return begin_request(parse_head(scope), read_client_address(scope))


def read_client_address(scope: Mapping[str, Any]) -> str:
    """Where it comes from."""
    host: str = (scope.get("client") or ("",))[0]
    return host


log = logging.getLogger("onedoor.door")

TRACEBACK_FRAMES = 12

LOG_CHARACTERS_MAX = 1_500

KEYS_UNAVAILABLE = GraphQLErrorInfo(code=ErrorCode.INTERNAL, message="keys cannot be checked now, ask again")


class StreamRequested(Exception):
    """The question's answer comes as a stream of events."""


async def resolve_response(
    app_state: AppState, context: RequestContext, work: Awaitable[tuple[HTTPResponse, AuditOutcome]]
) -> tuple[HTTPResponse, AuditOutcome]:
    """The reply to be, and what came of the request; whatever goes wrong is one of the two, or TurnedAway."""
    try:
        return await work
    except (RateLimited, StreamRequested):
        raise
    except ClientDisconnected:
        return respond_with_errors(app_state, context, 499, ()), AuditOutcome.CANCELLED
    except HTTPError as shut:
        return respond_with_errors(app_state, context, shut.status, (shut.error,), shut.headers), AuditOutcome.REFUSED
    except RequestRejected as refusal:
        context.result.errors, context.result.rejected = refusal.errors, True
        return respond_with_result(app_state, context), AuditOutcome.REFUSED
    except MetadataDatabaseUnavailable:
        return respond_with_errors(
            app_state, context, 503, (KEYS_UNAVAILABLE,), {"retry-after": "1"}
        ), AuditOutcome.FAILED
    except Exception as error:
        return respond_with_errors(app_state, context, 500, (report_crash(context, error),)), AuditOutcome.CRASHED


def report_crash(context: RequestContext, error: Exception) -> GraphQLErrorInfo:
    """What a client is told of what should not have happened; the log is told where."""
    log.error("request %s crashed: %s", context.id, locate_error(error))
    return GraphQLErrorInfo(
        code=ErrorCode.INTERNAL, message=f"something went wrong here; it is on record as {context.id}"
    )


def locate_error(error: BaseException) -> str:
    """One line for the log: the kind of error and where it was; its message may hold values, so it stays out."""
    frames = traceback.extract_tb(error.__traceback__)[-TRACEBACK_FRAMES:]
    places = " < ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in reversed(frames))
    return f"{type(error).__name__} at {places}"[:LOG_CHARACTERS_MAX]


async def execute_request(app_state: AppState, context: RequestContext) -> tuple[HTTPResponse, AuditOutcome]:
    """What the engine tells a caller who is known of a question that is read."""
    assert context.principal is not None
    assert context.request is not None
    try:
        context.result = await execute(app_state.engine, context.principal, context.request, record_id=context.id)
    except BaseException as error:
        context.result = get_partial_result(error)
        raise
    apply_request_extensions(app_state, context)
    return respond_with_result(app_state, context), classify_outcome(context.result)


def apply_request_extensions(app_state: AppState, context: RequestContext) -> None:
    """A valid document is kept where its digest came with it; the client is told of the record where it wishes."""
    assert context.request is not None
    if context.result.document is not None:
        register_automatic_query(app_state.documents, context.request.document_id, context.request.query)
    if context.request.extensions.get("record"):
        context.result.extensions["record"] = context.id


def respond_with_errors(
    app_state: AppState, context: RequestContext, status: int, errors: Any, headers: Any = None
) -> HTTPResponse:
    limits = app_state.engine.catalog.limits
    return encode_response(
        status, choose_media_type(context.head.accept) or JSON, errors, limits.errors_max, headers=headers
    )


def respond_with_result(app_state: AppState, context: RequestContext) -> HTTPResponse:
    return encode_result(
        context.result, choose_media_type(context.head.accept) or JSON, app_state.engine.catalog.limits.errors_max
    )


def respond_rate_limited(app_state: AppState, context: RequestContext, rejection: LimitRejection) -> HTTPResponse:
    """The reply to one too many; it is on record, but not waited for, or a flood would be waited for too."""
    found = respond_with_errors(
        app_state, context, rejection.status, (rejection.error,), {"retry-after": str(rejection.retry_after)}
    )
    visit = _build_request_facts(context, found)
    app_state.audit_log.append_nowait(
        build_audit_record(app_state.engine, app_state.redaction_key, visit, context.result, AuditOutcome.LIMITED)
    )
    return found


async def record_response(
    app_state: AppState, context: RequestContext, response: HTTPResponse, final_outcome: AuditOutcome
) -> HTTPResponse:
    """The reply, once its record is durable; in its place 503 where it cannot be made so."""
    try:
        await record_request(app_state, context, response, final_outcome)
    except AuditLogUnavailable:
        return respond_with_errors(app_state, context, 503, (AUDIT_UNAVAILABLE,), {"retry-after": "1"})
    return response


async def record_request(
    app_state: AppState, context: RequestContext, response: HTTPResponse, final_outcome: AuditOutcome
) -> None:
    """Returns when the record is durable. Raises JournalUnavailable."""
    visit = _build_request_facts(context, response)
    await app_state.audit_log.append_line(
        serialize_audit_record(app_state.engine, app_state.redaction_key, visit, context.result, final_outcome)
    )


def _build_request_facts(context: RequestContext, response: HTTPResponse) -> RequestFacts:
    return RequestFacts(
        id=context.id,
        received_at=context.received_at,
        principal=context.principal,
        request=context.request,
        client_request_id=context.head.request_id,
        status=response.status,
        bytes=len(response.body),
        ms=(perf_counter() - context.started) * 1000,
        surface=context.surface,
        subscription=context.subscription_id,
        events=context.event_count,
    )
