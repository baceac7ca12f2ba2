"""Rows and a call's pageSize and pageToken in, one page and the next token out."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, TypeVar

from demo.drive.failures import invalid
from demo.drive.parameters import Given

T = TypeVar("T")


def page(rows: Sequence[T], given: Given, size: int) -> tuple[Sequence[T], dict[str, Any]]:
    """A token is good for the same question alone."""
    start = opened(given) if "pageToken" in given else 0
    end = start + given.get("pageSize", size)
    return rows[start:end], {"nextPageToken": closed(given, end)} if end < len(rows) else {}


def closed(given: Given, place: int) -> str:
    return urlsafe_b64encode(f"{question(given)}:{place}".encode()).decode()


def opened(given: Given) -> int:
    try:
        asked, _, place = urlsafe_b64decode(given["pageToken"]).decode().partition(":")
        found = int(place)
    except ValueError:
        raise invalid("pageToken", given["pageToken"]) from None
    if asked != question(given):
        raise invalid("pageToken", given["pageToken"])
    return found


def question(given: Given) -> str:
    asked = sorted((name, value) for name, value in given.items() if name not in ("pageToken", "pageSize", "fields"))
    return sha256(repr(asked).encode()).hexdigest()[:16]
