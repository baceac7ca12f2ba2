"""An answer's objects in, the rows that were asked for out: what else a service gives is left out."""

from collections.abc import Sequence

from engine.errors import Code, SourceFailed
from engine.words import Ask, Row
from sources.graphql.collection import Collection
from sources.graphql.parts import Part
from sources.rest.requests import tests_of
from sources.rest.values import Item, column


def kept(items: Sequence[Item], ask: Ask, collection: Collection, part: Part) -> list[Row]:
    """Raises SourceFailed where rows that were cut off by a limit may be the ones that are missing."""
    meant = those_meant(items, ask, collection)
    if part.limit is not None and part.paging is None and len(meant) < len(items):
        raise SourceFailed("the API gave rows beside those it was asked for", Code.SOURCE_INVALID)
    return rows(meant, ask.columns, collection)


def those_meant(items: Sequence[Item], ask: Ask, collection: Collection) -> Sequence[Item]:
    """Those of the keys that meet the filter."""
    if ask.keys is not None:
        wanted = frozenset(ask.keys.values)
        keys = rows(items, ask.keys.columns, collection)
        items = [item for item, key in zip(items, keys, strict=True) if key in wanted]
    tests = {each.column: each.value for each in tests_of(ask.where)}
    if tests:
        values = rows(items, tuple(tests), collection)
        items = [item for item, each in zip(items, values, strict=True) if each == tuple(tests.values())]
    return items


def rows(items: Sequence[Item], columns: Sequence[str], collection: Collection) -> list[Row]:
    """Raises SourceFailed at the first value that is not what was declared."""
    if not columns:
        return [()] * len(items)
    return list(zip(*(column(items, name, collection.columns[name]) for name in columns), strict=True))
