"""What changes the workspace: messages posted, edited and deleted as the bot's own, and channels closed."""

import json
from typing import Any, TypeAlias

from demo.slack.paging import Failure, Params
from demo.slack.rich import blocks_of
from demo.slack.scopes import ANYWHERE
from demo.slack.shapes import message_json
from demo.slack.workspace import Metadata, Post, Workspace, delete, edit, post
from demo.world.chat import BOT, Channel

Reply: TypeAlias = dict[str, Any]
LONGEST = 40_000
LONGEST_METADATA = 8_000


def chat_post(here: Workspace, params: Params) -> Reply:
    channel = open_channel(here, named_channel(here, str(params.get("channel"))))
    if BOT not in channel.members and ANYWHERE not in here.scopes:
        raise Failure("not_in_channel")
    thread = str(params["thread_ts"]) if params.get("thread_ts") else None
    parent = here.posts.get((channel.id, thread)) if thread else None
    if thread and parent is None:
        raise Failure("thread_not_found")
    under = (parent.message.thread or parent.message.ts) if parent else None
    made = post(
        here, channel=channel.id, text=text_of(params), thread=under, blocks=blocks_of(here, params),
        metadata=metadata_of(params),
    )  # fmt: skip
    return posted(here, made)


def chat_update(here: Workspace, params: Params) -> Reply:
    before = own(here, params, "cant_update_message")
    after = edit(here, before, text_of(params), blocks_of(here, params), metadata_of(params))
    return posted(here, after) | {"text": after.message.text}


def chat_delete(here: Workspace, params: Params) -> Reply:
    gone = own(here, params, "cant_delete_message")
    delete(here, gone)
    return {"channel": gone.message.channel, "ts": gone.message.ts}


def archive(here: Workspace, params: Params) -> Reply:
    here.archived.add(open_channel(here, channel_of(here, params)).id)
    return {}


def own(here: Workspace, params: Params, otherwise: str) -> Post:
    """The message that is meant, if it is the bot's; raises Failure."""
    channel = open_channel(here, channel_of(here, params))
    found = here.posts.get((channel.id, str(params.get("ts"))))
    if found is None or found.gone:
        raise Failure("message_not_found")
    if found.message.user != BOT:
        raise Failure(otherwise)
    return found


def channel_of(here: Workspace, params: Params) -> Channel:
    channel = here.channels.get(str(params.get("channel")))
    if channel is None:
        raise Failure("channel_not_found")
    return channel


def named_channel(here: Workspace, name: str) -> Channel:
    """By id, or by name with or without its `#`."""
    called = name.removeprefix("#")
    found = next((channel for channel in here.channels.values() if called in (channel.id, channel.name)), None)
    if found is None:
        raise Failure("channel_not_found")
    return found


def open_channel(here: Workspace, channel: Channel) -> Channel:
    if channel.id in here.archived:
        raise Failure("is_archived")
    return channel


def text_of(params: Params) -> str:
    """Of a message with blocks it may be empty."""
    text = str(params.get("text") or "")
    if not text and not params.get("blocks"):
        raise Failure("no_text")
    if len(text) > LONGEST:
        raise Failure("msg_too_long")
    return text


def metadata_of(params: Params) -> Metadata | None:
    """A type and a payload, as JSON; in a form as its text."""
    given = params.get("metadata")
    if given in (None, ""):
        return None
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise Failure("invalid_metadata_format") from None
    if not isinstance(given, dict) or set(given) != {"event_type", "event_payload"}:
        raise Failure("invalid_metadata_format")
    if not isinstance(given["event_type"], str) or not isinstance(given["event_payload"], dict):
        raise Failure("invalid_metadata_schema")
    if len(json.dumps(given)) > LONGEST_METADATA:
        raise Failure("metadata_too_large")
    return given


def posted(here: Workspace, made: Post) -> Reply:
    return {"channel": made.message.channel, "ts": made.message.ts, "message": message_json(here, made)}
