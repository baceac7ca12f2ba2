"""The rules in, who may see each field and whom to ask out: what the GraphiQL page adds to its docs.

Introspection carries no applied directive, so the page asks here, with the same key. Where everyone is shown their own
view of the schema, this is cut to it too: a hidden field is not named.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import orjson

from auth.authentication import Principal
from auth.policy import EVERYONE, AccessPolicy, GroupRequirement, SchemaCoordinate, decide
from onedoor.storage.database import MetadataDatabaseUnavailable

Authenticate: TypeAlias = Callable[[Any], Awaitable[Principal | None]]
"""A request's scope to the caller whose key it carries; None where the key does not open the door."""

HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"private, no-store"),
    (b"vary", b"Authorization, X-API-Key"),
    (b"x-content-type-options", b"nosniff"),
)


async def serve_permissions(
    policy: AccessPolicy, authenticate: Authenticate, scope: Any, send: Any, *, own_view_only: bool
) -> None:
    """Answers GET and HEAD alone, with 401 where no valid key came. `own`: only what the caller may see is named."""
    if scope["method"] not in ("GET", "HEAD"):
        return await _send_json(send, 405)
    try:
        caller = await authenticate(scope)
    except MetadataDatabaseUnavailable:
        return await _send_json(send, 503)
    if caller is None:
        return await _send_json(send, 401)
    body = orjson.dumps(list_field_permissions(policy, caller.groups if own_view_only else None))
    return await _send_json(send, 200, body if scope["method"] == "GET" else b"")


def list_field_permissions(policy: AccessPolicy, groups: frozenset[str] | None = None) -> dict[str, dict[str, Any]]:
    """By `Type.field`: `groups`, of each of which one will do, and the `owner`. With `groups`: only what they see."""
    return {
        ".".join(position): _describe_permission(policy, position) for position in _list_visible_fields(policy, groups)
    }


def minimize_requirements(requirements: tuple[GroupRequirement, ...]) -> list[list[str]]:
    """The requirements that are not met by meeting another; everyone is in `everyone`."""
    strict = {each for each in requirements if EVERYONE not in each} or {frozenset({EVERYONE})}
    return sorted(sorted(each) for each in strict if not any(other < each for other in strict))


def _list_visible_fields(policy: AccessPolicy, groups: frozenset[str] | None) -> Iterator[SchemaCoordinate]:
    fields = (position for position in policy.requirements if len(position) == 2)
    return (each for each in fields if groups is None or decide(policy, each, groups).allowed)


def _describe_permission(policy: AccessPolicy, coordinate: SchemaCoordinate) -> dict[str, Any]:
    owner = policy.owners.get(coordinate)
    return {"groups": minimize_requirements(policy.requirements[coordinate]), **({"owner": owner} if owner else {})}


async def _send_json(send: Any, status: int, body: bytes = b"{}") -> None:
    headers = [*HEADERS, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
