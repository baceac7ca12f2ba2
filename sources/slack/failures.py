"""What the SDK raised goes in, what a client may be told comes out."""

import re
from typing import Any

from aiohttp import ClientConnectionError
from slack_sdk.errors import SlackApiError

from engine.errors import Code, SourceFailed

TOKEN = frozenset({"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"})
WORD = re.compile(r"[a-z_]{1,60}")
"""What Slack's own error names look like; anything else is not repeated."""


def failed(error: Exception, timeout: float) -> SourceFailed:
    """`timeout` in seconds. The SDK's own texts name addresses, so none of them is passed on."""
    match error:
        case SourceFailed():
            return error
        case TimeoutError():
            return SourceFailed(f"slack did not answer within {timeout:g} s")
        case ClientConnectionError():
            return SourceFailed("slack could not be reached", again=True)
        case SlackApiError():
            return refused(status(error), named(error))
    return SourceFailed("slack gave an answer that cannot be read", Code.SOURCE_INVALID)


def refused(status: int, name: str | None) -> SourceFailed:
    if status == 429:
        return SourceFailed("slack takes no more calls for now, ask again later", Code.SOURCE_OVERLOADED)
    if name in TOKEN:
        return SourceFailed("slack refused the token")
    if name is not None:
        return SourceFailed(f"slack refused the call with `{name}`")
    if status != 200:
        return SourceFailed(f"slack failed with HTTP status {status}")
    return SourceFailed("slack gave an answer that cannot be read", Code.SOURCE_INVALID)


def status(error: SlackApiError) -> int:
    """Of an answer that the SDK could not read it keeps aiohttp's own, where the status has another name."""
    found: Any = error.response
    return int(found.status_code if hasattr(found, "status_code") else found.status)


def named(error: SlackApiError) -> str | None:
    """The name Slack gave the error, None when the answer has none."""
    data: Any = getattr(error.response, "data", None)
    name = data.get("error") if isinstance(data, dict) else None
    return name if isinstance(name, str) and WORD.fullmatch(name) else None
