"""Let the web pages of known origins call in from a browser (CORS, as the Fetch standard has it)."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from onedoor.errors import ConfigurationError

Header = tuple[bytes, bytes]

DEFAULT_PORTS = {"http": 80, "https": 443}
"""The schemes of pages, and the port that a browser leaves out of an origin."""

MAX_AGE = b"3600"

ALLOW_METHODS = b"GET, POST"

ALLOW_HEADERS = b"authorization, x-api-key, content-type, x-request-id"

EXPOSE_HEADERS = b"x-request-id, x-client-request-id, retry-after"

PREFLIGHT_VARY = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def parse_origins(origins: Iterable[str]) -> frozenset[str]:
    """Check the origins of the settings; there is no `*`, which would admit any page. Raises ConfigurationError."""
    allowed_origins = frozenset(origins)
    for origin in sorted(allowed_origins):
        if origin != normalize_origin(origin):
            raise ConfigurationError(
                f"`server.origins` holds `{origin}`: write each as `https://host` or `https://host:port`"
            )
    return allowed_origins


def normalize_origin(text: str) -> str | None:
    """Return an origin as browsers send it, or None for a text that is not an origin."""
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
    """Build the headers that let a page read the response. Keys come in a header, so credentials are not allowed."""
    if origin is None or origin not in allowed_origins:
        return ()
    return ((b"access-control-allow-origin", origin.encode()), (b"access-control-expose-headers", EXPOSE_HEADERS))


async def send_preflight_response(origin: str | None, allowed_origins: frozenset[str], send: Any) -> None:
    """Answer a preflight request; it reads nothing and has no key, so it is not recorded."""
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
