"""A folder of committed files in, an ASGI app that serves those files and nothing else out."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

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
"""What a page may load and who may frame it; a page that needs more says so where it is mounted."""

HASHED_NAME = re.compile(r"-[\w-]{8}\.\w+$")

CACHE_FOREVER = b"public, max-age=31536000, immutable"

CACHE_REVALIDATE = b"no-cache"

NOT_FOUND_BODY = b"there is nothing here"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """One file, as it stood when the server started."""

    body: bytes
    etag: bytes
    headers: Headers


class StaticFiles:
    """The files below one path. A request only looks a name up among those read at start, so it reaches no other."""

    def __init__(self, folder: Path, *, mount_path: str, policy: Mapping[str, str] | None = None) -> None:
        """Reads the whole folder. `policy` replaces directives of POLICY."""
        self.mount_path = mount_path
        self.headers: Headers = (
            (b"content-security-policy", _format_policy({**CONTENT_SECURITY_POLICY, **(policy or {})})),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        )
        self.files = {path.relative_to(folder).as_posix(): _load_file(path) for path in _list_files(folder)}

    def matches(self, path: str) -> bool:
        """Whether a request's path is for us to answer."""
        return path == self.mount_path or path.startswith(f"{self.mount_path}/")

    async def __call__(self, scope: Any, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            return await self._respond(send, 405, ((b"allow", b"GET, HEAD"),))
        page = self.files.get(scope["path"].removeprefix(self.mount_path).removeprefix("/") or INDEX_PAGE)
        if page is None:
            return await self._respond(send, 404, ((b"content-type", b"text/plain"),), NOT_FOUND_BODY)
        if page.etag in dict(scope["headers"]).get(b"if-none-match", b""):
            return await self._respond(send, 304, page.headers)
        length = (b"content-length", str(len(page.body)).encode())
        return await self._respond(send, 200, (*page.headers, length), page.body if scope["method"] == "GET" else b"")

    async def _respond(self, send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
        await send({"type": "http.response.start", "status": status, "headers": [*headers, *self.headers]})
        await send({"type": "http.response.body", "body": body})


def _list_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.suffix in MEDIA_TYPES and path.is_file()]


def _load_file(path: Path) -> StaticFile:
    body = path.read_bytes()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
    kept = CACHE_FOREVER if HASHED_NAME.search(path.name) else CACHE_REVALIDATE
    headers = ((b"content-type", MEDIA_TYPES[path.suffix].encode()), (b"etag", etag), (b"cache-control", kept))
    return StaticFile(body=body, etag=etag, headers=headers)


def _format_policy(policy: Mapping[str, str]) -> bytes:
    return "; ".join(f"{name} {allowed}" for name, allowed in policy.items()).encode()
