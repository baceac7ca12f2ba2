"""Declare Slack's channels, messages and users."""

from datetime import datetime
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import Argument, ById, Changed, History, Many, One, allow, owned, with_arguments, with_input

if TYPE_CHECKING:
    from schema.customer import Customer
    from schema.employee import Employee


@strawberry.interface(
    description="A message or a reply in Slack.",
    directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
)
class Post:
    id: strawberry.ID = strawberry.field(description="The id, from where and when it was posted.")
    text: str = strawberry.field(description="The text in Slack's mark-up.")
    plain: str = strawberry.field(description="The text as it was typed, with plain `<`, `>` and `&`.")
    version: str = strawberry.field(description="The version, which changes with the text.")
    sent_at: datetime = strawberry.field(description="When it was posted.")


@strawberry.type(
    description="A message in a channel that is not a reply.",
    directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
)
class Message(Post):
    id: strawberry.ID = strawberry.field(description="The channel and Slack's time stamp, as `channel:ts`.")
    channel: One["Channel"] = strawberry.field(description="The channel it was posted in.")
    author: One["SlackUser"] = strawberry.field(description="The user who posted it.")
    replies: Many["Reply"] = strawberry.field(description="The replies in its thread.")
    history: History["Message"] = strawberry.field(
        description="Every change of the message that was made through Onedoor."
    )


@strawberry.type(
    description="A reply in a thread.",
    directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
)
class Reply(Post):
    id: strawberry.ID = strawberry.field(description="The channel, the thread and Slack's time stamp.")
    author: One["SlackUser"] = strawberry.field(description="The user who replied.")
    history: History["Reply"] = strawberry.field(description="Every change of the reply that was made through Onedoor.")


@strawberry.type(
    description="A Slack channel.",
    directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
)
class Channel:
    id: strawberry.ID = strawberry.field(description="Slack's id of the channel.")
    name: str = strawberry.field(description="The name, without the leading `#`.")
    topic: str | None = strawberry.field(description="The current topic of the channel.")
    purpose: str | None = strawberry.field(description="The purpose of the channel.")
    created: datetime = strawberry.field(description="When it was created.")
    archived: bool = strawberry.field(description="Whether it is closed for new messages.")
    members: int = strawberry.field(description="The number of members.")
    customer: One["Customer"] = strawberry.field(description="The customer it is about.")
    messages: Many["Message"] = strawberry.field(description="The messages in it.")


@strawberry.type(
    description="A user of Slack.",
    directives=[allow("everyone"), owned("workplace tools")],
)
class SlackUser:
    id: strawberry.ID = strawberry.field(description="Slack's id of the user.")
    name: str = strawberry.field(description="The handle of the user.")
    real_name: str | None = strawberry.field(description="The name shown beside messages.")
    email: str | None = strawberry.field(description="The e-mail address of the account.")
    title: str | None = strawberry.field(description="The job title on the profile.")
    is_bot: bool = strawberry.field(description="Whether the user is a program.")
    deleted: bool = strawberry.field(description="Whether the account is closed.")
    employee: One["Employee"] = strawberry.field(description="The employee with the same e-mail address.")
    messages: Many["Message"] = strawberry.field(description="The messages of the user.")


@strawberry.input(description="A message to post in a channel, as the server's Slack app.")
class PostMessageInput:
    channel_id: strawberry.ID = strawberry.field(description="The id of the channel.")
    text: str = strawberry.field(
        description="The text, shown as it is typed and mentioning nobody; at most 4,000 characters."
    )


@strawberry.input(description="A reply to post in a thread, as the server's Slack app.")
class ReplyToMessageInput:
    message_id: strawberry.ID = strawberry.field(description="The id of the message to reply to.")
    text: str = strawberry.field(
        description="The text, shown as it is typed and mentioning nobody; at most 4,000 characters."
    )


@strawberry.input(description="The new text of a message that was posted through Onedoor.")
class UpdateMessageInput:
    id: strawberry.ID = strawberry.field(description="The id of the message.")
    text: str = strawberry.field(
        description="The text, shown as it is typed and mentioning nobody; at most 4,000 characters."
    )


@strawberry.input(description="The new text of a reply that was posted through Onedoor.")
class UpdateReplyInput:
    id: strawberry.ID = strawberry.field(description="The id of the reply.")
    text: str = strawberry.field(
        description="The text, shown as it is typed and mentioning nobody; at most 4,000 characters."
    )


@strawberry.input(description="The message to delete, which was posted through Onedoor; its replies stay.")
class DeleteMessageInput:
    id: strawberry.ID = strawberry.field(description="The id of the message.")


@strawberry.input(description="The reply to delete, which was posted through Onedoor.")
class DeleteReplyInput:
    id: strawberry.ID = strawberry.field(description="The id of the reply.")


@strawberry.type
class Query:
    channel: ById["Channel"] = strawberry.field(description="The channel with this id.")
    channels: Many["Channel"] = strawberry.field(description="All channels.")
    message: ById["Message"] = strawberry.field(description="One message, by `channel:ts`.")
    messages: Many["Message"] = strawberry.field(description="All messages of all channels.")
    slack_user: ById["SlackUser"] = strawberry.field(description="The user with this id.")
    slack_users: Many["SlackUser"] = strawberry.field(description="All users.")


@strawberry.type
class Mutation:
    post_message: Changed["Message"] = strawberry.field(
        description="Posts a message in a channel.",
        directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
        metadata=with_input(PostMessageInput),
    )
    reply_to_message: Changed["Reply"] = strawberry.field(
        description="Posts a reply in the thread of a message.",
        directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
        metadata=with_input(ReplyToMessageInput),
    )
    update_message: Changed["Message"] = strawberry.field(
        description="Changes the text of a message.",
        directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
        metadata=with_input(UpdateMessageInput),
    )
    update_reply: Changed["Reply"] = strawberry.field(
        description="Changes the text of a reply.",
        directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
        metadata=with_input(UpdateReplyInput),
    )
    delete_message: Changed["Message"] = strawberry.field(
        description="Deletes a message.",
        directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
        metadata=with_input(DeleteMessageInput),
    )
    delete_reply: Changed["Reply"] = strawberry.field(
        description="Deletes a reply.",
        directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
        metadata=with_input(DeleteReplyInput),
    )


@strawberry.type
class Subscription:
    message_posted: One["Message"] = strawberry.field(
        description="A new message in a channel from any user, within a few seconds.",
        metadata=with_arguments(channel=Argument(strawberry.ID, "Slack's id of the channel.")),
    )
