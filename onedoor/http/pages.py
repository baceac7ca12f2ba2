"""Serve the pages of a folder, read when the server starts, and no other file."""

import hashlib
import re
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from fastapi import APIRouter, Request, Response

from onedoor.http.negotiation import accepts_gzip
from onedoor.http.responses import ALL_METHODS, GZIP_WINDOW_BITS, build_raw_response

Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

INDEX_PAGE = "index.html"

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
}

CONTENT_SECURITY_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
}
"""What a page may load and who may frame it; `StaticFiles(policy=)` replaces directives of it."""

HASHED_NAME = re.compile(r"-[\w-]{8}\.\w+$")

CACHE_FOREVER = b"public, max-age=31536000, immutable"

CACHE_REVALIDATE = b"no-cache"

NOT_FOUND_BODY = b"there is nothing here"

COMPRESS_FROM_BYTES = 1024
"""A smaller file fits one packet as it is."""

GZIP_LEVEL = 6
"""GraphiQL's 7 MB take 0.2 s at the start, and leave 2.2 MB; level 9 saves nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVariant:
    """The content of a file, in one encoding."""

    body: bytes
    etag: bytes
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """One file, as it stood when the server started."""

    plain: FileVariant
    gzipped: FileVariant | None = None
    """None: the file is too small to gain by it."""


class StaticFiles:
    """The files below one path. A request looks a name up among those read at the start, so it reaches no other."""

    def __init__(
        self,
        folder: Path,
        *,
        mount_path: str,
        policy: Mapping[str, str] | None = None,
        values: Mapping[str, str] | None = None,
    ) -> None:
        """Read the whole folder; `policy` replaces directives of CONTENT_SECURITY_POLICY, `values` each `{{name}}`."""
        self.mount_path = mount_path
        self.headers: Headers = (
            (b"content-security-policy", _format_policy({**CONTENT_SECURITY_POLICY, **(policy or {})})),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        )
        paths = _list_files(folder)
        self.files = {path.relative_to(folder).as_posix(): _load_file(path, values or {}) for path in paths}

    def matches(self, path: str) -> bool:
        """Whether a request's path is the mount path or below it."""
        return path == self.mount_path or path.startswith(f"{self.mount_path}/")

    async def __call__(self, scope: Any, send: Send) -> None:
        """Serve a request for one of the files as an ASGI app of its own."""
        await self.respond(scope)(scope, receive_nothing, send)

    def respond(self, scope: Any) -> Response:
        """Build the response to a request for one of the files."""
        if scope["method"] not in ("GET", "HEAD"):
            return self._build_response(405, ((b"allow", b"GET, HEAD"),))
        file = self.files.get(scope["path"].removeprefix(self.mount_path).removeprefix("/") or INDEX_PAGE)
        if file is None:
            return self._build_response(404, ((b"content-type", b"text/plain"),), NOT_FOUND_BODY)
        variant, known_etags = choose_variant(file, scope["headers"]), join_values(scope["headers"], b"if-none-match")
        if variant.etag in known_etags or known_etags.strip() == b"*":
            return self._build_response(304, variant.headers)
        length = (b"content-length", str(len(variant.body)).encode())
        return self._build_response(200, (*variant.headers, length), variant.body if scope["method"] == "GET" else b"")

    def build_router(self) -> APIRouter:
        """Build the routes below the mount path."""
        router = APIRouter()

        @router.api_route(self.mount_path, methods=ALL_METHODS)
        @router.api_route(self.mount_path + "/{path:path}", methods=ALL_METHODS)
        async def serve_file(request: Request) -> Response:
            return self.respond(request.scope)

        return router

    def _build_response(self, status: int, headers: Headers, body: bytes = b"") -> Response:
        return build_raw_response(status, (*headers, *self.headers), body)


def choose_variant(file: StaticFile, request_headers: Iterable[tuple[bytes, bytes]]) -> FileVariant:
    """Return the smallest variant that the client accepts."""
    accepted = join_values(request_headers, b"accept-encoding").decode("latin-1")
    return file.gzipped if file.gzipped is not None and accepts_gzip(accepted) else file.plain


def join_values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """Return the values of a header that is a list as one, whatever lines it came in."""
    return b", ".join(value for header, value in headers if header == name)


async def receive_nothing() -> NoReturn:
    raise AssertionError("a file is sent without reading the request")


def _list_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.suffix in MEDIA_TYPES and path.is_file()]


def _load_file(path: Path, values: Mapping[str, str]) -> StaticFile:
    body = path.read_bytes()
    for name, value in values.items():
        body = body.replace(f"{{{{{name}}}}}".encode(), escape(value).encode())
    digest = hashlib.sha256(body).hexdigest()[:32]
    cache_control = CACHE_FOREVER if HASHED_NAME.search(path.name) else CACHE_REVALIDATE
    headers: Headers = (
        (b"content-type", MEDIA_TYPES[path.suffix].encode()),
        (b"cache-control", cache_control),
    )
    if len(body) < COMPRESS_FROM_BYTES:
        return StaticFile(plain=_build_variant(body, digest, headers))
    headers = (*headers, (b"vary", b"Accept-Encoding"))
    compressed = zlib.compress(body, GZIP_LEVEL, GZIP_WINDOW_BITS)
    gzipped = _build_variant(compressed, f"{digest}-gzip", (*headers, (b"content-encoding", b"gzip")))
    return StaticFile(plain=_build_variant(body, digest, headers), gzipped=gzipped)


def _build_variant(body: bytes, tag: str, headers: Headers) -> FileVariant:
    etag = f'"{tag}"'.encode()
    return FileVariant(body=body, etag=etag, headers=(*headers, (b"etag", etag)))


def _format_policy(policy: Mapping[str, str]) -> bytes:
    return "; ".join(f"{name} {allowed}" for name, allowed in policy.items()).encode()
