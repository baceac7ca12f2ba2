"""The web pages that may call in; the headers by which a browser lets one of them read a reply out."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from onedoor.errors import ConfigurationError

Header = tuple[bytes, bytes]

DEFAULT_PORTS = {"http": 80, "https": 443}
"""The kinds of page, and the port that a browser leaves out."""

MAX_AGE = b"3600"

ALLOW_METHODS = b"GET, POST"

ALLOW_HEADERS = b"authorization, x-api-key, content-type, x-request-id"

EXPOSE_HEADERS = b"x-request-id, x-client-request-id, retry-after"

PREFLIGHT_VARY = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def parse_origins(origins: Iterable[str]) -> frozenset[str]:
    """The origins of the settings, each whole and by name. Raises Mistake; there is no `*`, which lets in any page."""
    known = frozenset(origins)
    for each in sorted(known):
        if each != _normalize_origin(each):
            raise ConfigurationError(
                f"`server.origins` holds `{each}`: write each as `https://host` or `https://host:port`"
            )
    return known


def _normalize_origin(text: str) -> str | None:
    """The origin as browsers send it, None for what is none."""
    try:
        parts = urlsplit(text)
        port = "" if parts.port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or "*" in parts.hostname or not parts.hostname.isascii():
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def build_cors_headers(origin: str | None, allowed_origins: frozenset[str]) -> Sequence[Header]:
    """What lets the page read the reply. Keys come in a header of the page's own, so no cookies are let through."""
    if origin is None or origin not in allowed_origins:
        return ()
    return ((b"access-control-allow-origin", origin.encode()), (b"access-control-expose-headers", EXPOSE_HEADERS))


async def send_preflight_response(origin: str | None, allowed_origins: frozenset[str], send: Any) -> None:
    """The answer to a browser that asks whether it may ask: it reads nothing and brings no key, so is not recorded."""
    headers = [(b"allow", b"GET, POST, OPTIONS"), (b"vary", PREFLIGHT_VARY)]
    if origin is not None and origin in allowed_origins:
        headers += [
            (b"access-control-allow-origin", origin.encode()),
            (b"access-control-allow-methods", ALLOW_METHODS),
            (b"access-control-allow-headers", ALLOW_HEADERS),
            (b"access-control-max-age", MAX_AGE),
        ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
