"""A method's name and its parameters go in, Slack's answer comes out, page after page where it has pages."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

from aiohttp import ClientSession
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from engine.quota import Quotas
from sources import bounded
from sources.slack.failures import failed, named, status
from sources.slack.refusals import nothing_yet, slow_down, untold

Item: TypeAlias = Mapping[str, Any]
PAGE = 200


class Calls:
    """One token's calls: a bounded number at once, each within `timeout` seconds, over one shared HTTP session."""

    def __init__(
        self, client: AsyncWebClient, session: ClientSession, quotas: Quotas, *, timeout: float, at_once: int
    ) -> None:
        self.client = client
        self.session = session
        self.quotas = quotas
        self.timeout = timeout
        self.at_once = at_once
        self.free = asyncio.Semaphore(at_once)

    async def call(self, method: str, **parameters: Any) -> Item:
        """The answer; raises SourceFailed."""
        try:
            return await self.patient(method, parameters)
        except Exception as error:
            raise failed(error, self.timeout) from error

    async def found(self, method: str, *absent: str, **parameters: Any) -> Item | None:
        """The answer, or None when Slack says one of `absent`; raises SourceFailed."""
        try:
            return await self.patient(method, parameters)
        except Exception as error:
            if isinstance(error, SlackApiError) and named(error) in absent:
                return None
            raise failed(error, self.timeout) from error

    async def pages(self, method: str, part: str, *absent: str, **parameters: Any) -> AsyncIterator[list[Item]]:
        """The answers' `part`, following their cursors; nothing when Slack says one of `absent`."""
        cursor = ""
        while True:
            answer = await self.found(method, *absent, limit=PAGE, cursor=cursor, **parameters)
            if answer is None:
                return
            yield answer[part]
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    async def tell(self, method: str, told: Mapping[str, Any]) -> Item:
        """What Slack says of something to do, told once. Raises Unmade where it did nothing, else SourceFailed."""
        quota = self.quotas.of(method)
        with nothing_yet(self.timeout):
            await quota.turn(self.timeout)
        try:
            async with self.free:
                return read(method, await self.client.api_call(method, http_verb="POST", json=dict(told)))
        except Exception as error:
            if isinstance(error, SlackApiError) and (wait := pause(error)) is not None:
                quota.slow(wait)
                raise slow_down(wait) from error
            raise untold(error, self.timeout) from error

    async def patient(self, method: str, parameters: Mapping[str, Any]) -> Item:
        """In its turn. Where Slack asks to slow down, all who call the method wait, and this one asks once more."""
        quota = self.quotas.of(method)
        await quota.turn(self.timeout)
        try:
            return await self.bounded(method, parameters)
        except SlackApiError as error:
            wait = pause(error)
            if wait is None:
                raise
            quota.slow(wait)
        await quota.turn(self.timeout)
        return await self.bounded(method, parameters)

    async def bounded(self, method: str, parameters: Mapping[str, Any]) -> Item:
        async with self.free:
            return await self.once(method, parameters)

    async def once(self, method: str, parameters: Mapping[str, Any]) -> Item:
        given = {name: value for name, value in parameters.items() if value != ""}
        return read(method, await self.client.api_call(method, http_verb="GET", params=given))


def calls(token: str, base_url: str, quotas: Quotas, *, timeout: float, connections: int) -> Calls:
    """Retries are the engine's to spend, so the SDK makes none."""
    session = bounded.session(timeout=timeout, at_once=connections, redirects=False)
    client = AsyncWebClient(token=token, base_url=base_url, session=session, retry_handlers=[])
    return Calls(client, session, quotas, timeout=timeout, at_once=connections)


def read(method: str, response: AsyncSlackResponse) -> Item:
    if not isinstance(response.data, dict):
        raise TypeError(f"{method} answered with {type(response.data).__name__}")
    return response.data


def pause(error: SlackApiError) -> float | None:
    """The seconds Slack asks to wait; None when it does not ask."""
    headers = getattr(error.response, "headers", None) or {}
    if status(error) != 429:
        return None
    try:
        return float(headers.get("Retry-After", ""))
    except ValueError:
        return None
