"""Parts in, the objects they find out: page after page of one document, or several documents side by side."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from sources.fan_out import fan_out
from sources.graphql.calls import Calls
from sources.graphql.document import Turned, document
from sources.graphql.parts import Part, Together
from sources.rest.collection import At
from sources.rest.failures import unreadable
from sources.rest.values import Item, inside

Found: TypeAlias = tuple[Part, Sequence[Item]]


async def pages(calls: Calls, wanted: Sequence[Together], places: Sequence[At]) -> AsyncIterator[Found]:
    """Of one document as its pages come; of several all, in their order."""
    if len(wanted) == 1:
        async for found in _pages(calls, places, wanted[0]):
            yield found
        return
    for each in await fan_out(partial(_whole, calls, places), wanted, calls.calls.at_once):
        for found in each:
            yield found


async def _whole(calls: Calls, places: Sequence[At], parts: Together) -> list[Found]:
    return [found async for found in _pages(calls, places, parts)]


async def _pages(calls: Calls, places: Sequence[At], parts: Together) -> AsyncIterator[Found]:
    """Those of the parts that have a next page are asked for it together."""
    turned = [Turned(part=each) for each in parts]
    while turned:
        data = await calls.data(document(turned, places))
        following = []
        for number, each in enumerate(turned):
            value = inside(data.get(f"p{number}"), each.part.field[1:])
            yield each.part, _listed(value, each.part)
            after = _next(value, each)
            if after is not None:
                following.append(Turned(part=each.part, after=after))
        turned = following


def _listed(value: Any, part: Part) -> Sequence[Item]:
    """The objects that lie there; a null among them is a row that is not shown."""
    if value is None:
        if part.absent:
            return ()
        raise unreadable()
    found = [each for each in _flat(value, part.rows) if each is not None]
    if not set(map(type, found)) <= {dict}:
        raise unreadable()
    return found


def _flat(value: Any, steps: At) -> Sequence[Any]:
    """`edges.node`: of each object of the list `edges`, its `node`."""
    if isinstance(value, list):
        return [found for each in value if each is not None for found in _flat(each, steps)]
    if not steps:
        return (value,)
    if not isinstance(value, dict) or value.get(steps[0]) is None:
        raise unreadable()
    return _flat(value[steps[0]], steps[1:])


def _next(value: Any, turned: Turned) -> str | None:
    """The cursor of the next page; None: there is none. One that leads nowhere new would lead on for ever."""
    if turned.part.paging is None or value is None:
        return None
    info = inside(value, ("pageInfo",))
    if not isinstance(info, Mapping) or not isinstance(info.get("hasNextPage"), bool):
        raise unreadable()
    if not info["hasNextPage"]:
        return None
    cursor = info.get("endCursor")
    if not isinstance(cursor, str) or cursor == turned.after:
        raise unreadable()
    return cursor
