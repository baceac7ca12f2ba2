"""The contract of a source, asked of every source there is: what it declares it does as the words mean it.

A new source is one line in SOURCES, in conftest.py. Of each law, as many asks as the source is fast enough for; all of
them with FUZZ set.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests.contract import among, asks, groups
from tests.contract.asks import Told
from tests.contract.conftest import Kept, answered
from tests.contract.meaning import meant

AT_ONCE = 4
TYPES = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.FLOAT: float,
    ColumnType.DECIMAL: Decimal,
    ColumnType.BOOLEAN: bool,
    ColumnType.DATE: date,
    ColumnType.TIME: datetime,
    ColumnType.LIST: tuple,
}
LAWS: dict[str, Callable[[Told, dict[str, Told]], Iterable[ScanRequest]]] = {
    "columns": lambda told, _: asks.projections(told),
    "filters": lambda told, _: asks.filters(told),
    "nests": lambda told, _: asks.nests(told),
    "related": asks.related,
    "orders": lambda told, _: asks.orders(told),
    "limits": lambda told, _: asks.limits(told),
    "keys": lambda told, _: asks.keys(told),
    "keys beside the rest": lambda told, _: asks.keys_beside_the_rest(told),
    "among": among.amongs,
    "counts": lambda told, _: asks.counts(told),
    "measures": lambda told, _: groups.measures(told),
    "cuts": lambda told, _: groups.cuts(told),
    "having, order and limit of groups": lambda told, _: groups.arranged(told),
}


@pytest.mark.parametrize("law", LAWS)
async def test_what_is_declared_is_done_as_the_words_mean_it(kept: Kept, law: str) -> None:
    tables = {name: told.rows for name, told in kept.told.items()}
    every = [ask for told in kept.told.values() for ask in LAWS[law](told, kept.told)]
    wanted = every if "FUZZ" in os.environ else asks.spread(every, kept.most)
    answers = await every_answer(kept.source, wanted)
    wrong = [
        (ask, answer, meant(ask, tables))
        for ask, answer in zip(wanted, answers, strict=True)
        if not alike(ask, answer, meant(ask, tables), kept.told[ask.collection])
    ]
    assert wrong[:5] == [], f"{len(wrong)} of {len(wanted)} asks"


async def test_a_plain_read_gives_back_what_was_put_in(kept: Kept) -> None:
    found = {name: sorted(repr(tuple(row.values())) for row in told.rows) for name, told in kept.told.items()}
    put = {name: sorted(map(repr, held.rows)) for name, held in kept.held.items() if held.rows is not None}
    assert {name: found[name] for name in put} == put


async def test_a_value_has_the_type_of_its_columns_kind(kept: Kept) -> None:
    odd = [
        (told.name, name, value)
        for told in kept.told.values()
        for row in told.rows
        for name, value in row.items()
        if value is not None and not typed(value, told.can.columns[name].type)
    ]
    assert odd == []


async def test_no_two_rows_have_the_same_key(kept: Kept) -> None:
    found = [(told.name, *(row[each] for each in told.key)) for told in kept.told.values() for row in told.rows]
    assert [key for key, times in Counter(found).items() if times > 1 or None in key] == []


async def test_what_it_does_not_have_raises_key_error(kept: Kept) -> None:
    with pytest.raises(KeyError):
        kept.source.capabilities("no such collection")


async def test_it_answers_a_ping(kept: Kept) -> None:
    await kept.source.ping()


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 50])
async def test_a_cancelled_read_leaves_it_usable(kept: Kept, turns: int) -> None:
    told = next(iter(kept.told.values()))
    ask = asks.asked(told, tuple(told.can.columns))
    for _ in range(AT_ONCE + 1):
        await cancelled_after(turns, answered(kept.source, ask))
    again = await answered(kept.source, ask)
    assert Counter(again) == Counter(tuple(row.values()) for row in told.rows)


async def cancelled_after(turns: int, work: Any) -> None:
    """Cancelled after so many turns of the event loop, wherever it then is."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def every_answer(source: Connector, wanted: list[ScanRequest]) -> list[Any]:
    """The answer of each ask, or the exception in its place; a few at a time."""
    free = asyncio.Semaphore(AT_ONCE)

    async def turn(ask: ScanRequest) -> Any:
        async with free:
            try:
                return await answered(source, ask)
            except Exception as failure:
                return failure

    return await asyncio.gather(*map(turn, wanted))


def typed(value: Any, kind: ColumnType) -> bool:
    if kind is ColumnType.LIST:
        return type(value) is tuple and all(type(each) is str for each in value)
    return type(value) is TYPES[kind] and (kind is not ColumnType.TIME or value.tzinfo is UTC)


def alike(ask: ScanRequest, found: Any, expected: list[Row], told: Told) -> bool:
    """The same rows, and in the same order as far as one was asked for: with keys, for each key."""
    if isinstance(found, Exception) or not all(type(row) is tuple for row in found):
        return False
    if Counter(map(written, found)) != Counter(map(written, expected)):
        return False
    return list(in_order(ask, found)) == list(in_order(ask, expected))


def written(row: Row) -> Row:
    """With what equality does not tell: the type of a value, the places of money."""
    return tuple((type(each), str(each) if isinstance(each, Decimal) else each) for each in row)


def in_order(ask: ScanRequest, rows: list[Row]) -> Iterator[tuple[Row, list[Row]]]:
    """By key, what stands in the columns that were ordered by, row after row."""
    places = [groups.names(ask)[each.column] for each in ask.sort]
    leading = [ask.columns.index(each) for each in (ask.keys.columns if ask.keys and ask.sort else ())]
    keys = dict.fromkeys(tuple(row[at] for at in leading) for row in rows)
    for key in sorted(keys, key=repr):
        yield key, [tuple(row[at] for at in places) for row in rows if tuple(row[at] for at in leading) == key]
