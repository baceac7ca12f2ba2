"""The push-down law, on all small worlds: the plan changes with the promise, the rows do not."""

import pytest

from engine.fetch.read import read
from engine.finish import key_of
from engine.house import Limits
from engine.plan import push, words
from engine.plan.words import Read, Step
from engine.words import EVERY_ROW, Ask, Row
from tests.push.running import running
from tests.push.small import COLUMNS, WANTED, Wanted, memory, obvious, promises
from tests.push.strict import Strict, complaints

SOURCES = tuple(Strict(memory(can)) for can in promises())
NOTHING, *_, EVERYTHING = SOURCES


def planned(source: Strict, wanted: Wanted) -> Read:
    return push.read(
        source,
        words.Wanted(
            source="small",
            collection="row",
            columns=wanted.keyed if wanted.measures else COLUMNS,
            keyed=wanted.keyed,
            where=wanted.where,
            measures=wanted.measures,
            order=wanted.order,
            limit=wanted.limit,
        ),
    )


async def finished(source: Strict, one: Read, wanted: Wanted) -> list[Row]:
    table = await read(running("small", source, Limits()), one, wanted.keys)
    width = len(one.wanted.columns) + len(one.wanted.measures)
    return sorted_by_key([row[:width] for row in table.rows], wanted)


def sorted_by_key(rows: list[Row], wanted: Wanted) -> list[Row]:
    """Which key comes first is not said, nor is the order of rows that none was asked for."""
    if not wanted.order:
        return sorted(rows, key=repr)
    take = key_of(wanted.keyed, COLUMNS)
    return sorted(rows, key=take)


@pytest.mark.parametrize("wanted", [pytest.param(each, id=str(at)) for at, each in enumerate(WANTED)])
async def test_rows_are_the_same_whatever_a_source_promises_and_it_is_asked_no_more(wanted: Wanted) -> None:
    expected = sorted_by_key(obvious(wanted), wanted)
    # Most promises lead to one of a few reads, and a read asks the same of each source; so each is read once.
    asked: dict[Read, list[Ask]] = {}
    for source in SOURCES:
        one = planned(source, wanted)
        if one not in asked:
            source.asked.clear()
            assert await finished(source, one, wanted) == expected, one
            asked[one] = list(source.asked)
        assert not [each for ask in asked[one] for each in complaints(source, ask)], one


def test_a_step_is_asked_for_only_if_every_step_before_it_is() -> None:
    skipped = [wanted for source in SOURCES for wanted in WANTED if skips(planned(source, wanted))]
    assert skipped == []


def skips(one: Read) -> bool:
    filtered = one.rest == EVERY_ROW and bool(one.batch or not one.wanted.keyed)
    later = one.measures or one.takes
    return bool((later and not filtered) or (Step.LIMIT in one.takes and Step.ORDER not in one.takes))


def test_a_source_that_promises_everything_is_asked_for_everything() -> None:
    left = [
        wanted
        for wanted in WANTED
        for one in [planned(EVERYTHING, wanted)]
        if one.rest != EVERY_ROW
        or one.open
        or one.wanted.measures != one.measures
        or (not wanted.measures and one.takes < {Step.ORDER, Step.LIMIT})
        or bool(one.wanted.keyed) != bool(one.batch)
    ]
    assert left == []


def test_a_source_that_promises_nothing_is_asked_for_nothing_but_columns() -> None:
    asked = {planned(NOTHING, wanted).pushed for wanted in WANTED}
    assert asked == {EVERY_ROW}
