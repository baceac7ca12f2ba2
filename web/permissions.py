"""The rules in, who may see each field and whom to ask out: what the GraphiQL page adds to its docs.

Introspection carries no applied directive, so the page asks here, with the same key. Where everyone is shown their own
view of the schema, this is cut to it too: a hidden field is not named.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import orjson

from auth.caller import Caller
from auth.decide import decide
from auth.groups import EVERYONE
from auth.rules import Position, Requirement, Rules
from auth.state import StateUnavailable

Judge: TypeAlias = Callable[[Any], Awaitable[Caller | None]]
"""A request's scope to the caller whose key it carries; None where the key does not open the door."""
HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"private, no-store"),
    (b"vary", b"Authorization, X-API-Key"),
    (b"x-content-type-options", b"nosniff"),
)


async def permissions(rules: Rules, judge: Judge, scope: Any, send: Any, *, own: bool) -> None:
    """Answers GET and HEAD alone, with 401 where no valid key came. `own`: only what the caller may see is named."""
    if scope["method"] not in ("GET", "HEAD"):
        return await _sent(send, 405)
    try:
        caller = await judge(scope)
    except StateUnavailable:
        return await _sent(send, 503)
    if caller is None:
        return await _sent(send, 401)
    body = orjson.dumps(told(rules, caller.groups if own else None))
    return await _sent(send, 200, body if scope["method"] == "GET" else b"")


def told(rules: Rules, groups: frozenset[str] | None = None) -> dict[str, dict[str, Any]]:
    """By `Type.field`: `groups`, of each of which one will do, and the `owner`. With `groups`: only what they see."""
    return {".".join(position): _shown(rules, position) for position in _fields(rules, groups)}


def least(requirements: tuple[Requirement, ...]) -> list[list[str]]:
    """The requirements that are not met by meeting another; everyone is in `everyone`."""
    strict = {each for each in requirements if EVERYONE not in each} or {frozenset({EVERYONE})}
    return sorted(sorted(each) for each in strict if not any(other < each for other in strict))


def _fields(rules: Rules, groups: frozenset[str] | None) -> Iterator[Position]:
    fields = (position for position in rules.requirements if len(position) == 2)
    return (each for each in fields if groups is None or decide(rules, each, groups).allowed)


def _shown(rules: Rules, position: Position) -> dict[str, Any]:
    owner = rules.owners.get(position)
    return {"groups": least(rules.requirements[position]), **({"owner": owner} if owner else {})}


async def _sent(send: Any, status: int, body: bytes = b"{}") -> None:
    headers = [*HEADERS, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
