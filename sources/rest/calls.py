"""A path and parameters in, the API's JSON out: one session, kept alive; every answer has an end."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urlencode

import orjson
from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from engine.errors import SourceFailed
from sources.bounded import once
from sources.rest.addresses import PublicOnly, checked
from sources.rest.failures import FORBIDDEN, FOUND, MOVED, OK, TOO_MANY, failed, refused, too_long, unreadable

Parameters: TypeAlias = Sequence[tuple[str, str]]
NOT_FOUND = 404
GZIP = 31
"""zlib's number of a stream with gzip's head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was said, and the url that the Link header names as the next page."""

    said: Any
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`timeout`: seconds of one call. `at_once`: calls. `most`: bytes of one answer, unpacked.

    `redirects`: the hosts where a text may lie, which are not sent our headers.
    """

    timeout: float
    at_once: int
    most: int
    private_addresses: bool = False
    redirects: tuple[str, ...] = ()


class Calls:
    """One API's calls, within their bounds."""

    def __init__(self, session: ClientSession, base_url: str, headers: Mapping[str, str], bounds: Bounds) -> None:
        self.session = session
        self.base_url = base_url
        self.headers = headers
        self.bounds = bounds
        self.at_once = bounds.at_once
        self.free = asyncio.Semaphore(bounds.at_once)

    async def get(self, path: str, parameters: Parameters = ()) -> Answer | None:
        """None: there is nothing at this path. Raises SourceFailed."""
        query = f"?{urlencode(parameters, safe=',')}" if parameters else ""
        return await self.asked(URL(f"{self.base_url}{path}{query}", encoded=True))

    async def text(self, path: str) -> Answer | None:
        """As `get`, of a text, which may lie at a host that the settings list."""
        return await self.patient(partial(self.once_text, URL(f"{self.base_url}{path}", encoded=True)))

    async def asked(self, url: URL, sent: bytes | None = None) -> Answer | None:
        """`sent`: JSON that is posted."""
        return await self.patient(partial(self.once, url, sent))

    async def patient(self, once: Callable[[], Awaitable[Answer | float | None]]) -> Answer | None:
        """Asked to slow down, waits once, if the wait is shorter than a call may take."""
        try:
            async with self.free:
                answer = await once()
                if isinstance(answer, float):
                    await asyncio.sleep(answer)
                    answer = await once()
        except SourceFailed:
            raise
        except Exception as error:
            raise failed(error, self.bounds.timeout) from error
        if isinstance(answer, float):
            raise refused(TOO_MANY)
        return answer

    async def once(self, url: URL, sent: bytes | None = None) -> Answer | float | None:
        """An answer, or the seconds to wait for one."""
        method, more = ("GET", {}) if sent is None else ("POST", {"content-type": "application/json"})
        headers = {**self.headers, **more}
        async with self.session.request(method, url, data=sent, headers=headers, allow_redirects=False) as response:
            if response.status == OK:
                said = orjson.loads(await body(response, self.bounds.most))
                return Answer(said=said, next=following(response))
            return self.otherwise(response)

    async def once_text(self, url: URL) -> Answer | float | None:
        async with self.session.get(url, headers=self.headers, allow_redirects=False) as response:
            if response.status == OK:
                return Answer(said=(await body(response, self.bounds.most)).decode("utf-8", "replace"), next=None)
            if response.status not in MOVED:
                return self.otherwise(response)
            place = self.listed(url, response.headers.get("location", ""))
        async with self.session.get(place, allow_redirects=False) as response:
            if response.status == OK:
                return Answer(said=(await body(response, self.bounds.most)).decode("utf-8", "replace"), next=None)
            return self.otherwise(response)

    def otherwise(self, response: ClientResponse) -> float | None:
        """Of any status but 200: None, or the seconds to wait."""
        if response.status == NOT_FOUND:
            return None
        wait = pause(response.status, response.headers)
        if wait is None or wait > self.bounds.timeout:
            raise refused(TOO_MANY if wait is not None or used_up(response) else response.status)
        return wait

    def listed(self, url: URL, location: str) -> URL:
        """Where a text lies, if its host is one of those that are listed; judged as the API's own address is."""
        place = url.join(URL(location))
        if place.host not in self.bounds.redirects:
            raise refused(FOUND)
        checked(str(place.origin()), private_addresses=self.bounds.private_addresses)
        return place

    async def ping(self) -> None:
        """Whatever it says of this path, it is there; raises SourceFailed."""
        try:
            url = URL(f"{self.base_url}/", encoded=True)
            async with self.session.head(url, headers=self.headers, allow_redirects=False) as response:
                status = response.status
        except Exception as error:
            raise failed(error, self.bounds.timeout) from error
        if status >= 500:
            raise refused(status)


def calls(base_url: str, headers: Mapping[str, str], **given: Any) -> Calls:
    """`given`: those of Bounds."""
    bounds = Bounds(**given)
    session = ClientSession(
        connector=TCPConnector(resolver=None if bounds.private_addresses else PublicOnly(), limit=bounds.at_once),
        headers={"accept-encoding": "gzip"},
        timeout=ClientTimeout(total=bounds.timeout),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
    )
    return Calls(once(session), base_url, {"accept": "application/json", **headers}, bounds)


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
    return wait if status in (TOO_MANY, FORBIDDEN) and wait >= 0 else None


def used_up(response: ClientResponse) -> bool:
    """Whether a refusal means that there were too many calls, as some say with 403."""
    return response.status == FORBIDDEN and response.headers.get("x-ratelimit-remaining") == "0"
