"""Call Slack's Web API through its SDK, and map the errors that it answers with."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from typing import Any, TypeAlias

from aiohttp import ClientConnectorError, ClientSession
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from onedoor.connectors.http_client import (
    UNREADABLE,
    HttpLimits,
    HttpService,
    StatusError,
    build_library_session,
    map_call_error,
    map_http_error,
    parse_seconds_header,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.fair_slots import FairSlots
from onedoor.runtime.quota import ConnectorRateLimiters
from onedoor.spi.connector import ChangeRejected

SlackItem: TypeAlias = Mapping[str, Any]

PAGE_SIZE = 200

TOO_MANY_REQUESTS = 429

TOKEN_ERRORS = frozenset({"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"})

ERROR_NAME_PATTERN = re.compile(r"[a-z_]{1,60}")
"""The form of Slack's own names for errors; anything else is not passed on."""

FAILED = StatusError(message="failed with HTTP status {status}")

SLACK = HttpService(
    name="slack",
    status_errors={200: UNREADABLE, 401: FAILED, 403: FAILED, **dict.fromkeys((1, 2, 3, 4, 5), FAILED)},
)
"""Slack answers with status 200 and the name of an error; a status means something by itself only without a name."""

BAD_INPUT = ErrorCode.BAD_USER_INPUT

REJECTIONS: Mapping[str, tuple[str, ErrorCode]] = {
    "channel_not_found": ("there is no such public channel in slack", ErrorCode.NOT_FOUND),
    "message_not_found": ("there is no such message in slack", ErrorCode.NOT_FOUND),
    "thread_not_found": ("there is no such thread in slack", ErrorCode.NOT_FOUND),
    "cannot_reply_to_message": ("slack takes no answers to this message", BAD_INPUT),
    "is_archived": ("the channel is closed for new messages", BAD_INPUT),
    "not_in_channel": ("slack lets only members write there: invite the token's app to the channel", BAD_INPUT),
    "cant_update_message": ("slack lets only the author of a message change it", BAD_INPUT),
    "cant_delete_message": ("slack lets only the author of a message delete it", BAD_INPUT),
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
"""By Slack's own name for an error: a change was not made, and why."""

REJECTED_NAME_PREFIXES = (
    "restricted_action",
    "invalid_",
    "metadata_",
    "not_allowed_",
    "team_access_",
    "ekm_",
    "access_",
)
"""The beginnings of errors that come before Slack does anything; any other, as `fatal_error`, may come in between."""


class SlackClient:
    """Call Slack with one token, in the turn that its quotas give each method."""

    def __init__(self, token: str, base_url: str, quotas: ConnectorRateLimiters, limits: HttpLimits) -> None:
        self.session: ClientSession = build_library_session(limits)
        self.web_client = AsyncWebClient(token=token, base_url=base_url, session=self.session, retry_handlers=[])
        self.quotas = quotas
        self.timeout = limits.timeout
        self.max_concurrency = limits.max_concurrency
        self.slots = FairSlots(limits.max_concurrency)

    async def call(self, method: str, **parameters: Any) -> SlackItem:
        """Return the response. Raises ConnectorError."""
        try:
            return await self._call_with_retry(method, parameters)
        except Exception as error:
            raise map_slack_error(error, self.timeout) from error

    async def call_or_none(self, method: str, *absent_errors: str, **parameters: Any) -> SlackItem | None:
        """Return the response, or None when Slack answers with one of these errors. Raises ConnectorError."""
        try:
            return await self._call_with_retry(method, parameters)
        except Exception as error:
            if isinstance(error, SlackApiError) and _get_error_name(error) in absent_errors:
                return None
            raise map_slack_error(error, self.timeout) from error

    async def list_pages(
        self, method: str, items_key: str, *absent_errors: str, **parameters: Any
    ) -> AsyncIterator[list[SlackItem]]:
        """Follow the cursors and yield the items of each page; none when Slack answers with one of these errors."""
        cursor = ""
        while True:
            page = await self.call_or_none(method, *absent_errors, limit=PAGE_SIZE, cursor=cursor, **parameters)
            if page is None:
                return
            yield page[items_key]
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    async def post(self, method: str, payload: Mapping[str, Any]) -> SlackItem:
        """Make a change, sent once. Raises ChangeRejected when it was not made, ConnectorError when that is unknown."""
        limiter = self.quotas.get_limiter(method)
        with reject_on_error(self.timeout):
            await limiter.acquire(self.timeout)
        try:
            return await self._send(method, "POST", json=dict(payload))
        except Exception as error:
            if isinstance(error, SlackApiError) and (seconds := _parse_slack_retry_after(error)) is not None:
                limiter.back_off(seconds)
                raise ChangeRejected(
                    f"slack takes no more messages for now, ask again in {ceil(seconds)} s",
                    ErrorCode.SOURCE_OVERLOADED,
                ) from error
            raise _map_post_error(error, self.timeout) from error

    async def close(self) -> None:
        await self.session.close()

    async def _call_with_retry(self, method: str, parameters: Mapping[str, Any]) -> SlackItem:
        """Call once more where Slack asks to slow down; all calls of the method wait then."""
        params = {name: value for name, value in parameters.items() if value != ""}
        limiter = self.quotas.get_limiter(method)
        await limiter.acquire(self.timeout)
        try:
            return await self._send(method, "GET", params=params)
        except SlackApiError as error:
            seconds = _parse_slack_retry_after(error)
            if seconds is None:
                raise
            limiter.back_off(seconds)
        await limiter.acquire(self.timeout)
        return await self._send(method, "GET", params=params)

    async def _send(self, method: str, http_method: str, **options: Any) -> SlackItem:
        async with self.slots.hold():
            response = await self.web_client.api_call(method, http_verb=http_method, **options)
        return _read_response(method, response)


def map_slack_error(error: Exception, timeout: float) -> ConnectorError:
    """Map an exception of the SDK. `timeout` is in seconds."""
    if not isinstance(error, SlackApiError):
        return map_call_error(error, SLACK, timeout)
    status, name = _get_response_status(error), _get_error_name(error)
    if status == TOO_MANY_REQUESTS:
        return map_http_error(TOO_MANY_REQUESTS, SLACK)
    if name in TOKEN_ERRORS:
        return ConnectorError("slack refused the token")
    if name is not None:
        return ConnectorError(f"slack refused the call with `{name}`")
    return map_http_error(status, SLACK)


def _map_post_error(error: Exception, timeout: float) -> ChangeRejected | ConnectorError:
    """Map an exception of a change: it was not made when nothing was sent, and when Slack refused it by name."""
    if isinstance(error, ClientConnectorError):
        return ChangeRejected("slack could not be reached", ErrorCode.SOURCE_UNAVAILABLE)
    if isinstance(error, SlackApiError) and _get_response_status(error) == TOO_MANY_REQUESTS:
        return ChangeRejected(*REJECTIONS["ratelimited"])
    name = _get_error_name(error) if isinstance(error, SlackApiError) else None
    if name is not None and name in REJECTIONS:
        return ChangeRejected(*REJECTIONS[name])
    if name is not None and name.startswith(REJECTED_NAME_PREFIXES):
        return ChangeRejected(f"slack refused the call with `{name}`", ErrorCode.SOURCE_INVALID)
    failure = map_slack_error(error, timeout)
    return ConnectorError(failure.reason, failure.code)


@contextmanager
def reject_on_error(timeout: float) -> Iterator[None]:
    """Turn failures into ChangeRejected: inside of it nothing has been changed yet."""
    try:
        yield
    except ChangeRejected:
        raise
    except Exception as error:
        failure = map_slack_error(error, timeout)
        raise ChangeRejected(failure.reason, failure.code) from error


def _read_response(method: str, response: AsyncSlackResponse) -> SlackItem:
    if not isinstance(response.data, dict):
        raise TypeError(f"{method} answered with {type(response.data).__name__}")
    return response.data


def _get_response_status(error: SlackApiError) -> int:
    """Return the status; of a response that the SDK could not read, it keeps aiohttp's own."""
    response: Any = error.response
    return int(response.status_code if hasattr(response, "status_code") else response.status)


def _get_error_name(error: SlackApiError) -> str | None:
    """Return Slack's name for the error, None when the response has none."""
    data: Any = getattr(error.response, "data", None)
    name = data.get("error") if isinstance(data, dict) else None
    return name if isinstance(name, str) and ERROR_NAME_PATTERN.fullmatch(name) else None


def _parse_slack_retry_after(error: SlackApiError) -> float | None:
    """Return the seconds that Slack asks to wait; None when it does not ask."""
    if _get_response_status(error) != TOO_MANY_REQUESTS:
        return None
    return parse_seconds_header(getattr(error.response, "headers", None) or {})
