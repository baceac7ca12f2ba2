"""One contract for every source that can be written to: what each verb does, and what it leaves when it does not."""

import asyncio
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from onedoor.errors import ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult
from tests.connectors.writing.changes import (
    apply_changes,
    build_change,
    build_creation,
    build_part_change,
    build_row,
    get_refusal,
    read_rows,
)
from tests.connectors.writing.conftest import ConnectorUnderTest

FULL: dict[str, Any] = {
    "name": "né", "amount": Decimal("12.50"), "big": 2**63 - 1, "ratio": 0.1, "day": date(2026, 1, 2),
    "moment": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), "done": True,
}  # fmt: skip
EMPTY = dict.fromkeys(FULL)


async def test_a_created_row_is_read_as_it_was_given(under: ConnectorUnderTest) -> None:
    assert await apply_changes(under.source, build_creation(7, **FULL)) == [
        ChangeResult(before=None, after=build_row(7, **FULL))
    ]
    assert await read_rows(under.source) == [build_row(7, **FULL)]


async def test_no_value_is_kept_and_what_is_absent_stays(under: ConnectorUnderTest) -> None:
    await apply_changes(under.source, build_creation(1, **FULL))
    [made] = await apply_changes(under.source, build_change(ChangeKind.UPDATE, {"id": 1}, name=None, done=False))
    assert made == ChangeResult(
        before=build_row(1, **FULL), after=build_row(1, **{**FULL, "name": None, "done": False, "version": 2})
    )
    [made] = await apply_changes(under.source, build_change(ChangeKind.UPDATE, {"id": 1}, **EMPTY))
    assert await read_rows(under.source) == [made.after] == [build_row(1, **EMPTY, version=3)]


async def test_put_makes_a_row_or_changes_it(under: ConnectorUnderTest) -> None:
    put = [
        build_change(ChangeKind.PUT, {"id": 3}, code="c", name="a"),
        build_change(ChangeKind.PUT, {"id": 3}, code="c", name="b"),
    ]
    first, second = build_row(3, code="c", name="a"), build_row(3, code="c", name="b", version=2)
    assert await apply_changes(under.source, *put) == [
        ChangeResult(before=None, after=first),
        ChangeResult(before=first, after=second),
    ]
    assert await read_rows(under.source) == [second]


async def test_a_deleted_row_is_told_and_gone(under: ConnectorUnderTest) -> None:
    await apply_changes(under.source, build_creation(1), build_creation(2))
    assert await apply_changes(under.source, build_change(ChangeKind.DELETE, {"id": 1})) == [
        ChangeResult(before=build_row(1), after=None)
    ]
    assert await read_rows(under.source) == [build_row(2)]


@pytest.mark.parametrize("verb", [ChangeKind.UPDATE, ChangeKind.DELETE])
async def test_a_row_that_is_not_there_is_not_found(under: ConnectorUnderTest, verb: ChangeKind) -> None:
    assert await get_refusal(under.source, build_change(verb, {"id": 9})) == (
        ErrorCode.NOT_FOUND, "there is no such row of `thing`",
    )  # fmt: skip


async def test_a_row_that_is_there_is_not_created_again(under: ConnectorUnderTest) -> None:
    await apply_changes(under.source, build_creation(1))
    told = ErrorCode.ALREADY_EXISTS, "there already is a row of `thing` with this `id`"
    assert await get_refusal(under.source, build_creation(1, code="other")) == told


async def test_a_unique_value_is_taken_once(under: ConnectorUnderTest) -> None:
    await apply_changes(under.source, build_creation(1), build_creation(2))
    if under.constrains:
        told = ErrorCode.ALREADY_EXISTS, "there already is a row of `thing` with this `code`"
        assert await get_refusal(under.source, build_change(ChangeKind.UPDATE, {"id": 2}, code="code 1")) == told
        assert await get_refusal(under.source, build_change(ChangeKind.PUT, {"id": 3}, code="code 1")) == told


async def test_a_change_of_an_older_version_is_refused(under: ConnectorUnderTest) -> None:
    await apply_changes(under.source, build_creation(1), build_change(ChangeKind.UPDATE, {"id": 1}, name="a", at="1"))
    told = ErrorCode.VERSION_CONFLICT, "the row of `thing` has been changed since: it is at version 2"
    for verb in (ChangeKind.UPDATE, ChangeKind.PUT):
        assert await get_refusal(under.source, build_change(verb, {"id": 1}, name="b", at="1")) == told
    assert await get_refusal(under.source, build_change(ChangeKind.DELETE, {"id": 1}, at="1")) == told
    assert await read_rows(under.source) == [build_row(1, name="a", version=2)]


async def test_rows_without_a_version_are_not_asked_for_one(under: ConnectorUnderTest) -> None:
    await apply_changes(under.source, build_creation(1), build_part_change(1))
    assert under.source.write_capabilities("part").version_column is None  # type: ignore[union-attr]
    assert (await get_refusal(under.source, build_part_change(1, verb=ChangeKind.UPDATE, at="1")))[
        0
    ] is ErrorCode.BAD_USER_INPUT


async def test_of_two_writers_at_once_one_wins(under: ConnectorUnderTest) -> None:
    await apply_changes(under.source, build_creation(1))
    others = [under.source, await under.another()]
    tries = [
        others[turn % 2].apply([build_change(ChangeKind.UPDATE, {"id": 1}, name=str(turn), at="1")])
        for turn in range(6)
    ]
    made = await asyncio.gather(*tries, return_exceptions=True)
    lost = {item.code for item in made if isinstance(item, ChangeRejected)}
    assert lost <= {ErrorCode.VERSION_CONFLICT, ErrorCode.SOURCE_OVERLOADED}
    assert sum(not isinstance(item, Exception) for item in made) == 1
    assert [row["version"] for row in await read_rows(under.source)] == [2]


async def test_no_increment_of_many_writers_is_lost(under: ConnectorUnderTest) -> None:
    await apply_changes(under.source, build_creation(1, big=0))
    others, done = [under.source, await under.another()], 0

    async def add(turn: int) -> None:
        nonlocal done
        for _ in range(40):
            [at] = await read_rows(others[turn % 2])
            try:
                await others[turn % 2].apply(
                    [build_change(ChangeKind.UPDATE, {"id": 1}, big=at["big"] + 1, at=str(at["version"]))]
                )
            except ChangeRejected:
                await asyncio.sleep(0.005)
                continue
            done += 1
            return

    await asyncio.gather(*map(add, range(5)))
    assert [(row["big"], row["version"]) for row in await read_rows(under.source)] == [(done, done + 1)]
    assert done >= 1


async def test_a_change_told_twice_is_made_once(under: ConnectorUnderTest) -> None:
    first = build_creation(1, **FULL)
    again = build_change(ChangeKind.UPDATE, {"id": 1}, name="b", told="again")
    told = [await apply_changes(under.source, first), await apply_changes(under.source, again)]
    another = await under.another()
    assert [await apply_changes(another, first), await apply_changes(another, again)] == told
    assert await read_rows(under.source) == [build_row(1, **{**FULL, "name": "b", "version": 2})]


async def test_a_change_told_twice_at_once_is_made_once(under: ConnectorUnderTest) -> None:
    told, another = build_creation(1), await under.another()

    async def tell(turn: int) -> Any:
        """A source may be too busy with the first of them."""
        for _ in range(40):
            with suppress(ChangeRejected):
                return await apply_changes([under.source, another][turn % 2], told)
            await asyncio.sleep(0.01)
        return None

    assert await asyncio.gather(*map(tell, range(6))) == [[ChangeResult(before=None, after=build_row(1))]] * 6


async def test_a_dry_change_says_what_would_be_and_leaves_nothing(under: ConnectorUnderTest) -> None:
    await apply_changes(under.source, build_creation(1))
    tried = [build_change(ChangeKind.UPDATE, {"id": 1}, name="a", told="dry"), build_creation(2, told="dry too")]
    made = await apply_changes(under.source, *tried, dry=True)
    assert [item.after for item in made] == [build_row(1, name="a", version=2), build_row(2)]
    assert await read_rows(under.source) == [build_row(1)]
    assert await apply_changes(under.source, *tried) == made


async def test_several_are_made_together_or_not_at_all(under: ConnectorUnderTest) -> None:
    assert (
        await get_refusal(
            under.source, build_creation(1), build_part_change(1), build_change(ChangeKind.UPDATE, {"id": 9})
        )
    )[0] is ErrorCode.NOT_FOUND
    assert (await read_rows(under.source), await read_rows(under.source, "part")) == ([], [])
    made = await apply_changes(
        under.source,
        build_creation(1),
        build_part_change(1),
        build_part_change(1, 2, label="b"),
        build_change(ChangeKind.UPDATE, {"id": 1}, big=1),
    )
    assert [item.after for item in made] == [
        build_row(1), {"thing_id": 1, "line": 1, "label": None}, {"thing_id": 1, "line": 2, "label": "b"},
        build_row(1, big=1, version=2),
    ]  # fmt: skip


async def test_what_was_made_is_known_for_ever(under: ConnectorUnderTest) -> None:
    told = [
        build_creation(1, **FULL),
        build_part_change(1),
        build_change(ChangeKind.DELETE, {"id": 5}),
        build_change(ChangeKind.UPDATE, {"id": 1}, name=None),
    ]
    await apply_changes(under.source, build_creation(5))
    made = await apply_changes(under.source, *told)
    another = await under.another()
    assert [await another.find_change(item) for item in told] == made


async def test_what_was_not_made_is_not_made_any_more(under: ConnectorUnderTest) -> None:
    told = build_creation(1)
    assert [await under.source.find_change(told), await under.source.find_change(told)] == [None, None]
    assert (await get_refusal(await under.another(), told))[0] is ErrorCode.CANNOT_ANSWER
    assert await read_rows(under.source) == []


async def test_what_is_not_named_is_not_to_be_changed(under: ConnectorUnderTest) -> None:
    assert under.source.write_capabilities("onedoor_change") is None
    other = build_change(ChangeKind.CREATE, {"id": "x"}, collection="onedoor_change")
    assert (await get_refusal(under.source, other))[0] is ErrorCode.CANNOT_ANSWER


async def test_neither_the_version_nor_a_key_nor_what_is_not_there_is_set(under: ConnectorUnderTest) -> None:
    await apply_changes(under.source, build_creation(1))
    for values in ({"version": 7}, {"id": 2}, {"nothing": 1}):
        assert (await get_refusal(under.source, build_change(ChangeKind.UPDATE, {"id": 1}, **values)))[
            0
        ] is ErrorCode.BAD_USER_INPUT
    assert (await get_refusal(under.source, build_change(ChangeKind.UPDATE, {"code": "code 1"}, name="a")))[
        0
    ] is ErrorCode.BAD_USER_INPUT
    assert await read_rows(under.source) == [build_row(1)]


async def test_a_needed_value_is_asked_for(under: ConnectorUnderTest) -> None:
    told = ErrorCode.BAD_USER_INPUT, "`code` must have a value"
    assert await get_refusal(under.source, build_change(ChangeKind.CREATE, {"id": 1}, name="a")) == told
    assert await get_refusal(under.source, build_change(ChangeKind.CREATE, {"id": 1}, code=None)) == told


async def test_a_key_of_its_own_is_given(under: ConnectorUnderTest) -> None:
    if not under.constrains:
        assert (await get_refusal(under.source, build_change(ChangeKind.CREATE, code="a")))[
            0
        ] is ErrorCode.BAD_USER_INPUT
        return
    made = await apply_changes(
        under.source, build_change(ChangeKind.CREATE, code="a"), build_change(ChangeKind.CREATE, code="b")
    )
    assert [item.after for item in made] == await read_rows(under.source)
    await apply_changes(under.source, build_change(ChangeKind.DELETE, {"id": made[1].after["id"]}))  # type: ignore[index]
    [third] = await apply_changes(under.source, build_change(ChangeKind.CREATE, code="c"))
    assert third.after["id"] > made[1].after["id"]  # type: ignore[index]
