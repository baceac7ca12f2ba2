"""Show what a Parquet file holds: each type, each value; or null with a word, or one refusal for the whole file."""

import base64
import io
import json
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import NamedTemporaryFile
from typing import Any
from uuid import UUID

import duckdb
import pyarrow
import pytest
from pyarrow import parquet
from pyarrow.parquet import encryption

from onedoor.connectors.files.folder import FolderConnector, FolderOptions, connect
from onedoor.connectors.files.parquet import StoredRanges, build_failure_error, read_parquet_rows
from onedoor.connectors.files.reader_process import DecodingFailure
from onedoor.connectors.files.row_selection import TableRows, parse_row_selection
from onedoor.errors import ConnectorError, ErrorCode

READ_BYTES = 16 * 2**20
UNREADABLE = (ErrorCode.SOURCE_INVALID, "the file is no Parquet that can be read")
UUID_VALUE = UUID("00112233-4455-6677-8899-aabbccddeeff")
NO_TEXT = "bytes that are no text in UTF-8"
NO_MOMENT = "a time outside the years 1 to 9999"
NO_NUMBER = "a number that is not finite"
FLIPS = 150
"""Copies of one file with a byte of the footer changed."""


def column(values: Sequence[Any], arrow_type: Any, **options: Any) -> bytes:
    return table({"v": pyarrow.array(values, arrow_type)}, **options)


def table(columns: Any, names: Sequence[str] | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns, names=names), file, **options)
    return file.getvalue()


class Keys(encryption.KmsClient):  # type: ignore[misc]
    """Wraps no keys, as the file is never to be opened."""

    def __init__(self, _: Any) -> None:
        encryption.KmsClient.__init__(self)

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64encode(key)


def encrypted(**options: Any) -> bytes:
    configuration = encryption.EncryptionConfiguration(footer_key="footer", **options)
    properties = encryption.CryptoFactory(Keys).file_encryption_properties(
        encryption.KmsConnectionConfig(), configuration
    )
    return table({"id": [1, 2], "secret": ["a", "b"]}, encryption_properties=properties)


def intervals() -> bytes:
    """Write an interval, as pyarrow does not."""
    with NamedTemporaryFile(suffix=".parquet") as file, duckdb.connect() as database:
        database.execute(
            f"COPY (SELECT INTERVAL '14 months 3 days 4.5 seconds' AS v) TO '{file.name}' (FORMAT parquet)"
        )
        return Path(file.name).read_bytes()


class Stored(FolderConnector):
    """A folder with one file, whose ranges can be cut off."""

    content = b""
    failure: ConnectorError | None = None

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        if self.failure is not None:
            raise self.failure
        return self.content[start : start + length]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Stored]:
    (tmp_path / "file.parquet").touch()
    plain = await connect(FolderOptions(path=tmp_path, pattern="{name}"))
    yield Stored(plain.options, plain.files.pattern)
    await plain.close()


async def read(store: Stored, content: bytes, *where: Mapping[str, Any], columns: Any = None) -> TableRows:
    stat = await store.stat("file.parquet")
    assert stat is not None
    store.content = content
    selection = parse_row_selection(1000, columns, json.dumps(where))
    return await read_parquet_rows(store, replace(stat, size=len(content)), selection, READ_BYTES)


async def values(store: Stored, content: bytes) -> tuple[list[Any], list[str]]:
    """Return the values of the column `v`, and what is said of it."""
    table_rows = await read(store, content)
    return [json.loads(row)["v"] for row in table_rows.rows], list(table_rows.flaws)


async def refusal(store: Stored, content: bytes, columns: Any = None) -> tuple[ErrorCode, str]:
    with pytest.raises(ConnectorError) as failure:
        await read(store, content, columns=columns)
    return failure.value.code, failure.value.reason


SHOWN: Mapping[str, tuple[Sequence[Any], Any, Sequence[Any]]] = {
    "bool": ([True, None], pyarrow.bool_(), [True, None]),
    "int8": ([-128], pyarrow.int8(), [-128]),
    "int64 past 53 bits": ([2**53, 2**53 + 1], pyarrow.int64(), [2**53, str(2**53 + 1)]),
    "uint64": ([2**64 - 1], pyarrow.uint64(), [str(2**64 - 1)]),
    "float16": ([1.5], pyarrow.float16(), [1.5]),
    "float32 as short as it is": ([0.1, 123.79], pyarrow.float32(), [0.1, 123.79]),
    "float64": ([0.1], pyarrow.float64(), [0.1]),
    "decimal128": ([Decimal("-1.50")], pyarrow.decimal128(10, 2), ["-1.50"]),
    "decimal256": ([Decimal(f"1{'0' * 59}.5")], pyarrow.decimal256(76, 1), [f"1{'0' * 59}.5"]),
    "text": (["Grüße 🔑", ""], pyarrow.string(), ["Grüße 🔑", ""]),
    "large text": (["x"], pyarrow.large_string(), ["x"]),
    "JSON": (['{"a": 1}'], pyarrow.json_(), ['{"a": 1}']),
    "UUID": ([UUID_VALUE.bytes, None], pyarrow.uuid(), [str(UUID_VALUE), None]),
    "bytes that are text": ([b"ann", None], pyarrow.binary(), ["ann", None]),
    "large bytes that are text": ([b"ann"], pyarrow.large_binary(), ["ann"]),
    "fixed bytes that are text": ([b"ann"], pyarrow.binary(3), ["ann"]),
    "date32": ([date(1, 1, 1)], pyarrow.date32(), ["0001-01-01"]),
    "date64": ([date(9999, 12, 31)], pyarrow.date64(), ["9999-12-31"]),
    "time32 ms": ([1500], pyarrow.time32("ms"), ["00:00:01.500000"]),
    "time64 us": ([86_399_000_000], pyarrow.time64("us"), ["23:59:59"]),
    "time64 ns": ([1], pyarrow.time64("ns"), ["00:00:00.000000001"]),
    "timestamp s": ([-1], pyarrow.timestamp("s"), ["1969-12-31T23:59:59"]),
    "timestamp ms": ([-1], pyarrow.timestamp("ms"), ["1969-12-31T23:59:59.999000"]),
    "timestamp us": ([1], pyarrow.timestamp("us"), ["1970-01-01T00:00:00.000001"]),
    "timestamp ns": ([1, 1000], pyarrow.timestamp("ns"), [
        "1970-01-01T00:00:00.000000001", "1970-01-01T00:00:00.000001"
    ]),
    "timestamp in a zone": ([0], pyarrow.timestamp("us", "Europe/Berlin"), ["1970-01-01T00:00:00Z"]),
    "timestamp ns in a zone": ([-1], pyarrow.timestamp("ns", "UTC"), ["1969-12-31T23:59:59.999999999Z"]),
    "duration": ([-1234, 0], pyarrow.duration("ms"), ["-PT1.234000S", "PT0S"]),
    "null": ([None], pyarrow.null(), [None]),
    "list": ([[1, None], None, []], pyarrow.list_(pyarrow.int64()), [[1, None], None, []]),
    "large list": ([["a"], None], pyarrow.large_list(pyarrow.string()), [["a"], None]),
    "fixed list": ([[1, 2], None, [3, 4]], pyarrow.list_(pyarrow.int64(), 2), [[1, 2], None, [3, 4]]),
    "list of lists": ([[[1], []], [None]], pyarrow.list_(pyarrow.list_(pyarrow.int64())), [[[1], []], [None]]),
    "map with a key twice": ([[("a", 1), ("a", None)], None, []], pyarrow.map_(pyarrow.string(), pyarrow.int64()), [
        [["a", 1], ["a", None]], None, []
    ]),
    "struct": ([{"a": {"b": 1}}, None], pyarrow.struct([("a", pyarrow.struct([("b", pyarrow.int64())]))]), [
        {"a": {"b": 1}}, None
    ]),
    "dictionary": (["x", None, "x"], pyarrow.dictionary(pyarrow.int32(), pyarrow.string()), ["x", None, "x"]),
}  # fmt: skip


@pytest.mark.parametrize("stores_schema", [True, False], ids=["with Arrow's schema", "without"])
@pytest.mark.parametrize("kind", SHOWN)
async def test_each_type_is_shown(store: Stored, kind: str, stores_schema: bool) -> None:
    given, arrow_type, expected = SHOWN[kind]
    if not stores_schema and kind == "duration":
        expected = [-1234, 0]
    if not stores_schema and kind == "timestamp in a zone":
        expected = ["1970-01-01T00:00:00Z"]
    assert await values(store, column(given, arrow_type, store_schema=stores_schema)) == (expected, [])


@pytest.mark.parametrize(
    ("given", "arrow_type", "expected", "flaw"),
    [
        pytest.param([b"\xff", b"a"], pyarrow.binary(), [None, "a"], NO_TEXT, id="bytes"),
        pytest.param([b"\0\0", b"ab"], pyarrow.binary(2), [None, "ab"], NO_TEXT, id="fixed bytes"),
        pytest.param([2**62, 0], pyarrow.timestamp("us"), [None, "1970-01-01T00:00:00"], NO_MOMENT, id="year 148,089"),
        pytest.param([-(2**62), 0], pyarrow.timestamp("ms", "UTC"), [None, "1970-01-01T00:00:00Z"], NO_MOMENT, id="BC"),
        pytest.param([-(2**31), 0], pyarrow.date32(), [None, "1970-01-01"], "a day outside the years 1 to 9999",
                     id="a day"),
        pytest.param([float("nan"), 1.0], pyarrow.float64(), [None, 1.0], NO_NUMBER, id="NaN"),
        pytest.param([float("-inf"), 1.0], pyarrow.float32(), [None, 1.0], NO_NUMBER, id="infinity"),
        pytest.param([-1, 0], pyarrow.time32("ms"), [None, "00:00:00"], "a time of day that is none", id="before noon"),
    ],
)  # fmt: skip
async def test_a_value_that_json_cannot_hold_is_null_and_named(
    store: Stored, given: Sequence[Any], arrow_type: Any, expected: Sequence[Any], flaw: str
) -> None:
    """Whatever pyarrow says of it, the rest of the file is shown."""
    plain = pyarrow.array(given, arrow_type) if isinstance(given[0], bytes | float) else None
    if plain is None:
        numbers = pyarrow.int32() if arrow_type.bit_width == 32 else pyarrow.int64()
        plain = pyarrow.array(given, numbers).view(arrow_type)
    assert await values(store, table({"v": plain})) == (expected, [f"{flaw} (`v`)"])


async def test_an_interval_is_shown(store: Stored) -> None:
    assert await values(store, intervals()) == (["P14M3DT4.500000S"], [])


async def test_text_that_is_none_is_null_and_named(store: Stored) -> None:
    content = column(["ann", "bob"], pyarrow.string(), use_dictionary=False, compression="none", write_statistics=False)
    assert content.count(b"ann") == 1
    assert await values(store, content.replace(b"ann", b"\xff\xfe\xfd")) == (
        [None, "bob"], [f"{NO_TEXT} (`v`)"]
    )  # fmt: skip


async def test_what_is_nested_keeps_the_rest(store: Stored) -> None:
    member = pyarrow.struct([("a", pyarrow.int64()), ("b", pyarrow.binary())])
    content = column([[{"a": 1, "b": b"\xff"}, {"a": 2, "b": b"x"}]], pyarrow.list_(member))
    assert await values(store, content) == (
        [[{"a": 1, "b": None}, {"a": 2, "b": "x"}]], [f"{NO_TEXT} (`v.b`)"]
    )  # fmt: skip


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00.000000001", "0001-01-01T00:00:00", "9999-12-31T23:59:59"])
async def test_moments_of_96_bits_neither_overflow_nor_lose_nanoseconds(store: Stored, moment: str) -> None:
    unit = "ns" if moment.startswith("2026") else "us"
    given = pyarrow.array([moment], pyarrow.string()).cast(pyarrow.timestamp(unit))
    content = table({"v": given}, use_deprecated_int96_timestamps=True)
    assert await values(store, content) == ([moment], [])


@pytest.mark.parametrize(
    ("columns", "names", "expected"),
    [
        pytest.param([[1], ["x"], [3]], ["a", "b", "a"], {"a": 1, "b": "x", "a_1": 3}, id="a name twice"),
        pytest.param([[1], ["x"], [3]], ["a", "a_1", "a"], {"a": 1, "a_1": "x", "a_2": 3}, id="a name like a new one"),
        pytest.param([[1], [{"b": 2}]], ["a.b", "a"], {"a.b": 1, "a": {"b": 2}}, id="a name like a path"),
    ],
)
async def test_no_column_hides_another(
    store: Stored, columns: Sequence[Any], names: Sequence[str], expected: Mapping[str, Any]
) -> None:
    content = table([pyarrow.array(items) for items in columns], names)
    table_rows = await read(store, content)
    assert [json.loads(row) for row in table_rows.rows] == [expected]
    last = list(expected)[-1]
    selected = await read(store, content, columns=(last,))
    assert [json.loads(row) for row in selected.rows] == [{last: expected[last]}]


async def test_columns_that_there_are_not_are_null_in_every_row(store: Stored) -> None:
    table_rows = await read(store, column([1, 2], pyarrow.int64()), columns=("none",))
    assert table_rows.rows == ('{"none":null}',) * 2


async def test_what_is_shown_as_null_is_null_to_each_condition(store: Stored) -> None:
    content = table({"id": [1, 2], "v": [float("nan"), 1.0]})
    found = await read(store, content, {"column": "v", "isNull": True})
    equal = await read(store, content, {"column": "v", "ne": "1"})
    assert (found.rows, found.flaws, equal.rows) == (
        ('{"id":1,"v":null}',), (f"{NO_NUMBER} (`v`)",), ()
    )  # fmt: skip


@pytest.mark.parametrize("kind", [pyarrow.int64(), pyarrow.uint64(), pyarrow.uint32(), pyarrow.list_(pyarrow.int64())])
async def test_statistics_pass_over_no_row_that_a_condition_finds(store: Stored, kind: Any) -> None:
    given = [[number] if kind.num_fields else number for number in range(40)]
    content = column(given, kind, row_group_size=5)
    texts = [json.dumps(item) for item in given]
    for op, text in (("eq", texts[17]), ("gte", texts[9]), ("lt", texts[30])):
        found = await read(store, content, {"column": "v", op: text})
        everything = await read(store, column(given, kind), {"column": "v", op: text})
        assert found == everything


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"uniform_encryption": True}, id="all of it"),
        pytest.param({"column_keys": {"column": ["secret"]}}, id="the footer and a column"),
        pytest.param({"column_keys": {"column": ["secret"]}, "plaintext_footer": True}, id="one column"),
    ],
)
async def test_an_encrypted_file_is_refused(store: Stored, options: Mapping[str, Any]) -> None:
    assert await refusal(store, encrypted(**options)) == UNREADABLE


async def test_what_is_not_encrypted_of_a_file_can_be_asked_for(store: Stored) -> None:
    content = encrypted(column_keys={"column": ["secret"]}, plaintext_footer=True)
    assert (await read(store, content, columns=("id",))).rows == ('{"id":1}', '{"id":2}')


NUMBERS = table({"id": pyarrow.array(range(300), pyarrow.int64()), "text": ["x"] * 300})
ROW_COUNT, OTHER_ROW_COUNT = b"\xd8\x04", b"\xda\x04"
"""How Thrift writes 300 and 301."""


def lying_about_rows() -> bytes:
    """Say that the row group has one row more than its columns have values."""
    place = NUMBERS.rindex(ROW_COUNT)
    content = NUMBERS[:place] + OTHER_ROW_COUNT + NUMBERS[place + 2 :]
    assert parquet.ParquetFile(io.BytesIO(content)).metadata.row_group(0).num_rows == 301
    return content


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PAR1PAR1", id="no more than marks"),
        pytest.param(NUMBERS[:-1], id="without its last byte"),
        pytest.param(NUMBERS[: len(NUMBERS) // 2], id="half"),
        pytest.param(NUMBERS[:-8] + struct.pack("<I", 2**31) + b"PAR1", id="a footer longer than the file"),
        pytest.param(NUMBERS[:-8] + struct.pack("<I", 0) + b"PAR1", id="no footer"),
        pytest.param(b"PAR1" + bytes(500) + NUMBERS[504:], id="no pages"),
        pytest.param(lying_about_rows(), id="fewer rows than it says"),
    ],
)
async def test_a_file_that_is_broken_or_lies_is_refused(store: Stored, content: bytes) -> None:
    assert await refusal(store, content) == UNREADABLE


async def test_a_changed_footer_is_shown_or_refused_in_one_of_the_sentences_for_it(store: Stored) -> None:
    chance, footer = Random(7), NUMBERS.rindex(b"ARROW:schema")
    outcomes = set()
    for _ in range(FLIPS):
        content, place = bytearray(NUMBERS), chance.randrange(len(NUMBERS) - 1200, footer)
        content[place] = chance.randrange(256)
        try:
            outcomes.add(len((await read(store, bytes(content))).rows))
        except ConnectorError as failure:
            outcomes.add((failure.code, failure.reason))
    assert outcomes <= {
        300,
        UNREADABLE,
        (ErrorCode.LIMIT_EXCEEDED, build_failure_error(DecodingFailure.UNPACKED_TOO_LARGE).reason),
    }
    assert len(outcomes) > 1


async def test_an_error_of_the_store_is_told_as_it_is(store: Stored) -> None:
    store.failure = ConnectorError("the folder could not be read")
    assert await refusal(store, NUMBERS) == (ErrorCode.SOURCE_UNAVAILABLE, "the folder could not be read")


async def test_a_reader_gets_no_bytes_that_the_file_does_not_have(store: Stored) -> None:
    store.content = b"abc"
    ranges = StoredRanges(store, "file.parquet", 3, READ_BYTES)
    assert [await ranges.read(*place) for place in ((1, 2), (1, 3), (2**64 - 1, 1), (0, 2**64 - 1))] == [
        b"bc", None, None, None
    ]  # fmt: skip


async def test_a_small_file_is_fetched_at_once(store: Stored) -> None:
    calls = []

    async def read_range(id: str, start: int, length: int) -> bytes:
        calls.append((start, length))
        return NUMBERS[start : start + length]

    store.read_range = read_range  # type: ignore[method-assign]
    await read(store, NUMBERS)
    assert calls == [(0, len(NUMBERS))]
