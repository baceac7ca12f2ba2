"""Read what is inside files: text and rows of tables, and never more of a file than the settings allow."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from onedoor.connectors.files.folder import FolderConnector, FolderOptions, connect
from onedoor.connectors.files.model import FileStat
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.predicates import And, Comparison, Op
from onedoor.spi.scan import KeyFilter, ScanRequest

PRICES = 'sku,price,name\nA-1,9.50,Bolt\nB-2,10.00,"Nut, small"\nC-3,,"two\nlines"\n'
EVENTS = '{"id": 1, "kind": "sale"}\n\n{"id": 20, "kind": "refund", "note": null}\n[1, 2]\n'
ROWS = 50_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    (path / "prices.csv").write_bytes(PRICES.encode())
    (path / "german.csv").write_bytes("\ufeffsku;preis\r\nA-1;9,50\r\n".encode())
    (path / "events.jsonl").write_text(EVENTS)
    (path / "note.txt").write_text("Grüße 🔑" * 3)
    (path / "logo.png").write_bytes(b"\x89PNG\0\xff")
    (path / "broken.parquet").write_bytes(b"PAR1 no table PAR1")
    (path / "open.csv").write_text('a,b\n1,"never closed\n' + "x\n" * 10)
    (path / "bad.jsonl").write_text('{"a": 1}\n{"a"\n')
    (path / "latin.csv").write_bytes(b"a\n\xe9\n")
    table = pyarrow.table(
        {
            "id": list(range(ROWS)),
            "name": [f"row {number}" for number in range(ROWS)],
            "price": [Decimal(number) / 100 for number in range(ROWS)],
            "day": [date(2026, 1, 1)] * ROWS,
            "at": [datetime(2026, 1, 1, 12, tzinfo=UTC)] * ROWS,
            "big": [2**60 + number for number in range(ROWS)],
            "share": [None if number % 2 else float("nan") for number in range(ROWS)],
            "tags": [["a", "b"]] * ROWS,
            "raw": [bytes(8)] * ROWS,
            "select": ["a reserved word"] * ROWS,
        }
    )
    parquet.write_table(table, path / "table.parquet", row_group_size=5_000)
    parquet.write_table(
        pyarrow.table({"text": pyarrow.repeat("x" * 1000, 200_000)}), path / "bomb.parquet", compression="zstd"
    )
    return path


class CountingFolder(FolderConnector):
    """A folder that counts the bytes it gives."""

    given = 0

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        content = await super().read_range(id, start, length)
        self.given += len(content)
        return content


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[CountingFolder]:
    plain = await connect(FolderOptions(path=folder, pattern="{name}", read_bytes=1_000_000))
    yield CountingFolder(plain.options, plain.files.pattern)
    await plain.close()


async def scan_content(store: FolderConnector, collection: str, id: str, **arguments: Any) -> Any:
    value = {"text": "text", "rows": "rows", "download": "url"}[collection]
    tests = tuple(Comparison(name, Op.EQ, given) for name, given in arguments.items())
    ask = ScanRequest(
        collection=collection, columns=("id", value), keys=KeyFilter(("id",), ((id,),)), filter=And(tests)
    )
    (row,) = [row async for batch in store.scan(ask) for row in batch]
    assert row[0] == id
    return row[1]


async def scan_rows(store: FolderConnector, id: str, first: int = 10, **arguments: Any) -> Any:
    where = json.dumps(arguments.pop("where", []))
    content = await scan_content(store, "rows", id, first=first, where=where, **arguments)
    return None if content is None else [json.loads(item) for item in content]


@pytest.mark.parametrize(
    ("name", "most", "text"),
    [
        ("note.txt", 1000, "Grüße 🔑" * 3),
        ("note.txt", 3, "Gr"),
        ("note.txt", 10, "Grüße "),
        ("note.txt", 0, ""),
        ("logo.png", 100, None),
    ],
)
async def test_text_is_cut_between_characters(store: FolderConnector, name: str, most: int, text: str | None) -> None:
    assert await scan_content(store, "text", name, max_bytes=most) == text


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        pytest.param("prices.csv", {"first": 2}, [
            {"sku": "A-1", "price": "9.50", "name": "Bolt"}, {"sku": "B-2", "price": "10.00", "name": "Nut, small"}
        ], id="the first"),
        pytest.param("prices.csv", {"where": [{"column": "name", "contains": "\n"}]}, [
            {"sku": "C-3", "price": "", "name": "two\nlines"}
        ], id="a line end within quotes"),
        pytest.param("prices.csv", {"columns": ("sku", "none"), "where": [{"column": "price", "gt": "9.6"}]}, [
            {"sku": "B-2", "none": None}
        ], id="numbers compare as numbers, an unknown column is null"),
        pytest.param("german.csv", {}, [{"sku": "A-1", "preis": "9,50"}], id="another delimiter, a mark, CRLF"),
        pytest.param("events.jsonl", {"where": [{"column": "id", "gte": "3"}]}, [
            {"id": 20, "kind": "refund", "note": None}
        ], id="JSON Lines"),
        pytest.param("events.jsonl", {"where": [{"column": "kind", "isNull": True}]}, [{"value": [1, 2]}],
                     id="a line that is no object"),
        pytest.param("table.parquet", {"first": 1, "where": [{"column": "id", "gte": "43"}]}, [
            {"id": 43, "name": "row 43", "price": "0.43", "day": "2026-01-01", "at": "2026-01-01T12:00:00Z",
             "big": str(2**60 + 43), "share": None, "tags": ["a", "b"], "raw": None,
             "select": "a reserved word"}
        ], id="Parquet, each kind of value"),
        pytest.param("table.parquet", {"columns": ("name",), "where": [{"column": "id", "eq": "44000"}]}, [
            {"name": "row 44000"}
        ], id="a row far behind"),
        pytest.param("table.parquet", {"first": 1, "columns": ("id",), "where": [{"column": "price", "eq": "7.7"}]}, [
            {"id": 770}
        ], id="exact numbers"),
        pytest.param("prices.csv", {"first": 0}, [], id="no rows"),
        pytest.param("logo.png", {}, None, id="no table"),
        pytest.param("gone.csv", {}, None, id="no file"),
    ],
)  # fmt: skip
async def test_rows_are_those_that_were_requested(store: FolderConnector, name: str, asked: Any, expected: Any) -> None:
    assert await scan_rows(store, name, **asked) == expected


async def test_only_the_needed_row_groups_and_columns_of_parquet_are_read(store: CountingFolder) -> None:
    size = (store.options.path / "table.parquet").stat().st_size
    await scan_rows(store, "table.parquet", columns=("name",), filter=[{"column": "id", "eq": "44000"}])
    assert store.given < size / 8


@pytest.mark.parametrize(
    ("name", "asked", "code", "reason"),
    [
        ("broken.parquet", {}, ErrorCode.SOURCE_INVALID, "the file is no Parquet that can be read"),
        ("open.csv", {}, ErrorCode.SOURCE_INVALID, "the file ends within quotes"),
        ("bad.jsonl", {}, ErrorCode.SOURCE_INVALID, "a line of the file is no JSON"),
        ("latin.csv", {}, ErrorCode.SOURCE_INVALID, "the file is no text in UTF-8"),
        ("prices.csv", {"first": 1001}, ErrorCode.LIMIT_EXCEEDED, "`first` takes a number from 0 to 1000"),
        ("prices.csv", {"first": -1}, ErrorCode.LIMIT_EXCEEDED, "`first` takes a number from 0 to 1000"),
        ("bomb.parquet", {"first": 1000}, ErrorCode.LIMIT_EXCEEDED, None),
    ],
)
async def test_an_unreadable_file_has_a_reason(
    store: FolderConnector, name: str, asked: Any, code: ErrorCode, reason: str | None
) -> None:
    with pytest.raises(ConnectorError) as failure:
        await scan_rows(store, name, **{"first": 10, **asked})
    assert (failure.value.code, reason or failure.value.reason) == (code, failure.value.reason)


async def test_no_more_of_a_file_is_read_than_the_settings_say(folder: Path) -> None:
    (folder / "long.csv").write_text("a\n" + "x\n" * 300_000)
    plain = await connect(FolderOptions(path=folder, pattern="{name}", read_bytes=10_000))
    store = CountingFolder(plain.options, plain.files.pattern)
    with pytest.raises(ConnectorError, match="the limit `read_bytes` of 10000; ask for fewer rows"):
        await scan_rows(store, "long.csv", where=[{"column": "a", "eq": "y"}])
    with pytest.raises(ConnectorError, match="the limit `read_bytes` of 10000; ask for fewer rows"):
        await scan_rows(store, "table.parquet", where=[{"column": "name", "eq": "nobody"}])
    assert store.given <= 2 * 10_001
    await plain.close()


async def test_a_stat_describes_a_file(store: FolderConnector) -> None:
    result = await store.stat("prices.csv")
    assert isinstance(result, FileStat)
    assert (result.name, result.size, result.content_type) == ("prices.csv", len(PRICES), "text/csv")
