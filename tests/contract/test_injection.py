"""Values made to break out of every language a source speaks: each is a value and no more, in every filter and key.

`FUZZ` sets how many values each source is asked by; what it answers is what a few lines of Python make of its rows.
"""

import os
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

from onedoor.errors import ConnectorError
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import (
    Comparison,
    Op,
    Row,
)
from onedoor.spi.scan import ScanRequest
from tests.contract.asks import HOSTILE, Told, asked, by, distinct, key_columns, key_of
from tests.contract.conftest import Kept
from tests.contract.meaning import meant
from tests.contract.test_contract import alike, every_answer

COUNT = max(int(os.environ.get("FUZZ") or 0), 150)
AT_ONCE = 5
"""Values in one ask, with some that rows have."""
PARTS = (
    *(each for each in HOSTILE[ColumnType.TEXT] if len(each) < 20),
    "'--", "';", "\\'", "''", '""', "')", "/*", "*/", "#", "`", "$$", "E'", "X'41'", "0x41", "||", "::text", "%s", "?1",
    ":1", "@a", "{{", "}}", "%27", "%5C", "\x1a", "\x08", "\r", "\t", "\u2019", "\uff07", "\u02bc", "\xa0", "\u200b",
    " OR 1=1", " UNION SELECT NULL", "; DROP TABLE thing", " and trashed = true", " in parents", "~=", "=~", "!~", '"}',
    "{", "}", "[5m]", ".*", "|", "^", "$", "(", ")", "*", " OR service:*", " AND ", "-", "NOT ", "service:", "@", ":",
    "..", "/", "//", "../", "%2e%2e/", "%2F", "&", "&repo=other", "=", "+", "<", ">", ",", ";", "~", "null", "true",
)  # fmt: skip
LIKE = {Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH, Op.I_CONTAINS, Op.I_STARTS_WITH, Op.I_ENDS_WITH}


async def test_a_value_is_a_value_and_no_more(kept: Kept) -> None:
    tables = {name: told.rows for name, told in kept.told.items()}
    wanted = list(asks_of(kept, Random(f"injection {COUNT}")))
    answers = await every_answer(kept.source, wanted)
    broken = [at for at, answer in enumerate(answers) if isinstance(answer, ConnectorError) and answer.retryable]
    for at, answer in zip(broken, await every_answer(kept.source, [wanted[at] for at in broken]), strict=True):
        answers[at] = answer  # a connection broke, as one of thousands may; under its guard a source is asked once more
    wrong = [
        (ask, answer, meant(ask, tables))
        for ask, answer in zip(wanted, answers, strict=True)
        if not alike(ask, answer, meant(ask, tables), kept.told[ask.collection])
    ]
    assert wrong[:3] == [], f"{len(wrong)} of {len(wanted)} asks"


def asks_of(kept: Kept, random: Random) -> Iterator[ScanRequest]:
    """Of what means something by itself, as a search does, whatever is asked may be found."""
    ways = [
        (told, way)
        for name, told in kept.told.items()
        if not kept.held[name].more
        for way in (*filters_of(told), *read_by(told))
    ]
    for _ in range(COUNT // AT_ONCE if ways else 0):
        told, (columns, op) = random.choice(ways)
        yield keyed(told, columns, random) if op is None else filtered(told, columns[0], op, random)


Way = tuple[tuple[str, ...], Op | None]


def filters_of(told: Told) -> Iterator[Way]:
    for name, column in told.can.columns.items():
        if column.type is ColumnType.TEXT:
            yield from (((name,), op) for op in sorted(column.filters - {Op.IS_NULL}))


def read_by(told: Told) -> Iterator[Way]:
    """Where the key that a read must carry is no text of ours, there is nothing to break out of."""
    for columns in key_columns(told):
        if any(told.can.columns[name].type is ColumnType.TEXT for name in columns):
            yield columns, None


def filtered(told: Told, name: str, op: Op, random: Random) -> ScanRequest:
    known = sorted({row[name] for row in told.rows if row[name] is not None})
    values = [hostile(known, random) for _ in range(AT_ONCE)]
    value: Any = values[0]
    if op in (Op.IN, Op.NOT_IN):
        value = tuple(dict.fromkeys((*values, *random.sample(known, min(2, len(known))))))
    return asked(told, distinct((*told.key, name)), filter=Comparison(name, op, value))  # type: ignore[arg-type]


def keyed(told: Told, columns: tuple[str, ...], random: Random) -> ScanRequest:
    """Some keys that rows have, and the same with their texts replaced."""
    found = [key_of(row, columns) for row in told.rows if None not in key_of(row, columns)]
    known = random.sample(found, min(2, len(found)))
    made = [replaced(told, columns, random.choice(found), random) for _ in range(AT_ONCE)] if found else []
    return by(told, columns, distinct((*known, *made))[: told.can.max_keys])


def replaced(told: Told, columns: Sequence[str], key: Row, random: Random) -> Row:
    texts = [at for at, name in enumerate(columns) if told.can.columns[name].type is ColumnType.TEXT]
    at = random.choice(texts)
    return (*key[:at], hostile([key[at]], random), *key[at + 1 :])


def hostile(known: Sequence[str], random: Random) -> str:
    """A few parts, here and there around a value that a row has."""
    parts = [random.choice(PARTS) for _ in range(random.randint(1, 4))]
    if known and random.random() < 0.5:
        parts.insert(random.randint(0, len(parts)), random.choice(known))
    return "".join(parts)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_comes_up(part: str) -> None:
    """In a run of some length; a part that never did would show nothing."""
    random = Random("parts")
    assert any(part in hostile((), random) for _ in range(5000))
