"""The head of a request for a WebSocket in, what is wrong with it out."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from door.counter import Counter
from door.negotiate import GRAPHQL_JSON
from door.reply import shown
from door.request import Head, head
from engine.errors import Code, Fault

SUBPROTOCOL = "graphql-transport-ws"
KEYS = ("authorization", "x-api-key")
"""What a `connection_init` may bring, for browsers, which cannot send them in the head."""


def wrong(counter: Counter, scope: Mapping[str, Any]) -> tuple[int, str] | None:
    """The status and the sentence it is turned away with; nothing is read of it yet, and no key judged."""
    if away := counter.turnstile.crowded():
        return away.status, away.fault.message
    if SUBPROTOCOL not in scope["subprotocols"]:
        return 400, f"speak the subprotocol `{SUBPROTOCOL}`; the older `graphql-ws` is not spoken here"
    if not _welcome(counter, scope["headers"]):
        return 403, "this web page may not call in, its origin is not among `server.origins`"
    return None


def _welcome(counter: Counter, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Browsers ask nobody before they open a WebSocket, so the door looks where the page came from.

    Programs send no origin; pages of the door itself, GraphiQL, come from its own host.
    """
    known = {name.lower(): value.decode("latin-1") for name, value in headers}
    origin = known.get(b"origin")
    if origin is None or origin in counter.origins:
        return True
    return origin.partition("://")[2] == known.get(b"host")


async def turned_away(send: Any, status: int, why: str) -> None:
    """Before there is a WebSocket, so by HTTP."""
    body = orjson.dumps({"errors": [shown(Fault(code=Code.BAD_REQUEST, message=why))]})
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def known(scope: Mapping[str, Any], payload: Mapping[str, Any]) -> Head:
    """What the head says, and a key that came after it; different ones are none, as they are in one head."""
    brought = [(name.lower().encode(), value) for name, value in payload.items() if name.lower() in KEYS]
    late = [(name, str(value).encode("latin-1", errors="replace")) for name, value in brought]
    kept = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept"]
    return head({**scope, "method": "GET", "headers": [*kept, *late, (b"accept", GRAPHQL_JSON.encode())]})
