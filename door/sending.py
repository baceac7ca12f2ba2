"""A reply in, the messages that send it out: its headers, its body compressed where that pays."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from door.negotiate import gzips
from door.origins import shared
from door.reply import Reply
from door.request import Head
from records.record import client_request_id

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COMPRESSED_BYTES = 8 * 1024
"""From here on a body is compressed."""
APART_BYTES = 256 * 1024
"""From here on it is compressed in a thread, for it takes some milliseconds."""
LEVEL = 1
GZIP = 16 + zlib.MAX_WBITS
HEADERS = (
    (b"cache-control", b"private, no-store"),
    (b"vary", b"Authorization, X-API-Key, Accept, Accept-Encoding, Origin"),
    (b"x-content-type-options", b"nosniff"),
)

# its own, so that a source that fills the default one cannot hold replies back
_threads = ThreadPoolExecutor(2, thread_name_prefix="onedoor-gzip")


async def sent(found: Reply, send: Send, *, id: str, head: Head, allowed: frozenset[str]) -> None:
    """`id` is the record's; `allowed` are the origins whose pages may read the reply."""
    body, gzipped = found.body, len(found.body) >= COMPRESSED_BYTES and gzips(head.encodings)
    if gzipped:
        body = await _gzipped(body)
    headers = [
        (b"content-type", f"{found.media}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", id.encode()),
        *HEADERS,
        *shared(head.origin, allowed),
        *((name.encode(), value.encode()) for name, value in found.headers.items()),
    ]
    if gzipped:
        headers.append((b"content-encoding", b"gzip"))
    if (theirs := client_request_id(head.request_id)) is not None:
        headers.append((b"x-client-request-id", theirs.encode()))
    await send({"type": "http.response.start", "status": found.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _gzipped(body: bytes) -> bytes:
    if len(body) < APART_BYTES:
        return zlib.compress(body, LEVEL, GZIP)
    return await asyncio.get_running_loop().run_in_executor(_threads, zlib.compress, body, LEVEL, GZIP)
