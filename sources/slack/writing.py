"""A change in, a message posted, answered, edited or deleted out, and what came of it, by the mark it left."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from engine.change.words import Change, Made, Unmade, Values, Verb, Writes
from engine.errors import Code
from sources.slack.calls import Calls, Item
from sources.slack.channels import by_id, public
from sources.slack.collection import ID, Collection
from sources.slack.found import Place, edited, mark, mine, one, place, posted
from sources.slack.messages import MESSAGES, REPLIES
from sources.slack.refusals import REFUSALS, nothing_yet
from sources.slack.typed import SILENT, spoken, typed

SAID = frozenset({"plain"})
COLLECTIONS: Mapping[str, Collection] = {"messages": MESSAGES, "replies": REPLIES}
WRITES: Mapping[str, Writes] = {
    "messages": Writes(
        verbs={Verb.CREATE: SAID | {"channel_id"}, Verb.UPDATE: SAID, Verb.DELETE: frozenset()}, version="version"
    ),
    "replies": Writes(
        verbs={Verb.CREATE: SAID | {"channel_id", "thread_ts"}, Verb.UPDATE: SAID, Verb.DELETE: frozenset()},
        version="version",
    ),
}
Does: TypeAlias = Callable[[Calls, Change, bool], Awaitable[Made]]


async def write(calls: Calls, change: Change, *, dry: bool) -> Made:
    """Raises Unmade or SourceFailed."""
    return await WRITTEN[change.verb](calls, change, dry)


async def created(calls: Calls, change: Change, dry: bool) -> Made:
    """Of a dry run the ts is that of now: Slack gives none to what is not said."""
    at, text = place(change), typed(change.values.get("plain"))
    with nothing_yet(calls.timeout):
        await checked(calls, at)
        if dry:
            me = await calls.call("auth.test")
            said = {"user": me["user_id"], "ts": f"{time.time():.6f}", "text": spoken(text)["text"]}
            return Made(before=None, after=row(change, {**said, "thread_ts": at.thread}))
    under = {} if at.thread is None else {"thread_ts": at.thread}
    told = {"channel": at.channel, **under, **spoken(text), **SILENT, "metadata": mark(change)}
    answer = await calls.tell("chat.postMessage", told)
    return Made(before=None, after=row(change, {**answer["message"], "ts": answer["ts"]}))


async def updated(calls: Calls, change: Change, dry: bool) -> Made:
    text = spoken(typed(change.values.get("plain")))
    with nothing_yet(calls.timeout):
        before = await own(calls, change, "cant_update_message")
    after = {**before, "text": text["text"]}
    if not dry:
        at = {"channel": before["channel"], "ts": before["ts"]}
        answer = await calls.tell("chat.update", {**at, **text, "metadata": mark(change, before)})
        after["text"] = answer.get("text", after["text"])
    return Made(before=row(change, before), after=row(change, after))


async def deleted(calls: Calls, change: Change, dry: bool) -> Made:
    with nothing_yet(calls.timeout):
        before = await own(calls, change, "cant_delete_message")
    if not dry:
        await calls.tell("chat.delete", {"channel": before["channel"], "ts": before["ts"]})
    return Made(before=row(change, before), after=None)


WRITTEN: Mapping[Verb, Does] = {Verb.CREATE: created, Verb.UPDATE: updated, Verb.DELETE: deleted}


async def made(calls: Calls, change: Change) -> Made | None:
    """What was there before is not told any more. Of what was to be deleted, and is not there, nobody knows who did."""
    if change.verb is Verb.DELETE:
        return Made(before=None, after=None) if await one(calls, place(change)) is None else None
    me = await calls.call("auth.test")
    found = await (posted if change.verb is Verb.CREATE else edited)(calls, change, me)
    return None if found is None else Made(before=None, after=row(change, found))


async def checked(calls: Calls, at: Place) -> None:
    """Raises Unmade where nothing can be said: the channel is public and open, the thread's head is there."""
    answer = await by_id(calls, at.channel) if ID.fullmatch(at.channel) else None
    if answer is None or not public(answer["channel"]):
        raise Unmade(*REFUSALS["channel_not_found"])
    if answer["channel"].get("is_archived"):
        raise Unmade(*REFUSALS["is_archived"])
    if at.thread is not None and await one(calls, Place(channel=at.channel, thread=None, ts=at.thread)) is None:
        raise Unmade(*REFUSALS["thread_not_found"])


async def own(calls: Calls, change: Change, otherwise: str) -> Item:
    """The message, if it is the token's own, at the version that is meant, and its channel open. Raises Unmade."""
    found = await one(calls, place(change))
    if found is None:
        raise Unmade(*REFUSALS["message_not_found"])
    await checked(calls, Place(channel=found["channel"], thread=None))
    if not mine(found, await calls.call("auth.test")):
        raise Unmade(*REFUSALS[otherwise])
    if change.version is not None and row(change, found)["version"] != change.version:
        raise Unmade("the message was changed meanwhile: read it again", Code.VERSION_CONFLICT)
    return found


def row(change: Change, message: Item) -> Values:
    """As it is read."""
    whole = {**message, "channel": place(change).channel}
    return {name: read(whole) for name, (_, read) in COLLECTIONS[change.collection].columns.items()}
