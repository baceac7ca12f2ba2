"""Let people sign in at /account/sign-in with the company's provider of OpenID Connect, for a code for their key.

The code comes in the fragment of an address, which no server and no log sees; the page exchanges it by a mutation. The
one cookie holds what belongs to an attempt, sealed, for five minutes.
"""

import asyncio
import base64
import hmac
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from hashlib import sha256

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import APIRouter, Request, Response

from auth.attribution import Attribution, load_changes
from auth.authentication import build_directory_principal, name_directory
from auth.directory import sign_in
from auth.directory.oidc_client import OidcClient, SignInAttempt, SignInRefused
from auth.directory.settings import DirectorySettings
from auth.groups import Groups
from auth.memberships import IdentitySource
from onedoor.administration.actions import describe_changes
from onedoor.audit.record import Surface
from onedoor.errors import HTTPError
from onedoor.http.audited_route import AuditedRoute
from onedoor.http.cors import Header
from onedoor.http.requests import READ_METHODS, RequestContext, parse_parameters
from onedoor.http.responses import build_common_headers, build_raw_response
from onedoor.http.state import AppState
from onedoor.http.turned_away import get_site
from onedoor.query.audited import Conclusion
from onedoor.storage.database import MetadataDatabase

ACCOUNT_PATH, SIGN_IN_PATH, CALLBACK_PATH = "/account", "/account/sign-in", "/account/callback"

COOKIE = "onedoor-sign-in"

ATTEMPT_SECONDS = 300

NONCE_BYTES = 12

REASON = "signed in"

OWN_PAGES_ALONE = frozenset[str]()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInEndpoint:
    """What signs people in."""

    client: OidcClient
    rules: sign_in.SignInRules
    database: MetadataDatabase
    address: str
    cookie_key: bytes = field(repr=False)

    def seal(self, attempt: SignInAttempt) -> str:
        """Seal an attempt, so that its browser can neither read nor change it."""
        nonce = os.urandom(NONCE_BYTES)
        content = orjson.dumps({**asdict(attempt), "until": time.time() + ATTEMPT_SECONDS})
        return base64.urlsafe_b64encode(nonce + AESGCM(self.cookie_key).encrypt(nonce, content, None)).decode()

    def open(self, sealed: str) -> SignInAttempt:
        """Open a sealed attempt. Raises SignInRefused for one that is none of ours, or too old."""
        try:
            data = base64.urlsafe_b64decode(sealed.encode())
            content = orjson.loads(AESGCM(self.cookie_key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], None))
        except (ValueError, InvalidTag):
            raise SignInRefused("this is not the sign-in that began here: sign in again") from None
        if content.pop("until") < time.time():
            raise SignInRefused("the sign-in took longer than five minutes: sign in again")
        return SignInAttempt(**content)

    def build_cookie(self, value: str, seconds: int) -> Header:
        """Build the cookie of an attempt; it comes back from another site, so it is lax."""
        secure = "; Secure" if self.address.startswith("https://") else ""
        cookie = f"{COOKIE}={value}; Max-Age={seconds}; Path={ACCOUNT_PATH}; HttpOnly; SameSite=Lax{secure}"
        return b"set-cookie", cookie.encode()


def open_sign_in_endpoint(settings: DirectorySettings, database: MetadataDatabase, groups: Groups) -> SignInEndpoint:
    """Open what signs people in. Raises ConfigurationError."""
    oidc, address = settings.oidc, settings.address.rstrip("/")
    assert oidc is not None
    return SignInEndpoint(
        client=OidcClient(oidc, f"{address}{CALLBACK_PATH}"),
        rules=sign_in.SignInRules(
            groups=groups,
            has_directory=settings.scim is not None or settings.ldap is not None,
            groups_claim=oidc.groups_claim,
            verified_claim=oidc.verified_claim,
        ),
        database=database,
        address=address,
        cookie_key=hmac.digest(database.pepper, b"sign-in", "sha256"),
    )


class SignInRoute(AuditedRoute):
    surface = Surface.SIGN_IN

    async def admit(self, app_state: AppState, context: RequestContext) -> Conclusion | None:
        """Admit anybody, so many times a minute from one address; the record names the provider until it says who."""
        refusal = app_state.rate_limiter.count_failed_key(get_site(context.head.address))
        if refusal is None:
            context.principal = build_directory_principal(IdentitySource.OIDC, context.received_at)
        return refusal

    def build_refusal(self, app_state: AppState, context: RequestContext, conclusion: Conclusion) -> Response:
        """Build a page of one sentence."""
        message = conclusion.errors[0].message if conclusion.errors else ""
        headers = [(name.encode(), value.encode()) for name, value in conclusion.headers.items()]
        return _build_text(context, conclusion.status, message, headers)


router = APIRouter(route_class=SignInRoute)


@router.api_route(SIGN_IN_PATH, methods=list(READ_METHODS))
async def begin_sign_in(request: Request) -> Response:
    """Send a browser to the provider. Raises HTTPError."""
    context: RequestContext = request.state.context
    endpoint = _get_endpoint(request)
    context.operation = "sign in"
    attempt = SignInAttempt()
    try:
        address = await endpoint.client.build_authorization_url(attempt)
    except SignInRefused as refusal:
        raise HTTPError(502, str(refusal)) from None
    return _redirect(context, address, endpoint.build_cookie(endpoint.seal(attempt), ATTEMPT_SECONDS))


@router.api_route(CALLBACK_PATH, methods=["GET"])
async def finish_sign_in(request: Request) -> Response:
    """Take a browser back from the provider, and send it to the page with a code. Raises HTTPError."""
    app_state: AppState = request.state.app_state
    context: RequestContext = request.state.context
    endpoint = _get_endpoint(request)
    context.operation = "finish sign in"
    parameters = parse_parameters(request.scope["query_string"])
    try:
        attempt = endpoint.open(request.cookies.get(COOKIE, ""))
        claims = await endpoint.client.finish(attempt, parameters)
        await app_state.executor.begin(context, [])
        signed_in = await asyncio.to_thread(
            sign_in.sign_in,
            endpoint.database,
            endpoint.rules,
            claims,
            random=sha256(f"{attempt.state}{attempt.nonce}".encode()).digest()[:16],
            attribution=Attribution(actor=name_directory(IdentitySource.OIDC), reason=REASON, record_id=context.id),
        )
    except SignInRefused as refusal:
        raise HTTPError(403, str(refusal), {"set-cookie": endpoint.build_cookie("", 0)[1].decode()}) from None
    changes = await asyncio.to_thread(load_changes, endpoint.database, [context.id])
    redaction_key = app_state.executor.redaction_key
    context.result.changes.extend(describe_changes([change for _, change in changes], redaction_key))
    return _redirect(context, f"{endpoint.address}{ACCOUNT_PATH}#code={signed_in.code}", endpoint.build_cookie("", 0))


def _get_endpoint(request: Request) -> SignInEndpoint:
    endpoint: SignInEndpoint | None = request.state.app_state.sign_in
    assert endpoint is not None
    return endpoint


def _redirect(context: RequestContext, address: str, *headers: Header) -> Response:
    location = (b"location", address.encode())
    return build_raw_response(303, (location, (b"content-length", b"0"), *_build_headers(context), *headers))


def _build_text(context: RequestContext, status: int, text: str, headers: Iterable[Header]) -> Response:
    body = text.encode()
    content = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()))
    return build_raw_response(status, (*content, *_build_headers(context), *headers), body)


def _build_headers(context: RequestContext) -> Iterable[Header]:
    """Build the headers of every answer: neither its address nor its parameters go to another site."""
    return (*build_common_headers(context, OWN_PAGES_ALONE), (b"referrer-policy", b"no-referrer"))
