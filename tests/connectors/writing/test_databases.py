"""Report what a database has against a change, without SQL and values."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.servers.postgresql import PostgresqlServer
from onedoor.connectors.sql import postgresql
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeResult, RowChange, WritableConnector
from tests.connectors.writing.changes import (
    apply_changes,
    build_change,
    build_creation,
    build_part_change,
    build_row,
    get_refusal,
    read_rows,
)
from tests.connectors.writing.conftest import ConnectorUnderTest, open_connector
from tests.connectors.writing.tables import into_sqlite

NOWHERE = ErrorCode.BAD_USER_INPUT, "no row of `thing` has the key given as `thing_id`"
REFERRED = ErrorCode.BAD_USER_INPUT, "other rows still refer to this row of `thing`"
UNHELD = ErrorCode.BAD_USER_INPUT, "`{}` cannot hold the value given"
CHECKED = ErrorCode.BAD_USER_INPUT, "a check of `thing` does not let {} be so"
PATIENCE = 20.0
databases = pytest.mark.parametrize("under_test", ["sqlite", "postgresql", "mysql"], indirect=True)


@databases
@pytest.mark.parametrize("dry", [False, True])
async def test_a_reference_leads_somewhere(under_test: ConnectorUnderTest, dry: bool) -> None:
    await apply_changes(under_test.source, build_creation(1), build_part_change(1))
    assert await get_refusal(under_test.source, build_part_change(9), dry=dry) == NOWHERE
    assert await get_refusal(under_test.source, build_change(ChangeKind.DELETE, {"id": 1}), dry=dry) == REFERRED
    assert await apply_changes(
        under_test.source,
        build_part_change(1, verb=ChangeKind.DELETE),
        build_change(ChangeKind.DELETE, {"id": 1}),
        dry=dry,
    )


@pytest.mark.parametrize("under_test", ["sqlite", "postgresql"], indirect=True)
async def test_a_reference_is_seen_to_when_all_is_done(under_test: ConnectorUnderTest) -> None:
    assert [result.after for result in await apply_changes(under_test.source, build_part_change(1), build_creation(1))][
        1
    ] == build_row(1)
    assert (
        await get_refusal(under_test.source, build_change(ChangeKind.DELETE, {"id": 1}), build_creation(2)) == REFERRED
    )


@databases
async def test_a_failed_check_is_reported_without_its_text(under_test: ConnectorUnderTest) -> None:
    code, result = await get_refusal(under_test.source, build_creation(1, amount=Decimal("-0.01")))
    assert (code, result) in {(CHECKED[0], CHECKED[1].format(item)) for item in ("the row", "`amount`")}
    assert await read_rows(under_test.source) == []


@databases
@pytest.mark.parametrize(("column", "value"), [
    ("amount", Decimal("0.001")), ("amount", Decimal("1e40")), ("amount", Decimal("1e400")), ("big", 2**63),
    ("big", -(2**63) - 1), ("code", "a\0b"), ("name", "\ud800"),
])  # fmt: skip
async def test_what_a_column_cannot_hold_is_not_made_to_fit(
    under_test: ConnectorUnderTest, column: str, value: Any
) -> None:
    code, result = await get_refusal(under_test.source, build_creation(1, **{column: value}))
    assert (code, result[: len(f"`{column}` cannot hold the value given")]) == (UNHELD[0], UNHELD[1].format(column))
    assert await read_rows(under_test.source) == []


@databases
@pytest.mark.parametrize(("column", "value"), [
    ("amount", 0.5), ("amount", Decimal("nan")), ("big", True), ("big", "1"), ("done", 1), ("name", 1), ("day", "x"),
    ("moment", "2026"), ("ratio", float("inf")), ("ratio", "1"),
])  # fmt: skip
async def test_a_value_is_of_its_columns_kind(under_test: ConnectorUnderTest, column: str, value: Any) -> None:
    code, result = await get_refusal(under_test.source, build_creation(1, **{column: value}))
    assert code is ErrorCode.BAD_USER_INPUT
    assert result.startswith(f"`{column}` takes values of the kind ")


@pytest.mark.parametrize(("under_test", "column"), [("mysql", "code")], indirect=["under_test"])
async def test_a_value_that_is_too_long_is_named_by_its_column(under_test: ConnectorUnderTest, column: str) -> None:
    assert await get_refusal(under_test.source, build_creation(1, **{column: "x" * 191})) == (
        UNHELD[0],
        UNHELD[1].format(column),
    )


@databases
async def test_a_reader_does_not_wait_for_a_change(under_test: ConnectorUnderTest) -> None:
    await apply_changes(under_test.source, build_creation(1))
    another = await under_test.another()
    async with uncommitted(another, build_change(ChangeKind.UPDATE, {"id": 1}, name="new")):
        assert await asyncio.wait_for(read_rows(under_test.source), PATIENCE) == [build_row(1)]
        assert await get_refusal(under_test.source, build_change(ChangeKind.UPDATE, {"id": 1}, name="other")) == (
            ErrorCode.SOURCE_OVERLOADED, "the database is busy with other changes, ask again",
        )  # fmt: skip
    assert await read_rows(under_test.source) == [build_row(1)]


class uncommitted:  # noqa: N801
    """A change that was made but not committed, for as long as the context lasts; then it is undone."""

    def __init__(self, source: WritableConnector, told: RowChange) -> None:
        self.writer: Any = source.writer  # type: ignore[attr-defined]
        self.told = told

    async def __aenter__(self) -> None:
        self.session = self.writer.dialect.begin_transaction()
        transaction = await self.session.__aenter__()
        await self.writer._apply_marked(transaction, self.told, dry_run=False)

    async def __aexit__(self, *_: object) -> None:
        await self.session.__aexit__(None, None, None)


@databases
async def test_a_change_in_progress_is_neither_applied_nor_absent(under_test: ConnectorUnderTest) -> None:
    creation, another = build_creation(1), await under_test.another()
    async with uncommitted(another, creation):
        with pytest.raises(ConnectorError) as raised:
            await under_test.source.find_change(creation)
        assert raised.value.code is ErrorCode.SOURCE_OVERLOADED
    assert await under_test.source.find_change(creation) is None


@databases
@pytest.mark.parametrize("moments", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_who_leaves_in_the_middle_leaves_a_whole_change_or_none(
    under_test: ConnectorUnderTest, moments: int
) -> None:
    creation = build_creation(1)
    task = asyncio.ensure_future(under_test.source.apply([creation]))
    for _ in range(moments):
        await asyncio.sleep(0.001)
    task.cancel()
    change = None
    try:
        [change] = await asyncio.wait_for(task, PATIENCE)
    except asyncio.CancelledError:
        change = await under_test.source.find_change(creation)
    assert change == (ChangeResult(before=None, after=build_row(1)) if await read_rows(under_test.source) else None)


async def test_odd_types_are_written_as_they_are_read(postgresql_started: PostgresqlServer) -> None:
    url = postgresql_started.emptied("odd")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')")
        connection.execute(
            "CREATE TABLE odd (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), mood mood, doc jsonb, at timestamp, "
            'letters char(3), small smallint, code varchar(5), exact numeric, "a ""b%s" text, '
            "doubled integer GENERATED ALWAYS AS (small * 2) STORED)"
        )
    given = {"mood": "sad", "doc": '{"a": 1}', "letters": "abc", "small": -8, "code": "abcde", 'a "b%s': "x"}
    source = await postgresql.connect(postgresql.PostgresqlOptions(url=url, writable=("odd",)))
    try:
        [results] = await apply_changes(source, build_change(ChangeKind.CREATE, collection="odd", **given))
        assert results.after is not None
        assert {name: results.after[name] for name in given} == given
        assert (results.after["doubled"], len(results.after["id"])) == (-16, 36)
        key = {"id": results.after["id"]}
        [results] = await apply_changes(
            source, build_change(ChangeKind.UPDATE, key, collection="odd", mood="glad", exact=Decimal("0.10"))
        )
        assert results.after is not None
        assert (results.after["mood"], str(results.after["exact"])) == ("glad", "0.10")
        refusals = {
            "`angry` is no value of `mood`": {"mood": "angry"},
            "`small` cannot hold the value given": {"small": 2**15},
            "`code` cannot hold the value given": {"code": "abcdef"},
            "`letters` cannot hold the value given": {"letters": "abcd"},
            "`{` is no JSON": {"doc": "{"},
        }
        for message, bad in refusals.items():
            refusal = await get_refusal(source, build_change(ChangeKind.UPDATE, key, collection="odd", **bad))
            assert refusal == (ErrorCode.BAD_USER_INPUT, message)
        assert (await get_refusal(source, build_change(ChangeKind.UPDATE, key, collection="odd", doubled=1)))[1] == (
            "`doubled` of `odd` is not to be set by a change"
        )
        refusal = await get_refusal(source, build_change(ChangeKind.DELETE, {"id": "x"}, collection="odd"))
        assert refusal == (ErrorCode.BAD_USER_INPUT, "`x` is no UUID")
    finally:
        await source.close()


async def test_a_database_that_closes_the_connection_is_reported(
    tmp_path: Path, postgresql_started: PostgresqlServer
) -> None:
    url = postgresql_started.emptied("leaving")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE thing (id int PRIMARY KEY, name text)")
    source = await postgresql.connect(postgresql.PostgresqlOptions(url=url, writable=("thing",)))
    try:
        await apply_changes(source, build_change(ChangeKind.CREATE, {"id": 1}, name="a"))
        with psycopg.connect(postgresql_started.url(), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'leaving'")
        [result] = await apply_changes(source, build_change(ChangeKind.UPDATE, {"id": 1}, name="b"))
        assert result.after == {"id": 1, "name": "b"}
    finally:
        await source.close()


async def test_a_connection_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "tables.sqlite"
    into_sqlite(path)
    async with open_connector("sqlite", str(path)) as under_test:
        for number in range(1, 4):
            await apply_changes(under_test.source, build_creation(number))
            assert (await get_refusal(under_test.source, build_creation(number)))[0] is ErrorCode.ALREADY_EXISTS
        assert len(await read_rows(under_test.source)) == 3
