"""A method's name and parameters to its reply; `Failure` where Slack would say `ok: false`."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from demo.slack.paging import Failure, Params, more, page, truthy
from demo.slack.search import search
from demo.slack.shapes import BOT_ID, channel_json, message_json, user_json
from demo.slack.talk import archive, channel_of, chat_delete, chat_post, chat_update
from demo.slack.workspace import TEAM, TEAM_NAME, TEAM_URL, Workspace, between, replies
from demo.world.chat import BOT, BOT_NAME

Reply: TypeAlias = dict[str, Any]
END_OF_TIME = "9999999999.999999"


def auth_test(here: Workspace, params: Params) -> Reply:
    return {
        "url": TEAM_URL,
        "team": TEAM_NAME,
        "user": BOT_NAME,
        "team_id": TEAM,
        "user_id": BOT,
        "bot_id": BOT_ID,
        "is_enterprise_install": False,
    }


def conversations_list(here: Workspace, params: Params) -> Reply:
    kinds = str(params.get("types") or "public_channel").split(",")
    shown = list(here.channels.values()) if "public_channel" in kinds else []
    rows, cursor = page(shown, [channel.id for channel in shown], params, "team")
    return {"channels": [channel_json(here, channel) for channel in rows]} | more(cursor)


def conversations_info(here: Workspace, params: Params) -> Reply:
    shown = channel_json(here, channel_of(here, params))
    if not truthy(params.get("include_num_members")):
        del shown["num_members"]
    return {"channel": shown}


def conversations_members(here: Workspace, params: Params) -> Reply:
    members = channel_of(here, params).members
    rows, cursor = page(members, members, params, "user")
    return {"members": list(rows)} | more(cursor)


def conversations_history(here: Workspace, params: Params) -> Reply:
    """Newest first, without replies; a parent carries the summary of its thread."""
    channel = channel_of(here, params).id
    found = within(here.tops.get(channel, []), params)[::-1]
    rows, cursor = page(found, found, params, "next_ts")
    reply: Reply = {"messages": shown(here, channel, rows, params), "has_more": bool(cursor), "pin_count": 0}
    return reply | (more(cursor) if cursor else {})


def conversations_replies(here: Workspace, params: Params) -> Reply:
    """Oldest first, the parent before all; any ts of the thread names it."""
    channel = channel_of(here, params).id
    named = here.posts.get((channel, ts_of(params, "ts", "invalid_ts")))
    if named is None:
        raise Failure("thread_not_found")
    parent = named.message.thread or named.message.ts
    found = [parent, *within(replies(here, channel, parent), params)]
    rows, cursor = page(found, found, params, "next_ts")
    reply: Reply = {"messages": shown(here, channel, rows, params), "has_more": bool(cursor)}
    return reply | (more(cursor) if cursor else {})


def users_list(here: Workspace, params: Params) -> Reply:
    shown = list(here.users.values())
    rows, cursor = page(shown, [user.id for user in shown], params, "user")
    return {"members": [user_json(user) for user in rows], "cache_ts": 1_761_955_200} | more(cursor)


def users_info(here: Workspace, params: Params) -> Reply:
    user = here.users.get(str(params.get("user")))
    if user is None:
        raise Failure("user_not_found")
    return {"user": user_json(user)}


def users_by_email(here: Workspace, params: Params) -> Reply:
    email = str(params.get("email")).lower()
    user = next((user for user in here.users.values() if user.email == email), None)
    if user is None:
        raise Failure("users_not_found")
    return {"user": user_json(user)}


METHODS: Mapping[str, Callable[[Workspace, Params], Reply]] = {
    "auth.test": auth_test,
    "conversations.list": conversations_list,
    "conversations.info": conversations_info,
    "conversations.members": conversations_members,
    "conversations.history": conversations_history,
    "conversations.replies": conversations_replies,
    "users.list": users_list,
    "users.info": users_info,
    "users.lookupByEmail": users_by_email,
    "chat.postMessage": chat_post,
    "chat.update": chat_update,
    "chat.delete": chat_delete,
    "conversations.archive": archive,
    "search.messages": search,
}


def within(sorted_ts: list[str], params: Params) -> list[str]:
    oldest = ts_of(params, "oldest", "invalid_ts_oldest", "0000000000.000000")
    latest = ts_of(params, "latest", "invalid_ts_latest", END_OF_TIME)
    return between(sorted_ts, oldest, latest, truthy(params.get("inclusive")))


def ts_of(params: Params, name: str, error: str, default: str | None = None) -> str:
    """A ts in its full form, so that as text it compares as in time; Slack takes plain seconds too."""
    value = params.get(name)
    given = str(default if value in (None, "") else value)
    if not re.fullmatch(r"\d{1,10}(\.\d{1,6})?", given):
        raise Failure(error)
    seconds, _, part = given.partition(".")
    return f"{seconds:0>10}.{part:0<6}"


def shown(here: Workspace, channel: str, stamps: Sequence[str], params: Params) -> list[Reply]:
    told = truthy(params.get("include_all_metadata"))
    return [message_json(here, here.posts[channel, ts], told) for ts in stamps]
