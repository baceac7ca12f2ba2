"""Service account, calls, errors."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson
from aiohttp import ClientConnectionError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from google.auth.crypt import RSASigner
from google.auth.jwt import encode
from yarl import URL

from onedoor.connectors.http_client import CLOCK_SKEW_MESSAGE, disable_retries, is_clock_skewed
from onedoor.connectors.rest.client import read_body
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
"""What Google's own names of errors look like; anything else is not repeated."""

RATE_LIMIT_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"})


def map_drive_error(error: Exception, timeout: float) -> ConnectorError:
    """`timeout` in seconds."""
    match error:
        case ConnectorError():
            return error
        case TimeoutError():
            return ConnectorError(f"drive did not answer within {timeout:g} s")
        case ClientConnectionError():
            return ConnectorError("drive could not be reached", retryable=True)
    return build_unreadable_error()


def map_drive_status(status: int, payload: Any) -> ConnectorError:
    """Of an answer that is none: its status, and what its JSON says, None where it has none."""
    name = parse_error_reason(payload)
    if is_rate_limited(status, name):
        return ConnectorError("drive takes no more calls for now, ask again later", ErrorCode.SOURCE_OVERLOADED)
    if status >= SERVER_ERROR:
        return ConnectorError(f"drive failed with HTTP status {status}", retryable=True)
    if status == UNAUTHORIZED:
        return ConnectorError("drive refused the credentials")
    if status < 400:
        return build_unreadable_error()
    return ConnectorError(f"drive refused the call with {f'`{name}`' if name else f'HTTP status {status}'}")


def map_token_error(status: int, payload: Any, date: str | None) -> ConnectorError:
    """OAuth names its errors in another way. `date`: what time Google says it is."""
    name = payload.get("error") if isinstance(payload, dict) else None
    if status >= SERVER_ERROR or status == TOO_MANY_REQUESTS:
        return ConnectorError(f"google gave no token, HTTP status {status}", retryable=True)
    if is_clock_skewed(date):
        return ConnectorError(f"google refused the service account: {CLOCK_SKEW_MESSAGE}")
    known = isinstance(name, str) and ERROR_NAME_PATTERN.fullmatch(name)
    return ConnectorError("google refused the service account" + (f" with `{name}`" if known else ""))


def is_rate_limited(status: int, name: str | None) -> bool:
    """Whether we are asked to slow down: Drive does it with either status."""
    return status == TOO_MANY_REQUESTS or (status == FORBIDDEN and name in RATE_LIMIT_REASONS)


def parse_error_reason(payload: Any) -> str | None:
    """The name Google gave the error, None when the answer has none."""
    match payload:
        case {"error": {"errors": [{"reason": str(name)}, *_]}} if ERROR_NAME_PATTERN.fullmatch(name):
            return name
    return None


def build_unreadable_error() -> ConnectorError:
    return ConnectorError("drive gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)


def build_missing_file_error() -> ConnectorError:
    return ConnectorError("drive has no such file, or the settings do not open it", ErrorCode.SOURCE_INVALID)


JWT_BEARER_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"

ASSERTION_SECONDS = 3600
"""Seconds an assertion is good for; Google takes no more."""

TOKEN_EXPIRY_MARGIN_SECONDS = 60
"""Seconds before its end that a token is no longer used."""

TOKEN_RESPONSE_MAX_BYTES = 65_536
"""The longest answer of the place that gives tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """Who signs, for whom (`subject`, None: for itself), what for, and where tokens are given."""

    email: str
    signer: Any = field(repr=False)
    subject: str | None
    scope: str
    token_url: str


def parse_service_account(text: str, *, subject: str | None, scope: str, endpoint: str | None) -> ServiceAccount:
    """Of the JSON that Google gives out with a key. ValueError, which repeats nothing of it: it is none."""
    try:
        said = json.loads(text)
        email, signer = said["client_email"], RSASigner.from_service_account_info(said)
        url = said.get("token_uri", GOOGLE_TOKEN_URL) if endpoint is None else f"{endpoint}/token"
        secure = endpoint is not None or url.startswith("https://")
    except Exception:
        raise ValueError(
            "`service_account_key` is no key of a service account: give the JSON that Google made"
        ) from None
    if not isinstance(email, str) or not secure:
        raise ValueError("`service_account_key` must name a `client_email`, and a `token_uri` over https")
    return ServiceAccount(email=email, signer=signer, subject=subject, scope=scope, token_url=url)


class AccessTokenCache:
    """The token in use, asked for when there is none or it is about to end; who asks meanwhile waits for the same."""

    def __init__(self, session: ClientSession, account: ServiceAccount, timeout: float) -> None:
        self.session = session
        self.account = account
        self.timeout = timeout
        self.token = ""
        self.expires_at = 0.0
        self.lock = asyncio.Lock()

    async def get_token(self) -> str:
        """Raises SourceFailed."""
        async with self.lock:
            if not self.token or time.monotonic() >= self.expires_at:
                self.token, seconds = await self._request_token()
                self.expires_at = time.monotonic() + seconds - min(TOKEN_EXPIRY_MARGIN_SECONDS, seconds / 2)
            return self.token

    def discard_token(self, token: str) -> None:
        """It was refused."""
        if token == self.token:
            self.token = ""

    async def _request_token(self) -> tuple[str, float]:
        form = {"grant_type": JWT_BEARER_GRANT, "assertion": sign_assertion(self.account, time.time())}
        try:
            async with self.session.post(self.account.token_url, data=form, allow_redirects=False) as response:
                said = json.loads(await read_body(response, TOKEN_RESPONSE_MAX_BYTES))
        except ConnectorError:
            raise
        except ValueError:
            raise build_unreadable_error() from None
        except Exception as error:
            raise map_drive_error(error, self.timeout) from error
        if response.status != OK:
            raise map_token_error(response.status, said, response.headers.get("date"))
        return parse_token_response(said)


def parse_token_response(payload: Any) -> tuple[str, float]:
    """The token in an answer, and the seconds it is good for."""
    match payload:
        case {"access_token": str(given), "expires_in": int() | float() as seconds} if given and seconds > 0:
            return given, float(seconds)
    raise ConnectorError("google gave a token that cannot be read", ErrorCode.SOURCE_INVALID)


def sign_assertion(account: ServiceAccount, now: float) -> str:
    """Signed: who we are, for whom we ask and what for."""
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
"""For content: a range of packed bytes is no range of the file's."""

DEFAULT_RETRY_SECONDS = 1.0
"""Seconds to wait where we are asked to slow down and not told how long."""

QUERY_QUOTA = "queries"

URL_MAX_LENGTH = 2048
"""Characters of an address; what is longer goes as a form, as Google's own client sends it."""

GET_AS_POST_HEADERS = {"x-http-method-override": "GET", "content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveRequest:
    """One call. `most`: of content, how many bytes are read; None: it is no content, and is read to its end."""

    method: str
    url: URL
    headers: Mapping[str, str]
    data: bytes | None = None
    max_content_bytes: int | None = None


class DriveNotFound(Exception):
    """Drive says that there is nothing there, or that it does not know what the query names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveResponse:
    status: int
    headers: Mapping[str, str]
    content: bytes


class DriveClient:
    """One account's calls: a bounded number at once, each within `timeout` seconds and `most` bytes, unpacked."""

    def __init__(
        self,
        session: ClientSession,
        tokens: AccessTokenCache,
        quotas: ConnectorRateLimiters,
        base_url: str,
        *,
        max_concurrency: int,
        max_response_bytes: int,
    ) -> None:
        self.session = session
        self.tokens = tokens
        self.quota = quotas.get_limiter(QUERY_QUOTA)
        self.base_url = base_url
        self.max_concurrency = max_concurrency
        self.max_response_bytes = max_response_bytes
        self.timeout = tokens.timeout
        self.semaphore = asyncio.Semaphore(max_concurrency)

    def build_url(self, path: str, parameters: Mapping[str, str]) -> URL:
        return URL(f"{self.base_url}{path}", encoded=True).with_query(parameters)

    async def get_item(self, path: str, **parameters: str) -> DriveItem | None:
        """None: it says that there is no such thing. Raises SourceFailed."""
        answer = await self.send(build_query_request(self.build_url(f"/drive/v3/{path}", parameters)))
        return None if answer.status == NOT_FOUND else parse_object(answer)

    async def list_pages(self, path: str, items_key: str, **parameters: str) -> AsyncIterator[list[DriveItem]]:
        """The answers' `part`, page after page. Raises Absent, and SourceFailed."""
        place = ""
        while True:
            answer = await self.get_item(path, **parameters, **({"pageToken": place} if place else {}))
            if answer is None:
                raise DriveNotFound
            yield parse_items(answer, items_key)
            before, place = place, answer.get("nextPageToken") or ""
            if not place:
                return
            if place == before:
                raise build_unreadable_error()

    async def get_content(
        self, path: str, max_bytes: int, headers: Mapping[str, str], **parameters: str
    ) -> DriveResponse:
        """Of content the first `most` bytes: what follows is not read. Raises SourceFailed."""
        url = self.build_url(f"/drive/v3/{path}", parameters)
        return await self.send(
            DriveRequest(
                method="GET", url=url, headers={**IDENTITY_ENCODING_HEADERS, **headers}, max_content_bytes=max_bytes
            )
        )

    async def send(self, request: DriveRequest) -> DriveResponse:
        """In its turn, and once more where the token had ended or Drive asked to slow down. Raises SourceFailed."""
        try:
            answer = await self.send_once(request)
            return await self.send_once(request) if self.should_retry(answer) else answer
        except Exception as error:
            raise map_drive_error(error, self.timeout) from error

    async def send_once(self, request: DriveRequest) -> DriveResponse:
        """The library's own exceptions come out."""
        await self.quota.acquire(self.timeout)
        async with self.semaphore:
            token = await self.tokens.get_token()
            headers = {**request.headers, "authorization": f"Bearer {token}"}
            async with self.session.request(
                request.method, request.url, headers=headers, data=request.data, allow_redirects=False
            ) as response:
                if response.status == UNAUTHORIZED:
                    self.tokens.discard_token(token)
                content = request.max_content_bytes is not None and response.status in (OK, PARTIAL)
                octets = await (
                    read_at_most(response, request.max_content_bytes or 0)
                    if content
                    else read_body(response, self.max_response_bytes)
                )
                return DriveResponse(status=response.status, headers=response.headers, content=octets)

    def should_retry(self, response: DriveResponse) -> bool:
        """Whether the same call may do better at once; where Drive asks to slow down, all calls wait."""
        if response.status in (TOO_MANY_REQUESTS, FORBIDDEN) and is_rate_limited(
            response.status, parse_error_reason(parse_json(response))
        ):
            self.quota.back_off(parse_drive_retry_after(response.headers))
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
    session = disable_retries(
        ClientSession(
            connector=TCPConnector(limit=max_concurrency),
            headers={"accept-encoding": "gzip"},
            timeout=ClientTimeout(total=timeout),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        )
    )
    return DriveClient(
        session,
        AccessTokenCache(session, account, timeout),
        quotas,
        base_url,
        max_concurrency=max_concurrency,
        max_response_bytes=max_response_bytes,
    )


def build_query_request(url: URL) -> DriveRequest:
    if len(str(url)) <= URL_MAX_LENGTH:
        return DriveRequest(method="GET", url=url, headers={})
    return DriveRequest(
        method="POST", url=url.with_query(None), headers=GET_AS_POST_HEADERS, data=url.raw_query_string.encode("ascii")
    )


def parse_object(response: DriveResponse) -> DriveItem:
    """The object in an answer that is one; raises SourceFailed of any other."""
    said = parse_json(response)
    if response.status not in (OK, CREATED):
        raise map_drive_status(response.status, said)
    if not isinstance(said, dict):
        raise build_unreadable_error()
    return said


def parse_json(response: DriveResponse) -> Any:
    """None: it is no JSON."""
    try:
        return orjson.loads(response.content)
    except ValueError:
        return None


def parse_items(response: DriveItem, items_key: str) -> list[DriveItem]:
    """Drive may leave out an empty list. An answer that says itself that it is not all is none."""
    items = response.get(items_key, None if response else [])
    if not isinstance(items, list) or not set(map(type, items)) <= {dict} or response.get("incompleteSearch"):
        raise build_unreadable_error()
    return items


async def read_at_most(response: ClientResponse, max_bytes: int) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size >= max_bytes:
            break
    return b"".join(parts)[:max_bytes]


def parse_drive_retry_after(headers: Mapping[str, str]) -> float:
    """The seconds Drive asks to wait."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return DEFAULT_RETRY_SECONDS
