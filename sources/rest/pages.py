"""Requests in, the objects they find out: page after page of one, or several side by side."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, TypeAlias

from yarl import URL

from engine.errors import Code, SourceFailed
from sources.fan_out import fan_out
from sources.rest.calls import Answer, Calls
from sources.rest.collection import At, Collection, Paging, Turning, places
from sources.rest.failures import unreadable
from sources.rest.requests import Request, filled, in_path
from sources.rest.values import Item, inside

Found: TypeAlias = tuple[Request, Sequence[Item]]
OBJECTS = frozenset({dict})
BARE = frozenset({str, int, float, bool})


async def pages(calls: Calls, wanted: Sequence[Request], collection: Collection) -> AsyncIterator[Found]:
    """Of one request as its pages come; of several all, in their order."""
    if len(wanted) == 1:
        async for items in _pages(calls, wanted[0], collection):
            yield wanted[0], items
        return
    for request, items in zip(
        wanted, await fan_out(partial(_whole, calls, collection), wanted, calls.at_once), strict=True
    ):
        yield request, items


async def _whole(calls: Calls, collection: Collection, request: Request) -> list[Item]:
    return [item async for page in _pages(calls, request, collection) for item in page]


async def _pages(calls: Calls, request: Request, collection: Collection) -> AsyncIterator[Sequence[Item]]:
    """Ends where nothing follows: a page may be shorter than was asked, as an API may keep to a size of its own."""
    if request.single:
        ask = calls.text if collection.text else calls.get
        yield _single(await ask(request.path), request.rows, collection)
        return
    paging, seen, place = collection.paging, 0, ""
    first = await calls.get(request.path, (*request.parameters, *_turned(paging, request, seen, place)))
    if first is None and request.given:
        return
    answer = _there(first)
    while True:
        items = _listed(answer.said, request.rows, collection)
        yield await _in_full(calls, items, collection, request) if collection.each else items
        if paging is None:
            return
        seen, before = seen + (len(items) if paging.by is Turning.OFFSET else 1), place
        place = _next(paging, answer, items)
        if not place:
            return
        if place == before and paging.by in (Turning.CURSOR, Turning.LINK):
            raise unreadable()
        if paging.by is Turning.LINK:
            answer = _there(await calls.asked(_same(calls, place)))
        else:
            turned = _turned(paging, request, seen, place)
            answer = _there(await calls.get(request.path, (*request.parameters, *turned)))


async def _in_full(calls: Calls, items: Sequence[Item], collection: Collection, request: Request) -> list[Item]:
    """Each row from its own path; one that has gone since is none."""
    (column,) = set(places(collection.each)) - set(request.given)
    values = [inside(each, collection.columns[column].at) for each in items]
    if any(not isinstance(each, str | int) for each in values) or in_path(values) is None:
        raise unreadable()
    paths = [filled(collection.each, {**request.given, column: each}) for each in values]
    found = await fan_out(calls.get, paths, calls.at_once)
    return [row for each in found if each is not None for row in _listed([each.said], (), collection)]


def _turned(paging: Paging | None, request: Request, seen: int, place: str) -> list[tuple[str, str]]:
    """The parameters of one page."""
    if paging is None:
        return []
    at = {Turning.PAGE: str(paging.first + seen), Turning.OFFSET: str(seen), Turning.CURSOR: place, Turning.LINK: ""}
    found = [(paging.parameter, at[paging.by])] if at[paging.by] else []
    if paging.size_parameter:
        found.append((paging.size_parameter, str(min(paging.size, request.limit or paging.size))))
    return found


def _next(paging: Paging, answer: Answer, items: Sequence[Item]) -> str:
    """What names the next page; an empty text: there is none."""
    if paging.by is Turning.CURSOR:
        cursor = inside(answer.said, paging.next)
        if cursor is not None and (isinstance(cursor, bool) or not isinstance(cursor, str | int)):
            raise unreadable()
        return "" if cursor is None else str(cursor)
    if paging.by is Turning.LINK:
        return answer.next or ""
    return "more" if items else ""


def _same(calls: Calls, place: str) -> URL:
    """The next page, if it is at the same API: credentials go nowhere else."""
    url, own = URL(calls.base_url).join(URL(place)), URL(calls.base_url).origin()
    if not url.absolute or url.origin() != own:
        raise SourceFailed("the API names a next page that is not its own", Code.SOURCE_INVALID)
    return url


def _there(answer: Answer | None) -> Answer:
    if answer is None:
        raise SourceFailed("the API has no such collection", Code.SOURCE_INVALID)
    return answer


def _single(answer: Answer | None, at: At, collection: Collection) -> list[Item]:
    return [] if answer is None else _listed([inside(answer.said, at)], (), collection)


def _listed(said: Any, at: At, collection: Collection) -> list[Item]:
    """The rows that lie there."""
    items = inside(said, at)
    if not isinstance(items, list) or not set(map(type, items)) <= (BARE if collection.bare else OBJECTS):
        raise unreadable()
    return items
