"""An answer's objects in, the rows that were asked for out: what else an API gives is left out."""

from collections.abc import Sequence

from engine.errors import Code, SourceFailed
from engine.words import Ask, Row
from sources.rest.collection import Collection
from sources.rest.requests import Request, tests_of
from sources.rest.values import Item, rows


def kept(items: Sequence[Item], ask: Ask, collection: Collection, request: Request) -> list[Row]:
    """Raises SourceFailed where rows that were cut off by a limit may be the ones that are missing."""
    meant = those_meant(items, ask, collection, request)
    if request.limit is not None and collection.paging is None and len(meant) < len(items):
        raise SourceFailed("the API gave rows beside those it was asked for", Code.SOURCE_INVALID)
    return rows(meant, ask.columns, collection, request.given)


def those_meant(items: Sequence[Item], ask: Ask, collection: Collection, request: Request) -> Sequence[Item]:
    """Those of the keys that meet the filter."""
    if ask.keys is not None:
        wanted = frozenset(ask.keys.values)
        keys = rows(items, ask.keys.columns, collection, request.given)
        items = [item for item, key in zip(items, keys, strict=True) if key in wanted]
    tests = {each.column: each.value for each in tests_of(ask.where)}
    if tests:
        values = rows(items, tuple(tests), collection, request.given)
        items = [item for item, each in zip(items, values, strict=True) if each == tuple(tests.values())]
    return items
