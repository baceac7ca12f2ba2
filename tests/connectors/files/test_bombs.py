"""Refuse files that unpack to more than they are, soon and without the memory."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from onedoor.connectors.files.folder import FolderConnector, FolderOptions, connect
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.predicates import And, Comparison, Op, Row
from onedoor.spi.scan import KeyFilter, ScanRequest

READ_BYTES = 4 * 2**20
SECONDS = 20.0
"""Each takes less than one, where what it takes grows with the file; minutes, where it grows with its square."""
LARGE = 24 * 2**20
"""Of a value this long, 64 rows at once would be 1.5 GB, more than a reader of Parquet may have."""
DEEP = 400
TOO_LARGE = (ErrorCode.LIMIT_EXCEEDED, "the rows are too large; ask for fewer rows or fewer columns")
TOO_DEEP = (ErrorCode.SOURCE_INVALID, "a line of the file is nested too deeply")
NO_JSON = (ErrorCode.SOURCE_INVALID, "a line of the file is no JSON")
NO_TEXT = (ErrorCode.SOURCE_INVALID, "the file is no text in UTF-8")
OPEN = (ErrorCode.SOURCE_INVALID, "the file ends within quotes")
LONG_CELL = (ErrorCode.LIMIT_EXCEEDED, "a cell of the file has more than 131,072 characters")


def nested(depth: int) -> str:
    return f'{{"a": {"[" * depth}{"]" * depth}}}\n'


BOMBS: dict[str, str | bytes] = {
    "open.csv": 'a\n"' + "\n" * 1_000_000,
    "quotes.csv": 'a\n"' + '""\n' * 500_000,
    "wide.csv": ",".join(f"{number:x}" for number in range(300_000)) + "\n" + "x\n" * 100_000,
    "names.csv": ",".join(f"{number:x}" + "n" * 1000 for number in range(1000)) + "\n" + "x\n" * 1000,
    "cell.csv": "a\n" + "x" * 2_000_000 + "\n",
    "deep.jsonl": nested(DEEP),
    "deeper.jsonl": nested(1000),
    "deepest.jsonl": nested(100_000),
    "number.jsonl": '{"a": 1' + "0" * 1_000_000 + "}\n",
    "packed.csv": gzip.compress(b"a\n" + b"x\n" * 1_000_000),
    "packed.csv.gz": gzip.compress(b"a\n" + b"x\n" * 1_000_000),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bombs")
    for name, reason in BOMBS.items():
        (path / name).write_bytes(reason if isinstance(reason, bytes) else reason.encode())
    once = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 2000, pyarrow.int32()), ["x" * LARGE])
    parquet.write_table(pyarrow.table({"text": once}), path / "refers.parquet", compression="zstd")
    parquet.write_table(
        pyarrow.table({"text": [f"{'x' * 1_000_000}{number}" for number in range(90)]}), path / "begins.parquet",
        compression="zstd", use_dictionary=False, column_encoding={"text": "DELTA_BYTE_ARRAY"},
    )  # fmt: skip
    return path


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[FolderConnector]:
    connector = await connect(FolderOptions(path=folder, pattern="{name}", read_bytes=READ_BYTES))
    yield connector
    await connector.close()


async def rows(store: FolderConnector, name: str, *tests: Any, first: int = 1000) -> Any:
    """The first rows, None where it is no table; TimeoutError where that takes too long."""
    given = And((Comparison("first", Op.EQ, first), Comparison("where", Op.EQ, json.dumps(tests))))
    ask = ScanRequest(collection="rows", columns=("rows",), keys=KeyFilter(("id",), ((name,),)), filter=given)
    async with asyncio.timeout(SECONDS):
        results: list[Row] = [row async for batch in store.scan(ask) for row in batch]
    return results[0][0]


@pytest.mark.parametrize(
    ("name", "tests", "expected"),
    [
        pytest.param("open.csv", [], OPEN, id="quotes that never close"),
        pytest.param("quotes.csv", [], OPEN, id="quotes within quotes"),
        pytest.param("wide.csv", [], TOO_LARGE, id="short rows of many columns"),
        pytest.param("names.csv", [], TOO_LARGE, id="long names in each row"),
        pytest.param("cell.csv", [], LONG_CELL, id="a long cell"),
        pytest.param("deep.jsonl", [], TOO_DEEP, id="deep, to be shown"),
        pytest.param("deeper.jsonl", [{"column": "a", "eq": "x"}], TOO_DEEP, id="deep, to be looked at"),
        pytest.param("deepest.jsonl", [], NO_JSON, id="deeper than JSON is read"),
        pytest.param("packed.csv", [], NO_TEXT, id="packed, under another name"),
        pytest.param("refers.parquet", [], TOO_LARGE, id="one value in many rows"),
        pytest.param("begins.parquet", [], TOO_LARGE, id="one beginning of many values"),
    ],
)
async def test_a_bomb_is_refused_at_once(
    store: FolderConnector, name: str, tests: Any, expected: tuple[ErrorCode, str]
) -> None:
    with pytest.raises(ConnectorError) as failure:
        await rows(store, name, *tests)
    assert (failure.value.code, failure.value.reason) == expected


async def test_a_packed_file_has_no_rows(store: FolderConnector) -> None:
    assert await rows(store, "packed.csv.gz") is None


async def test_rows_that_lack_most_columns_are_looked_through_in_no_time(store: FolderConnector) -> None:
    assert await rows(store, "wide.csv", {"column": "1", "eq": "y"}) == ()


async def test_a_number_of_any_length_is_no_crash(store: FolderConnector) -> None:
    try:
        result = await rows(store, "number.jsonl")
    except ConnectorError as failure:
        result = (failure.code, failure.reason)
    assert result in (NO_JSON, ('{"a":null}',))
