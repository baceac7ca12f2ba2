"""Export in forked processes, as commands on standard input say: `python tests/exports/export_process.py <folder>`.

`run <id> <format> <dies> <split> <page>` forks a process and prints its id, and `wait <process>` prints its exit code
and its memory.
"""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onedoor.audit.log import open_audit_log
from onedoor.connectors.memory import MemoryConnector
from onedoor.connectors.sql.sqlite import SqliteOptions, connect
from onedoor.exports.models import ExportRequest, ExportState, Format
from onedoor.exports.plan import RangeLimits, start_export
from onedoor.exports.storage import FolderExportStore
from onedoor.exports.writer import ExportRun, run_export
from onedoor.model.catalog import Catalog, Limits
from onedoor.query.audited import AuditedExecutor
from tests import acme
from tests.exports.conftest import build_host

PART_ROWS = 200
TEXT = "{ orders { nodes { id status total note } } }"
PAGE_ROWS = 100


def table(rows: int) -> str:
    return f"""
        CREATE TABLE orders (
            id INTEGER PRIMARY KEY, customer_id INTEGER, status TEXT NOT NULL, placed_at UTC_MICROS_INT NOT NULL,
            total MINOR_UNITS_INT NOT NULL, note TEXT
        );
        WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {rows})
        INSERT INTO orders SELECT n, n, 'PAID', n, n, CASE WHEN n % 3 THEN 'note ' || n END FROM number;
    """


async def export(catalog: Catalog, folder: Path, id: str, format: Format, range_limits: RangeLimits) -> None:
    database = await connect(SqliteOptions(path=str(folder / "database.sqlite")))
    catalog = replace(catalog, connectors={**catalog.connectors, "internal": database})
    audit_log = open_audit_log(folder / "journal", datetime.now(UTC))
    executor = AuditedExecutor(engine=acme.open_engine(catalog), audit_log=audit_log, redaction_key=b"a key of records")
    store = FolderExportStore(folder / "exports")
    plan = await start_export(
        executor, store, acme.caller("sales"), id, ExportRequest(text=TEXT, format=format), range_limits=range_limits
    )
    summary = await run_export(
        ExportRun(executor=executor, store=store, host=build_host("sales"), plan=plan, part_rows=PART_ROWS)
    )
    os._exit(0 if summary.state is ExportState.DONE else 3)


def kill_before(step: int) -> None:
    """Kill this process before the durable step of this number: an fsync, a rename, a link or a write."""
    left = [step]

    def before(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        setattr(os, name, call)

    for name in ("fsync", "rename", "link", "write"):
        before(name)


def run(catalog: Catalog, folder: Path, id: str, format: str, dies: str, split: str, page: str) -> int:
    if child := os.fork():
        return child
    if int(dies):
        kill_before(int(dies))
    limits = RangeLimits(split_rows=int(split), range_rows=20)
    paged = replace(catalog, limits=Limits(first_max=int(page)))
    asyncio.run(export(paged, folder, id, Format(format), limits))
    os._exit(4)


def wait(process: str) -> str:
    _, status, used = os.wait4(int(process), 0)
    return f"{os.waitstatus_to_exitcode(status)} {used.ru_maxrss}"


def main(folder: Path) -> None:
    catalog = acme.build_catalog({"internal": MemoryConnector({})})
    plain = {type: replace(mapping, mask={}, rows=None) for type, mapping in catalog.mappings.items()}
    catalog = replace(catalog, mappings=plain)  # the database has one table, and nothing to mask
    print("ready", flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        print(run(catalog, folder, *rest) if word == "run" else wait(*rest), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
