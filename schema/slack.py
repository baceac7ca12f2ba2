"""Slack: channels, what was said in them, and by whom."""

from datetime import datetime
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import Argument, ById, Changed, History, Many, One, allow, owned, with_arguments, with_input

if TYPE_CHECKING:
    from schema.customer import Customer
    from schema.employee import Employee


@strawberry.interface(
    description="Something said in Slack.",
    directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
)
class Post:
    id: strawberry.ID = strawberry.field(description="Where and when it was said.")
    text: str = strawberry.field(description="What was said, in Slack's mark-up.")
    plain: str = strawberry.field(description="What was said as it was typed: `<`, `>` and `&` are themselves.")
    version: str = strawberry.field(description="Another whenever the text is another.")
    sent_at: datetime = strawberry.field(description="When it was said.")


@strawberry.type(
    description="What opened a thread, or stands alone, in a channel.",
    directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
)
class Message(Post):
    id: strawberry.ID = strawberry.field(description="The channel and Slack's time stamp, as `channel:ts`.")
    channel: One["Channel"] = strawberry.field(description="Where it was said.")
    author: One["SlackUser"] = strawberry.field(description="Who said it.")
    replies: Many["Reply"] = strawberry.field(description="What was answered in its thread.")
    history: History["Message"] = strawberry.field(description="Every change of the message that was made here.")


@strawberry.type(
    description="An answer in a thread.",
    directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
)
class Reply(Post):
    id: strawberry.ID = strawberry.field(description="The channel, the thread and Slack's time stamp.")
    author: One["SlackUser"] = strawberry.field(description="Who answered.")
    history: History["Reply"] = strawberry.field(description="Every change of the answer that was made here.")


@strawberry.type(
    description="A Slack channel.",
    directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
)
class Channel:
    id: strawberry.ID = strawberry.field(description="Slack's id of the channel.")
    name: str = strawberry.field(description="Without the leading `#`.")
    topic: str | None = strawberry.field(description="What the channel is about now.")
    purpose: str | None = strawberry.field(description="What the channel is for.")
    created: datetime = strawberry.field(description="When it was opened.")
    archived: bool = strawberry.field(description="Whether it is closed for new messages.")
    members: int = strawberry.field(description="How many are in it.")
    customer: One["Customer"] = strawberry.field(description="The customer it is kept for.")
    messages: Many["Message"] = strawberry.field(description="What was said in it.")


@strawberry.type(
    description="Someone in Slack.",
    directives=[allow("everyone"), owned("workplace tools")],
)
class SlackUser:
    id: strawberry.ID = strawberry.field(description="Slack's id of the user.")
    name: str = strawberry.field(description="The handle.")
    real_name: str | None = strawberry.field(description="The name shown beside messages.")
    email: str | None = strawberry.field(description="The address the account is under.")
    title: str | None = strawberry.field(description="What the person says of their work.")
    is_bot: bool = strawberry.field(description="Whether a program speaks here.")
    deleted: bool = strawberry.field(description="Whether the account is closed.")
    employee: One["Employee"] = strawberry.field(description="The employee with the same e-mail address.")
    messages: Many["Message"] = strawberry.field(description="What the user said.")


@strawberry.input(description="Something to say in a channel, as the door's app in Slack.")
class PostMessageInput:
    channel_id: strawberry.ID = strawberry.field(description="Where.")
    text: str = strawberry.field(description="Shown as it is typed, it mentions nobody; at most 4,000 characters.")


@strawberry.input(description="Something to answer in a thread, as the door's app in Slack.")
class ReplyToMessageInput:
    message_id: strawberry.ID = strawberry.field(description="What is answered.")
    text: str = strawberry.field(description="Shown as it is typed, it mentions nobody; at most 4,000 characters.")


@strawberry.input(description="What a message, which was posted here, is to say from now on.")
class UpdateMessageInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    text: str = strawberry.field(description="Shown as it is typed, it mentions nobody; at most 4,000 characters.")


@strawberry.input(description="What an answer, which was posted here, is to say from now on.")
class UpdateReplyInput:
    id: strawberry.ID = strawberry.field(description="Which one.")
    text: str = strawberry.field(description="Shown as it is typed, it mentions nobody; at most 4,000 characters.")


@strawberry.input(description="A message, which was posted here, to be deleted; answers to it stay.")
class DeleteMessageInput:
    id: strawberry.ID = strawberry.field(description="Which one.")


@strawberry.input(description="An answer, which was posted here, to be deleted.")
class DeleteReplyInput:
    id: strawberry.ID = strawberry.field(description="Which one.")


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
        description="Says something in a channel.",
        directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
        metadata=with_input(PostMessageInput),
    )
    reply_to_message: Changed["Reply"] = strawberry.field(
        description="Answers a message in its thread.",
        directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
        metadata=with_input(ReplyToMessageInput),
    )
    update_message: Changed["Message"] = strawberry.field(
        description="Makes a message say something else.",
        directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
        metadata=with_input(UpdateMessageInput),
    )
    update_reply: Changed["Reply"] = strawberry.field(
        description="Makes an answer say something else.",
        directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
        metadata=with_input(UpdateReplyInput),
    )
    delete_message: Changed["Message"] = strawberry.field(
        description="Deletes a message.",
        directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
        metadata=with_input(DeleteMessageInput),
    )
    delete_reply: Changed["Reply"] = strawberry.field(
        description="Deletes an answer.",
        directives=[allow("sales", "support", "engineering"), owned("workplace tools")],
        metadata=with_input(DeleteReplyInput),
    )


@strawberry.type
class Subscription:
    message_posted: One["Message"] = strawberry.field(
        description="A message in this channel, whoever posts it, within a few seconds.",
        metadata=with_arguments(channel=Argument(strawberry.ID, "Slack's id of the channel.")),
    )
