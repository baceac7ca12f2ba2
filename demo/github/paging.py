"""Rows and the page that is asked for to that page and its Link header, as GitHub turns pages."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from starlette.datastructures import URL

T = TypeVar("T")
MOST, USUAL = 100, 30


def whole(given: Mapping[str, str], name: str, usual: int) -> int:
    """GitHub takes what is no number for what is usual."""
    text = given.get(name, "")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else usual


def page(rows: Sequence[T], url: URL, given: Mapping[str, str]) -> tuple[Sequence[T], dict[str, str]]:
    size, number = min(MOST, whole(given, "per_page", USUAL)), whole(given, "page", 1)
    last = max(1, -(-len(rows) // size))
    places = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
    meant = {
        name: place
        for name, place in places.items()
        if (1 <= place <= last and (number < last if name in ("next", "last") else number > 1))
    }
    links = [f'<{url.include_query_params(page=place)}>; rel="{name}"' for name, place in meant.items()]
    return rows[(number - 1) * size : number * size], {"link": ", ".join(links)} if links else {}
