"""A path and parameters in, the API's JSON out: one session, kept alive; every answer has an end."""

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlencode

import orjson
from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from engine.errors import SourceFailed
from sources.rest.addresses import PublicOnly
from sources.rest.failures import OK, TOO_MANY, failed, refused, too_long, unreadable

Parameters: TypeAlias = Sequence[tuple[str, str]]
NOT_FOUND = 404
GZIP = 31
"""zlib's number of a stream with gzip's head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was said, and the url that the Link header names as the next page."""

    said: Any
    next: str | None


class Calls:
    """One API's calls: a bounded number at once, each within `timeout` seconds and `most` bytes, unpacked."""

    def __init__(self, session: ClientSession, base_url: str, *, timeout: float, at_once: int, most: int) -> None:
        self.session = session
        self.base_url = base_url
        self.timeout = timeout
        self.at_once = at_once
        self.most = most
        self.free = asyncio.Semaphore(at_once)

    async def get(self, path: str, parameters: Parameters) -> Answer | None:
        """None: there is nothing at this path. Raises SourceFailed."""
        query = f"?{urlencode(parameters, safe=',')}" if parameters else ""
        return await self.asked(URL(f"{self.base_url}{path}{query}", encoded=True))

    async def asked(self, url: URL, sent: bytes | None = None) -> Answer | None:
        """Asked to slow down, waits once, if the wait is shorter than a call may take. `sent`: JSON that is posted."""
        try:
            async with self.free:
                answer = await self.once(url, sent)
                if isinstance(answer, float):
                    await asyncio.sleep(answer)
                    answer = await self.once(url, sent)
        except SourceFailed:
            raise
        except Exception as error:
            raise failed(error, self.timeout) from error
        if isinstance(answer, float):
            raise refused(TOO_MANY)
        return answer

    async def once(self, url: URL, sent: bytes | None = None) -> Answer | float | None:
        """An answer, or the seconds to wait for one."""
        method, headers = ("GET", None) if sent is None else ("POST", {"content-type": "application/json"})
        async with self.session.request(method, url, data=sent, headers=headers, allow_redirects=False) as response:
            if response.status == OK:
                said = orjson.loads(await body(response, self.most))
                return Answer(said=said, next=following(response))
            if response.status == NOT_FOUND:
                return None
            wait = pause(response.status, response.headers)
            if wait is None or wait > self.timeout:
                raise refused(response.status)
            return wait

    async def ping(self) -> None:
        """Whatever it says of this path, it is there; raises SourceFailed."""
        try:
            async with self.session.head(URL(f"{self.base_url}/", encoded=True), allow_redirects=False) as response:
                status = response.status
        except Exception as error:
            raise failed(error, self.timeout) from error
        if status >= 500:
            raise refused(status)


def calls(base_url: str, headers: Mapping[str, str], **bounds: Any) -> Calls:
    """`private_addresses`, and the bounds of Calls."""
    resolver = None if bounds.pop("private_addresses") else PublicOnly()
    session = ClientSession(
        connector=TCPConnector(resolver=resolver, limit=bounds["at_once"]),
        headers={"accept": "application/json", "accept-encoding": "gzip", **headers},
        timeout=ClientTimeout(total=bounds["timeout"]),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
    )
    return Calls(session, base_url, **bounds)


async def body(response: ClientResponse, most: int) -> bytes:
    """Counted while it comes, packed and unpacked."""
    packed = response.headers.get("content-encoding", "identity").lower()
    if packed not in ("identity", "gzip"):
        raise unreadable()
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            raise too_long(most)
    whole = b"".join(parts)
    return whole if packed == "identity" else unpacked(whole, most)


def unpacked(packed: bytes, most: int) -> bytes:
    stream = zlib.decompressobj(GZIP)
    whole = stream.decompress(packed, most + 1)
    if len(whole) > most:
        raise too_long(most)
    if not stream.eof:
        raise unreadable()
    return whole


def following(response: ClientResponse) -> str | None:
    """Where the next page is, by the answer's Link header."""
    if "link" not in response.headers:
        return None
    link = response.links.get("next")
    return None if link is None else str(link["url"])


def pause(status: int, headers: Mapping[str, str]) -> float | None:
    """The seconds the API asks to wait; None when it does not ask."""
    try:
        wait = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return wait if status == TOO_MANY and wait >= 0 else None
