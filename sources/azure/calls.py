"""A path and parameters in, a listing or a file's octets out: one session, kept alive; every answer has an end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import formatdate
from xml.etree.ElementTree import Element, TreeBuilder, XMLParser

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from engine.errors import SourceFailed
from sources.azure.access import VERSION, Access, Parameters, addressable
from sources.azure.entries import NOTHING, Page
from sources.azure.failures import CREDENTIALS, NOT_FOUND, NOT_IN_RANGE, failed, refused, skewed, too_long, unreadable
from sources.bounded import once
from sources.clocks import apart
from sources.rest.addresses import PublicOnly

OK, PARTIAL = 200, 206
GONE = frozenset({"ResourceNotFound", "ParentNotFound"})
"""What Azure says of a directory that is no longer there; of a share or container it says something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`timeout`: seconds of one call. `at_once`: calls under way. `most`: bytes of a listing's page."""

    timeout: float
    at_once: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An answer whose octets do not matter."""

    status: int
    code: str
    headers: Mapping[str, str]


class Calls:
    """One account's calls."""

    def __init__(self, access: Access, bounds: Bounds, *, private_addresses: bool) -> None:
        self.access = access
        self.bounds = bounds
        self.free = asyncio.Semaphore(bounds.at_once)
        made = ClientSession(
            connector=TCPConnector(resolver=None if private_addresses else PublicOnly(), limit=bounds.at_once),
            headers={"accept": "application/xml", "accept-encoding": "identity"},
            timeout=ClientTimeout(total=bounds.timeout),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        )
        self.session = once(made)

    async def listing(self, path: str, read: Callable[[Element], Page], **parameters: str) -> Page:
        """What `read` makes of one page; nothing if the directory is not there. Raises SourceFailed.

        A parameter without a value is left out.
        """
        given = [("comp", "list"), *((name, value) for name, value in parameters.items() if value)]
        async with self.answer(path, given, {}) as response:
            if response.status == OK:
                return read(parsed(await self.page(response)))
            if code(response) in GONE:
                return NOTHING
            raise refusal(response, self.access.service)

    async def octets(self, id: str, start: int, length: int) -> bytes:
        """At most `length` from `start` on. Raises SourceFailed."""
        if not addressable(id):
            raise refused(NOT_FOUND, "ResourceNotFound", self.access.service)
        if length < 1:
            return b""
        wanted = {"x-ms-range": f"bytes={start}-{start + length - 1}"}
        async with self.answer(self.access.path(id), (), wanted) as response:
            if response.status == NOT_IN_RANGE:
                return b""
            if begins(response, start):
                return await beginning(response, length)
            if response.status < 300:
                raise unreadable(self.access.service)
            raise refusal(response, self.access.service)

    async def told(self, verb: str, id: str, headers: Mapping[str, str], data: bytes = b"", **parameters: str) -> Told:
        """What is said of a file that is written to, or looked at. Raises SourceFailed."""
        sized = {"content-length": str(len(data))} if data else {}
        path, given = self.access.path(id), tuple(parameters.items())
        async with self.answer(path, given, {**headers, **sized}, verb, data) as response:
            return Told(status=response.status, code=code(response), headers=response.headers)

    @asynccontextmanager
    async def answer(
        self, path: str, parameters: Parameters, headers: Mapping[str, str], verb: str = "GET", data: bytes = b""
    ) -> AsyncIterator[ClientResponse]:
        """Raises SourceFailed, and nothing else, whatever happens before it is read to its end."""
        url = URL(self.access.url(path, parameters), encoded=True)
        said = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": VERSION, **headers}
        signed = self.access.signed(path, parameters, said, verb)
        try:
            async with (
                self.free,
                self.session.request(
                    verb, url, headers=signed, data=data or None, allow_redirects=False,
                    skip_auto_headers=("content-type",),
                ) as response,
            ):  # fmt: skip
                yield response
        except SourceFailed:
            raise
        except Exception as error:
            raise failed(error, self.access.service, self.bounds.timeout) from error

    async def page(self, response: ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > self.bounds.most:
                raise too_long(self.access.service, self.bounds.most)
        return b"".join(parts)


class Plain(TreeBuilder):
    """Azure's listings declare nothing, so nothing in them can be made to grow."""

    def doctype(self, *_: object) -> None:
        raise ValueError("a declaration")


def refusal(response: ClientResponse, service: str) -> SourceFailed:
    """Azure says the same of a wrong key and of a wrong clock, but it says what time it is."""
    if response.status in CREDENTIALS and apart(response.headers.get("date")):
        return skewed(service)
    return refused(response.status, code(response), service)


def parsed(page: bytes) -> Element:
    """ValueError, SyntaxError: it is no listing; any XML would else count as an empty one."""
    parser = XMLParser(target=Plain())
    parser.feed(page)
    root: Element = parser.close()
    if root.tag != "EnumerationResults":
        raise ValueError("no listing")
    return root


def begins(response: ClientResponse, start: int) -> bool:
    """Whether the octets from `start` on are what comes; who knows no ranges sends them all."""
    if response.status == PARTIAL:
        return response.headers.get("content-range", "").startswith(f"bytes {start}-")
    return response.status == OK and start == 0


async def beginning(response: ClientResponse, length: int) -> bytes:
    parts, left = [], length
    while left and (part := await response.content.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def code(response: ClientResponse) -> str:
    return response.headers.get("x-ms-error-code", "")
