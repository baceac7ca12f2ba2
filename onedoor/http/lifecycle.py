"""Take a request over HTTP or WebSocket through what every surface shares: admission, execution, recorded response."""

from onedoor.audit.log import AuditLogUnavailable
from onedoor.audit.receipts import ALGORITHM
from onedoor.audit.record import AuditOutcome
from onedoor.errors import ErrorCode, GraphQLErrorInfo
from onedoor.http.persisted_documents import register_automatic_query
from onedoor.http.rate_limit import ByteReservation
from onedoor.http.requests import RequestContext
from onedoor.http.responses import HTTPResponse, encode_conclusion
from onedoor.http.state import AppState
from onedoor.http.turned_away import get_site, is_turned_away
from onedoor.query.audited import Conclusion, conclude_unrecorded
from onedoor.runtime.loop_time import get_meter

UNAUTHENTICATED = Conclusion(
    outcome=AuditOutcome.UNAUTHENTICATED,
    status=401,
    errors=(
        GraphQLErrorInfo(
            code=ErrorCode.UNAUTHENTICATED,
            message="no valid key came with the request, send `Authorization: Bearer <key>`",
        ),
    ),
    headers={"www-authenticate": "Bearer"},
)


REVOKED = Conclusion(
    outcome=AuditOutcome.UNAUTHENTICATED,
    status=401,
    errors=(
        GraphQLErrorInfo(
            code=ErrorCode.UNAUTHENTICATED,
            message="the key was ended while this was under way, ask again with a valid one",
        ),
    ),
    headers={"www-authenticate": "Bearer"},
)


async def admit(
    app_state: AppState, context: RequestContext, reservation: ByteReservation | None = None, byte_count: int = 0
) -> Conclusion | None:
    """Find the principal of a request and count it against its key, or against its address where the key is not valid.

    `byte_count` is how many bytes it has, as far as is known; they are reserved before it waits for its turn.
    Returns a conclusion where the request goes no further. Raises MetadataDatabaseUnavailable.
    """
    context.principal = await app_state.authenticator.authenticate(context.head.api_key)
    if context.principal is None:
        return app_state.rate_limiter.count_failed_key(get_site(context.head.address)) or UNAUTHENTICATED
    key_id = context.principal.key_id
    meter = get_meter()
    if meter is not None:
        meter.key_id = key_id
    rate_limiter = app_state.rate_limiter
    refusal = (
        rate_limiter.check_loop_seconds(key_id)
        or rate_limiter.check_record_bytes(key_id, app_state.executor.record_bytes)
        or rate_limiter.count_request(key_id)
        or rate_limiter.check_share(key_id)
        or (None if reservation is None else reservation.take(key_id, byte_count))
    )
    if refusal is None and meter is not None:
        with rate_limiter.hold_share(key_id):
            await meter.wait_for_turn(byte_count)
    return refusal


async def execute_request(app_state: AppState, context: RequestContext) -> Conclusion:
    """Execute the request of an admitted principal."""
    conclusion = await app_state.executor.execute(context)
    apply_request_extensions(app_state, context)
    return conclusion


def apply_request_extensions(app_state: AppState, context: RequestContext) -> None:
    """Remember a valid document that came with its digest, and show the record's id or a receipt if asked to."""
    assert context.request is not None
    if context.result.document is not None:
        register_automatic_query(app_state.documents, context.request.document_id, context.request.query)
    if context.request.extensions.get("record"):
        context.result.extensions["record"] = context.id
    if context.request.extensions.get("receipt"):
        context.result.extensions["receipt"] = {"record": context.id, "algorithm": ALGORITHM}


async def record_response(app_state: AppState, context: RequestContext, conclusion: Conclusion) -> HTTPResponse:
    """Return the response to a request once its record is durable, and a 503 in its place where it cannot be."""
    errors_max = app_state.limits.errors_max
    response = encode_conclusion(context, conclusion, errors_max)
    context.digest = response.digest
    try:
        if is_turned_away(context, conclusion):
            await app_state.turned_away.record(context, conclusion, len(response.body))
        else:
            await app_state.executor.record(context, conclusion, len(response.body))
    except AuditLogUnavailable:
        return encode_conclusion(context, conclude_unrecorded(context), errors_max)
    return response
