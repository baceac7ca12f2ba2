"""Serve the files of exports at /exports/<id>/<file> to whoever started the export, if they may still see them."""

import logging

import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from onedoor.audit.record import Surface
from onedoor.errors import ErrorCode, HTTPError
from onedoor.exports.job import Download, open_download
from onedoor.exports.models import ExportStopped
from onedoor.http.audited_route import AuditedRoute
from onedoor.http.key_watch import KeyRevoked
from onedoor.http.requests import READ_METHODS, RequestContext
from onedoor.http.responses import ALL_METHODS, build_common_headers
from onedoor.http.state import AppState
from onedoor.runtime.concurrency import run_unless
from onedoor.storage.database import MetadataDatabaseUnavailable

log = logging.getLogger("onedoor.http")


class ExportRoute(AuditedRoute):
    surface = Surface.EXPORT
    endpoint_records = True


router = APIRouter(route_class=ExportRoute)


@router.api_route("/exports/{path:path}", methods=ALL_METHODS)
async def download_export(request: Request) -> Response:
    """Stream a file. Raises HTTPError."""
    app_state: AppState = request.state.app_state
    context: RequestContext = request.state.context
    if request.method not in READ_METHODS:
        raise HTTPError(405, "a file is read with GET", {"allow": "GET, HEAD"})
    assert context.principal is not None
    export_id, _, file_name = request.scope["path"].removeprefix("/exports/").partition("/")
    download = None
    if app_state.export_store is not None:
        download = await open_download(
            app_state.executor, app_state.export_store, context.principal, export_id, file_name
        )
    if download is None:
        message = "there is no such file, or it is not for you: start the export again"
        raise HTTPError(404, message, code=ErrorCode.NOT_FOUND)
    return DownloadResponse(app_state, context, download)


class DownloadResponse(Response):
    """Streams a file; it counts among those of its key until its end, while its reader is waited for."""

    def __init__(self, app_state: AppState, context: RequestContext, download: Download) -> None:
        super().__init__()
        self.app_state, self.context, self.download = app_state, context, download
        self.raw_headers = [
            (b"content-type", download.file.media_type.encode()),
            (b"content-length", str(download.file.bytes).encode()),
            (b"content-disposition", f'attachment; filename="{download.file.name}"'.encode()),
            *build_common_headers(context, app_state.allowed_origins),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file. One that is not what was written is cut off, so that its reader notices."""
        if self.context.head.method == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
            return
        assert self.context.principal is not None
        with self.app_state.rate_limiter.hold_share(self.context.principal.key_id):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            revocation = self.app_state.key_watch.wait_until_revoked(self.context.principal)
            try:
                await run_unless(revocation, self._send_chunks(send))
            except (ExportStopped, KeyRevoked, MetadataDatabaseUnavailable) as stopped:
                reason = stopped.reason if isinstance(stopped, ExportStopped) else "its key opens no more"
                log.error("request %s was cut off: %s", self.context.id, orjson.dumps(reason).decode())
                return
            await send({"type": "http.response.body", "body": b""})

    async def _send_chunks(self, send: Send) -> None:
        async for chunk in self.download.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
