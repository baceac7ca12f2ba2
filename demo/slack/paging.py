"""Rows and the limit and cursor of a call to one page and the next cursor, as Slack pages."""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Params = Mapping[str, Any]
MOST = 999


class Failure(Exception):
    """A call that Slack would answer with `ok: false`; the message is the error's name, `more` what it says beside."""

    def __init__(self, name: str, **more: str) -> None:
        super().__init__(name)
        self.more = more


def limit_of(params: Params, default: int = 100) -> int:
    """Slack takes 1 to 999; 0 stands for the default."""
    try:
        limit = int(params.get("limit") or default)
    except ValueError:
        raise Failure("invalid_limit") from None
    if not 1 <= limit <= MOST:
        raise Failure("invalid_limit")
    return limit


def page(rows: Sequence[T], names: Sequence[str], params: Params, kind: str) -> tuple[Sequence[T], str]:
    """One page of rows, each named by the text at its place in `names`, and the cursor of the next (empty: none)."""
    start = 0
    if cursor := params.get("cursor"):
        start = position(names, opened(str(cursor), kind))
    end = start + limit_of(params)
    return rows[start:end], closed(names[end], kind) if end < len(rows) else ""


def position(names: Sequence[str], name: str) -> int:
    if name not in names:
        raise Failure("invalid_cursor")
    return names.index(name)


def closed(name: str, kind: str) -> str:
    return b64encode(f"{kind}:{name}".encode()).decode()


def opened(cursor: str, kind: str) -> str:
    try:
        found, _, name = b64decode(cursor, validate=True).decode().partition(":")
    except ValueError:
        raise Failure("invalid_cursor") from None
    if found != kind:
        raise Failure("invalid_cursor")
    return name


def more(cursor: str) -> dict[str, Any]:
    return {"response_metadata": {"next_cursor": cursor}}


def truthy(value: Any) -> bool:
    """Slack takes true as JSON, and as `true` or `1` in a form."""
    return value is True or str(value).lower() in ("true", "1")
