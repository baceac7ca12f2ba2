"""A channel and where one was in, what was said since out."""

from collections.abc import Sequence

from sources.slack.calls import Calls
from sources.slack.collection import ID
from sources.slack.messages import history

BEFORE_ALL = "0"


async def newer(calls: Calls, channel: str, mark: str | None) -> tuple[str, Sequence[tuple[str, ...]]]:
    """The time stamp of the last message, and the keys of those past `mark`, oldest first; without a mark, of none."""
    if not ID.fullmatch(channel):
        return BEFORE_ALL, ()
    if mark is None:
        page = await calls.found("conversations.history", "channel_not_found", channel=channel, limit=1)
        return max((each["ts"] for each in (page or {}).get("messages", ())), default=BEFORE_ALL), ()
    found = sorted(each["ts"] for each in await history(calls, channel, oldest=mark))
    since = [ts for ts in found if ts > mark]
    return max([mark, *since]), [(channel, ts) for ts in since]
