"""Read CSV and JSON Lines as others write them: right, or refused in a sentence, and never a value lost."""

import csv
from collections.abc import Sequence
from io import StringIO
from random import Random
from typing import Any

import pytest

from onedoor.connectors.files import text_tables
from onedoor.connectors.files.text_tables import read_csv_rows, read_json_rows
from onedoor.errors import ConnectorError, ErrorCode

READ_BYTES = 10_000_000
NO_TEXT = "the file is no text in UTF-8"
NO_CSV = "the file is no CSV"
OPEN = "the file ends within quotes"
AB = [{"a": "1", "b": "2"}]


class Content:
    """A store of one file."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        return self.content[start : start + length]


async def csv_rows(content: str | bytes, **options: Any) -> list[dict[str, Any]]:
    store: Any = Content(content if isinstance(content, bytes) else content.encode())
    return [dict(row) async for row in read_csv_rows(store, "file", READ_BYTES, **options)]


async def json_rows(content: str | bytes) -> list[Any]:
    store: Any = Content(content if isinstance(content, bytes) else content.encode())
    return [row async for row in read_json_rows(store, "file", READ_BYTES)]


async def refusal(rows: Any) -> str:
    with pytest.raises(ConnectorError) as failure:
        await rows
    assert failure.value.code is ErrorCode.SOURCE_INVALID
    return failure.value.reason


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("\na,b\n1,2\n", AB, id="a blank first line"),
        pytest.param("\r\n\r\n  \r\na,b\r\n1,2\r\n", AB, id="blank first lines, CRLF"),
        pytest.param(",,\n\"\",\na,b\n1,2\n", AB, id="first lines of nothing but delimiters"),
        pytest.param("\ufeff\na,b\n1,2\n", AB, id="a mark and a blank line"),
        pytest.param("a,b\n\n1,2\n\n\n", AB, id="blank lines between and behind"),
        pytest.param("a,b\r1,2\r", AB, id="CR alone"),
        pytest.param("a,b\r1,\"x\ny\"\r", [{"a": "1", "b": "x\ny"}], id="CR alone, LF within quotes"),
        pytest.param("a,b\n1,\"x\r\ny\"\n", [{"a": "1", "b": "x\r\ny"}], id="LF, CRLF within quotes"),
        pytest.param('"a\rb",c\n1,2\n', [{"a\rb": "1", "c": "2"}], id="LF, CR within quotes of the names"),
        pytest.param("a,b\n1,2", AB, id="no last line end"),
        pytest.param("a,b,a\n1,2,3\n", [{"a": "1", "b": "2", "a_1": "3"}], id="a name twice"),
        pytest.param("a,a,a_1,a\n1,2,3,4\n", [{"a": "1", "a_2": "2", "a_1": "3", "a_3": "4"}],
                     id="a name like a new one"),
        pytest.param("a,,\n1,2,3\n", [{"a": "1", "": "2", "_1": "3"}], id="columns without names"),
        pytest.param("a,b\n1\n", [{"a": "1", "b": None}], id="a short line"),
        pytest.param("a,b\n1,2,\n1,2,,\"\"\n", AB * 2, id="delimiters at the end of lines"),
        pytest.param("a,b,\n1,2,\n", [{"a": "1", "b": "2", "": ""}], id="delimiters at the end of all lines"),
        pytest.param('"Name, first";"Town, land"\n"A";"B"\n', [{"Name, first": "A", "Town, land": "B"}],
                     id="delimiters within quotes of the names"),
        pytest.param('"a;b;c;d",e\n1,2\n', [{"a;b;c;d": "1", "e": "2"}], id="more of others within quotes"),
        pytest.param("a\tb\n1\t2\n", AB, id="tabs"),
        pytest.param("a|b\n1|2\n", AB, id="bars"),
        pytest.param("a;b\n1,5;2,5\n", [{"a": "1,5", "b": "2,5"}], id="commas as decimal points"),
        pytest.param("sep=;\na;b\n1;2\n", AB, id="a line that says the delimiter"),
        pytest.param("SEP=|\r\n\r\na,x|b\r\n1|2\r\n", [{"a,x": "1", "b": "2"}], id="another, against the count"),
        pytest.param('a,b\n"say ""hi""","x"""\n', [{"a": 'say "hi"', "b": 'x"'}], id="quotes doubled"),
        pytest.param('a,b\n5" pipe,2\n6" pipe,3\n', [{"a": '5" pipe', "b": "2"}, {"a": '6" pipe', "b": "3"}],
                     id="inches"),
        pytest.param('a,5" pipe\n1,2\n', [{"a": "1", '5" pipe': "2"}], id="inches in a name"),
        pytest.param("a,b\n'1,2'\n", [{"a": "'1", "b": "2'"}], id="apostrophes are no quotes"),
        pytest.param('a,b\n"""\n\n""",\n', [{"a": '"\n\n"', "b": ""}], id="blank lines within quotes"),
        pytest.param("a,b\n", [], id="names only"),
        pytest.param("a,b", [], id="names only, no line end"),
        pytest.param("", [], id="nothing"),
        pytest.param("\n\n", [], id="blank lines only"),
        pytest.param("a\nGrüße 🔑\n", [{"a": "Grüße 🔑"}], id="text of any script"),
        pytest.param("a\u2028,b\n1\x0b,2\x85\n", [{"a\u2028": "1\x0b", "b": "2\x85"}],
                     id="what only Unicode calls a line end"),
        pytest.param(f"{'a' * 100_000},b\n{'1' * 100_000},2\n", [{"a" * 100_000: "1" * 100_000, "b": "2"}],
                     id="long lines"),
    ],
)  # fmt: skip
async def test_csv_as_others_write_it(content: str, expected: Sequence[Any]) -> None:
    assert await csv_rows(content) == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("a,b\n1,2\n1,2,3\n", "line 3 of the file has more cells than line 1 has names for",
                     id="a long line"),
        pytest.param("Sales 2026\n\na,b\n1,2\n", "line 3 of the file has more cells than line 1 has names for",
                     id="a line of words before the names"),
        pytest.param("\n# made by hand\na,b\n1,2\n", "line 3 of the file has more cells than line 2 has names for",
                     id="a remark before the names"),
        pytest.param('\na,b\n"x\ny",2\n1,2,3\n', "line 5 of the file has more cells than line 2 has names for",
                     id="lines are counted as an editor does"),
        pytest.param("price\n9,50\n", "line 2 of the file has more cells than line 1 has names for",
                     id="a comma that is no delimiter"),
        pytest.param('a,b\n1,"2\n3,4\n', OPEN, id="quotes that never close"),
        pytest.param('a,b\n"x"y,2\n', NO_CSV, id="text behind quotes"),
        pytest.param("a,b\n1,2\r3,4\n", NO_CSV, id="line ends of two kinds"),
        pytest.param("a,b\r1,2\n3,4\r", NO_CSV, id="line ends of two kinds, the other way"),
        pytest.param("a,b\n1,\0\n", NO_TEXT, id="NUL"),
        pytest.param("a,b\n1,2\n".encode("utf-16"), NO_TEXT, id="UTF-16"),
        pytest.param("a,b\n1,2\n".encode("utf-16-le"), NO_TEXT, id="UTF-16 without a mark"),
        pytest.param("a\nGrüße\n".encode("latin-1"), NO_TEXT, id="Latin-1"),
    ],
)  # fmt: skip
async def test_csv_that_cannot_be_told_is_refused(content: str | bytes, reason: str) -> None:
    assert await refusal(csv_rows(content)) == reason


async def test_a_file_of_tabs_has_tabs_for_delimiters() -> None:
    content = "a,x,y\tb\n1\t2\n"
    assert await csv_rows(content, preferred_delimiter="\t") == [{"a,x,y": "1", "b": "2"}]


@pytest.mark.parametrize("chunk_bytes", [1, 2, 7, 1000])
async def test_whatever_is_written_as_csv_is_read_again(monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    monkeypatch.setattr(text_tables, "CHUNK_BYTES", chunk_bytes)
    chance = Random(chunk_bytes)
    for _ in range(60):
        names = [f"n{number}" for number in range(chance.randrange(2, 5))]
        delimiter, line_end = chance.choice(",;\t|"), chance.choice(["\n", "\r\n", "\r"])
        quotes_all = chance.choice([False, True])
        characters = 'ab",;\t| ü' + ("\r\n" if quotes_all else line_end)
        rows = [["".join(chance.choices(characters, k=chance.randrange(6))) for _ in names] for _ in range(4)]
        file = StringIO()
        quoting = csv.QUOTE_ALL if quotes_all else csv.QUOTE_MINIMAL
        writer = csv.writer(file, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
        writer.writerows([names, *rows])
        assert await csv_rows(file.getvalue()) == [dict(zip(names, row, strict=True)) for row in rows]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param('{"a": 1}\n\n{"a": null}', [{"a": 1}, {"a": None}], id="lines"),
        pytest.param('\ufeff{"a": 1}\r\n{"a": 2}\r\n', [{"a": 1}, {"a": 2}], id="a mark, CRLF"),
        pytest.param('{"a": "x"}\r{"a": "y"}\r', [{"a": "x"}, {"a": "y"}], id="CR alone"),
        pytest.param('[1]\n"x"\nnull\n', [{"value": [1]}, {"value": "x"}, {"value": None}], id="no objects"),
        pytest.param('{"a": 18446744073709551615, "b": -9223372036854775808}',
                     [{"a": 18446744073709551615, "b": -9223372036854775808}], id="64 bits"),
        pytest.param('{"a": 18446744073709551616, "b": [-9223372036854775809]}',
                     [{"a": "18446744073709551616", "b": ["-9223372036854775809"]}], id="past 64 bits"),
        pytest.param('{"a": 0.12345678901234567890, "b": 0.1000000000000000000}',
                     [{"a": "0.12345678901234567890", "b": 0.1}], id="more digits than a float has"),
        pytest.param('{"a": 1e-400, "b": 1E100}', [{"a": "1e-400", "b": 1e100}], id="less than a float can be"),
        pytest.param('{"a": "\\":", "b" : {"a": "\\" :"}}', [{"a": '":', "b": {"a": '" :'}}], id="names within text"),
    ],
)  # fmt: skip
async def test_json_lines_as_others_write_them(content: str, expected: Sequence[Any]) -> None:
    assert await json_rows(content) == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param('{"a": 1, "a": 2}', "a line of the file has two members of one name", id="a name twice"),
        pytest.param('[{"b": {"a" : 1, "a": 1}}]', "a line of the file has two members of one name", id="nested"),
        pytest.param('{"a": 1}\n{"a": 2}x\n', "a line of the file is no JSON", id="text behind"),
        pytest.param('{"a": 1}{"a": 2}', "a line of the file is no JSON", id="two in a line"),
        pytest.param('{\n"a": 1}', "a line of the file is no JSON", id="one in two lines"),
        pytest.param('{"a": NaN}', "a line of the file is no JSON", id="NaN"),
        pytest.param('{"a": "\\ud800"}', "a line of the file is no JSON", id="half a character"),
        pytest.param('{"a": 1}\n'.encode("utf-16"), NO_TEXT, id="UTF-16"),
    ],
)
async def test_json_lines_that_cannot_be_told_are_refused(content: str | bytes, reason: str) -> None:
    assert await refusal(json_rows(content)) == reason
