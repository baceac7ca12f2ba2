"""A frame of graphql-transport-ws in, a message out; an answer in, the text of its message out."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

import orjson

REASON_BYTES = 123
"""What a WebSocket lets one say as it closes."""


class Kind(StrEnum):
    """What clients say."""

    INIT = "connection_init"
    PING = "ping"
    PONG = "pong"
    SUBSCRIBE = "subscribe"
    COMPLETE = "complete"


class Close(IntEnum):
    """Why the door closes a WebSocket; docs/live.md lists them."""

    LEAVING = 1001
    UNCHECKED = 1013
    BAD_MESSAGE = 4400
    UNAUTHENTICATED = 4401
    REVOKED = 4403
    INIT_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY = 4429


class Closed(Exception):
    """The WebSocket is at its end; `close` is None where the client went away."""

    def __init__(self, close: Close | None, reason: str = "") -> None:
        super().__init__(reason)
        self.close = close
        self.reason = reason.encode()[:REASON_BYTES].decode(errors="ignore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a client says; `id` names a question, where one is meant."""

    kind: Kind
    id: str = ""
    payload: Mapping[str, Any]


ACK = '{"type":"connection_ack"}'
PONG = '{"type":"pong"}'
NAMED = frozenset({Kind.SUBSCRIBE, Kind.COMPLETE})


def message(event: Mapping[str, Any]) -> Message:
    """Raises Closed for what is none, and where the client went away."""
    if event["type"] == "websocket.disconnect":
        raise Closed(None)
    said = _parsed(event.get("text"))
    if not isinstance(said, dict) or said.get("type") not in list(Kind):
        raise bad("a message has one of the types of graphql-transport-ws")
    kind, id, payload = Kind(said["type"]), said.get("id", ""), said.get("payload")
    if not isinstance(id, str) or (kind in NAMED and not id):
        raise bad("`id` must be text")
    if not isinstance(payload, dict) and (payload is not None or kind is Kind.SUBSCRIBE):
        raise bad("`payload` must be an object")
    return Message(kind=kind, id=id, payload=payload or {})


def bad(why: str) -> Closed:
    return Closed(Close.BAD_MESSAGE, why)


def _parsed(text: str | None) -> Any:
    if text is None:
        raise bad("messages are text")
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, RecursionError):
        raise bad("a message is JSON") from None


def next_(id: str, answer: bytes) -> str:
    """`answer` is JSON."""
    return f'{{"id":{_quoted(id)},"type":"next","payload":{answer.decode()}}}'


def error(id: str, errors: bytes) -> str:
    """`errors` is a list of them as JSON; with it the question is over."""
    return f'{{"id":{_quoted(id)},"type":"error","payload":{errors.decode()}}}'


def complete(id: str) -> str:
    return f'{{"id":{_quoted(id)},"type":"complete"}}'


def _quoted(id: str) -> str:
    return orjson.dumps(id).decode()
