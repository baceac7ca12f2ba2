"""Tokens, uploads."""

import hashlib
import json
import re
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from starlette.requests import ClientDisconnect, Request

from demo.servers.drive.store import Failure, Given, Method, document

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

GOOGLE = "https://oauth2.googleapis.com/token"

LIVES = 3600

SKEW = 300


class Denied(Exception):
    """As OAuth says it: `error` is its name of what is wrong."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Whose a token is, what for, and when it ends."""

    email: str
    scopes: frozenset[str]
    ends: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """`public` is the key of the one service account; `people` are those for whom it may speak."""

    email: str
    public: RSAPublicKey
    people: frozenset[str]
    seconds: int
    clock: Callable[[], float]
    given: dict[str, Granted] = field(default_factory=dict)


def authority(key: str, people: frozenset[str], seconds: int, clock: Callable[[], float]) -> Authority:
    """`key`: the JSON that Google would give out; only its public half is kept."""
    said = json.loads(key)
    private: Any = load_pem_private_key(said["private_key"].encode(), None)
    return Authority(
        email=said["client_email"], public=private.public_key(), people=people, seconds=seconds, clock=clock
    )


def issued(at: Authority, form: Mapping[str, str], url: str) -> dict[str, Any]:
    """Raises Denied. `url`: where it was asked."""
    if form.get("grant_type") != GRANT:
        raise Denied(400, "unsupported_grant_type", "Invalid grant_type")
    claims = verified(at, form.get("assertion", ""))
    timely(at, claims)
    if claims.get("iss") != at.email or claims.get("aud") not in (url, GOOGLE):
        raise Denied(400, "invalid_grant", "Invalid JWT: iss and aud must name the account and this address")
    email, scopes = claims.get("sub", at.email), frozenset(str(claims.get("scope", "")).split())
    if email != at.email and email not in at.people:
        raise Denied(400, "invalid_grant", "Invalid email or User ID")
    if not scopes or not scopes <= document()["auth"]["oauth2"]["scopes"].keys():
        raise Denied(401, "unauthorized_client", "Client is not authorized for any of the scopes requested")
    token = secrets.token_urlsafe(32)
    at.given[digest(token)] = Granted(email=email, scopes=scopes, ends=at.clock() + at.seconds)
    return {"access_token": token, "expires_in": at.seconds, "token_type": "Bearer"}


def verified(at: Authority, assertion: str) -> Mapping[str, Any]:
    """The claims of an assertion that our account signed."""
    try:
        head, body, signature = assertion.split(".")
        if json.loads(opened(head)).get("alg") != "RS256":
            raise ValueError
        at.public.verify(opened(signature), f"{head}.{body}".encode(), PKCS1v15(), SHA256())
        claims: Mapping[str, Any] = json.loads(opened(body))
    except (ValueError, AttributeError, InvalidSignature):
        raise Denied(400, "invalid_grant", "Invalid JWT Signature.") from None
    return claims


def timely(at: Authority, claims: Mapping[str, Any]) -> None:
    begins, ends, now = claims.get("iat"), claims.get("exp"), at.clock()
    if type(begins) is not int or type(ends) is not int:
        raise Denied(400, "invalid_grant", "Invalid JWT: iat and exp must be seconds")
    if not begins - SKEW <= now < ends + SKEW or not 0 < ends - begins <= LIVES:
        raise Denied(400, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)")


def granted(at: Authority, header: str) -> Granted:
    """What the token of an Authorization header opens. Raises Failure."""
    kind, _, token = header.partition(" ")
    found = at.given.get(digest(token)) if kind.lower() == "bearer" else None
    if found is None or at.clock() >= found.ends:
        raise Failure(401, "authError", "Invalid Credentials", "Authorization")
    return found


def permitted(to: Granted, scopes: frozenset[str]) -> None:
    if not to.scopes & scopes:
        raise Failure(403, "insufficientPermissions", "Request had insufficient authentication scopes.")


def digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def opened(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


EMAIL = "onedoor@acme-demo.iam.gserviceaccount.example"

TOKEN_URI = "https://oauth2.googleapis.com/token"


def service_account(token_uri: str = TOKEN_URI) -> str:
    private = generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    said = {
        "type": "service_account",
        "project_id": "acme-demo",
        "private_key_id": f"{private.public_key().public_numbers().n & (1 << 160) - 1:040x}",
        "private_key": pem,
        "client_email": EMAIL,
        "client_id": "100000000000000000000",
        "token_uri": token_uri,
    }
    return json.dumps(said)


STEP = 262_144

SPAN = re.compile(r"bytes (?:(?P<first>\d+)-(?P<last>\d+)|\*)/(?P<total>\d+|\*)")

Parts: TypeAlias = tuple[Mapping[str, Any], bytes, str]


@dataclass(slots=True, kw_only=True)
class Session:
    """A file under way: whose it is, what it will be, and the bytes that have come."""

    method: Method
    given: Given
    body: Mapping[str, Any]
    content_type: str
    granted: Granted
    length: int | None = None
    """How many there will be, where that was said at the beginning."""
    held: bytearray = field(default_factory=bytearray)
    done: dict[str, Any] | None = None


Sessions: TypeAlias = dict[str, Session]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What a Content-Range says; `first` None: nothing is sent, only asked."""

    first: int | None
    last: int
    total: int | None


def json_of(octets: bytes) -> dict[str, Any]:
    try:
        said = json.loads(octets or b"{}")
    except ValueError:
        raise Failure(400, "parseError", "Parse Error") from None
    if not isinstance(said, dict):
        raise Failure(400, "parseError", "Parse Error")
    return said


async def parts(request: Request, kind: str) -> Parts:
    """Metadata, bytes and their type, of an upload in one go."""
    octets, content_type = await request.body(), request.headers.get("content-type", "application/octet-stream")
    if kind == "media":
        return {}, octets, content_type
    if kind != "multipart":
        raise Failure(400, "badRequest", "Invalid uploadType", "uploadType")
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + octets)
    both: list[Any] = list(message.iter_parts()) if message.is_multipart() else []
    if len(both) != 2:
        raise Failure(400, "badContent", "A multipart upload has two parts.")
    content = between(octets, str(message.get_boundary()))
    return json_of(both[0].get_payload(decode=True)), content, str(both[1].get_content_type())


def between(octets: bytes, boundary: str) -> bytes:
    """The second part's bytes exactly: a parser of mail would change the ends of lines."""
    part = octets.split(f"--{boundary}".encode())[2]
    rest = re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1]
    return rest.removesuffix(b"\n").removesuffix(b"\r")


def begun(sessions: Sessions, session: Session) -> str:
    """The id under which its bytes may come."""
    id = secrets.token_urlsafe(24)
    sessions[id] = session
    return id


async def received(session: Session, request: Request) -> Span:
    """What has come is kept, in whole steps where the connection breaks or more is to follow. Raises Failure."""
    span = span_of(request.headers)
    if session.length is not None and span.total not in (None, session.length):
        raise Failure(400, "badRequest", "The file is not as long as was said when its upload began.")
    if span.first is not None and span.first > len(session.held):
        raise Failure(400, "badRequest", "The first byte is not the next one.")
    fresh = bytearray()
    try:
        async for part in request.stream():
            fresh += part
    except ClientDisconnect:
        keep(session, span.first or 0, fresh, whole=False)
        raise
    if span.first is not None and len(fresh) != span.last - span.first + 1:
        raise Failure(400, "badRequest", "The body is not as long as its Content-Range says.")
    last = span.total is not None and span.last + 1 == span.total
    if span.first is not None and not last and len(fresh) % STEP:
        raise Failure(400, "badRequest", f"A chunk must be a multiple of {STEP} bytes.")
    keep(session, span.first or 0, fresh, whole=last)
    return span


def keep(session: Session, first: int, fresh: bytearray, *, whole: bool) -> None:
    """What has come before, by this connection or by another that took over, is not kept twice."""
    held = session.held + fresh[len(session.held) - first :]
    if session.done is None and len(held) > len(session.held):
        session.held = held if whole else held[: len(held) - len(held) % STEP]


def span_of(headers: Mapping[str, str]) -> Span:
    """Without a Content-Range all comes at once."""
    if "content-range" not in headers:
        length = int(headers.get("content-length", "0"))
        return Span(first=0, last=length - 1, total=length)
    found = SPAN.fullmatch(headers["content-range"])
    if found is None:
        raise Failure(400, "badRequest", "Invalid Content-Range")
    total = None if found["total"] == "*" else int(found["total"])
    if found["first"] is None:
        return Span(first=None, last=-1, total=total)
    return Span(first=int(found["first"]), last=int(found["last"]), total=total)


def complete(session: Session, span: Span) -> bool:
    return span.total is not None and len(session.held) == span.total


def so_far(session: Session) -> Mapping[str, str]:
    """Nothing is said of nothing."""
    return {"range": f"bytes=0-{len(session.held) - 1}"} if session.held else {}
