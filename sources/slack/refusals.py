"""What went wrong while Slack was told something in: Unmade where it did nothing, SourceFailed where nobody knows."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil

from aiohttp import ClientConnectorError
from slack_sdk.errors import SlackApiError

from engine.change.words import Unmade
from engine.errors import Code, SourceFailed
from sources.slack.failures import TOKEN, failed, named, status

WRONG = Code.BAD_USER_INPUT
REFUSALS: Mapping[str, tuple[str, Code]] = {
    "channel_not_found": ("there is no such public channel in slack", Code.NOT_FOUND),
    "message_not_found": ("there is no such message in slack", Code.NOT_FOUND),
    "thread_not_found": ("there is no such thread in slack", Code.NOT_FOUND),
    "cannot_reply_to_message": ("slack takes no answers to this message", WRONG),
    "is_archived": ("the channel is closed for new messages", WRONG),
    "not_in_channel": ("slack lets only members write there: invite the door's app to the channel", WRONG),
    "cant_update_message": ("the message is not the door's own", WRONG),
    "cant_delete_message": ("the message is not the door's own", WRONG),
    "edit_window_closed": ("slack lets nobody change the message any more", WRONG),
    "no_text": ("slack takes no empty text", WRONG),
    "msg_too_long": ("the text is too long for slack", WRONG),
    "msg_blocks_too_long": ("the text is too long for slack", WRONG),
    "missing_scope": ("slack's token may not write: it lacks a scope", Code.SOURCE_UNAVAILABLE),
    "no_permission": ("slack's token may not write there", Code.SOURCE_UNAVAILABLE),
    "ratelimited": ("slack takes no more messages for now, ask again later", Code.SOURCE_OVERLOADED),
    "rate_limited": ("slack takes no more messages for now, ask again later", Code.SOURCE_OVERLOADED),
    "message_limit_exceeded": ("slack takes no more messages for now, ask again later", Code.SOURCE_OVERLOADED),
    **dict.fromkeys(TOKEN, ("slack refused the token", Code.SOURCE_UNAVAILABLE)),
}
"""By Slack's own name of an error."""
RULES = ("restricted_action", "invalid_", "metadata_", "not_allowed_", "team_access_", "ekm_", "access_")
"""How names begin that Slack gives before it does anything. Any other, as `fatal_error`, may come in the middle."""


def untold(error: Exception, timeout: float) -> Unmade | SourceFailed:
    """What we never said, and what Slack turned down by name, was not done."""
    if isinstance(error, ClientConnectorError):
        return Unmade("slack could not be reached", Code.SOURCE_UNAVAILABLE)
    if isinstance(error, SlackApiError) and status(error) == 429:
        return Unmade(*REFUSALS["ratelimited"])
    name = named(error) if isinstance(error, SlackApiError) else None
    if name is not None and name in REFUSALS:
        return Unmade(*REFUSALS[name])
    if name is not None and name.startswith(RULES):
        return Unmade(f"slack refused the call with `{name}`", Code.SOURCE_INVALID)
    unknown = failed(error, timeout)
    return SourceFailed(unknown.reason, unknown.code)


def slow_down(seconds: float) -> Unmade:
    return Unmade(f"slack takes no more messages for now, ask again in {ceil(seconds)} s", Code.SOURCE_OVERLOADED)


@contextmanager
def nothing_yet(timeout: float) -> Iterator[None]:
    """What fails in here fails before anything was told."""
    try:
        yield
    except Unmade:
        raise
    except Exception as error:
        failure = failed(error, timeout)
        raise Unmade(failure.reason, failure.code) from error
