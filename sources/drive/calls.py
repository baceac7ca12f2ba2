"""A path and parameters in, what Drive says out: signed in, in its turn, with an end to its time and its bytes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from engine.quota import Quotas
from sources.bounded import once
from sources.drive.account import Account, Tokens
from sources.drive.failures import (
    CREATED,
    FORBIDDEN,
    NOT_FOUND,
    OK,
    PARTIAL,
    TOO_MANY,
    UNAUTHORIZED,
    failed,
    reason,
    refused,
    slows,
    unreadable,
)
from sources.rest.calls import body

Item: TypeAlias = Mapping[str, Any]
PLAIN = {"accept-encoding": "identity"}
"""For content: a range of packed bytes is no range of the file's."""
PAUSE = 1.0
"""Seconds to wait where we are asked to slow down and not told how long."""
QUERIES = "queries"
LONGEST = 2048
"""Characters of an address; what is longer goes as a form, as Google's own client sends it."""
INSTEAD = {"x-http-method-override": "GET", "content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. `most`: of content, how many bytes are read; None: it is no content, and is read to its end."""

    verb: str
    url: URL
    headers: Mapping[str, str]
    data: bytes | None = None
    most: int | None = None


class Absent(Exception):
    """Drive says that there is nothing there, or that it does not know what the query names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    octets: bytes


class Calls:
    """One account's calls: a bounded number at once, each within `timeout` seconds and `most` bytes, unpacked."""

    def __init__(
        self, session: ClientSession, tokens: Tokens, quotas: Quotas, url: str, *, at_once: int, most: int
    ) -> None:
        self.session = session
        self.tokens = tokens
        self.quota = quotas.of(QUERIES)
        self.url = url
        self.at_once = at_once
        self.most = most
        self.timeout = tokens.timeout
        self.free = asyncio.Semaphore(at_once)

    def at(self, path: str, parameters: Mapping[str, str]) -> URL:
        return URL(f"{self.url}{path}", encoded=True).with_query(parameters)

    async def found(self, path: str, **parameters: str) -> Item | None:
        """None: it says that there is no such thing. Raises SourceFailed."""
        answer = await self.asked(question(self.at(f"/drive/v3/{path}", parameters)))
        return None if answer.status == NOT_FOUND else told(answer)

    async def pages(self, path: str, part: str, **parameters: str) -> AsyncIterator[list[Item]]:
        """The answers' `part`, page after page. Raises Absent, and SourceFailed."""
        place = ""
        while True:
            answer = await self.found(path, **parameters, **({"pageToken": place} if place else {}))
            if answer is None:
                raise Absent
            yield listed(answer, part)
            before, place = place, answer.get("nextPageToken") or ""
            if not place:
                return
            if place == before:
                raise unreadable()

    async def content(self, path: str, most: int, headers: Mapping[str, str], **parameters: str) -> Answer:
        """Of content the first `most` bytes: what follows is not read. Raises SourceFailed."""
        url = self.at(f"/drive/v3/{path}", parameters)
        return await self.asked(Call(verb="GET", url=url, headers={**PLAIN, **headers}, most=most))

    async def asked(self, call: Call) -> Answer:
        """In its turn, and once more where the token had ended or Drive asked to slow down. Raises SourceFailed."""
        try:
            answer = await self.once(call)
            return await self.once(call) if self.better(answer) else answer
        except Exception as error:
            raise failed(error, self.timeout) from error

    async def once(self, call: Call) -> Answer:
        """The library's own exceptions come out."""
        await self.quota.turn(self.timeout)
        async with self.free:
            token = await self.tokens.current()
            headers = {**call.headers, "authorization": f"Bearer {token}"}
            async with self.session.request(
                call.verb, call.url, headers=headers, data=call.data, allow_redirects=False
            ) as response:
                if response.status == UNAUTHORIZED:
                    self.tokens.forget(token)
                content = call.most is not None and response.status in (OK, PARTIAL)
                octets = await (first(response, call.most or 0) if content else body(response, self.most))
                return Answer(status=response.status, headers=response.headers, octets=octets)

    def better(self, answer: Answer) -> bool:
        """Whether the same call may do better at once; where Drive asks to slow down, all calls wait."""
        if answer.status in (TOO_MANY, FORBIDDEN) and slows(answer.status, reason(json_of(answer))):
            self.quota.slow(pause(answer.headers))
            return True
        return answer.status == UNAUTHORIZED


def calls(account: Account, url: str, quotas: Quotas, *, timeout: float, at_once: int, most: int) -> Calls:
    session = once(
        ClientSession(
            connector=TCPConnector(limit=at_once),
            headers={"accept-encoding": "gzip"},
            timeout=ClientTimeout(total=timeout),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        )
    )
    return Calls(session, Tokens(session, account, timeout), quotas, url, at_once=at_once, most=most)


def question(url: URL) -> Call:
    if len(str(url)) <= LONGEST:
        return Call(verb="GET", url=url, headers={})
    return Call(verb="POST", url=url.with_query(None), headers=INSTEAD, data=url.raw_query_string.encode("ascii"))


def told(answer: Answer) -> Item:
    """The object in an answer that is one; raises SourceFailed of any other."""
    said = json_of(answer)
    if answer.status not in (OK, CREATED):
        raise refused(answer.status, said)
    if not isinstance(said, dict):
        raise unreadable()
    return said


def json_of(answer: Answer) -> Any:
    """None: it is no JSON."""
    try:
        return orjson.loads(answer.octets)
    except ValueError:
        return None


def listed(answer: Item, part: str) -> list[Item]:
    """Drive may leave out an empty list. An answer that says itself that it is not all is none."""
    items = answer.get(part, None if answer else [])
    if not isinstance(items, list) or not set(map(type, items)) <= {dict} or answer.get("incompleteSearch"):
        raise unreadable()
    return items


async def first(response: ClientResponse, most: int) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size >= most:
            break
    return b"".join(parts)[:most]


def pause(headers: Mapping[str, str]) -> float:
    """The seconds Drive asks to wait."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return PAUSE
