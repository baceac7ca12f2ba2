"""Send values that are made to break out of the languages of sources, in every filter and key.

`FUZZ` sets how many values each connector is sent; the answer must be what a few lines of Python compute from its rows.
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
from tests.contract.conftest import OpenedConnector
from tests.contract.reference import evaluate
from tests.contract.scan_requests import (
    HOSTILE,
    CollectionFacts,
    build_keyed_request,
    build_request,
    distinct,
    key_columns,
    key_of,
)
from tests.contract.test_contract import is_same_answer, read_all

COUNT = max(int(os.environ.get("FUZZ") or 0), 150)
AT_ONCE = 5
"""Values in one request, beside some that rows have."""
PARTS = (
    *(text for text in HOSTILE[ColumnType.TEXT] if len(text) < 20),
    "'--", "';", "\\'", "''", '""', "')", "/*", "*/", "#", "`", "$$", "E'", "X'41'", "0x41", "||", "::text", "%s", "?1",
    ":1", "@a", "{{", "}}", "%27", "%5C", "\x1a", "\x08", "\r", "\t", "\u2019", "\uff07", "\u02bc", "\xa0", "\u200b",
    " OR 1=1", " UNION SELECT NULL", "; DROP TABLE thing", " and trashed = true", " in parents", "~=", "=~", "!~", '"}',
    "{", "}", "[5m]", ".*", "|", "^", "$", "(", ")", "*", " OR service:*", " AND ", "-", "NOT ", "service:", "@", ":",
    "..", "/", "//", "../", "%2e%2e/", "%2F", "&", "&repo=other", "=", "+", "<", ">", ",", ";", "~", "null", "true",
)  # fmt: skip
LIKE = {Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH, Op.I_CONTAINS, Op.I_STARTS_WITH, Op.I_ENDS_WITH}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_value_is_a_value_and_no_more(opened_connector: OpenedConnector) -> None:
    tables = {name: facts.rows for name, facts in opened_connector.facts.items()}
    wanted = list(hostile_requests(opened_connector, Random(f"injection {COUNT}")))
    answers = await read_all(opened_connector.source, wanted)
    broken = [index for index, answer in enumerate(answers) if isinstance(answer, ConnectorError) and answer.retryable]
    for at, answer in zip(broken, await read_all(opened_connector.source, [wanted[at] for at in broken]), strict=True):
        answers[at] = answer  # one of thousands of connections may break; a ResilientConnector retries once, too
    wrong = [
        (scan_request, answer, evaluate(scan_request, tables))
        for scan_request, answer in zip(wanted, answers, strict=True)
        if not is_same_answer(
            scan_request, answer, evaluate(scan_request, tables), opened_connector.facts[scan_request.collection]
        )
    ]
    assert wrong[:3] == [], f"{len(wrong)} of {len(wanted)} asks"


def hostile_requests(opened_connector: OpenedConnector, random: Random) -> Iterator[ScanRequest]:
    """Leave out collections that find whatever they are sent, as a search does."""
    ways = [
        (facts, way)
        for name, facts in opened_connector.facts.items()
        if not opened_connector.expected[name].more
        for way in (*filter_ways(facts), *key_ways(facts))
    ]
    for _ in range(COUNT // AT_ONCE if ways else 0):
        facts, (columns, op) = random.choice(ways)
        yield keyed_request(facts, columns, random) if op is None else filtered_request(facts, columns[0], op, random)


Way = tuple[tuple[str, ...], Op | None]


def filter_ways(facts: CollectionFacts) -> Iterator[Way]:
    for name, column in facts.can.columns.items():
        if column.type is ColumnType.TEXT:
            yield from (((name,), op) for op in sorted(column.filters - {Op.IS_NULL}))


def key_ways(facts: CollectionFacts) -> Iterator[Way]:
    """Yield the keys that hold text."""
    for columns in key_columns(facts):
        if any(facts.can.columns[name].type is ColumnType.TEXT for name in columns):
            yield columns, None


def filtered_request(facts: CollectionFacts, name: str, op: Op, random: Random) -> ScanRequest:
    known = sorted({row[name] for row in facts.rows if row[name] is not None})
    values = [hostile(known, random) for _ in range(AT_ONCE)]
    value: Any = values[0]
    if op in (Op.IN, Op.NOT_IN):
        value = tuple(dict.fromkeys((*values, *random.sample(known, min(2, len(known))))))
    return build_request(facts, distinct((*facts.key, name)), filter=Comparison(name, op, value))  # type: ignore[arg-type]


def keyed_request(facts: CollectionFacts, columns: tuple[str, ...], random: Random) -> ScanRequest:
    """Combine keys that rows have with the same keys with a text replaced."""
    results = [key_of(row, columns) for row in facts.rows if None not in key_of(row, columns)]
    known = random.sample(results, min(2, len(results)))
    requests = [replaced(facts, columns, random.choice(results), random) for _ in range(AT_ONCE)] if results else []
    return build_keyed_request(facts, columns, distinct((*known, *requests))[: facts.can.max_keys])


def replaced(facts: CollectionFacts, columns: Sequence[str], key: Row, random: Random) -> Row:
    texts = [index for index, name in enumerate(columns) if facts.can.columns[name].type is ColumnType.TEXT]
    at = random.choice(texts)
    return (*key[:at], hostile([key[at]], random), *key[at + 1 :])


def hostile(known: Sequence[str], random: Random) -> str:
    """Join a few parts, sometimes around a value that a row has."""
    parts = [random.choice(PARTS) for _ in range(random.randint(1, 4))]
    if known and random.random() < 0.5:
        parts.insert(random.randint(0, len(parts)), random.choice(known))
    return "".join(parts)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_comes_up(part: str) -> None:
    """A part that never comes up would test nothing."""
    random = Random("parts")
    assert any(part in hostile((), random) for _ in range(5000))
