"""Slack: channels and users by id, messages by channel and time stamp, replies by their thread."""

from engine.binding import Binding, Link
from engine.change.declared import Before, From, Input, Saga, Step
from engine.change.named import named
from engine.change.words import Values, Verb
from engine.feed import Watches
from engine.words import Kind

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


def said(given: Input, _: Before) -> Values:
    return {"plain": given["text"]}


def message(given: Input, _: Before) -> Values:
    return named(given, "id", channel_id=Kind.TEXT, ts=Kind.TEXT)


def reply(given: Input, _: Before) -> Values:
    return named(given, "id", channel_id=Kind.TEXT, thread_ts=Kind.TEXT, ts=Kind.TEXT)


def posted(given: Input, _: Before) -> Values:
    return {"channel_id": given["channelId"], "plain": given["text"]}


def answered(given: Input, _: Before) -> Values:
    return {**named(given, "messageId", channel_id=Kind.TEXT, thread_ts=Kind.TEXT), "plain": given["text"]}


def nothing(_: Input, __: Before) -> Values:
    return {}


def saying(field: str, type_name: str, verb: Verb, key: From, values: From) -> Saga:
    collection = {"Message": "messages", "Reply": "replies"}[type_name]
    step = Step(name=field, source="slack", collection=collection, verb=verb, key=key, values=values)
    return Saga(field=field, type=type_name, steps=(step,))


CHANGES = (
    saying("postMessage", "Message", Verb.CREATE, nothing, posted),
    saying("replyToMessage", "Reply", Verb.CREATE, nothing, answered),
    saying("updateMessage", "Message", Verb.UPDATE, message, said),
    saying("updateReply", "Reply", Verb.UPDATE, reply, said),
    saying("deleteMessage", "Message", Verb.DELETE, message, nothing),
    saying("deleteReply", "Reply", Verb.DELETE, reply, nothing),
)
FEEDS = {"messagePosted": Watches(source="slack", collection="messages", argument="channel")}
