"""The collection `channels`: the public ones, archived too; a pattern in their names gives further columns."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

from engine.words import Keys, Kind, Value
from sources.fan_out import fan_out
from sources.patterns import Pattern
from sources.slack.calls import Calls, Item
from sources.slack.collection import EPOCH, FEW, ID, Collection, Read, text

COLUMNS: dict[str, tuple[Kind, Read]] = {
    "id": (Kind.TEXT, text("id")),
    "name": (Kind.TEXT, text("name")),
    "topic": (Kind.TEXT, text("topic", "value")),
    "purpose": (Kind.TEXT, text("purpose", "value")),
    "created": (Kind.TIME, lambda channel: EPOCH + timedelta(seconds=channel["created"])),
    "archived": (Kind.BOOLEAN, lambda channel: bool(channel.get("is_archived"))),
    "members": (Kind.INTEGER, lambda channel: channel.get("num_members")),
}


def channels(pattern: Pattern | None) -> Collection:
    """A pattern's column of the same name as one of ours gives way."""
    further = {} if pattern is None else {name: (kind, part(pattern, name)) for name, kind in pattern.columns.items()}
    return Collection(columns={**further, **COLUMNS}, keys=1000, key_columns=frozenset({("id",)}), fetch=fetch)


def part(pattern: Pattern, column: str) -> Read:
    def read(channel: Item) -> Value:
        return (pattern.match(channel["name"]) or {}).get(column)

    return read


async def fetch(calls: Calls, keys: Keys | None) -> AsyncIterator[list[Item]]:
    if keys is None or len(keys.values) > FEW:
        async for page in listed(calls):
            yield page
        return
    ids = [id for (id,) in keys.values if ID.fullmatch(id)]
    answers = await fan_out(partial(by_id, calls), ids, calls.at_once)
    yield [answer["channel"] for answer in answers if answer is not None and public(answer["channel"])]


def listed(calls: Calls) -> AsyncIterator[list[Item]]:
    return calls.pages("conversations.list", "channels", types="public_channel", exclude_archived="false")


async def by_id(calls: Calls, id: str) -> Item | None:
    return await calls.found("conversations.info", "channel_not_found", channel=id, include_num_members="true")


def public(channel: Item) -> bool:
    """One by one Slack also shows the private ones its token is in; the list has none of them, so neither do we."""
    return not any(channel.get(name) for name in ("is_private", "is_im", "is_mpim"))
