"""Call Google Drive as a service account, and map its errors."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson
from google.auth.crypt import RSASigner
from google.auth.jwt import encode
from yarl import URL

from onedoor.connectors.http_client import (
    CLOCK_SKEW_MESSAGE,
    UNREADABLE,
    BoundedHttpClient,
    HttpLimits,
    HttpService,
    StatusError,
    build_unreadable_response_error,
    is_clock_skewed,
    map_call_error,
    map_http_error,
    parse_seconds_header,
    read_body,
    read_prefix,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.quota import ConnectorRateLimiters

OK, CREATED, PARTIAL, RESUME_INCOMPLETE = 200, 201, 206, 308

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, GONE, RANGE_NOT_SATISFIABLE, TOO_MANY_REQUESTS, SERVER_ERROR = (
    401,
    403,
    404,
    410,
    416,
    429,
    500,
)

ERROR_NAME_PATTERN = re.compile(r"[A-Za-z_]{1,60}")
"""The form of Google's own names for errors; anything else is not passed on."""

RATE_LIMIT_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"})

CALL_REFUSED = StatusError(message="refused the call with {cause}")

DRIVE = HttpService(
    name="drive", status_errors={403: CALL_REFUSED, 4: CALL_REFUSED, 3: UNREADABLE, 2: UNREADABLE, 1: UNREADABLE}
)


def map_drive_error(error: Exception, timeout: float) -> ConnectorError:
    """Map an exception of a call. `timeout` is in seconds."""
    return map_call_error(error, DRIVE, timeout)


def map_drive_status(status: int, payload: Any) -> ConnectorError:
    """Map a status that is no success; `payload` is the JSON that came with it, None where there was none."""
    error_name = parse_error_reason(payload)
    if is_rate_limited(status, error_name):
        return map_http_error(TOO_MANY_REQUESTS, DRIVE)
    return map_http_error(status, DRIVE, error_name=error_name)


def map_token_error(status: int, payload: Any, date: str | None) -> ConnectorError:
    """Map a status of the token endpoint; OAuth names its errors in another way. `date`: the header of the response."""
    if status >= SERVER_ERROR or status == TOO_MANY_REQUESTS:
        return ConnectorError(f"google gave no token, HTTP status {status}", retryable=True)
    if is_clock_skewed(date):
        return ConnectorError(f"google refused the service account: {CLOCK_SKEW_MESSAGE}")
    name = payload.get("error") if isinstance(payload, dict) else None
    known = isinstance(name, str) and ERROR_NAME_PATTERN.fullmatch(name)
    return ConnectorError("google refused the service account" + (f" with `{name}`" if known else ""))


def is_rate_limited(status: int, error_name: str | None) -> bool:
    """Tell whether Drive asks to slow down, for which it uses two statuses."""
    return status == TOO_MANY_REQUESTS or (status == FORBIDDEN and error_name in RATE_LIMIT_REASONS)


def parse_error_reason(payload: Any) -> str | None:
    """Return Google's name for the error, None when the response has none."""
    match payload:
        case {"error": {"errors": [{"reason": str(name)}, *_]}} if ERROR_NAME_PATTERN.fullmatch(name):
            return name
    return None


def build_unreadable_error() -> ConnectorError:
    return build_unreadable_response_error(DRIVE)


def build_missing_file_error() -> ConnectorError:
    return ConnectorError("drive has no such file, or the settings do not open it", ErrorCode.SOURCE_INVALID)


JWT_BEARER_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"

ASSERTION_SECONDS = 3600
"""The life of an assertion; Google accepts no longer one."""

TOKEN_EXPIRY_MARGIN_SECONDS = 60
"""How long before its end a token is no longer used."""

TOKEN_RESPONSE_MAX_BYTES = 65_536
"""The limit of one response of the token endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """A service account: `subject` is the user on whose behalf it calls, None for itself."""

    email: str
    signer: Any = field(repr=False)
    subject: str | None
    scope: str
    token_url: str


def parse_service_account(text: str, *, subject: str | None, scope: str, endpoint: str | None) -> ServiceAccount:
    """Parse the JSON that Google gives out with a key. Raises ValueError, which repeats nothing of it."""
    try:
        key = json.loads(text)
        email, signer = key["client_email"], RSASigner.from_service_account_info(key)
        url = key.get("token_uri", GOOGLE_TOKEN_URL) if endpoint is None else f"{endpoint}/token"
        secure = endpoint is not None or url.startswith("https://")
    except Exception:
        raise ValueError(
            "`service_account_key` is no key of a service account: give the JSON that Google made"
        ) from None
    if not isinstance(email, str) or not secure:
        raise ValueError("`service_account_key` must name a `client_email`, and a `token_uri` over https")
    return ServiceAccount(email=email, signer=signer, subject=subject, scope=scope, token_url=url)


class AccessTokenCache:
    """Keep the token in use, and request the next when it is about to end; concurrent callers wait for the same one."""

    def __init__(self, http: BoundedHttpClient, account: ServiceAccount) -> None:
        self.http = http
        self.account = account
        self.token = ""
        self.expires_at = 0.0
        self.lock = asyncio.Lock()

    async def get_token(self) -> str:
        """Return a token that has not ended. Raises ConnectorError."""
        async with self.lock:
            if not self.token or time.monotonic() >= self.expires_at:
                self.token, seconds = await self._request_token()
                self.expires_at = time.monotonic() + seconds - min(TOKEN_EXPIRY_MARGIN_SECONDS, seconds / 2)
            return self.token

    def discard_token(self, token: str) -> None:
        """Forget a token that was refused."""
        if token == self.token:
            self.token = ""

    async def _request_token(self) -> tuple[str, float]:
        form = {"grant_type": JWT_BEARER_GRANT, "assertion": sign_assertion(self.account, time.time())}
        async with self.http.open_response("POST", self.account.token_url, data=form) as response:
            payload = json.loads(await read_body(response, TOKEN_RESPONSE_MAX_BYTES))
        if response.status != OK:
            raise map_token_error(response.status, payload, response.headers.get("date"))
        return parse_token_response(payload)


def parse_token_response(payload: Any) -> tuple[str, float]:
    """Return the token of a response, and the seconds until it ends."""
    match payload:
        case {"access_token": str(token), "expires_in": int() | float() as seconds} if token and seconds > 0:
            return token, float(seconds)
    raise ConnectorError("google gave a token that cannot be read", ErrorCode.SOURCE_INVALID)


def sign_assertion(account: ServiceAccount, now: float) -> str:
    """Sign a JWT (RFC 7523) that says who calls, on whose behalf, and for which scope."""
    claims: Mapping[str, Any] = {
        "iss": account.email,
        "aud": account.token_url,
        "scope": account.scope,
        "iat": int(now),
        "exp": int(now) + ASSERTION_SECONDS,
        **({} if account.subject is None else {"sub": account.subject}),
    }
    return str(encode(account.signer, claims), "ascii")


DriveItem: TypeAlias = Mapping[str, Any]

IDENTITY_ENCODING_HEADERS = {"accept-encoding": "identity"}
"""For content: a range of compressed bytes is no range of the file."""

DEFAULT_RETRY_SECONDS = 1.0
"""The wait where Drive asks to slow down and does not say for how long."""

QUERY_QUOTA = "queries"

URL_MAX_LENGTH = 2048
"""A longer URL is sent as a form, as Google's own client does."""

GET_AS_POST_HEADERS = {"x-http-method-override": "GET", "content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveRequest:
    """One call. `max_content_bytes`: how much of a file's content is read; None: it is none, and is read to its end."""

    method: str
    url: URL
    headers: Mapping[str, str]
    data: bytes | None = None
    max_content_bytes: int | None = None


class DriveNotFound(Exception):
    """There is nothing there, or Drive does not know what the query names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveResponse:
    status: int
    headers: Mapping[str, str]
    content: bytes


class DriveClient:
    """Call Drive on behalf of one account, in the turn that its quota gives each call."""

    def __init__(
        self, http: BoundedHttpClient, tokens: AccessTokenCache, quotas: ConnectorRateLimiters, base_url: str
    ) -> None:
        self.http = http
        self.session = http.session
        self.tokens = tokens
        self.quota = quotas.get_limiter(QUERY_QUOTA)
        self.base_url = base_url
        self.max_concurrency = http.limits.max_concurrency
        self.timeout = http.limits.timeout

    def build_url(self, path: str, parameters: Mapping[str, str]) -> URL:
        return URL(f"{self.base_url}{path}", encoded=True).with_query(parameters)

    async def get_item(self, path: str, **parameters: str) -> DriveItem | None:
        """Return None when there is no such thing. Raises ConnectorError."""
        response = await self.send(build_query_request(self.build_url(f"/drive/v3/{path}", parameters)))
        return None if response.status == NOT_FOUND else parse_object(response)

    async def list_pages(self, path: str, items_key: str, **parameters: str) -> AsyncIterator[list[DriveItem]]:
        """Yield the items of page after page. Raises DriveNotFound and ConnectorError."""
        token = ""
        while True:
            page = await self.get_item(path, **parameters, **({"pageToken": token} if token else {}))
            if page is None:
                raise DriveNotFound
            yield parse_items(page, items_key)
            previous, token = token, page.get("nextPageToken") or ""
            if not token:
                return
            if token == previous:
                raise build_unreadable_error()

    async def get_content(
        self, path: str, max_bytes: int, headers: Mapping[str, str], **parameters: str
    ) -> DriveResponse:
        """Read the first `max_bytes` of a file's content. Raises ConnectorError."""
        url = self.build_url(f"/drive/v3/{path}", parameters)
        return await self.send(
            DriveRequest(
                method="GET", url=url, headers={**IDENTITY_ENCODING_HEADERS, **headers}, max_content_bytes=max_bytes
            )
        )

    async def send(self, request: DriveRequest) -> DriveResponse:
        """Send once more where the token had ended or Drive asked to slow down. Raises ConnectorError."""
        try:
            response = await self.send_once(request)
            return await self.send_once(request) if self.should_retry(response) else response
        except Exception as error:
            raise map_drive_error(error, self.timeout) from error

    async def send_once(self, request: DriveRequest) -> DriveResponse:
        """Send a request in the turn of its quota. Raises ConnectorError, and the exceptions of aiohttp."""
        await self.quota.acquire(self.timeout)
        token = await self.tokens.get_token()
        headers = {**request.headers, "authorization": f"Bearer {token}"}
        async with self.http.open_raw_response(
            request.method, request.url, headers=headers, data=request.data
        ) as response:
            if response.status == UNAUTHORIZED:
                self.tokens.discard_token(token)
            if request.max_content_bytes is not None and response.status in (OK, PARTIAL):
                content = await read_prefix(response, request.max_content_bytes)
            else:
                content = await read_body(response, self.http.limits.max_response_bytes)
            return DriveResponse(status=response.status, headers=response.headers, content=content)

    def should_retry(self, response: DriveResponse) -> bool:
        """Tell whether to send the same call again; where Drive asks to slow down, all calls wait."""
        if response.status in (TOO_MANY_REQUESTS, FORBIDDEN) and is_rate_limited(
            response.status, parse_error_reason(parse_json(response))
        ):
            seconds = parse_seconds_header(response.headers)
            self.quota.back_off(DEFAULT_RETRY_SECONDS if seconds is None else seconds)
            return True
        return response.status == UNAUTHORIZED


def build_drive_client(
    account: ServiceAccount,
    base_url: str,
    quotas: ConnectorRateLimiters,
    *,
    timeout: float,
    max_concurrency: int,
    max_response_bytes: int,
) -> DriveClient:
    limits = HttpLimits(
        timeout=timeout,
        max_concurrency=max_concurrency,
        max_response_bytes=max_response_bytes,
        private_addresses=True,  # its address is Google's, or one that the settings give to tests
    )
    http = BoundedHttpClient(limits, DRIVE, headers={"accept-encoding": "gzip"})
    return DriveClient(http, AccessTokenCache(http, account), quotas, base_url)


def build_query_request(url: URL) -> DriveRequest:
    if len(str(url)) <= URL_MAX_LENGTH:
        return DriveRequest(method="GET", url=url, headers={})
    return DriveRequest(
        method="POST", url=url.with_query(None), headers=GET_AS_POST_HEADERS, data=url.raw_query_string.encode("ascii")
    )


def parse_object(response: DriveResponse) -> DriveItem:
    """Return the object of a successful response. Raises ConnectorError for any other."""
    payload = parse_json(response)
    if response.status not in (OK, CREATED):
        raise map_drive_status(response.status, payload)
    if not isinstance(payload, dict):
        raise build_unreadable_error()
    return payload


def parse_json(response: DriveResponse) -> Any:
    """Return None for what is no JSON."""
    try:
        return orjson.loads(response.content)
    except ValueError:
        return None


def parse_items(response: DriveItem, items_key: str) -> list[DriveItem]:
    """Return the items of a page; Drive may leave out an empty list.

    Raises ConnectorError when the page itself says that it is incomplete.
    """
    items = response.get(items_key, None if response else [])
    if not isinstance(items, list) or not set(map(type, items)) <= {dict} or response.get("incompleteSearch"):
        raise build_unreadable_error()
    return items
