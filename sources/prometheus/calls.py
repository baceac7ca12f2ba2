"""A question in, what Prometheus answers out: by POST, each within its seconds and its bytes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import BasicAuth, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from engine.errors import SourceFailed
from sources.bounded import once
from sources.prometheus.failures import failed, refused, too_long, unreadable
from sources.prometheus.questions import Question
from sources.rest.addresses import PublicOnly

OK = 200
RESULTS = {"query": "vector", "query_range": "matrix"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """One server's calls. `most`: bytes of an answer."""

    session: ClientSession
    base_url: str
    timeout: float
    at_once: int
    most: int
    free: asyncio.Semaphore

    async def asked(self, question: Question) -> Sequence[Any]:
        """Its series as they came. Raises SourceFailed."""
        data = await self.said(question.path, question.form)
        if data.get("resultType") != RESULTS[question.path] or not isinstance(data.get("result"), list):
            raise unreadable()
        found: Sequence[Any] = data["result"]
        return found

    async def said(self, path: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            async with (
                self.free,
                self.session.post(
                    f"{self.base_url}/api/v1/{path}",
                    data={**form, "timeout": f"{self.timeout:g}s"},
                    allow_redirects=False,
                ) as response,
            ):
                return _data(response.status, await _json(response, self.most))
        except SourceFailed:
            raise
        except Exception as error:
            raise failed(error, self.timeout) from error


def calls(base_url: str, auth: BasicAuth | None, token: str | None, **bounds: Any) -> Calls:
    """`private_addresses`, and the bounds of Calls."""
    resolver = None if bounds.pop("private_addresses") else PublicOnly()
    session = once(
        ClientSession(
            connector=TCPConnector(resolver=resolver, limit=bounds["at_once"]),
            headers={"accept-encoding": "identity", **({"authorization": f"Bearer {token}"} if token else {})},
            auth=auth,
            timeout=ClientTimeout(total=bounds["timeout"]),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        )
    )
    return Calls(session=session, base_url=base_url, free=asyncio.Semaphore(bounds["at_once"]), **bounds)


async def _json(response: ClientResponse, most: int) -> Any:
    """Counted while it comes, and it does not come packed; None where it is no JSON."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            raise too_long(most)
    try:
        return orjson.loads(b"".join(parts))
    except orjson.JSONDecodeError:
        return None


def _data(status: int, said: Any) -> Mapping[str, Any]:
    told = said if isinstance(said, Mapping) else {}
    if status != OK or told.get("status") != "success":
        raise refused(status, told.get("errorType")) if status != OK or told else unreadable()
    data = told.get("data")
    if not isinstance(data, Mapping):
        raise unreadable()
    return data
