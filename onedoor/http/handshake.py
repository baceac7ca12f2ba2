"""Judge what a request's head asks of its connection: which host, and which protocol to change to, if any."""

import binascii
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence

from onedoor.errors import HTTPError
from onedoor.http.cors import Header

WEBSOCKET = b"websocket"

WEBSOCKET_VERSION = b"13"

KEY_BYTES = 16
"""What `Sec-WebSocket-Key` encodes (RFC 6455, section 4.1)."""

HOP_HEADERS = (b"connection", b"upgrade", b"http2-settings", b"sec-websocket-extensions")
"""Headers that hold for one connection, and what they bring: none of it is handed on."""

OPENS_WITH_GET = "a WebSocket is opened with GET and no body, `Sec-WebSocket-Version: 13` and a `Sec-WebSocket-Key`"

UPGRADE_LOST = (
    "this is a WebSocket handshake without `Connection: Upgrade` and `Upgrade: websocket`: let the proxy pass both on"
)


def check_host(version: str, header_names: Sequence[bytes]) -> None:
    """Raise HTTPError where HTTP/1.1 comes without exactly one Host (RFC 9112, section 3.2)."""
    hosts = header_names.count(b"host")
    if hosts > 1 or (version == "1.1" and not hosts):
        raise HTTPError(400, "a request names its host once, in the header `Host`")


def asks_for_websocket(version: str, headers: Iterable[Header]) -> bool:
    """Whether `Upgrade` names WebSocket; in HTTP/1.0 the header means nothing (RFC 9110, section 7.8)."""
    return version == "1.1" and WEBSOCKET in list_tokens(headers, b"upgrade")


def check_handshake(method: bytes, headers: Sequence[Header]) -> None:
    """Raise HTTPError where a request for a WebSocket cannot open one (RFC 6455, section 4.2.1)."""
    first_values = dict(reversed(headers))
    if method != b"GET":
        raise HTTPError(405, OPENS_WITH_GET, {"allow": "GET"})
    if first_values.get(b"content-length", b"0").strip(b"0") or b"transfer-encoding" in first_values:
        raise HTTPError(400, OPENS_WITH_GET)
    if first_values.get(b"sec-websocket-version") != WEBSOCKET_VERSION:
        raise HTTPError(426, OPENS_WITH_GET, {"upgrade": "websocket", "sec-websocket-version": "13"})
    keys = [value for name, value in headers if name == b"sec-websocket-key"]
    if len(keys) != 1 or not _is_key(keys[0]):
        raise HTTPError(400, OPENS_WITH_GET)


def check_upgrade_kept(header_names: Sequence[bytes]) -> None:
    """Raise HTTPError for a handshake that lost its `Upgrade` on the way, as a proxy drops it by default."""
    if b"sec-websocket-key" in header_names:
        raise HTTPError(400, UPGRADE_LOST)


def build_handshake_headers(headers: Iterable[Header]) -> list[Header]:
    """Build the headers of a handshake as the WebSocket protocol reads them, without extensions: none is spoken."""
    others = [(name, value) for name, value in headers if name not in (*HOP_HEADERS, b"content-length")]
    return [*others, (b"connection", b"Upgrade"), (b"upgrade", WEBSOCKET)]


def build_head_without_upgrade(method: bytes, url: bytes, version: str, headers: Sequence[Header]) -> bytes:
    """Build the head of a request whose `Upgrade` is ignored, as RFC 9110, section 7.8, allows."""
    others = [(name, value) for name, value in headers if name not in HOP_HEADERS]
    kept = b", ".join(token for token in list_tokens(headers, b"connection") if token in (b"close", b"keep-alive"))
    lines = [name + b": " + value for name, value in [*others, *([(b"connection", kept)] if kept else [])]]
    return b"\r\n".join([method + b" " + url + b" HTTP/" + version.encode(), *lines, b"", b""])


def list_tokens(headers: Iterable[Header], name: bytes) -> Iterator[bytes]:
    """Yield the tokens of a header that is a list, in lower case."""
    for header, value in headers:
        if header == name:
            yield from (token.strip().lower() for token in value.split(b","))


def _is_key(text: bytes) -> bool:
    try:
        return len(b64decode(text.strip(), validate=True)) == KEY_BYTES
    except binascii.Error:
        return False
