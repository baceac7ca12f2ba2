"""Serve SCIM 2.0 at /scim/v2 to the company's directory: its own credential, its own limits, each request on record."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil, inf
from time import monotonic

import orjson
from fastapi import APIRouter, Request, Response
from scim2_models import Error
from scim2_server.requests import ScimRequest

from auth.attribution import SubjectChange, load_changes
from auth.authentication import build_directory_principal
from auth.directory.reports import RemovalLimits
from auth.directory.scim_service import BULK_BYTES_MAX, ScimServer
from auth.directory.scim_storage import ScimDirectory, confirm_scim_memberships
from auth.directory.settings import DirectorySettings
from auth.groups import Groups
from auth.key_format import hash_secret
from auth.memberships import IdentitySource
from onedoor.administration.actions import describe_changes
from onedoor.audit.record import Surface
from onedoor.errors import ConfigurationError
from onedoor.http.audited_route import AuditedRoute
from onedoor.http.lifecycle import UNAUTHENTICATED
from onedoor.http.rate_limit import SlidingWindow, build_limit_conclusion
from onedoor.http.requests import RequestContext, parse_parameters, read_body
from onedoor.http.responses import ALL_METHODS, build_common_headers, build_raw_response
from onedoor.http.state import AppState
from onedoor.http.turned_away import get_site
from onedoor.query.audited import Conclusion
from onedoor.runtime.loop_time import get_meter
from onedoor.storage.database import MetadataDatabase

PATH = "/scim/v2"

LIMIT_NAME = "directory.scim.requests_a_minute"

TOKEN_CHARACTERS_MIN = 32

CONFIRM_SECONDS = 60.0

MEDIA_TYPE = (b"content-type", b"application/scim+json")

ENDPOINTS = ("", "Users", "Groups", "Bulk", "Me", "Schemas", "ResourceTypes", "ServiceProviderConfig", ".search")

OWN_PAGES_ALONE = frozenset[str]()
"""The origins of web pages that read this: none does."""


@dataclass(slots=True)
class ScimEndpoint:
    """What serves the directory of this process, and counts its requests."""

    server: ScimServer
    requests: SlidingWindow
    confirmed_at: float = -inf
    """When a request last confirmed the memberships, by the clock of the process."""

    async def confirm_memberships(self) -> None:
        """Confirm the memberships, at most once in CONFIRM_SECONDS: who pushes would have said what has changed."""
        if monotonic() - self.confirmed_at >= CONFIRM_SECONDS:
            self.confirmed_at = monotonic()
            await asyncio.to_thread(confirm_scim_memberships, self.server.directory)

    def count_request(self) -> Conclusion | None:
        """Count a request; conclude one that is over the limit, which does not count."""
        seconds = self.requests.try_acquire("")
        if seconds is None:
            return None
        retry_after = max(1, ceil(seconds))
        remedy = f"come again in {retry_after} s"
        return build_limit_conclusion(
            "requests a minute", LIMIT_NAME, self.requests.limit, remedy, retry_after=retry_after
        )


def open_scim_endpoint(settings: DirectorySettings, database: MetadataDatabase, groups: Groups) -> ScimEndpoint:
    """Open what serves SCIM. Raises ConfigurationError for a token that is too short to be a secret."""
    assert settings.scim is not None
    if len(settings.scim.token) < TOKEN_CHARACTERS_MIN:
        raise ConfigurationError(
            f"`directory.scim.token` is too short: take at least {TOKEN_CHARACTERS_MIN} random characters"
        )
    directory = ScimDirectory(
        database=database,
        groups=groups,
        limits=RemovalLimits(percent=settings.removed_percent, people=settings.removed_people),
        attributes=settings.scim.attributes,
    )
    server = ScimServer(directory, hash_secret(database.pepper, settings.scim.token))
    return ScimEndpoint(server, SlidingWindow(settings.scim.requests_a_minute, monotonic))


class ScimRoute(AuditedRoute):
    surface = Surface.SCIM

    async def admit(self, app_state: AppState, context: RequestContext) -> Conclusion | None:
        """Admit whoever holds the credential of the directory, within its own limits."""
        scim = app_state.scim
        assert scim is not None
        if not scim.server.is_authentic(context.head.api_key):
            return app_state.rate_limiter.count_failed_key(get_site(context.head.address)) or UNAUTHENTICATED
        context.principal = build_directory_principal(IdentitySource.SCIM, context.received_at)
        meter = get_meter()
        if meter is not None:
            meter.key_id = context.principal.key_id
        return app_state.rate_limiter.check_loop_seconds(context.principal.key_id) or scim.count_request()

    def build_refusal(self, app_state: AppState, context: RequestContext, conclusion: Conclusion) -> Response:
        """Build a response as RFC 7644, section 3.12, says."""
        detail = conclusion.errors[0].message if conclusion.errors else None
        body = orjson.dumps(Error(status=conclusion.status, detail=detail).model_dump())
        headers = [(name.encode(), value.encode()) for name, value in conclusion.headers.items()]
        return _build_response(context, conclusion.status, body, headers)


router = APIRouter(route_class=ScimRoute)


@router.api_route(PATH, methods=ALL_METHODS)
@router.api_route(PATH + "/{path:path}", methods=ALL_METHODS)
async def serve_scim(request: Request) -> Response:
    """Answer one request of the directory. Raises HTTPError, ClientDisconnected, MetadataDatabaseUnavailable."""
    app_state: AppState = request.state.app_state
    context: RequestContext = request.state.context
    assert app_state.scim is not None
    scim = app_state.scim.server
    scim_request = await _read_request(request, app_state, context)
    context.operation = name_operation(scim_request)
    key = app_state.executor.redaction_key

    async def begin(change: SubjectChange) -> None:
        await app_state.executor.begin(context, describe_changes([change], key, "BEGUN"))

    exchange = scim.open_exchange(context.id, begin)
    try:
        response = await exchange.serve(scim_request)
        await app_state.scim.confirm_memberships()
    finally:
        changes = await asyncio.to_thread(load_changes, scim.directory.database, [context.id])
        context.result.changes.extend(describe_changes([change for _, change in changes], key))
    body = b"" if response.body is None else orjson.dumps(response.body)
    headers = [
        (name.lower().encode(), value.encode())
        for name, value in response.headers.items()
        if name.lower() not in ("content-type", "cache-control")
    ]
    return _build_response(context, int(response.status), body, headers)


async def _read_request(request: Request, app_state: AppState, context: RequestContext) -> ScimRequest:
    scope = request.scope
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    host = next((value for name, value in headers if name.lower() == "host"), "")
    limits = replace(app_state.limits, body_bytes=BULK_BYTES_MAX)
    return ScimRequest(
        method=scope["method"],
        base_url=f"{scope['scheme']}://{host}{scope.get('root_path', '')}{PATH}",
        path=scope["path"].removeprefix(PATH).removesuffix(".scim"),
        query=parse_parameters(scope["query_string"]),
        headers=headers,
        body=await read_body(context.head, request.receive, limits),
    )


def name_operation(request: ScimRequest) -> str:
    """Name what a request does, for its record, in none of its own words."""
    endpoint = request.path.strip("/").partition("/")[0]
    return f"scim {request.method} {endpoint if endpoint in ENDPOINTS else 'elsewhere'}"


def _build_response(
    context: RequestContext, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()
) -> Response:
    common = build_common_headers(context, OWN_PAGES_ALONE)
    content = () if status in (204, 304) else (MEDIA_TYPE, (b"content-length", str(len(body)).encode()))
    return build_raw_response(status, (*content, *common, *headers), b"" if context.head.method == "HEAD" else body)
