"""`python tests/exports/working.py <folder>`: told on standard input what to export, each in a process of its own.

`run <id> <format> <dies> <split>` forks one and tells its id; `wait <process>` tells how it ended and its memory.
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
from tests.exports.conftest import always

PART_ROWS = 200
TEXT = "{ orders { nodes { id status total note } } }"
LIMITS = Limits(first_max=100)


def table(rows: int) -> str:
    return f"""
        CREATE TABLE orders (
            id INTEGER PRIMARY KEY, customer_id INTEGER, status TEXT NOT NULL, placed_at UTC_MICROS_INT NOT NULL,
            total MINOR_UNITS_INT NOT NULL, note TEXT
        );
        WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {rows})
        INSERT INTO orders SELECT n, n, 'PAID', n, n, CASE WHEN n % 3 THEN 'note ' || n END FROM number;
    """


async def work(house: Catalog, folder: Path, id: str, format: Format, range_limits: RangeLimits) -> None:
    database = await connect(SqliteOptions(path=str(folder / "database.sqlite")))
    house = replace(house, connectors={**house.connectors, "internal": database})
    journal = open_audit_log(folder / "journal", datetime.now(UTC))
    clerk = AuditedExecutor(engine=acme.opened(house), audit_log=journal, redaction_key=b"a key of records")
    store = FolderExportStore(folder / "exports")
    stated = await start_export(
        clerk, store, acme.caller("sales"), id, ExportRequest(text=TEXT, format=format), range_limits=range_limits
    )
    made = await run_export(
        ExportRun(executor=clerk, store=store, host=always("sales"), plan=stated, part_rows=PART_ROWS)
    )
    os._exit(0 if made.state is ExportState.DONE else 3)


def dying(step: int) -> None:
    """Kills this process before the durable step of this number: a sync, a rename, a link, a line."""
    left = [step]

    def before(name: str) -> None:
        real = getattr(os, name)

        def act(*given: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **more)

        setattr(os, name, act)

    for name in ("fsync", "rename", "link", "write"):
        before(name)


def run(house: Catalog, folder: Path, id: str, format: str, dies: str, split: str) -> int:
    if child := os.fork():
        return child
    if int(dies):
        dying(int(dies))
    limits = RangeLimits(split_rows=int(split), range_rows=20)
    asyncio.run(work(house, folder, id, Format(format), limits))
    os._exit(4)


def wait(process: str) -> str:
    _, status, used = os.wait4(int(process), 0)
    return f"{os.waitstatus_to_exitcode(status)} {used.ru_maxrss}"


def main(folder: Path) -> None:
    house = acme.house({"internal": MemoryConnector({})}, LIMITS)
    print("ready", flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        print(run(house, folder, *rest) if word == "run" else wait(*rest), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
