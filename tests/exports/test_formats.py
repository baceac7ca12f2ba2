"""Each format, read back by other libraries, holds what replies hold page by page."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onedoor.exports import formats
from onedoor.exports.arrow import build_arrow_array, map_arrow_type
from onedoor.exports.models import ExportColumn, ExportState, ExportStopped, Format
from tests.exports.conftest import Exporter, read_pages

ROWS = 65
FIELDS = """
    id status placedAt total note
    customer { name accountManager { hiredOn } }
    items(first: 2) { nodes { quantity unitPrice product { name } } totalCount }
"""
TEXT = f"{{ orders(first: {ROWS}) {{ nodes {{ {FIELDS} }} }} }}"
PAGED = f"""query($first: Int, $after: String) {{
    orders(first: $first, after: $after) {{ nodes {{ {FIELDS} }} pageInfo {{ endCursor }} }}
}}"""
NAMES = (
    "id",
    "status",
    "placedAt",
    "total",
    "note",
    "customer.name",
    "customer.accountManager.hiredOn",
    "items.nodes",
    "items.totalCount",
)
GROUPS = ("sales", "people")


def flat(node: Any) -> list[Any]:
    """Flatten a row by hand as docs/ says."""
    customer = node["customer"] or {"name": None, "accountManager": None}
    manager = customer["accountManager"] or {"hiredOn": None}
    items = [
        {"quantity": item["quantity"], "unitPrice": item["unitPrice"], "product.name": item["product"]["name"]}
        for item in node["items"]["nodes"]
    ]
    own = [node[name] for name in ("id", "status", "placedAt", "total", "note")]
    return [*own, customer["name"], manager["hiredOn"], items, node["items"]["totalCount"]]


async def expected(exporter: Exporter) -> list[list[Any]]:
    return [flat(page) for page in await read_pages(exporter, PAGED, *GROUPS, key="orders", limit=ROWS)]


async def test_csv_holds_what_replies_hold(exporter: Exporter) -> None:
    summary = await exporter.export(TEXT, Format.CSV, *GROUPS)
    text = (await exporter.read_file(summary)).decode()
    head, *lines = csv.reader(io.StringIO(text, newline=""))
    assert tuple(head) == NAMES
    assert lines == [[cell(item) for item in row] for row in await expected(exporter)]


def cell(value: Any) -> str:
    if value is None:
        return ""
    return formats.mark_formula(orjson.dumps(value).decode() if isinstance(value, list) else str(value))


async def test_jsonl_holds_what_replies_hold(exporter: Exporter) -> None:
    summary = await exporter.export(TEXT, Format.JSONL, *GROUPS)
    rows = [orjson.loads(line) for line in (await exporter.read_file(summary)).splitlines()]
    assert rows == [dict(zip(NAMES, item, strict=True)) for item in await expected(exporter)]


async def test_parquet_holds_what_replies_hold(exporter: Exporter, tmp_path: Path) -> None:
    summary = await exporter.export(TEXT, Format.PARQUET, *GROUPS)
    result = pa.concat_tables([pq.read_table(file) for file in await exporter.save_files(summary, tmp_path)])
    assert result.to_pylist() == await typed(exporter)


async def test_arrow_holds_what_replies_hold(exporter: Exporter, tmp_path: Path) -> None:
    summary = await exporter.export(TEXT, Format.ARROW, *GROUPS)
    result = pa.concat_tables(
        [pa.ipc.open_file(file).read_all() for file in await exporter.save_files(summary, tmp_path)]
    )
    assert result.to_pylist() == await typed(exporter)
    assert [str(item.type).partition("<")[0] for item in result.schema] == [
        "string",
        "dictionary",
        "timestamp[us, tz=UTC]",
        "decimal128(38, 18)",
        "string",
        "string",
        "date32[day]",
        "list",
        "int32",
    ]


async def typed(exporter: Exporter) -> list[dict[str, Any]]:
    rows = []
    for each in await expected(exporter):
        row = dict(zip(NAMES, each, strict=True))
        row["placedAt"] = datetime.fromisoformat(row["placedAt"]).astimezone(UTC)
        row["total"] = Decimal(row["total"])
        hired = row["customer.accountManager.hiredOn"]
        row["customer.accountManager.hiredOn"] = hired and date.fromisoformat(hired)
        row["items.nodes"] = [{**item, "unitPrice": Decimal(item["unitPrice"])} for item in row["items.nodes"]]
        rows.append(row)
    return rows


@pytest.mark.parametrize("format", list(Format))
async def test_an_export_without_rows_has_a_file(exporter: Exporter, tmp_path: Path, format: Format) -> None:
    summary = await exporter.export('{ orders(where: {id: {eq: "0"}}) { nodes { id total } } }', format, "sales")
    (path,) = await exporter.save_files(summary, tmp_path)
    names = {
        Format.CSV: lambda: path.read_text().strip().split(","),
        Format.JSONL: lambda: ["id", "total"] if path.read_bytes() == b"" else [],
        Format.PARQUET: lambda: pq.read_table(path).column_names,
        Format.ARROW: lambda: pa.ipc.open_file(path).read_all().column_names,
    }
    assert (summary.state, summary.rows, names[format]()) == (ExportState.DONE, 0, ["id", "total"])


def column(scalar: str, **more: Any) -> ExportColumn:
    return ExportColumn(name="c", path=("c",), scalar=scalar, **more)


VALUES = [
    pytest.param(column("BigInt"), ["-9223372036854775808", None], [-(2**63), None], id="whole numbers of 64 bits"),
    pytest.param(
        column("Decimal"),
        ["-0.10", "12345678901234567890.5"],
        [Decimal("-0.10"), Decimal("12345678901234567890.5")],
        id="money",
    ),
    pytest.param(column("JSON"), [{"a": [1]}, "text", None], ['{"a":[1]}', '"text"', None], id="JSON as its text"),
    pytest.param(column("Boolean"), [True, None], [True, None], id="booleans"),
    pytest.param(column("String", is_list=True), [["a", "b"], None, []], [["a", "b"], None, []], id="lists of text"),
    pytest.param(column("DateTime"), ["2026-01-01T00:00:00.5Z"], [datetime(2026, 1, 1, 0, 0, 0, 500000, UTC)], id="Z"),
    pytest.param(column("S", enum_members=("A", "B")), ["B", None, "A"], ["B", None, "A"], id="members of an enum"),
    pytest.param(
        column("", item_columns=(column("Int"),)), [[{"c": 1}], None, []], [[{"c": 1}], None, []], id="lists of rows"
    ),
]


@pytest.mark.parametrize(("of", "values", "read"), VALUES)
def test_a_column_of_arrow_has_the_type_of_the_schema(
    of: ExportColumn, values: Sequence[Any], read: Sequence[Any]
) -> None:
    array = build_arrow_array(values, of)
    assert (array.type, array.to_pylist()) == (map_arrow_type(of), read)


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("BigInt", "9223372036854775808"),
        ("Decimal", "0.1234567890123456789"),
        ("Decimal", "9" * 21),
    ],
)
def test_a_value_that_its_type_cannot_hold_fails_rather_than_be_another(scalar: str, value: str) -> None:
    with pytest.raises(ExportStopped, match="take CSV or JSONL"):
        build_arrow_array([value], column(scalar))


FORMULAS = ["=1+1", "+1", "-1", "@sum(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1", "''-1", '=HYPERLINK("http://x")']
HARMLESS = ["", "a=1", "'t Hart", "1-2", " ", "'", "a,b", 'a"b', "a\r\nb", "üñí ☃ 𝄞", "0x00"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_as_a_formula_does(text: str) -> None:
    assert (formats.mark_formula(text)[0], formats.unmark_formula(formats.mark_formula(text))) == ("'", text)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_stands_as_it_is(text: str) -> None:
    assert formats.mark_formula(text) == text


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00")), min_size=1))
def test_any_text_comes_back(texts: Sequence[str]) -> None:
    encoded = formats.encode_csv([list(map(formats.mark_formula, texts)), texts])
    rows = list(csv.reader(io.StringIO(encoded.decode(), newline="")))
    assert [formats.unmark_formula(marked) for marked, _ in rows] == texts
    assert not any(marked[:1] in formats.FORMULA_STARTS for marked, _ in rows if marked)


def test_a_nul_is_shown() -> None:
    assert formats.encode_csv([["a\x00=1"], ["b"]]) == "a\u2400=1,b\r\n".encode()


def test_numbers_keep_their_minus() -> None:
    shown = [formats.format_cells([item], column(scalar))[0] for scalar, item in (("Int", -1), ("Decimal", "-1.50"))]
    assert shown == [-1, "-1.50"]
    assert formats.format_cells(["-1"], column("ID")) == ["'-1"]
