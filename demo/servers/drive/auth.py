"""Issue tokens to the service account, and take resumable uploads."""

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from starlette.requests import ClientDisconnect, Request

from demo.servers.drive.store import DriveFailure, Method, Parameters, load_discovery_document
from demo.servers.signing import TokenUnverified, verify_jwt

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

GOOGLE = "https://oauth2.googleapis.com/token"

ASSERTION_MAX_SECONDS = 3600

SKEW = 300


class TokenDenied(Exception):
    """A refusal in OAuth's form, in which `error` names what is wrong."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGrant:
    """Whose a token is, what it allows, and when it ends."""

    email: str
    scopes: frozenset[str]
    ends: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """The public key of the one service account, and the people it may act for."""

    email: str
    public: RSAPublicKey
    people: frozenset[str]
    seconds: int
    clock: Callable[[], float]
    grants: dict[str, TokenGrant] = field(default_factory=dict)


def build_authority(key: str, people: frozenset[str], seconds: int, clock: Callable[[], float]) -> Authority:
    """Build an authority from the JSON that Google would give out, without the private key."""
    payload = json.loads(key)
    private: Any = load_pem_private_key(payload["private_key"].encode(), None)
    return Authority(
        email=payload["client_email"], public=private.public_key(), people=people, seconds=seconds, clock=clock
    )


def issue_token(authority: Authority, form: Mapping[str, str], url: str) -> dict[str, Any]:
    """Issue a token; `url` is where it was asked for. Raises TokenDenied."""
    if form.get("grant_type") != GRANT:
        raise TokenDenied(400, "unsupported_grant_type", "Invalid grant_type")
    claims = verify_assertion(authority, form.get("assertion", ""))
    check_assertion_time(authority, claims)
    if claims.get("iss") != authority.email or claims.get("aud") not in (url, GOOGLE):
        raise TokenDenied(400, "invalid_grant", "Invalid JWT: iss and aud must name the account and this address")
    email, scopes = claims.get("sub", authority.email), frozenset(str(claims.get("scope", "")).split())
    if email != authority.email and email not in authority.people:
        raise TokenDenied(400, "invalid_grant", "Invalid email or User ID")
    if not scopes or not scopes <= load_discovery_document()["auth"]["oauth2"]["scopes"].keys():
        raise TokenDenied(401, "unauthorized_client", "Client is not authorized for any of the scopes requested")
    token = secrets.token_urlsafe(32)
    authority.grants[hash_token(token)] = TokenGrant(
        email=email, scopes=scopes, ends=authority.clock() + authority.seconds
    )
    return {"access_token": token, "expires_in": authority.seconds, "token_type": "Bearer"}


def verify_assertion(authority: Authority, assertion: str) -> Mapping[str, Any]:
    """Return the claims of an assertion that the account signed. Raises TokenDenied."""
    try:
        return verify_jwt(assertion, authority.public)
    except TokenUnverified:
        raise TokenDenied(400, "invalid_grant", "Invalid JWT Signature.") from None


def check_assertion_time(authority: Authority, claims: Mapping[str, Any]) -> None:
    begins, ends, now = claims.get("iat"), claims.get("exp"), authority.clock()
    if type(begins) is not int or type(ends) is not int:
        raise TokenDenied(400, "invalid_grant", "Invalid JWT: iat and exp must be seconds")
    if not begins - SKEW <= now < ends + SKEW or not 0 < ends - begins <= ASSERTION_MAX_SECONDS:
        raise TokenDenied(400, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)")


def find_grant(authority: Authority, header: str) -> TokenGrant:
    """Return what the token of an Authorization header allows. Raises DriveFailure."""
    kind, _, token = header.partition(" ")
    grant = authority.grants.get(hash_token(token)) if kind.lower() == "bearer" else None
    if grant is None or authority.clock() >= grant.ends:
        raise DriveFailure(401, "authError", "Invalid Credentials", "Authorization")
    return grant


def check_scopes(to: TokenGrant, scopes: frozenset[str]) -> None:
    if not to.scopes & scopes:
        raise DriveFailure(403, "insufficientPermissions", "Request had insufficient authentication scopes.")


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


EMAIL = "onedoor@acme-demo.iam.gserviceaccount.example"

TOKEN_URI = "https://oauth2.googleapis.com/token"


def build_service_account(token_uri: str = TOKEN_URI) -> str:
    private = generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    claim_set = {
        "type": "service_account",
        "project_id": "acme-demo",
        "private_key_id": f"{private.public_key().public_numbers().n & (1 << 160) - 1:040x}",
        "private_key": pem,
        "client_email": EMAIL,
        "client_id": "100000000000000000000",
        "token_uri": token_uri,
    }
    return json.dumps(claim_set)


CHUNK_MULTIPLE = 262_144

SPAN = re.compile(r"bytes (?:(?P<first>\d+)-(?P<last>\d+)|\*)/(?P<total>\d+|\*)")

Parts: TypeAlias = tuple[Mapping[str, Any], bytes, str]


@dataclass(slots=True, kw_only=True)
class UploadSession:
    """An upload under way: its owner, its file, and the bytes so far."""

    method: Method
    parameters: Parameters
    body: Mapping[str, Any]
    content_type: str
    grant: TokenGrant
    length: int | None = None
    """How many there will be, where that was said at the beginning."""
    content: bytearray = field(default_factory=bytearray)
    done: dict[str, Any] | None = None


Sessions: TypeAlias = dict[str, UploadSession]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRange:
    """A Content-Range; `first` is None in a call that only asks how much has come."""

    first: int | None
    last: int
    total: int | None


def parse_json_object(octets: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(octets or b"{}")
    except ValueError:
        raise DriveFailure(400, "parseError", "Parse Error") from None
    if not isinstance(payload, dict):
        raise DriveFailure(400, "parseError", "Parse Error")
    return payload


async def split_upload(request: Request, kind: str) -> Parts:
    """Return the metadata, bytes and media type of an upload in one call."""
    octets, content_type = await request.body(), request.headers.get("content-type", "application/octet-stream")
    if kind == "media":
        return {}, octets, content_type
    if kind != "multipart":
        raise DriveFailure(400, "badRequest", "Invalid uploadType", "uploadType")
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + octets)
    both: list[Any] = list(message.iter_parts()) if message.is_multipart() else []
    if len(both) != 2:
        raise DriveFailure(400, "badContent", "A multipart upload has two parts.")
    content = find_second_part(octets, str(message.get_boundary()))
    return parse_json_object(both[0].get_payload(decode=True)), content, str(both[1].get_content_type())


def find_second_part(octets: bytes, boundary: str) -> bytes:
    """Return the exact bytes of the second part, as a parser of mail would change line ends."""
    part = octets.split(f"--{boundary}".encode())[2]
    rest = re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1]
    return rest.removesuffix(b"\n").removesuffix(b"\r")


def open_session(sessions: Sessions, session: UploadSession) -> str:
    """Return the id of a new session."""
    id = secrets.token_urlsafe(24)
    sessions[id] = session
    return id


async def receive_content(session: UploadSession, request: Request) -> ContentRange:
    """Keep what has come, in whole multiples if the connection breaks or more follows. Raises DriveFailure."""
    span = parse_content_range(request.headers)
    if session.length is not None and span.total not in (None, session.length):
        raise DriveFailure(400, "badRequest", "The file is not as long as was said when its upload began.")
    if span.first is not None and span.first > len(session.content):
        raise DriveFailure(400, "badRequest", "The first byte is not the next one.")
    fresh = bytearray()
    try:
        async for part in request.stream():
            fresh += part
    except ClientDisconnect:
        append_content(session, span.first or 0, fresh, whole=False)
        raise
    if span.first is not None and len(fresh) != span.last - span.first + 1:
        raise DriveFailure(400, "badRequest", "The body is not as long as its Content-Range says.")
    last = span.total is not None and span.last + 1 == span.total
    if span.first is not None and not last and len(fresh) % CHUNK_MULTIPLE:
        raise DriveFailure(400, "badRequest", f"A chunk must be a multiple of {CHUNK_MULTIPLE} bytes.")
    append_content(session, span.first or 0, fresh, whole=last)
    return span


def append_content(session: UploadSession, first: int, fresh: bytearray, *, whole: bool) -> None:
    """Append bytes once, whichever connection they came by."""
    held = session.content + fresh[len(session.content) - first :]
    if session.done is None and len(held) > len(session.content):
        session.content = held if whole else held[: len(held) - len(held) % CHUNK_MULTIPLE]


def parse_content_range(headers: Mapping[str, str]) -> ContentRange:
    """Read a Content-Range; without one, the whole file comes at once."""
    if "content-range" not in headers:
        length = int(headers.get("content-length", "0"))
        return ContentRange(first=0, last=length - 1, total=length)
    match = SPAN.fullmatch(headers["content-range"])
    if match is None:
        raise DriveFailure(400, "badRequest", "Invalid Content-Range")
    total = None if match["total"] == "*" else int(match["total"])
    if match["first"] is None:
        return ContentRange(first=None, last=-1, total=total)
    return ContentRange(first=int(match["first"]), last=int(match["last"]), total=total)


def is_complete(session: UploadSession, span: ContentRange) -> bool:
    return span.total is not None and len(session.content) == span.total


def build_progress_headers(session: UploadSession) -> Mapping[str, str]:
    """Return how much has come; no header says that nothing has."""
    return {"range": f"bytes=0-{len(session.content) - 1}"} if session.content else {}
