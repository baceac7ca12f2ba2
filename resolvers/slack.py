"""Slack: channels and users by id, messages by channel and time stamp, replies by their thread."""

from onedoor.mapping import PollingSubscription, Relationship, TypeMapping
from onedoor.mutations import (
    ChangeKind,
    ColumnType,
    InputFields,
    InputMapper,
    RowValues,
    Saga,
    Step,
    StepResults,
    parse_id_field,
)

AUTHOR = Relationship(to="SlackUser", local="user_id", remote="id")

MAPPINGS = (
    TypeMapping(
        type="Channel",
        source="slack",
        collection="channels",
        relationships={
            "customer": Relationship(to="Customer", local="customer_id", remote="id"),
            "messages": Relationship(to="Message", local="id", remote="channel_id"),
        },
    ),
    TypeMapping(
        type="SlackUser",
        source="slack",
        collection="users",
        relationships={
            "employee": Relationship(to="Employee", local="email", remote="email"),
            "messages": Relationship(to="Message", local="id", remote="user_id"),
        },
    ),
    TypeMapping(
        type="Message",
        source="slack",
        collection="messages",
        key=("channel_id", "ts"),
        relationships={
            "channel": Relationship(to="Channel", local="channel_id", remote="id"),
            "author": AUTHOR,
            "replies": Relationship(to="Reply", local=("channel_id", "ts"), remote=("channel_id", "thread_ts")),
        },
    ),
    TypeMapping(
        type="Reply",
        source="slack",
        collection="replies",
        key=("channel_id", "thread_ts", "ts"),
        relationships={"author": AUTHOR},
    ),
)


def map_new_text(given: InputFields, _: StepResults) -> RowValues:
    return {"plain": given["text"]}


def map_message_key(given: InputFields, _: StepResults) -> RowValues:
    return parse_id_field(given, "id", channel_id=ColumnType.TEXT, ts=ColumnType.TEXT)


def map_reply_key(given: InputFields, _: StepResults) -> RowValues:
    return parse_id_field(given, "id", channel_id=ColumnType.TEXT, thread_ts=ColumnType.TEXT, ts=ColumnType.TEXT)


def map_posted_message(given: InputFields, _: StepResults) -> RowValues:
    return {"channel_id": given["channelId"], "plain": given["text"]}


def map_posted_reply(given: InputFields, _: StepResults) -> RowValues:
    return {
        **parse_id_field(given, "messageId", channel_id=ColumnType.TEXT, thread_ts=ColumnType.TEXT),
        "plain": given["text"],
    }


def map_nothing(_: InputFields, __: StepResults) -> RowValues:
    return {}


def build_slack_saga(field: str, type_name: str, verb: ChangeKind, key: InputMapper, values: InputMapper) -> Saga:
    collection = {"Message": "messages", "Reply": "replies"}[type_name]
    step = Step(name=field, source="slack", collection=collection, kind=verb, key=key, values=values)
    return Saga(field=field, type=type_name, steps=(step,))


MUTATIONS = (
    build_slack_saga("postMessage", "Message", ChangeKind.CREATE, map_nothing, map_posted_message),
    build_slack_saga("replyToMessage", "Reply", ChangeKind.CREATE, map_nothing, map_posted_reply),
    build_slack_saga("updateMessage", "Message", ChangeKind.UPDATE, map_message_key, map_new_text),
    build_slack_saga("updateReply", "Reply", ChangeKind.UPDATE, map_reply_key, map_new_text),
    build_slack_saga("deleteMessage", "Message", ChangeKind.DELETE, map_message_key, map_nothing),
    build_slack_saga("deleteReply", "Reply", ChangeKind.DELETE, map_reply_key, map_nothing),
)
SUBSCRIPTIONS = {"messagePosted": PollingSubscription(source="slack", collection="messages", argument="channel")}
