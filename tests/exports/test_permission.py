"""Permissions are checked again for each page, nothing is exported without them, and an end is final."""

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
from tests.exports.conftest import Exporter, FakeHost, OpenExporter, build_host

TEXT = "{ orders(first: 95) { nodes { id total customer { name } } } }"
ALLOWED = acme.caller("sales")


async def run(exporter: Exporter, host: FakeHost, text: str = TEXT, *groups: str) -> ExportSummary:
    plan = await exporter.start(text, Format.JSONL, *(groups or ("sales",)))
    return await run_export(exporter.build_run(plan, host))


def rows(exporter: Exporter) -> int:
    return sum(part.rows for part in exporter.store.list_parts("e1", 1))


LOST_ACCESS = [
    pytest.param(
        acme.caller(),
        "`Order` is for|`Query.orders` is for|`orders` is for|`id` may not be read",
        id="a group",
    ),
    pytest.param(None, "whoever started the export is deactivated, or their key is not valid any more", id="the key"),
]


@pytest.mark.parametrize(("after", "reason"), LOST_ACCESS)
async def test_access_lost_in_the_middle_ends_the_export_within_a_part(
    exporter: Exporter, after: Principal | None, reason: str
) -> None:
    summary = await run(exporter, FakeHost(lambda looks: ALLOWED if looks <= 5 else after))
    assert (summary.state, summary.files, rows(exporter)) == (ExportState.REFUSED, (), 30)
    assert any(part in (summary.reason or "") for part in reason.split("|"))
    shown = [record for record in exporter.records() if record["rows"] and record["groups"] != ["everyone", "sales"]]
    assert shown == []


async def test_a_column_denied_in_the_middle_ends_the_export(exporter: Exporter) -> None:
    """A file whose first half shows more than its second is never served."""
    held, left = acme.caller("sales", "finance"), acme.caller("sales")
    text = "{ customers(first: 35) { nodes { id creditLimit } } }"
    summary = await run(exporter, FakeHost(lambda looks: held if looks <= 3 else left), text, "sales", "finance")
    assert (summary.state, summary.reason) == (
        ExportState.REFUSED,
        "`creditLimit` may not be read any more: `Customer.creditLimit` is for finance;"
        " send `requestAccess`, or ask finance (finance@acme.example) for it",
    )


async def test_access_gained_in_the_middle_changes_no_column(exporter: Exporter) -> None:
    left, more = acme.caller("sales"), acme.caller("sales", "finance")
    summary = await run(
        exporter,
        FakeHost(lambda looks: left if looks <= 1 else more),
        "{ customers(first: 35) { nodes { id creditLimit } } }",
    )
    lines = (await exporter.read_file(summary)).splitlines()
    assert (summary.state, {line.count(b":") for line in lines}) == (ExportState.DONE, {1})


async def test_a_cancelled_export_has_no_file(exporter: Exporter) -> None:
    summary = await run(exporter, FakeHost(lambda looks: ALLOWED, cancel_after=4))
    assert (summary.state, summary.files) == (ExportState.CANCELLED, ())


async def test_an_export_is_cancelled_from_elsewhere(exporter: Exporter) -> None:
    def caller(looks: int) -> Principal:
        if looks == 4:
            cancel_export(FolderExportStore(exporter.store.folder), "e1")
        return ALLOWED

    summary = await run(exporter, FakeHost(caller))
    assert (summary.state, summary.files, rows(exporter) < 95) == (ExportState.CANCELLED, (), True)


async def test_an_end_is_final(exporter: Exporter) -> None:
    first = await run(exporter, FakeHost(lambda looks: None))
    plan = exporter.store.load_plan("e1")
    assert plan is not None
    assert await run_export(exporter.build_run(plan, build_host("sales"))) == first


@dataclass(slots=True)
class Failing:
    """A connector whose scans fail where their number is among `fails`."""

    of: Connector
    fails: range
    code: ErrorCode = ErrorCode.SOURCE_UNAVAILABLE
    most: int = 10**9
    """How many rows one scan may request."""
    reads: "count[int]" = field(default_factory=count)

    def capabilities(self, collection: str) -> Capabilities:
        return self.of.capabilities(collection)

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        if ask.collection == "orders" and next(self.reads) in self.fails:
            raise ConnectorError("`internal` is away", self.code)
        if ask.collection == "orders" and (ask.limit or 0) > self.most:
            raise ConnectorError("so many rows are over a limit", ErrorCode.LIMIT_EXCEEDED)
        async for batch in self.of.scan(ask):
            yield batch

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def failing(
    open_exporter: OpenExporter, fails: range, code: ErrorCode = ErrorCode.SOURCE_UNAVAILABLE, most: int = 10**9
) -> Exporter:
    return open_exporter({"internal": Failing(acme.sources()["internal"], fails, code, most)})


async def test_a_failed_page_is_requested_again(open_exporter: OpenExporter) -> None:
    exporter = failing(open_exporter, range(2, 5))
    summary = await run(exporter, build_host("sales"))
    ids = [int(line.split(b'"')[3]) for line in (await exporter.read_file(summary)).splitlines()]
    assert (summary.state, ids) == (ExportState.DONE, list(range(1, 96)))


async def test_a_page_that_always_fails_ends_the_export_and_says_why(open_exporter: OpenExporter) -> None:
    summary = await run(failing(open_exporter, range(2, 10**9)), build_host("sales"))
    assert (summary.state, summary.reason, summary.files) == (
        ExportState.FAILED,
        "rows are missing: `internal` is away",
        (),
    )


async def test_a_failed_branch_fails_the_export_too(open_exporter: OpenExporter) -> None:
    """The rows of the list are whole, but not those of their relationships."""
    exporter = open_exporter({"snowflake": Failing(acme.sources()["snowflake"], range(10**9)).of, "internal": _Half()})
    summary = await run(exporter, build_host("sales"))
    assert (summary.state, summary.reason) == (ExportState.FAILED, "rows are missing: `internal` has no customers now")


class _Half(Failing):
    """A connector with orders and without customers."""

    def __init__(self) -> None:
        super().__init__(acme.sources()["internal"], range(0))

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        if ask.collection == "customer":
            raise ConnectorError("`internal` has no customers now")
        async for batch in self.of.scan(ask):
            yield batch


async def test_a_permanent_error_is_not_retried(open_exporter: OpenExporter) -> None:
    exporter = failing(open_exporter, range(2, 10**9), ErrorCode.SOURCE_INVALID)
    summary = await run(exporter, build_host("sales"))
    assert (summary.state, len(exporter.records())) == (ExportState.FAILED, 1 + 3)


async def test_a_page_over_a_limit_is_requested_in_smaller_ones(open_exporter: OpenExporter) -> None:
    summary = await run(failing(open_exporter, range(0), most=3), build_host("sales"))
    assert (summary.state, summary.rows) == (ExportState.DONE, 95)


async def test_a_page_costs_no_more_than_a_query_may(open_exporter: OpenExporter) -> None:
    text = "{ orders(first: 30) { nodes { id items(first: 10) { nodes { id } } } } }"
    summary = await run(open_exporter(limits=Limits(first_max=10, cost_max=40)), build_host("sales"), text)
    assert (summary.state, summary.rows) == (ExportState.DONE, 30)


async def test_keys_that_cannot_be_checked_stop_nothing_for_long(exporter: Exporter) -> None:
    def caller(looks: int) -> Principal:
        if looks in (3, 4):
            raise MetadataDatabaseUnavailable("the state does not answer")
        return ALLOWED

    assert (await run(exporter, FakeHost(caller))).rows == 95


async def test_a_torn_line_of_a_manifest_is_ignored(exporter: Exporter) -> None:
    def caller(looks: int) -> Principal | None:
        return ALLOWED if looks <= 7 else None

    plan = await exporter.start(TEXT, Format.JSONL, "sales")
    running = exporter.build_run(plan, FakeHost(caller))
    await run_export(running)
    place = exporter.store.folder / "e1"
    (place / "ended.json").unlink()
    with (place / "range-0001/manifest.jsonl").open("ab") as file:
        file.write(b'{"range":1,"number":3,"ro')
    summary = await run_export(exporter.build_run(plan, build_host("sales")))
    ids = [int(line.split(b'"')[3]) for line in (await exporter.read_file(summary)).splitlines()]
    assert (summary.state, ids) == (ExportState.DONE, list(range(1, 96)))


async def test_old_exports_are_removed(exporter: Exporter) -> None:
    """Nothing else in the folder is removed."""
    (exporter.store.folder / "notes").mkdir()
    await exporter.export(TEXT, Format.CSV, "sales")
    exporter.store.delete_before(datetime.now(UTC) - timedelta(days=1))
    assert exporter.store.load_plan("e1") is not None
    exporter.store.delete_before(datetime.now(UTC))
    assert [path.name for path in exporter.store.folder.iterdir()] == ["notes"]
