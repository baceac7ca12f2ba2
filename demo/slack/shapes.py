"""Our users, channels and messages to the JSON objects of Slack's Web API."""

from typing import Any

from demo.slack.workspace import TEAM, TEAM_URL, Post, Workspace, replies
from demo.world.chat import BOT, Channel, User
from demo.world.staff import slack_id

BOT_ID = slack_id("B", "deploybot")
UPDATED = 1_761_955_200


def user_json(user: User) -> dict[str, Any]:
    full = f"{user.first_name} {user.last_name}"
    profile = {
        "real_name": full,
        "display_name": user.name,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "title": user.title,
        "team": TEAM,
        "status_text": "",
        "status_emoji": "",
    }
    return {
        "id": user.id,
        "team_id": TEAM,
        "name": user.name,
        "real_name": full,
        "deleted": False,
        "tz": "Etc/UTC",
        "tz_offset": 0,
        "is_admin": False,
        "is_owner": False,
        "is_bot": user.id == BOT,
        "is_restricted": False,
        "is_app_user": False,
        "updated": UPDATED,
        "profile": profile | ({"bot_id": BOT_ID} if user.email is None else {"email": user.email}),
    }


def channel_json(here: Workspace, channel: Channel) -> dict[str, Any]:
    created = int(channel.created.timestamp())
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "created": created,
        "creator": BOT,
        "is_channel": True,
        "is_group": False,
        "is_im": False,
        "is_mpim": False,
        "is_private": False,
        "is_archived": channel.id in here.archived,
        "is_general": channel.name == "general",
        "is_member": BOT in channel.members,
        "is_shared": False,
        "is_ext_shared": False,
        "is_org_shared": False,
        "unlinked": 0,
        "updated": created * 1000,
        "context_team_id": TEAM,
        "previous_names": [],
        "num_members": len(channel.members),
        "topic": {"value": channel.topic, "creator": BOT, "last_set": created},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }


def message_json(here: Workspace, post: Post, metadata: bool = False) -> dict[str, Any]:
    """With its thread's summary when replies stand below it; what an app said of it is told where it is asked for."""
    message = post.message
    shown: dict[str, Any] = {
        "type": "message",
        "user": message.user,
        "text": message.text,
        "ts": message.ts,
        "team": TEAM,
    }
    if message.user == BOT:
        shown["bot_id"] = BOT_ID
    if post.edited:
        shown["edited"] = {"user": message.user, "ts": post.edited}
    if post.blocks:
        shown["blocks"] = list(post.blocks)
    if metadata and post.metadata:
        shown["metadata"] = dict(post.metadata)
    if post.gone:
        shown |= {"subtype": "tombstone", "hidden": True}
    if message.thread is not None:
        parent = here.posts[message.channel, message.thread].message
        return shown | {"thread_ts": message.thread, "parent_user_id": parent.user}
    return shown | thread_json(here, message.channel, message.ts)


def thread_json(here: Workspace, channel: str, ts: str) -> dict[str, Any]:
    below = replies(here, channel, ts)
    if not below:
        return {}
    people = list(dict.fromkeys(here.posts[channel, reply].message.user for reply in below))
    return {
        "thread_ts": ts,
        "reply_count": len(below),
        "reply_users_count": len(people),
        "reply_users": people[:5],
        "latest_reply": below[-1],
        "is_locked": False,
        "subscribed": False,
    }


def match_json(here: Workspace, post: Post) -> dict[str, Any]:
    """A message as search shows it, with its channel."""
    message = post.message
    channel, user = here.channels[message.channel], here.users[message.user]
    link = f"{TEAM_URL}archives/{channel.id}/p{message.ts.replace('.', '')}"
    return {
        "type": "message",
        "iid": f"{channel.id}-{message.ts}",
        "team": TEAM,
        "user": user.id,
        "username": user.name,
        "text": message.text,
        "ts": message.ts,
        "score": 1.0,
        "permalink": link + (f"?thread_ts={message.thread}" if message.thread else ""),
        "channel": {
            "id": channel.id,
            "name": channel.name,
            "is_channel": True,
            "is_private": False,
            "is_mpim": False,
            "is_ext_shared": False,
        },
    }
