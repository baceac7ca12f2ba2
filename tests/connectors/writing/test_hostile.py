"""Store values that would mean something to a database exactly as given, or refuse them."""

import random
from collections.abc import Iterator

import pytest

from onedoor.errors import ErrorCode
from onedoor.spi.connector import ChangeKind
from tests.connectors.writing.changes import apply_changes, build_change, build_creation, get_refusal, read_rows
from tests.connectors.writing.conftest import ConnectorUnderTest
from tests.connectors.writing.tables import KINDS
from tests.contract.tables import THING

PARTS = (
    "'", '"', "`", "\\", "\0", "%", "_", ";", "--", "/*", "*/", "$1", ":v0", "?", "%s", "{}", "${x}", "\n", "\r", "\t",
    "\x1a", "\x7f", "\u2028", "\ufeff", "é", "\U0001f600", "\ud800", "\udc00", "' OR 1=1 --", "'); DROP TABLE thing;--",
    "\\'", "''", "$$", "E'\\''", "0x27", "NULL", "null", "a", "A", " ", "", "İ", "ß", "\uffff", "DEFAULT", "[]",
    '{"a":1}',
)  # fmt: skip
REFUSED = ErrorCode.BAD_USER_INPUT, "`name` cannot hold the value given"
FEW, MANY = 250, 1000
AT_ONCE = 50


def hostile(count: int) -> Iterator[str]:
    """The same at each run."""
    draw = random.Random("hostile")
    for _ in range(count):
        yield "".join(draw.choice(PARTS) for _ in range(draw.randint(0, 6)))


def is_storable(text: str) -> bool:
    return not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text)


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
async def test_a_text_is_stored_as_it_is_or_refused(under_test: ConnectorUnderTest, count: int) -> None:
    texts = list(hostile(count))
    whole = {number: text for number, text in enumerate(texts, 1) if is_storable(text)}
    for start in range(0, len(whole), AT_ONCE):
        await apply_changes(
            under_test.source, *(build_creation(n, name=whole[n]) for n in list(whole)[start : start + AT_ONCE])
        )
    for number, text in enumerate(texts, 1):
        if number not in whole:
            assert await get_refusal(under_test.source, build_creation(number, name=text)) == REFUSED
    assert {row["id"]: row["name"] for row in await read_rows(under_test.source)} == whole
    assert len(whole) > count // 2
    assert {part for part in PARTS if any(part in text for text in texts)} == set(PARTS)


async def test_a_hostile_key_names_its_row_alone(under_test: ConnectorUnderTest) -> None:
    texts = [text for text in dict.fromkeys(hostile(FEW)) if is_storable(text)][:40]
    await apply_changes(
        under_test.source,
        *(build_creation(number, code=f"c{number}", name=text) for number, text in enumerate(texts, 1)),
    )
    await apply_changes(
        under_test.source,
        *(build_change(ChangeKind.UPDATE, {"id": n}, code=text) for n, text in enumerate(texts[:20], 1)),
    )
    results = {row["id"]: row["code"] for row in await read_rows(under_test.source)}
    assert results == {number: text if number <= 20 else f"c{number}" for number, text in enumerate(texts, 1)}


async def test_awkward_values_of_every_kind_are_read_as_they_were_given(under_test: ConnectorUnderTest) -> None:
    taken = [name for name in KINDS["thing"] if name not in ("id", "code", "version")]
    given = {
        item["id"]: {name: item[name] for name in taken} | {"amount": item["amount"] and abs(item["amount"])}
        for item in (dict(zip(THING.columns, row, strict=True)) for row in THING.rows)
    }
    await apply_changes(under_test.source, *(build_creation(number, **values) for number, values in given.items()))
    results = {item["id"]: {name: item[name] for name in taken} for item in await read_rows(under_test.source)}
    assert results == given
