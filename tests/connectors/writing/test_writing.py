"""One contract holds for every writable connector: what each kind of change does, and what a failed one leaves."""

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


async def test_a_created_row_is_read_as_it_was_given(under_test: ConnectorUnderTest) -> None:
    assert await apply_changes(under_test.source, build_creation(7, **FULL)) == [
        ChangeResult(before=None, after=build_row(7, **FULL))
    ]
    assert await read_rows(under_test.source) == [build_row(7, **FULL)]


async def test_a_null_is_stored_and_an_absent_value_stays(under_test: ConnectorUnderTest) -> None:
    await apply_changes(under_test.source, build_creation(1, **FULL))
    [result] = await apply_changes(under_test.source, build_change(ChangeKind.UPDATE, {"id": 1}, name=None, done=False))
    assert result == ChangeResult(
        before=build_row(1, **FULL), after=build_row(1, **{**FULL, "name": None, "done": False, "version": 2})
    )
    [result] = await apply_changes(under_test.source, build_change(ChangeKind.UPDATE, {"id": 1}, **EMPTY))
    assert await read_rows(under_test.source) == [result.after] == [build_row(1, **EMPTY, version=3)]


async def test_put_makes_a_row_or_changes_it(under_test: ConnectorUnderTest) -> None:
    put = [
        build_change(ChangeKind.PUT, {"id": 3}, code="c", name="a"),
        build_change(ChangeKind.PUT, {"id": 3}, code="c", name="b"),
    ]
    first, second = build_row(3, code="c", name="a"), build_row(3, code="c", name="b", version=2)
    assert await apply_changes(under_test.source, *put) == [
        ChangeResult(before=None, after=first),
        ChangeResult(before=first, after=second),
    ]
    assert await read_rows(under_test.source) == [second]


async def test_a_deleted_row_is_returned_and_gone(under_test: ConnectorUnderTest) -> None:
    await apply_changes(under_test.source, build_creation(1), build_creation(2))
    assert await apply_changes(under_test.source, build_change(ChangeKind.DELETE, {"id": 1})) == [
        ChangeResult(before=build_row(1), after=None)
    ]
    assert await read_rows(under_test.source) == [build_row(2)]


@pytest.mark.parametrize("verb", [ChangeKind.UPDATE, ChangeKind.DELETE])
async def test_a_row_that_is_not_there_is_not_found(under_test: ConnectorUnderTest, verb: ChangeKind) -> None:
    assert await get_refusal(under_test.source, build_change(verb, {"id": 9})) == (
        ErrorCode.NOT_FOUND, "there is no such row of `thing`",
    )  # fmt: skip


async def test_a_row_that_is_there_is_not_created_again(under_test: ConnectorUnderTest) -> None:
    await apply_changes(under_test.source, build_creation(1))
    result = ErrorCode.ALREADY_EXISTS, "there already is a row of `thing` with this `id`"
    assert await get_refusal(under_test.source, build_creation(1, code="other")) == result


async def test_a_unique_value_is_taken_once(under_test: ConnectorUnderTest) -> None:
    await apply_changes(under_test.source, build_creation(1), build_creation(2))
    if under_test.constrains:
        result = ErrorCode.ALREADY_EXISTS, "there already is a row of `thing` with this `code`"
        assert await get_refusal(under_test.source, build_change(ChangeKind.UPDATE, {"id": 2}, code="code 1")) == result
        assert await get_refusal(under_test.source, build_change(ChangeKind.PUT, {"id": 3}, code="code 1")) == result


async def test_a_change_of_an_older_version_is_refused(under_test: ConnectorUnderTest) -> None:
    await apply_changes(
        under_test.source, build_creation(1), build_change(ChangeKind.UPDATE, {"id": 1}, name="a", at="1")
    )
    result = ErrorCode.VERSION_CONFLICT, "the row of `thing` has been changed since: it is at version 2"
    for verb in (ChangeKind.UPDATE, ChangeKind.PUT):
        assert await get_refusal(under_test.source, build_change(verb, {"id": 1}, name="b", at="1")) == result
    assert await get_refusal(under_test.source, build_change(ChangeKind.DELETE, {"id": 1}, at="1")) == result
    assert await read_rows(under_test.source) == [build_row(1, name="a", version=2)]


async def test_rows_without_a_version_need_none(under_test: ConnectorUnderTest) -> None:
    await apply_changes(under_test.source, build_creation(1), build_part_change(1))
    assert under_test.source.write_capabilities("part").version_column is None  # type: ignore[union-attr]
    assert (await get_refusal(under_test.source, build_part_change(1, verb=ChangeKind.UPDATE, at="1")))[
        0
    ] is ErrorCode.BAD_USER_INPUT


async def test_exactly_one_of_two_concurrent_writers_wins(under_test: ConnectorUnderTest) -> None:
    await apply_changes(under_test.source, build_creation(1))
    others = [under_test.source, await under_test.another()]
    tries = [
        others[turn % 2].apply([build_change(ChangeKind.UPDATE, {"id": 1}, name=str(turn), at="1")])
        for turn in range(6)
    ]
    results = await asyncio.gather(*tries, return_exceptions=True)
    lost = {item.code for item in results if isinstance(item, ChangeRejected)}
    assert lost <= {ErrorCode.VERSION_CONFLICT, ErrorCode.SOURCE_OVERLOADED}
    assert sum(not isinstance(item, Exception) for item in results) == 1
    assert [row["version"] for row in await read_rows(under_test.source)] == [2]


async def test_no_increment_of_many_writers_is_lost(under_test: ConnectorUnderTest) -> None:
    await apply_changes(under_test.source, build_creation(1, big=0))
    others, done = [under_test.source, await under_test.another()], 0

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
    assert [(row["big"], row["version"]) for row in await read_rows(under_test.source)] == [(done, done + 1)]
    assert done >= 1


async def test_a_change_sent_twice_is_applied_once(under_test: ConnectorUnderTest) -> None:
    first = build_creation(1, **FULL)
    again = build_change(ChangeKind.UPDATE, {"id": 1}, name="b", told="again")
    result = [await apply_changes(under_test.source, first), await apply_changes(under_test.source, again)]
    another = await under_test.another()
    assert [await apply_changes(another, first), await apply_changes(another, again)] == result
    assert await read_rows(under_test.source) == [build_row(1, **{**FULL, "name": "b", "version": 2})]


async def test_a_change_sent_twice_at_once_is_applied_once(under_test: ConnectorUnderTest) -> None:
    creation, another = build_creation(1), await under_test.another()

    async def tell(turn: int) -> Any:
        """A source may be too busy with the first of them."""
        for _ in range(40):
            with suppress(ChangeRejected):
                return await apply_changes([under_test.source, another][turn % 2], creation)
            await asyncio.sleep(0.01)
        return None

    assert await asyncio.gather(*map(tell, range(6))) == [[ChangeResult(before=None, after=build_row(1))]] * 6


async def test_a_dry_change_says_what_would_be_and_leaves_nothing(under_test: ConnectorUnderTest) -> None:
    await apply_changes(under_test.source, build_creation(1))
    tried = [build_change(ChangeKind.UPDATE, {"id": 1}, name="a", told="dry"), build_creation(2, told="dry too")]
    results = await apply_changes(under_test.source, *tried, dry=True)
    assert [item.after for item in results] == [build_row(1, name="a", version=2), build_row(2)]
    assert await read_rows(under_test.source) == [build_row(1)]
    assert await apply_changes(under_test.source, *tried) == results


async def test_several_changes_are_applied_together_or_not_at_all(under_test: ConnectorUnderTest) -> None:
    assert (
        await get_refusal(
            under_test.source, build_creation(1), build_part_change(1), build_change(ChangeKind.UPDATE, {"id": 9})
        )
    )[0] is ErrorCode.NOT_FOUND
    assert (await read_rows(under_test.source), await read_rows(under_test.source, "part")) == ([], [])
    results = await apply_changes(
        under_test.source,
        build_creation(1),
        build_part_change(1),
        build_part_change(1, 2, label="b"),
        build_change(ChangeKind.UPDATE, {"id": 1}, big=1),
    )
    assert [item.after for item in results] == [
        build_row(1), {"thing_id": 1, "line": 1, "label": None}, {"thing_id": 1, "line": 2, "label": "b"},
        build_row(1, big=1, version=2),
    ]  # fmt: skip


async def test_an_applied_change_is_known_for_ever(under_test: ConnectorUnderTest) -> None:
    result = [
        build_creation(1, **FULL),
        build_part_change(1),
        build_change(ChangeKind.DELETE, {"id": 5}),
        build_change(ChangeKind.UPDATE, {"id": 1}, name=None),
    ]
    await apply_changes(under_test.source, build_creation(5))
    results = await apply_changes(under_test.source, *result)
    another = await under_test.another()
    assert [await another.find_change(item) for item in result] == results


async def test_a_change_that_was_not_applied_is_never_applied(under_test: ConnectorUnderTest) -> None:
    creation = build_creation(1)
    assert [await under_test.source.find_change(creation), await under_test.source.find_change(creation)] == [
        None,
        None,
    ]
    assert (await get_refusal(await under_test.another(), creation))[0] is ErrorCode.CANNOT_ANSWER
    assert await read_rows(under_test.source) == []


async def test_what_is_not_named_is_not_to_be_changed(under_test: ConnectorUnderTest) -> None:
    assert under_test.source.write_capabilities("onedoor_change") is None
    other = build_change(ChangeKind.CREATE, {"id": "x"}, collection="onedoor_change")
    assert (await get_refusal(under_test.source, other))[0] is ErrorCode.CANNOT_ANSWER


async def test_neither_the_version_nor_a_key_nor_what_is_not_there_is_set(under_test: ConnectorUnderTest) -> None:
    await apply_changes(under_test.source, build_creation(1))
    for values in ({"version": 7}, {"id": 2}, {"nothing": 1}):
        assert (await get_refusal(under_test.source, build_change(ChangeKind.UPDATE, {"id": 1}, **values)))[
            0
        ] is ErrorCode.BAD_USER_INPUT
    assert (await get_refusal(under_test.source, build_change(ChangeKind.UPDATE, {"code": "code 1"}, name="a")))[
        0
    ] is ErrorCode.BAD_USER_INPUT
    assert await read_rows(under_test.source) == [build_row(1)]


async def test_a_missing_value_is_named(under_test: ConnectorUnderTest) -> None:
    result = ErrorCode.BAD_USER_INPUT, "`code` must have a value"
    assert await get_refusal(under_test.source, build_change(ChangeKind.CREATE, {"id": 1}, name="a")) == result
    assert await get_refusal(under_test.source, build_change(ChangeKind.CREATE, {"id": 1}, code=None)) == result


async def test_a_key_of_its_own_is_given(under_test: ConnectorUnderTest) -> None:
    if not under_test.constrains:
        assert (await get_refusal(under_test.source, build_change(ChangeKind.CREATE, code="a")))[
            0
        ] is ErrorCode.BAD_USER_INPUT
        return
    results = await apply_changes(
        under_test.source, build_change(ChangeKind.CREATE, code="a"), build_change(ChangeKind.CREATE, code="b")
    )
    assert [item.after for item in results] == await read_rows(under_test.source)
    await apply_changes(under_test.source, build_change(ChangeKind.DELETE, {"id": results[1].after["id"]}))  # type: ignore[index]
    [third] = await apply_changes(under_test.source, build_change(ChangeKind.CREATE, code="c"))
    assert third.after["id"] > results[1].after["id"]  # type: ignore[index]
