"""Let the web pages of known origins call in from a browser (CORS, as the Fetch standard has it)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from onedoor.errors import ConfigurationError

Header = tuple[bytes, bytes]

DEFAULT_PORTS = {"http": 80, "https": 443}
"""The schemes of pages, and the port that a browser leaves out of an origin."""

MAX_AGE = b"3600"

ALLOW_METHODS = b"GET, POST"

ALLOW_HEADERS = b"authorization, x-api-key, content-type, x-request-id"
"""Where the browser names no header that the page sends."""

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

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


def is_preflight(method: str, headers: Iterable[Header]) -> bool:
    """Whether a browser asks what a page may send, before it sends it."""
    return method == "OPTIONS" and any(name == b"access-control-request-method" for name, _ in headers)


def build_preflight_headers(request_headers: Sequence[Header], allowed_origins: frozenset[str]) -> list[Header]:
    """Build the headers that answer a preflight request; it reads nothing and has no key, so it is not recorded.

    A page of a known origin may send any header: clients add their own, and none is read but those of docs/frontend.md.
    """
    headers = [(b"allow", b"GET, POST, HEAD, OPTIONS"), (b"vary", PREFLIGHT_VARY)]
    origins = [value.decode("latin-1") for name, value in request_headers if name == b"origin"]
    if len(origins) == 1 and origins[0] in allowed_origins:
        headers += [
            (b"access-control-allow-origin", origins[0].encode()),
            (b"access-control-allow-methods", ALLOW_METHODS),
            (b"access-control-allow-headers", b", ".join(_list_wanted_headers(request_headers)) or ALLOW_HEADERS),
            (b"access-control-max-age", MAX_AGE),
        ]
    return headers


def _list_wanted_headers(headers: Iterable[Header]) -> Iterator[bytes]:
    lists = (value.split(b",") for name, value in headers if name == b"access-control-request-headers")
    return (name.strip() for names in lists for name in names if TOKEN.fullmatch(name.strip()))
