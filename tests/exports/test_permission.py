"""Permission is judged again at each page, and nothing is exported past it; what ends an export, ends it for good."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from auth.authentication import Principal
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.exports.models import ExportState, ExportSummary, Format
from onedoor.exports.storage import FolderExportStore
from onedoor.exports.writer import cancel_export, run_export
from onedoor.model.catalog import Limits
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from onedoor.storage.database import MetadataDatabaseUnavailable
from tests import acme
from tests.exports.conftest import Room, Rooms, Works, always

TEXT = "{ orders(first: 95) { nodes { id total customer { name } } } }"
HELD = acme.caller("sales")


async def ran(room: Room, works: Works, text: str = TEXT, *groups: str) -> ExportSummary:
    stated = await room.stated(text, Format.JSONL, *(groups or ("sales",)))
    return await run_export(room.exporting(stated, works))


def rows(room: Room) -> int:
    return sum(each.rows for each in room.store.list_parts("e1", 1))


TAKEN = [
    pytest.param(acme.caller(), "`Order` is for|`Query.orders` is for|`orders` is for|`id` may be seen", id="a group"),
    pytest.param(None, "who started the export is shut out, or their key opens no more", id="the key"),
]


@pytest.mark.parametrize(("after", "said"), TAKEN)
async def test_what_is_taken_away_in_the_middle_stops_it_within_a_part(
    room: Room, after: Principal | None, said: str
) -> None:
    made = await ran(room, Works(lambda looks: HELD if looks <= 5 else after))
    assert (made.state, made.files, rows(room)) == (ExportState.REFUSED, (), 30)
    assert any(each in (made.reason or "") for each in said.split("|"))
    shown = [each for each in room.records() if each["rows"] and each["groups"] != ["everyone", "sales"]]
    assert shown == []


async def test_a_column_that_is_withheld_in_the_middle_stops_it(room: Room) -> None:
    """Rather than a file whose first half knows more than its second."""
    held, left = acme.caller("sales", "finance"), acme.caller("sales")
    text = "{ customers(first: 35) { nodes { id creditLimit } } }"
    made = await ran(room, Works(lambda looks: held if looks <= 3 else left), text, "sales", "finance")
    assert (made.state, made.reason) == (
        ExportState.REFUSED,
        "`creditLimit` may be seen no longer: `Customer.creditLimit` is for finance; ask sales operations for it",
    )


async def test_what_is_given_in_the_middle_changes_no_column(room: Room) -> None:
    left, more = acme.caller("sales"), acme.caller("sales", "finance")
    made = await ran(
        room, Works(lambda looks: left if looks <= 1 else more), "{ customers(first: 35) { nodes { id creditLimit } } }"
    )
    lines = (await room.body(made)).splitlines()
    assert (made.state, {each.count(b":") for each in lines}) == (ExportState.DONE, {1})


async def test_who_cancels_gets_no_file(room: Room) -> None:
    made = await ran(room, Works(lambda looks: HELD, stop=4))
    assert (made.state, made.files) == (ExportState.CANCELLED, ())


async def test_it_is_cancelled_from_elsewhere(room: Room) -> None:
    def caller(looks: int) -> Principal:
        if looks == 4:
            cancel_export(FolderExportStore(room.store.folder), "e1")
        return HELD

    made = await ran(room, Works(caller))
    assert (made.state, made.files, rows(room) < 95) == (ExportState.CANCELLED, (), True)


async def test_an_end_is_an_end(room: Room) -> None:
    first = await ran(room, Works(lambda looks: None))
    stated = room.store.load_plan("e1")
    assert stated is not None
    assert await run_export(room.exporting(stated, always("sales"))) == first


@dataclass(slots=True)
class Failing:
    """A source whose reads fail, those whose number is among `fails`."""

    of: Connector
    fails: range
    code: ErrorCode = ErrorCode.SOURCE_UNAVAILABLE
    most: int = 10**9
    """Rows of one read; more is over a limit of its own."""
    reads: "count[int]" = field(default_factory=count)

    def capabilities(self, collection: str) -> Capabilities:
        return self.of.capabilities(collection)

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        if ask.collection == "orders" and next(self.reads) in self.fails:
            raise ConnectorError("`internal` is away", self.code)
        if ask.collection == "orders" and (ask.limit or 0) > self.most:
            raise ConnectorError("so many rows are over a limit", ErrorCode.LIMIT_EXCEEDED)
        async for each in self.of.scan(ask):
            yield each

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def failing(rooms: Rooms, fails: range, code: ErrorCode = ErrorCode.SOURCE_UNAVAILABLE, most: int = 10**9) -> Room:
    return rooms({"internal": Failing(acme.sources()["internal"], fails, code, most)})


async def test_a_page_that_did_not_come_is_asked_for_again(rooms: Rooms) -> None:
    room = failing(rooms, range(2, 5))
    made = await ran(room, always("sales"))
    ids = [int(each.split(b'"')[3]) for each in (await room.body(made)).splitlines()]
    assert (made.state, ids) == (ExportState.DONE, list(range(1, 96)))


async def test_one_that_never_comes_fails_the_export_and_says_what_is_missing(rooms: Rooms) -> None:
    made = await ran(failing(rooms, range(2, 10**9)), always("sales"))
    assert (made.state, made.reason, made.files) == (ExportState.FAILED, "rows are missing: `internal` is away", ())


async def test_a_failed_branch_fails_the_export_too(rooms: Rooms) -> None:
    """Its rows would be whole, but for what they lead to."""
    room = rooms({"snowflake": Failing(acme.sources()["snowflake"], range(10**9)).of, "internal": _Half()})
    made = await ran(room, always("sales"))
    assert (made.state, made.reason) == (ExportState.FAILED, "rows are missing: `internal` has no customers now")


class _Half(Failing):
    """Orders, and no customers."""

    def __init__(self) -> None:
        super().__init__(acme.sources()["internal"], range(0))

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        if ask.collection == "customer":
            raise ConnectorError("`internal` has no customers now")
        async for each in self.of.scan(ask):
            yield each


async def test_what_will_not_change_is_not_asked_again(rooms: Rooms) -> None:
    room = failing(rooms, range(2, 10**9), ErrorCode.SOURCE_INVALID)
    made = await ran(room, always("sales"))
    assert (made.state, len(room.records())) == (ExportState.FAILED, 1 + 3)


async def test_a_page_over_a_limit_is_asked_for_in_smaller_ones(rooms: Rooms) -> None:
    made = await ran(failing(rooms, range(0), most=3), always("sales"))
    assert (made.state, made.rows) == (ExportState.DONE, 95)


async def test_a_page_costs_no_more_than_a_question_may(rooms: Rooms) -> None:
    text = "{ orders(first: 30) { nodes { id items(first: 10) { nodes { id } } } } }"
    made = await ran(rooms(limits=Limits(first_max=10, cost_max=40)), always("sales"), text)
    assert (made.state, made.rows) == (ExportState.DONE, 30)


async def test_keys_that_cannot_be_checked_stop_nothing_for_long(room: Room) -> None:
    def caller(looks: int) -> Principal:
        if looks in (3, 4):
            raise MetadataDatabaseUnavailable("the state does not answer")
        return HELD

    assert (await ran(room, Works(caller))).rows == 95


async def test_a_torn_line_was_never_written(room: Room) -> None:
    def caller(looks: int) -> Principal | None:
        return HELD if looks <= 7 else None

    stated = await room.stated(TEXT, Format.JSONL, "sales")
    running = room.exporting(stated, Works(caller))
    await run_export(running)
    place = room.store.folder / "e1"
    (place / "ended.json").unlink()
    with (place / "range-0001/manifest.jsonl").open("ab") as file:
        file.write(b'{"range":1,"number":3,"ro')
    made = await run_export(room.exporting(stated, always("sales")))
    ids = [int(each.split(b'"')[3]) for each in (await room.body(made)).splitlines()]
    assert (made.state, ids) == (ExportState.DONE, list(range(1, 96)))


async def test_what_is_old_is_removed(room: Room) -> None:
    """And nothing else in the folder is."""
    (room.store.folder / "notes").mkdir()
    await room.made(TEXT, Format.CSV, "sales")
    room.store.delete_before(datetime.now(UTC) - timedelta(days=1))
    assert room.store.load_plan("e1") is not None
    room.store.delete_before(datetime.now(UTC))
    assert [each.name for each in room.store.folder.iterdir()] == ["notes"]
