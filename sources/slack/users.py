"""The collection `users`: everyone of the workspace, bots and the deactivated too."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import TypeAlias

from engine.words import Keys, Kind
from sources.fan_out import fan_out
from sources.slack.calls import Calls, Item
from sources.slack.collection import FEW, ID, Collection, text

LookUp: TypeAlias = Callable[[Calls, str], Awaitable[Item | None]]


async def fetch(calls: Calls, keys: Keys | None) -> AsyncIterator[list[Item]]:
    found = None if keys is None or len(keys.values) > FEW else await looked_up(calls, keys)
    if found is not None:
        yield found
        return
    async for page in calls.pages("users.list", "members"):
        yield page


async def looked_up(calls: Calls, keys: Keys) -> list[Item] | None:
    """The users named; None: only the list can tell, as a look-up by e-mail does not know the deactivated."""
    find, can_be, missed_for_good = BY[keys.columns[0]]
    answers = await fan_out(partial(find, calls), [key for (key,) in keys.values if can_be(key)], calls.at_once)
    users = [answer["user"] for answer in answers if answer is not None]
    return users if missed_for_good or len(users) == len(answers) else None


async def by_id(calls: Calls, id: str) -> Item | None:
    return await calls.found("users.info", "user_not_found", user=id)


async def by_email(calls: Calls, email: str) -> Item | None:
    return await calls.found("users.lookupByEmail", "users_not_found", email=email)


BY: Mapping[str, tuple[LookUp, Callable[[str], object], bool]] = {
    "id": (by_id, ID.fullmatch, True),
    "email": (by_email, str.isprintable, False),
}
"""How one user is looked up by a column, which of its values can be sent, and whether who is not found is not there."""

USERS = Collection(
    columns={
        "id": (Kind.TEXT, text("id")),
        "name": (Kind.TEXT, text("name")),
        "real_name": (Kind.TEXT, lambda user: text("profile", "real_name")(user) or text("real_name")(user)),
        "email": (Kind.TEXT, text("profile", "email")),
        "title": (Kind.TEXT, text("profile", "title")),
        "is_bot": (Kind.BOOLEAN, lambda user: bool(user.get("is_bot"))),
        "deleted": (Kind.BOOLEAN, lambda user: bool(user.get("deleted"))),
        "tz": (Kind.TEXT, text("tz")),
    },
    keys=1000,
    key_columns=frozenset({("id",), ("email",)}),
    fetch=fetch,
)
