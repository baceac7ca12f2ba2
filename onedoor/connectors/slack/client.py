"""Calls, errors."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from typing import Any, TypeAlias

from aiohttp import ClientConnectionError, ClientConnectorError, ClientSession
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from onedoor.connectors import http_client
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.quota import ConnectorRateLimiters
from onedoor.spi.connector import ChangeRejected

TOKEN_ERRORS = frozenset({"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"})

ERROR_NAME_PATTERN = re.compile(r"[a-z_]{1,60}")
"""What Slack's own error names look like; anything else is not repeated."""


def map_slack_error(error: Exception, timeout: float) -> ConnectorError:
    """`timeout` in seconds. The SDK's own texts name addresses, so none of them is passed on."""
    match error:
        case ConnectorError():
            return error
        case TimeoutError():
            return ConnectorError(f"slack did not answer within {timeout:g} s")
        case ClientConnectionError():
            return ConnectorError("slack could not be reached", retryable=True)
        case SlackApiError():
            return map_slack_status(get_response_status(error), get_error_name(error))
    return ConnectorError("slack gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)


def map_slack_status(status: int, name: str | None) -> ConnectorError:
    if status == 429:
        return ConnectorError("slack takes no more calls for now, ask again later", ErrorCode.SOURCE_OVERLOADED)
    if name in TOKEN_ERRORS:
        return ConnectorError("slack refused the token")
    if name is not None:
        return ConnectorError(f"slack refused the call with `{name}`")
    if status != 200:
        return ConnectorError(f"slack failed with HTTP status {status}")
    return ConnectorError("slack gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)


def get_response_status(error: SlackApiError) -> int:
    """Of an answer that the SDK could not read it keeps aiohttp's own, where the status has another name."""
    found: Any = error.response
    return int(found.status_code if hasattr(found, "status_code") else found.status)


def get_error_name(error: SlackApiError) -> str | None:
    """The name Slack gave the error, None when the answer has none."""
    data: Any = getattr(error.response, "data", None)
    name = data.get("error") if isinstance(data, dict) else None
    return name if isinstance(name, str) and ERROR_NAME_PATTERN.fullmatch(name) else None


BAD_INPUT = ErrorCode.BAD_USER_INPUT

REJECTIONS: Mapping[str, tuple[str, ErrorCode]] = {
    "channel_not_found": ("there is no such public channel in slack", ErrorCode.NOT_FOUND),
    "message_not_found": ("there is no such message in slack", ErrorCode.NOT_FOUND),
    "thread_not_found": ("there is no such thread in slack", ErrorCode.NOT_FOUND),
    "cannot_reply_to_message": ("slack takes no answers to this message", BAD_INPUT),
    "is_archived": ("the channel is closed for new messages", BAD_INPUT),
    "not_in_channel": ("slack lets only members write there: invite the door's app to the channel", BAD_INPUT),
    "cant_update_message": ("the message is not the door's own", BAD_INPUT),
    "cant_delete_message": ("the message is not the door's own", BAD_INPUT),
    "edit_window_closed": ("slack lets nobody change the message any more", BAD_INPUT),
    "no_text": ("slack takes no empty text", BAD_INPUT),
    "msg_too_long": ("the text is too long for slack", BAD_INPUT),
    "msg_blocks_too_long": ("the text is too long for slack", BAD_INPUT),
    "missing_scope": ("slack's token may not write: it lacks a scope", ErrorCode.SOURCE_UNAVAILABLE),
    "no_permission": ("slack's token may not write there", ErrorCode.SOURCE_UNAVAILABLE),
    "ratelimited": ("slack takes no more messages for now, ask again later", ErrorCode.SOURCE_OVERLOADED),
    "rate_limited": ("slack takes no more messages for now, ask again later", ErrorCode.SOURCE_OVERLOADED),
    "message_limit_exceeded": ("slack takes no more messages for now, ask again later", ErrorCode.SOURCE_OVERLOADED),
    **dict.fromkeys(TOKEN_ERRORS, ("slack refused the token", ErrorCode.SOURCE_UNAVAILABLE)),
}
"""By Slack's own name of an error."""

REJECTED_NAME_PREFIXES = (
    "restricted_action",
    "invalid_",
    "metadata_",
    "not_allowed_",
    "team_access_",
    "ekm_",
    "access_",
)
"""How names begin that Slack gives before it does anything. Any other, as `fatal_error`, may come in the middle."""


def map_post_error(error: Exception, timeout: float) -> ChangeRejected | ConnectorError:
    """What we never said, and what Slack turned down by name, was not done."""
    if isinstance(error, ClientConnectorError):
        return ChangeRejected("slack could not be reached", ErrorCode.SOURCE_UNAVAILABLE)
    if isinstance(error, SlackApiError) and get_response_status(error) == 429:
        return ChangeRejected(*REJECTIONS["ratelimited"])
    name = get_error_name(error) if isinstance(error, SlackApiError) else None
    if name is not None and name in REJECTIONS:
        return ChangeRejected(*REJECTIONS[name])
    if name is not None and name.startswith(REJECTED_NAME_PREFIXES):
        return ChangeRejected(f"slack refused the call with `{name}`", ErrorCode.SOURCE_INVALID)
    unknown = map_slack_error(error, timeout)
    return ConnectorError(unknown.reason, unknown.code)


def build_rate_limit_rejection(seconds: float) -> ChangeRejected:
    return ChangeRejected(
        f"slack takes no more messages for now, ask again in {ceil(seconds)} s", ErrorCode.SOURCE_OVERLOADED
    )


@contextmanager
def reject_on_error(timeout: float) -> Iterator[None]:
    """What fails in here fails before anything was told."""
    try:
        yield
    except ChangeRejected:
        raise
    except Exception as error:
        failure = map_slack_error(error, timeout)
        raise ChangeRejected(failure.reason, failure.code) from error


SlackItem: TypeAlias = Mapping[str, Any]

PAGE_SIZE = 200


class SlackClient:
    """One token's calls: a bounded number at once, each within `timeout` seconds, over one shared HTTP session."""

    def __init__(
        self,
        web_client: AsyncWebClient,
        session: ClientSession,
        quotas: ConnectorRateLimiters,
        *,
        timeout: float,
        max_concurrency: int,
    ) -> None:
        self.web_client = web_client
        self.session = session
        self.quotas = quotas
        self.timeout = timeout
        self.max_concurrency = max_concurrency
        self.semaphore = asyncio.Semaphore(max_concurrency)

    async def call(self, method: str, **parameters: Any) -> SlackItem:
        """The answer; raises SourceFailed."""
        try:
            return await self.call_with_retry(method, parameters)
        except Exception as error:
            raise map_slack_error(error, self.timeout) from error

    async def call_or_none(self, method: str, *absent_errors: str, **parameters: Any) -> SlackItem | None:
        """The answer, or None when Slack says one of `absent`; raises SourceFailed."""
        try:
            return await self.call_with_retry(method, parameters)
        except Exception as error:
            if isinstance(error, SlackApiError) and get_error_name(error) in absent_errors:
                return None
            raise map_slack_error(error, self.timeout) from error

    async def list_pages(
        self, method: str, items_key: str, *absent_errors: str, **parameters: Any
    ) -> AsyncIterator[list[SlackItem]]:
        """The answers' `part`, following their cursors; nothing when Slack says one of `absent`."""
        cursor = ""
        while True:
            answer = await self.call_or_none(method, *absent_errors, limit=PAGE_SIZE, cursor=cursor, **parameters)
            if answer is None:
                return
            yield answer[items_key]
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    async def post(self, method: str, payload: Mapping[str, Any]) -> SlackItem:
        """What Slack says of something to do, told once. Raises Unmade where it did nothing, else SourceFailed."""
        quota = self.quotas.get_limiter(method)
        with reject_on_error(self.timeout):
            await quota.acquire(self.timeout)
        try:
            async with self.semaphore:
                return read_response(
                    method, await self.web_client.api_call(method, http_verb="POST", json=dict(payload))
                )
        except Exception as error:
            if isinstance(error, SlackApiError) and (wait := parse_slack_retry_after(error)) is not None:
                quota.back_off(wait)
                raise build_rate_limit_rejection(wait) from error
            raise map_post_error(error, self.timeout) from error

    async def call_with_retry(self, method: str, parameters: Mapping[str, Any]) -> SlackItem:
        """In its turn. Where Slack asks to slow down, all who call the method wait, and this one asks once more."""
        quota = self.quotas.get_limiter(method)
        await quota.acquire(self.timeout)
        try:
            return await self.call_bounded(method, parameters)
        except SlackApiError as error:
            wait = parse_slack_retry_after(error)
            if wait is None:
                raise
            quota.back_off(wait)
        await quota.acquire(self.timeout)
        return await self.call_bounded(method, parameters)

    async def call_bounded(self, method: str, parameters: Mapping[str, Any]) -> SlackItem:
        async with self.semaphore:
            return await self.call_once(method, parameters)

    async def call_once(self, method: str, parameters: Mapping[str, Any]) -> SlackItem:
        given = {name: value for name, value in parameters.items() if value != ""}
        return read_response(method, await self.web_client.api_call(method, http_verb="GET", params=given))


def build_slack_client(
    token: str, base_url: str, quotas: ConnectorRateLimiters, *, timeout: float, connections: int
) -> SlackClient:
    """Retries are the engine's to spend, so the SDK makes none."""
    session = http_client.build_http_session(timeout=timeout, max_connections=connections, redirects=False)
    client = AsyncWebClient(token=token, base_url=base_url, session=session, retry_handlers=[])
    return SlackClient(client, session, quotas, timeout=timeout, max_concurrency=connections)


def read_response(method: str, response: AsyncSlackResponse) -> SlackItem:
    if not isinstance(response.data, dict):
        raise TypeError(f"{method} answered with {type(response.data).__name__}")
    return response.data


def parse_slack_retry_after(error: SlackApiError) -> float | None:
    """The seconds Slack asks to wait; None when it does not ask."""
    headers = getattr(error.response, "headers", None) or {}
    if get_response_status(error) != 429:
        return None
    try:
        return float(headers.get("Retry-After", ""))
    except ValueError:
        return None
