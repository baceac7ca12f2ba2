"""Uploads: what comes with an upload in, metadata and bytes out; and sessions that take a file in parts."""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, TypeAlias

from starlette.requests import ClientDisconnect, Request

from demo.drive.document import Method
from demo.drive.failures import Failure
from demo.drive.parameters import Given
from demo.drive.tokens import Granted

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
