"""Ask a database, and the reference operators over all of its rows, the same."""

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from onedoor.connectors.memory import MemoryCollection, answer_scan
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.spi.capabilities import Column
from onedoor.spi.predicates import And, Comparison, InKeys, Not, Op, Row
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, AggregateFunction, KeyFilter, ScanRequest, SortKey

KEY = "id"
COMPARED_VALUES = 6


async def scan(connector: SqlConnector, request: ScanRequest) -> list[Row]:
    async with aclosing(connector.scan(request)) as batches:  # type: ignore[type-var]
        return [row for batch in [item async for item in batches] for row in batch]


async def read_reference(connector: SqlConnector, collections: Sequence[str]) -> dict[str, MemoryCollection]:
    """Read all rows, which the reference operators are to answer from."""
    result = {}
    for name in collections:
        capabilities = connector.capabilities(name)
        rows = await scan(connector, ScanRequest(collection=name, columns=tuple(capabilities.columns)))
        result[name] = MemoryCollection(capabilities=capabilities, rows=rows)
    return result


async def find_differences(
    connector: SqlConnector, reference: dict[str, MemoryCollection], requests: Sequence[ScanRequest]
) -> list[tuple[ScanRequest, list[Row], list[Row]]]:
    """Return the requests that the database answers otherwise, with both answers."""
    differences = []
    for request in requests:
        found, expected = await scan(connector, request), list(answer_scan(reference, request))
        if not request.sort or request.keys:
            found, expected = sorted(found, key=repr), sorted(expected, key=repr)
        if found != expected:
            differences.append((request, found, expected))
    return differences


def draw_requests(collection: str, name: str, column: Column, values: Sequence[str]) -> Iterator[ScanRequest]:
    """Yield what may be pushed down of a column: each operator with each value, each order, groups, keys."""
    request = ScanRequest(collection=collection, columns=(KEY, name))
    for op in sorted(column.filters):
        comparisons = list(_draw_comparisons(name, op, values))
        yield from (replace(request, filter=comparison) for comparison in comparisons)
        yield replace(request, filter=Not(comparisons[0]))
    if Op.EQ in column.filters:
        keys = tuple((value,) for value in values)
        yield replace(request, filter=InKeys((name,), frozenset(keys)))
        yield replace(request, keys=KeyFilter((name,), keys))
        yield replace(request, keys=KeyFilter((name,), keys), limit=1, sort=(SortKey(KEY),), columns=(name, KEY))
        yield from (replace(request, keys=KeyFilter((name,), (key,))) for key in keys[:COMPARED_VALUES])
        yield from _draw_groups(collection, name, column)
    if column.sortable:
        for descending in (False, True):
            sort = (SortKey(name, descending=descending), SortKey(KEY))
            yield replace(request, sort=sort)
            yield replace(request, sort=sort, limit=3)


def _draw_comparisons(name: str, op: Op, values: Sequence[str]) -> Iterator[Comparison]:
    match op:
        case Op.IS_NULL:
            yield from (Comparison(name, op, is_null) for is_null in (True, False))
        case Op.IN | Op.NOT_IN:
            yield Comparison(name, op, tuple(values[:2]))
            yield Comparison(name, op, tuple(values))
        case _:
            yield from (Comparison(name, op, value) for value in values[:COMPARED_VALUES])


def _draw_groups(collection: str, name: str, column: Column) -> Iterator[ScanRequest]:
    calls = [AggregateCall(function, name) for function in sorted(column.aggregates)]
    yield ScanRequest(collection=collection, columns=(), aggregates=(COUNT_ROWS, *calls))
    yield ScanRequest(collection=collection, columns=(name,), aggregates=(COUNT_ROWS,))
    if column.sortable:
        sort = (SortKey(name, descending=True),)
        yield ScanRequest(collection=collection, columns=(name,), aggregates=(COUNT_ROWS,), sort=sort, limit=2)
    yield ScanRequest(
        collection=collection,
        columns=(name,),
        aggregates=(COUNT_ROWS, AggregateCall(AggregateFunction.COUNT_DISTINCT, KEY)),
        having=And((Comparison(COUNT_ROWS.name, Op.GT, 1),)),
    )
