"""A path and what is asked there in, Datadog's JSON out: in its turn, within its seconds and its bytes."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from engine.quota import Quotas
from sources.bounded import once
from sources.datadog.failures import TOO_MANY, failed, refused, too_long, unreadable
from sources.rest.addresses import PublicOnly

OK, NOT_FOUND = 200, 404
LONGEST_PAUSE = 3600.0


class SlowDown(Exception):
    """Datadog says to come back after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """One organisation's calls. `most`: bytes of an answer. `items`: rows of one search."""

    session: ClientSession
    base_url: str
    quotas: Quotas
    timeout: float
    at_once: int
    most: int
    items: int
    free: asyncio.Semaphore

    async def get(self, called: str, path: str, parameters: Mapping[str, str]) -> Any:
        """None: there is nothing at this path. `called` names the quota. Raises SourceFailed."""
        return await self.asked(called, "GET", path, {"params": dict(parameters)})

    async def post(self, called: str, path: str, body: Mapping[str, Any]) -> Any:
        return await self.asked(called, "POST", path, {"json": body})

    async def asked(self, called: str, method: str, path: str, given: Mapping[str, Any]) -> Any:
        """Asked to slow down, all who call the same wait, and this one asks once more."""
        quota = self.quotas.of(called)
        try:
            await quota.turn(self.timeout)
            try:
                return await self.bounded(method, path, given)
            except SlowDown as pause:
                quota.slow(pause.seconds)
            await quota.turn(self.timeout)
            return await self.bounded(method, path, given)
        except SlowDown:
            raise refused(TOO_MANY) from None
        except Exception as error:
            raise failed(error, self.timeout) from error

    async def bounded(self, method: str, path: str, given: Mapping[str, Any]) -> Any:
        async with (
            self.free,
            self.session.request(method, f"{self.base_url}{path}", allow_redirects=False, **given) as response,
        ):
            if response.status == OK:
                return orjson.loads(await _body(response, self.most))
            if response.status == NOT_FOUND:
                return None
            wait = pause(response)
            raise refused(response.status) if wait is None else SlowDown(wait)


def calls(keys: Mapping[str, str], base_url: str, quotas: Quotas, **bounds: Any) -> Calls:
    """`keys` are headers. `private_addresses`, and the bounds of Calls."""
    resolver = None if bounds.pop("private_addresses") else PublicOnly()
    session = once(
        ClientSession(
            connector=TCPConnector(resolver=resolver, limit=bounds["at_once"]),
            headers={"accept": "application/json", "accept-encoding": "identity", **keys},
            timeout=ClientTimeout(total=bounds["timeout"]),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        )
    )
    free = asyncio.Semaphore(bounds["at_once"])
    return Calls(session=session, base_url=base_url, quotas=quotas, free=free, **bounds)


async def _body(response: ClientResponse, most: int) -> bytes:
    """Counted while it comes, and it does not come packed."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            raise too_long(most)
    return b"".join(parts)


def pause(response: ClientResponse) -> float | None:
    """The seconds until its quota is whole again; None when it does not say, or says more than an hour."""
    if response.status != TOO_MANY:
        return None
    try:
        seconds = float(response.headers.get("X-RateLimit-Reset", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds <= LONGEST_PAUSE else None


def listed(answer: Any, *path: str) -> list[Any]:
    """The list at a place of an answer; SourceFailed where there is none."""
    found = answer
    for step in path:
        found = found.get(step) if isinstance(found, Mapping) else None
    if not isinstance(found, list):
        raise unreadable()
    return found
