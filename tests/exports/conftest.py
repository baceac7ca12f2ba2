"""Exports over Acme in memory: a real journal, a real folder, and work that can be told who asks now."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from onedoor.spi.connector import Connector
from tests import acme

NO_PAUSES = (0.0, 0.0, 0.0)

FORMATS = [pytest.param(each, id=each.value) for each in Format]


@dataclass(slots=True)
class Works:
    """Somebody's work: `now` tells, at each look, who holds the key; `stop`, after how many looks nobody wants it."""

    now: Callable[[int], Principal | None]
    stop: int | None = None
    looks: int = 0
    told: list[tuple[int, int | None]] = field(default_factory=list)

    async def load_principal(self) -> Principal | None:
        self.looks += 1
        return self.now(self.looks)

    def is_cancelled(self) -> bool:
        return self.stop is not None and self.looks >= self.stop

    async def report_progress(self, rows: int, total: int | None) -> None:
        self.told.append((rows, total))


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where exports are made in a test."""

    clerk: AuditedExecutor
    store: FolderExportStore
    journal: Path

    @property
    def desk(self) -> QueryEngine:
        return self.clerk.engine

    def records(self) -> list[Mapping[str, Any]]:
        return list(read_records(self.journal))

    async def stated(
        self, text: str, format: Format = Format.CSV, *groups: str, id: str = "e1", **wish: Any
    ) -> ExportPlan:
        return await start_export(
            self.clerk, self.store, acme.caller(*groups), id, ExportRequest(text=text, format=format, **wish)
        )

    def exporting(self, stated: ExportPlan, works: Works, part_rows: int = 25) -> ExportRun:
        return ExportRun(
            executor=self.clerk, store=self.store, host=works, plan=stated, part_rows=part_rows, retry_pauses=NO_PAUSES
        )

    async def made(self, text: str, format: Format = Format.CSV, *groups: str, **wish: Any) -> ExportSummary:
        stated = await self.stated(text, format, *groups, **wish)
        return await run_export(self.exporting(stated, always(*groups)))

    async def body(self, made: ExportSummary, at: int = 0) -> bytes:
        chunks = [chunk for part in made.files[at].parts async for chunk in self.store.read_part(made.id, part)]
        return b"".join(chunks)

    async def whole(self, made: ExportSummary, folder: Path) -> Sequence[Path]:
        """The files, each written as it is downloaded."""
        for at, each in enumerate(made.files):
            (folder / each.name).write_bytes(await self.body(made, at))
        return [folder / each.name for each in made.files]


def always(*groups: str) -> Works:
    caller = acme.caller(*groups)
    return Works(lambda looks: caller)


Rooms = Callable[..., Room]


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Rooms]:
    """Opens rooms; pages are of ten rows unless limits say otherwise."""
    journals: list[AuditLog] = []

    def opened(given: Mapping[str, Connector] | None = None, limits: Limits | None = None) -> Room:
        for each in ("journal", "exports"):
            (tmp_path / each).mkdir(exist_ok=True)
        journal = open_audit_log(tmp_path / "journal", datetime.now(UTC))
        journals.append(journal)
        sources = {**acme.sources(), **(given or {})}
        house = acme.house(sources, limits or Limits(first_max=10, first_default=5))
        clerk = AuditedExecutor(engine=acme.opened(house), audit_log=journal, redaction_key=b"a key of records")
        return Room(clerk=clerk, store=FolderExportStore(tmp_path / "exports"), journal=tmp_path / "journal")

    yield opened
    for each in journals:
        each.close()


@pytest.fixture
def room(rooms: Rooms) -> Room:
    return rooms()


async def by_page(room: Room, text: str, *groups: str, key: str, most: int) -> list[dict[str, Any]]:
    """The rows of a list as a client reads them: `text` takes `$first` and `$after`, and asks for the cursor."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        told = await acme.ask(room.desk, text, *groups, variables={"first": 7, "after": after})
        assert told.data is not None
        nodes = told.data[key]["nodes"]
        found += nodes
        after = told.data[key]["pageInfo"]["endCursor"]
        if len(nodes) < 7 or len(found) >= most:
            return found[:most]


def without(caller: Principal, *groups: str) -> Principal:
    return replace(caller, groups=caller.groups - set(groups))
