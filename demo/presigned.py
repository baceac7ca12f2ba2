"""A WSGI app that speaks S3 in, the same out with what it leaves out: presigned addresses are checked, and races ended.

Moto believes every signature, copies whatever stood there before, and takes two writers at a time.
"""

import hmac
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, quote, unquote

WSGI: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]
WRITES = frozenset({"PUT", "POST", "DELETE"})
FORM = "%Y%m%dT%H%M%SZ"
LONGEST = 604_800


class Refusal(Exception):
    """A status line, and the name S3 gives the error."""

    def __init__(self, status: str, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def strict(app: WSGI, secret: str) -> WSGI:
    one_by_one = threading.Lock()

    def answered(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        try:
            query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
            if "X-Amz-Signature" in query:
                verified(environ, query, secret, datetime.now(UTC))
            if environ["REQUEST_METHOD"] not in WRITES:
                return app(environ, start)
            with one_by_one:
                unchanged(environ)
                return list(app(environ, start))
        except Refusal as refusal:
            start(refusal.status, [("Content-Type", "application/xml"), ("Connection", "close")])
            return [f"<Error><Code>{refusal.code}</Code><Message>{refusal.code}</Message></Error>".encode()]

    return answered


def verified(environ: Mapping[str, Any], query: Mapping[str, str], secret: str, now: datetime) -> None:
    """By the address and the headers that it names, as they came; the octets themselves are not signed."""
    try:
        begins = datetime.strptime(query["X-Amz-Date"], FORM).replace(tzinfo=UTC)
        span, scope = int(query["X-Amz-Expires"]), query["X-Amz-Credential"].split("/", 1)[1]
        names = query["X-Amz-SignedHeaders"].split(";")
    except (KeyError, ValueError, IndexError):
        raise Refusal("400 Bad Request", "AuthorizationQueryParametersError") from None
    if not 0 < span <= LONGEST or not begins <= now + timedelta(minutes=15) or now >= begins + timedelta(seconds=span):
        raise Refusal("403 Forbidden", "AccessDenied")
    if set(said(environ)) - set(names):
        raise Refusal("403 Forbidden", "AccessDenied")
    asked = "\n".join([
        environ["REQUEST_METHOD"], path_of(environ), canonical(query),
        *(f"{name}:{header(environ, name)}" for name in names), "", ";".join(names), "UNSIGNED-PAYLOAD",
    ])  # fmt: skip
    text = "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, sha256(asked.encode()).hexdigest()])
    if not hmac.compare_digest(signature(secret, scope, text), query["X-Amz-Signature"]):
        raise Refusal("403 Forbidden", "SignatureDoesNotMatch")


def said(environ: Mapping[str, Any]) -> list[str]:
    """Headers of S3's own, none of which may come unsigned."""
    return [name[5:].lower().replace("_", "-") for name in environ if name.startswith("HTTP_X_AMZ_")]


def path_of(environ: Mapping[str, Any]) -> str:
    return str(environ["RAW_URI"]).partition("?")[0]


def canonical(query: Mapping[str, str]) -> str:
    kept = sorted((name, value) for name, value in query.items() if name != "X-Amz-Signature")
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in kept)


def header(environ: Mapping[str, Any], name: str) -> str:
    own = name.upper().replace("-", "_")
    found = environ.get(own if own in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{own}", "")
    return " ".join(str(found).split())


def signature(secret: str, scope: str, text: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def unchanged(environ: Mapping[str, Any]) -> None:
    """Of a copy, what S3 asks of what stands at its end and at its beginning."""
    if "HTTP_X_AMZ_COPY_SOURCE" not in environ:
        return
    stands = etag(unquote(path_of(environ)))
    wanted, origin = header(environ, "if-match"), header(environ, "x-amz-copy-source-if-match")
    if wanted and stands is None:
        raise Refusal("404 Not Found", "NoSuchKey")
    differs = bool(wanted) and stands != wanted.strip('"')
    taken = header(environ, "if-none-match") == "*" and stands is not None
    moved = bool(origin) and etag("/" + unquote(environ["HTTP_X_AMZ_COPY_SOURCE"]).lstrip("/")) != origin.strip('"')
    if differs or taken or moved:
        raise Refusal("412 Precondition Failed", "PreconditionFailed")


def etag(path: str) -> str | None:
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    _, bucket, key = path.split("/", 2)
    found = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, key)
    return None if found is None else str(found.etag).strip('"')
