"""The spill database holds more than memory, computes exactly, reaches nothing outside, and leaves no file."""

import asyncio
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from onedoor.connectors.spill import duckdb
from onedoor.connectors.spill.duckdb import open_spill_database
from onedoor.connectors.spill.factory import SpillTableFactory
from onedoor.errors import ConnectorError
from onedoor.model.catalog import Limits
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import JoinedColumns, SpillTable
from onedoor.spi.predicates import (
    And,
    Comparison,
    InKeys,
    Not,
    Op,
    Row,
)
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, AggregateFunction, ScanRequest, SortKey

MEGABYTE = 2**20
MANY = 300_000
VALUES: Mapping[ColumnType, tuple[Any, ...]] = {
    ColumnType.TEXT: ("", "\0", "a\0b", "\ud800", "\U0001f600", "x" * 100_000),
    ColumnType.INTEGER: (0, -1, 2**63, -(2**63) - 1, 10**38),
    ColumnType.FLOAT: (0.1, -0.0, 5e-324, 1e308, float("inf"), float("-inf")),
    ColumnType.DECIMAL: tuple(map(Decimal, ("10", "10.00", "-0.010", "1E+3", "9" * 26 + ".123456789012"))),
    ColumnType.BOOLEAN: (True, False),
    ColumnType.DATE: (date.min, date.max),
    ColumnType.TIME: (
        datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), datetime(2026, 1, 1, 1, 2, 3, 4, UTC),
    ),
    ColumnType.LIST: ((), ("",), ("a", "\ud800\0")),
}  # fmt: skip
NAME = 'orders.sum("total") -- \0'


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which spill folders are created."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def small(**limits: int) -> SpillTableFactory:
    return SpillTableFactory(Limits(**limits))  # type: ignore[arg-type]


async def scan_rows(table: SpillTable, columns: tuple[str, ...], **more: Any) -> list[Row]:
    async with aclosing(table.scan(ScanRequest(collection="rows", columns=columns, **more))) as batches:  # type: ignore[type-var]
        return [row async for batch in batches for row in batch]


def name(at: int) -> str:
    """Return text that does not compress."""
    return sha256(str(at).encode()).hexdigest()


async def many(table: SpillTable, count: int = MANY) -> None:
    for start in range(0, count, 20_000):
        await table.append_rows([(index, name(index)) for index in range(start, min(count, start + 20_000))])


@pytest.mark.parametrize("kind", VALUES)
async def test_rows_are_read_as_they_were_appended(kind: ColumnType) -> None:
    table = small()({NAME: kind})
    poured = [(value,) for value in (*VALUES[kind], None)]
    await table.append_rows(poured[:1])
    await table.append_rows(poured[1:])
    assert sorted(map(repr, await scan_rows(table, (NAME,)))) == sorted(map(repr, poured))
    await table.close()


async def test_rows_that_outgrow_its_memory_are_sorted_grouped_and_filtered(folders: Path) -> None:
    table = small(scratch_bytes=24 * MEGABYTE)({"id": ColumnType.INTEGER, "name": ColumnType.TEXT})
    await many(table)
    total = sum(file.stat().st_size for within in list_files(folders) for file in list_files(within))
    first = await scan_rows(table, ("name", "id"), sort=(SortKey("name", True),), limit=1)
    groups = await scan_rows(table, ("name",), aggregates=(COUNT_ROWS,), sort=(SortKey("name"),), limit=2)
    keys = frozenset((index,) for index in range(0, MANY, 2))
    odd = await scan_rows(
        table,
        (),
        filter=Not(InKeys(("id",), keys)),
        aggregates=(AggregateCall(AggregateFunction.SUM, "id"), COUNT_ROWS),
    )
    every = await scan_rows(table, ("name",), sort=(SortKey("name"),))
    await table.close()
    names = sorted(map(name, range(MANY)))
    assert total > MEGABYTE
    assert [item for item, _ in first] == names[-1:]
    assert groups == [(names[0], 1), (names[1], 1)]
    assert odd == [(sum(range(1, MANY, 2)), MANY // 2)]
    assert every == [(item,) for item in names]


@pytest.mark.parametrize(
    ("limit", "limits"),
    [
        ("scratch_bytes", {"scratch_bytes": 1}),
        ("scratch_disk_bytes", {"scratch_bytes": 6 * MEGABYTE, "scratch_disk_bytes": MEGABYTE}),
    ],
)
async def test_a_reached_limit_is_named_with_what_would_help(limit: str, limits: dict[str, int]) -> None:
    table = small(**limits)({"id": ColumnType.INTEGER, "name": ColumnType.TEXT})
    with pytest.raises(ConnectorError) as result:
        await many(table)
    await table.close()
    value = limits[limit]
    expected = f"more rows outgrow memory than the limit `{limit}` of {value} lets, filter it or ask again later"
    assert (result.value.code, result.value.reason) == ("LIMIT_EXCEEDED", expected)


async def test_its_folder_is_private_and_is_removed_with_the_last_table(folders: Path) -> None:
    scratches = small()
    one, two = scratches({"id": ColumnType.INTEGER}), scratches({"id": ColumnType.INTEGER})
    await one.append_rows([(1,)])
    await two.append_rows([(2,)])
    modes = [stat.S_IMODE(file.stat().st_mode) for file in list_files(folders)]
    await one.close()
    rows = await scan_rows(two, ("id",))
    await two.close()
    again = scratches({"id": ColumnType.INTEGER})
    assert (modes, rows, list_files(folders)) == ([0o700], [(2,)], [])
    assert await scan_rows(again, ("id",)) == []
    await again.close()
    assert list_files(folders) == []


def list_files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_cancelled_statement_stops(folders: Path) -> None:
    home = await asyncio.to_thread(open_spill_database, Limits())
    session = home.open_session()
    pairs = "FROM range(1000000000) a, range(1000000000) b WHERE a.range * b.range = 7"
    reading = asyncio.create_task(session.execute(f"SELECT count(*) {pairs}"))
    await asyncio.sleep(0.1)
    assert not reading.done()
    reading.cancel()
    async with asyncio.timeout(30):
        await asyncio.wait({reading})
    await session.execute("SELECT 42")
    assert (reading.cancelled(), await session.fetch_chunk()) == (True, [(42,)])
    session.close()
    home.close()
    assert list_files(folders) == []


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 50, 500])
async def test_wherever_it_is_cancelled_nothing_is_left(folders: Path, turns: int) -> None:
    table = small()({"id": ColumnType.INTEGER, "name": ColumnType.TEXT})
    pouring = asyncio.create_task(many(table, 5000))
    for _ in range(turns):
        await asyncio.sleep(0)
    pouring.cancel()
    await asyncio.wait({pouring})
    closing = asyncio.create_task(table.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing})
    async with asyncio.timeout(30):
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
    assert list_files(folders) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/onedoor-scratch-test.csv'",
        "ATTACH '/tmp/onedoor-scratch-test.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '4GB'",
    ],
)
def test_nothing_outside_can_be_reached_from_its_sql(sql: str) -> None:
    result = duckdb.open_duckdb(Limits())
    try:
        with pytest.raises(duckdb.DuckDBError):
            result.connection.execute(sql).fetchall()
    finally:
        result.close()


async def test_floats_are_summed_exactly_and_groups_are_filtered_by_their_sums() -> None:
    table = small()({"group": ColumnType.INTEGER, "ratio": ColumnType.FLOAT})
    values = [(1, 1e100), (1, 1.0), (1, -1e100), *[(2, 0.1)] * 10, (3, None)]
    await table.append_rows(values)
    total = AggregateCall(AggregateFunction.SUM, "ratio")
    rows = await scan_rows(
        table, ("group",), aggregates=(total, COUNT_ROWS), having=And((Comparison(total.name, Op.GTE, 1.0),)),
        sort=(SortKey("group", True),),
    )  # fmt: skip
    every = await scan_rows(table, (), aggregates=(total,))
    await table.close()
    assert (rows, every) == ([(2, 1.0, 10), (1, 1.0, 3)], [(2.0,)])


async def test_a_number_that_is_too_large_is_rejected() -> None:
    table = small()({"amount": ColumnType.DECIMAL})
    with pytest.raises(ConnectorError) as result:
        await table.append_rows([(Decimal("1e40"),)])
    await table.close()
    assert result.value.code == "CANNOT_ANSWER"


def test_a_server_does_not_import_duckdb_before_rows_are_appended() -> None:
    code = "import sys, onedoor.app; print('duckdb' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


async def test_rows_are_joined_to_the_values_of_their_keys() -> None:
    table = small()({"id": ColumnType.INTEGER, "price": ColumnType.DECIMAL, "at": ColumnType.INTEGER})
    await table.append_rows([(1, Decimal("10.0"), 1), (2, Decimal("2"), None), (3, None, 3), (4, Decimal("10"), 4)])
    rows = {(Decimal("10.00"), 1): ("ten", Decimal("0.125")), (Decimal("2.001"), 2): ("never", Decimal(1))}
    first = JoinedColumns(
        column_types={"name": ColumnType.TEXT, "share": ColumnType.DECIMAL},
        rows_by_key=rows,
        absent_row=(None, Decimal("0")),
    )
    await table.join(("price", "at"), first)
    await table.join(
        ("id",),
        JoinedColumns(
            column_types={"count": ColumnType.INTEGER}, rows_by_key={(2,): (7,), (3,): (8,)}, absent_row=(0,)
        ),
    )
    result = await scan_rows(table, ("id", "price", "at", "name", "share", "count"), sort=(SortKey("id"),))
    await table.close()
    assert list(map(repr, result)) == list(map(repr, [
        (1, Decimal("10.0"), 1, "ten", Decimal("0.125"), 0),
        (2, Decimal("2"), None, None, Decimal("0"), 7),
        (3, None, 3, None, Decimal("0"), 8),
        (4, Decimal("10"), 4, None, Decimal("0"), 0),
    ]))  # fmt: skip
