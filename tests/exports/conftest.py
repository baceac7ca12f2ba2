"""Export Acme's rows in memory with a real audit log, a real folder, and a host whose principal tests can change."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auth.authentication import Principal
from onedoor.audit.log import AuditLog, open_audit_log
from onedoor.audit.reader import read_records
from onedoor.exports.models import ExportPlan, ExportRequest, ExportSummary, Format
from onedoor.exports.plan import start_export
from onedoor.exports.storage import FolderExportStore
from onedoor.exports.writer import ExportRun, run_export
from onedoor.model.catalog import Limits
from onedoor.query.audited import AuditedExecutor
from onedoor.query.context import QueryEngine
from onedoor.runtime.budgets import Budgets
from onedoor.spi.connector import Connector
from tests import acme

NO_PAUSES = (0.0, 0.0, 0.0)

FORMATS = [pytest.param(item, id=item.value) for item in Format]


@dataclass(slots=True)
class FakeHost:
    """A host whose principal is `find_principal(n)` at the nth look, and that is cancelled after some looks."""

    find_principal: Callable[[int], Principal | None]
    cancel_after: int | None = None
    looks: int = 0
    progress: list[tuple[int, int | None]] = field(default_factory=list)

    async def load_principal(self) -> Principal | None:
        self.looks += 1
        return self.find_principal(self.looks)

    def is_cancelled(self) -> bool:
        return self.cancel_after is not None and self.looks >= self.cancel_after

    async def report_progress(self, rows: int, total: int | None) -> None:
        self.progress.append((rows, total))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """Exports and reads exports in a test."""

    executor: AuditedExecutor
    store: FolderExportStore
    records_folder: Path

    @property
    def engine(self) -> QueryEngine:
        return self.executor.engine

    def records(self) -> list[Mapping[str, Any]]:
        return list(read_records(self.records_folder))

    async def start(
        self, text: str, format: Format = Format.CSV, *groups: str, id: str = "e1", **options: Any
    ) -> ExportPlan:
        return await start_export(
            self.executor, self.store, acme.caller(*groups), id, ExportRequest(text=text, format=format, **options)
        )

    def build_run(self, plan: ExportPlan, host: FakeHost, part_rows: int = 25) -> ExportRun:
        return ExportRun(
            executor=self.executor, store=self.store, host=host, plan=plan, part_rows=part_rows, retry_pauses=NO_PAUSES
        )

    async def export(self, text: str, format: Format = Format.CSV, *groups: str, **options: Any) -> ExportSummary:
        plan = await self.start(text, format, *groups, **options)
        return await run_export(self.build_run(plan, build_host(*groups)))

    async def read_file(self, summary: ExportSummary, index: int = 0) -> bytes:
        chunks = [
            chunk for part in summary.files[index].parts async for chunk in self.store.read_part(summary.id, part)
        ]
        return b"".join(chunks)

    async def save_files(self, summary: ExportSummary, folder: Path) -> Sequence[Path]:
        """Write each file as it is downloaded, and return their paths."""
        for index, file in enumerate(summary.files):
            (folder / file.name).write_bytes(await self.read_file(summary, index))
        return [folder / file.name for file in summary.files]


def build_host(*groups: str) -> FakeHost:
    caller = acme.caller(*groups)
    return FakeHost(lambda looks: caller)


OpenExporter = Callable[..., Exporter]


@pytest.fixture
def open_exporter(tmp_path: Path) -> Iterator[OpenExporter]:
    """Open exporters whose pages have ten rows unless limits say otherwise."""
    audit_logs: list[AuditLog] = []

    def open_one(
        connectors: Mapping[str, Connector] | None = None, limits: Limits | None = None, budgets: Budgets | None = None
    ) -> Exporter:
        for folder in ("journal", "exports"):
            (tmp_path / folder).mkdir(exist_ok=True)
        audit_log = open_audit_log(tmp_path / "journal", datetime.now(UTC))
        audit_logs.append(audit_log)
        sources = {**acme.sources(), **(connectors or {})}
        catalog = acme.build_catalog(sources, limits or Limits(first_max=10, first_default=5))
        executor = AuditedExecutor(
            engine=acme.open_engine(catalog),
            audit_log=audit_log,
            redaction_key=b"a key of records",
            budgets=budgets or Budgets(),
        )
        return Exporter(
            executor=executor, store=FolderExportStore(tmp_path / "exports"), records_folder=tmp_path / "journal"
        )

    yield open_one
    for audit_log in audit_logs:
        audit_log.close()


@pytest.fixture
def exporter(open_exporter: OpenExporter) -> Exporter:
    return open_exporter()


async def read_pages(exporter: Exporter, text: str, *groups: str, key: str, limit: int) -> list[dict[str, Any]]:
    """Read a list page by page as a client does: `text` takes `$first` and `$after`, and requests the cursor."""
    rows: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        result = await acme.ask(exporter.engine, text, *groups, variables={"first": 7, "after": after})
        assert result.data is not None
        nodes = result.data[key]["nodes"]
        rows += nodes
        after = result.data[key]["pageInfo"]["endCursor"]
        if len(nodes) < 7 or len(rows) >= limit:
            return rows[:limit]
