"""An answer over HTTP, as a library reads it, comes in; it ends, in bytes and in seconds, and is asked for once."""

import time
from collections.abc import Iterable
from typing import Any

from aiohttp import (
    ClientHandlerType,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver

MOVED = frozenset({301, 302, 303, 307, 308})
MOST = 16 * 2**20
"""Bytes of one answer, unpacked."""


class TooLong(Exception):
    """An answer went on past its end."""


def whole(parts: Iterable[bytes], *, most: int, seconds: float) -> bytes:
    """All parts of an answer that a thread reads. Raises TooLong; a read of a part has its own timeout."""
    until, found, size = time.monotonic() + seconds, list[bytes](), 0
    for part in parts:
        found.append(part)
        size += len(part)
        if size > most or time.monotonic() > until:
            raise TooLong
    return b"".join(found)


def session(
    *,
    timeout: float,
    at_once: int,
    most: int = MOST,
    headers: Any = None,
    resolver: AbstractResolver | None = None,
    redirects: bool = True,
) -> ClientSession:
    """aiohttp's, for libraries that read whole answers: at most `most` bytes of each, in `timeout` seconds.

    It keeps no cookies, and does not ask again on its own where a connection broke: retries are the guard's to spend.
    """
    made = ClientSession(
        connector=TCPConnector(limit=at_once, resolver=resolver),
        headers=headers,
        timeout=ClientTimeout(total=timeout),
        cookie_jar=DummyCookieJar(),
        response_class=_ending(most),
        middlewares=() if redirects else (_stays,),
    )
    return once(made)


async def _stays(request: ClientRequest, asked: ClientHandlerType) -> ClientResponse:
    """Some libraries do not say whether they follow a redirect, and aiohttp does."""
    response = await asked(request)
    if response.status in MOVED:
        response.close()
        raise ClientPayloadError("moved")
    return response


def once(made: ClientSession) -> ClientSession:
    """aiohttp asks again where a kept connection broke, and has no setting for it."""
    made._retry_connection = False
    return made


def _ending(most: int) -> type[ClientResponse]:
    class Ending(ClientResponse):
        async def read(self) -> bytes:
            if self._body is None:
                parts, size = [], 0
                async for part in self.content.iter_any():
                    parts.append(part)
                    size += len(part)
                    if size > most:
                        self.close()
                        raise ClientPayloadError("too long")
                self._body = b"".join(parts)
            return self._body

    return Ending
