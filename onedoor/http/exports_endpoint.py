"""/exports/<id>/<file> as ASGI: an export's file for who started it, judged again; one record whatever comes of it."""

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import orjson

from auth.authentication import Principal
from onedoor.audit.log import AuditLogUnavailable
from onedoor.audit.record import RANDOM_BYTES, AuditOutcome, build_record_id
from onedoor.errors import ErrorCode, GraphQLErrorInfo
from onedoor.exports.audited_query import EXPORT_SURFACE, AuditedExecutor
from onedoor.exports.job import Download, open_download
from onedoor.exports.models import ExportStopped, ExportStore
from onedoor.http.endpoint import ASGISend
from onedoor.http.execution import AppState, locate_error
from onedoor.http.rate_limit import RateLimited, raise_if_rejected
from onedoor.http.requests import RequestHead, parse_head
from onedoor.http.responses import (
    AUDIT_UNAVAILABLE,
    COMMON_HEADERS,
    UNAUTHENTICATED,
    HTTPResponse,
    encode_response,
    send_response,
)
from onedoor.query.audited import RequestFacts, serialize_audit_record
from onedoor.query.context import ExecutionResult
from onedoor.storage.database import MetadataDatabaseUnavailable

log = logging.getLogger("onedoor.door")

JSON_MEDIA_TYPE = "application/json"

FILE_NOT_FOUND = GraphQLErrorInfo(
    code=ErrorCode.NOT_FOUND, message="there is no such file, or it is not for you: start the export again"
)

METHOD_NOT_ALLOWED = GraphQLErrorInfo(code=ErrorCode.BAD_REQUEST, message="a file is read with GET")

KEYS_UNAVAILABLE = GraphQLErrorInfo(code=ErrorCode.INTERNAL, message="keys cannot be checked now, ask again")

INTERNAL_ERROR = GraphQLErrorInfo(code=ErrorCode.INTERNAL, message="something went wrong here, ask again")

OUTCOME_BY_STATUS = {
    401: AuditOutcome.UNAUTHENTICATED,
    429: AuditOutcome.LIMITED,
    503: AuditOutcome.FAILED,
    500: AuditOutcome.CRASHED,
}


@dataclass(slots=True, kw_only=True)
class DownloadContext:
    """One request under way."""

    id: str
    received_at: datetime
    started: float
    head: RequestHead
    address: str
    principal: Principal | None = None


async def serve_export_file(app_state: AppState, store: ExportStore, scope: Any, send: ASGISend) -> None:
    at = datetime.now(UTC)
    coming = DownloadContext(
        id=build_record_id(at, secrets.token_bytes(RANDOM_BYTES)),
        received_at=at,
        started=perf_counter(),
        head=parse_head(scope),
        address=(scope.get("client") or ("",))[0],
    )
    if (turned := app_state.rate_limiter.check_capacity()) is not None:
        await _reject_download(app_state, coming, _build_download_error(turned.status, turned.error), send)
        return
    with app_state.rate_limiter:
        found = await _authorize_download(app_state, store, coming, scope["path"])
        if isinstance(found, HTTPResponse):
            await _reject_download(app_state, coming, found, send)
        else:
            await _stream_file(found, coming, send)


async def _authorize_download(
    app_state: AppState, store: ExportStore, context: DownloadContext, path: str
) -> Download | HTTPResponse:
    """The file, its record durable; or a reply whose record is still to be made."""
    try:
        context.principal = await app_state.authenticator.authenticate(context.head.api_key)
        if context.principal is None:
            raise_if_rejected(app_state.rate_limiter.count_failed_key(context.address))
            return _build_download_error(401, UNAUTHENTICATED, {"www-authenticate": "Bearer"})
        raise_if_rejected(app_state.rate_limiter.count_request(context.principal.key_id))
        if context.head.method != "GET":
            return _build_download_error(405, METHOD_NOT_ALLOWED, {"allow": "GET"})
        id, _, name = path.removeprefix("/exports/").partition("/")
        clerk = AuditedExecutor(
            engine=app_state.engine, audit_log=app_state.audit_log, redaction_key=app_state.redaction_key
        )
        return await open_download(clerk, store, context.principal, id, name) or _build_download_error(
            404, FILE_NOT_FOUND
        )
    except RateLimited as away:
        return _build_download_error(
            away.rejection.status, away.rejection.error, {"retry-after": str(away.rejection.retry_after)}
        )
    except MetadataDatabaseUnavailable:
        return _build_download_error(503, KEYS_UNAVAILABLE, {"retry-after": "1"})
    except AuditLogUnavailable:
        return _build_download_error(503, AUDIT_UNAVAILABLE, {"retry-after": "1"})
    except Exception as error:
        log.error("request %s crashed: %s", context.id, locate_error(error))
        return _build_download_error(500, INTERNAL_ERROR)


def _build_download_error(status: int, error: GraphQLErrorInfo, headers: Any = None) -> HTTPResponse:
    return encode_response(status, JSON_MEDIA_TYPE, (error,), 1, headers=headers)


async def _reject_download(
    app_state: AppState, context: DownloadContext, response: HTTPResponse, send: ASGISend
) -> None:
    """Who gets no file leaves a record, too; a flood's is not waited for."""
    visit = RequestFacts(
        id=context.id,
        received_at=context.received_at,
        principal=context.principal,
        request=None,
        client_request_id=context.head.request_id,
        status=response.status,
        bytes=len(response.body),
        ms=(perf_counter() - context.started) * 1000,
        surface=EXPORT_SURFACE,
    )
    made = serialize_audit_record(
        app_state.engine,
        app_state.redaction_key,
        visit,
        ExecutionResult(),
        OUTCOME_BY_STATUS.get(response.status, AuditOutcome.REFUSED),
    )
    try:
        await app_state.audit_log.append_line(made)
    except AuditLogUnavailable:
        response = _build_download_error(503, AUDIT_UNAVAILABLE, {"retry-after": "1"})
    await send_response(response, send, id=context.id, head=context.head, allowed_origins=app_state.allowed_origins)


async def _stream_file(export_download: Download, context: DownloadContext, send: ASGISend) -> None:
    """A file that turns out not to be what was written is cut off, so that its reader notices."""
    headers = [
        (b"content-type", export_download.file.media_type.encode()),
        (b"content-length", str(export_download.file.bytes).encode()),
        (b"content-disposition", f'attachment; filename="{export_download.file.name}"'.encode()),
        (b"x-request-id", context.id.encode()),
        *COMMON_HEADERS,
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        async for chunk in export_download.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except ExportStopped as stopped:
        log.error("request %s was cut off: %s", context.id, orjson.dumps(stopped.reason).decode())
        return
    await send({"type": "http.response.body", "body": b""})
