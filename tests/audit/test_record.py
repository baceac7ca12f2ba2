"""One record is one line of JSON, which is read back as it was written."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest

from onedoor.audit.record import (
    RANDOM_BYTES,
    AuditRecord,
    build_record_id,
    check_client_request_id,
    format_timestamp,
    to_line,
)

Make = Callable[..., AuditRecord]
START = datetime(2026, 11, 1, tzinfo=UTC)
NASTY = [
    "\n",
    "\r\n",
    "\x1b[2J",
    "\x9b31m",
    "\u2028",
    "\u202e",
    '"}',
    '",\n{"prev":"',
    "\\",
    "\x00",
    "\x7f",
    "é",
    "🔑",
    "a",
]


def test_no_text_ends_its_line_or_acts_on_a_terminal_and_all_of_it_is_read_back(record: Make) -> None:
    dice = random.Random(0)
    for _ in range(10_000):
        text = "".join(
            dice.choices([*NASTY, chr(dice.randrange(0xD800)), chr(dice.randrange(0xE000, 0x11_0000))], k=12)
        )
        line = to_line(record(1, operation=text, variables={text: [text]}))
        assert len(line.decode().splitlines()) == 1
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line.decode())
        read = orjson.loads(line)
        assert (read["operation"], read["variables"]) == (text, {text: [text]})


@pytest.mark.parametrize("value", ["\ud800", 2**64])
def test_what_json_cannot_hold_still_makes_a_readable_line(record: Make, value: object) -> None:
    assert orjson.loads(to_line(record(1, variables={"a": value})))["id"] == record(1).id


def test_ids_sort_by_time_and_differ_within_a_microsecond() -> None:
    dice = random.Random(0)
    moments = [START + timedelta(microseconds=10**exponent) for exponent in range(16)]
    ids = [build_record_id(moment, dice.randbytes(RANDOM_BYTES)) for moment in moments for _ in range(100)]
    assert len(set(ids)) == len(ids)
    assert all(id < other for id, other in zip(ids[::100], ids[100::100], strict=False))
    assert {len(id) for id in ids} == {26}


def test_times_are_in_utc_with_microseconds() -> None:
    assert (
        format_timestamp(datetime(2026, 11, 1, 2, tzinfo=timezone(timedelta(hours=2))))
        == "2026-11-01T00:00:00.000000+00:00"
    )


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        (None, None), ("", None), ("a-1", "a-1"), ("x" * 128, "x" * 128), ("x" * 129, None),
        ("a\n", None), ("\x1b[1m", None), ("é", None),
    ],
)  # fmt: skip
def test_a_clients_own_id_is_kept_only_if_short_and_printable(given: str | None, recorded: str | None) -> None:
    assert check_client_request_id(given) == recorded


def test_a_key_is_never_in_a_record_wherever_a_client_puts_it(record: Make) -> None:
    text = f"od_{'a' * 12}_{'s' * 43}_{'c' * 6}"
    line = to_line(record(1, operation=text, client_request_id=f"x {text}"))
    assert ("s" * 43).encode() not in line
    assert b"od_aaaaaaaaaaaa_..." in line
