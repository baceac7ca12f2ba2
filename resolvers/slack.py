"""Slack: channels and users by id, messages by channel and time stamp, replies by their thread."""

from engine.binding import Binding, Link
from engine.feed import Watches

AUTHOR = Link(to="SlackUser", here="user_id", there="id")

BINDINGS = (
    Binding(
        type="Channel",
        source="slack",
        collection="channels",
        links={
            "customer": Link(to="Customer", here="customer_id", there="id"),
            "messages": Link(to="Message", here="id", there="channel_id"),
        },
    ),
    Binding(
        type="SlackUser",
        source="slack",
        collection="users",
        links={
            "employee": Link(to="Employee", here="email", there="email"),
            "messages": Link(to="Message", here="id", there="user_id"),
        },
    ),
    Binding(
        type="Message",
        source="slack",
        collection="messages",
        key=("channel_id", "ts"),
        links={
            "channel": Link(to="Channel", here="channel_id", there="id"),
            "author": AUTHOR,
            "replies": Link(to="Reply", here=("channel_id", "ts"), there=("channel_id", "thread_ts")),
        },
    ),
    Binding(
        type="Reply",
        source="slack",
        collection="replies",
        key=("channel_id", "thread_ts", "ts"),
        links={"author": AUTHOR},
    ),
)
FEEDS = {"messagePosted": Watches(source="slack", collection="messages", argument="channel")}
