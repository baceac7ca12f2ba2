"""Time the export of a table in each format: by one process, by two, and by one that is killed halfway and goes on.

`python -m benchmarks.export --rows 1000000` prints rows, seconds, rows a second and the most memory a process took.
"""

import argparse
import asyncio
import gc
import hashlib
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from auth.authentication import Principal
from benchmarks import onedoor
from onedoor.audit.log import open_audit_log
from onedoor.connectors.memory import MemoryConnector
from onedoor.connectors.principal import build_empty_principal_connector, build_principal_connector
from onedoor.connectors.sql.sqlite import SqliteOptions, connect
from onedoor.exports.models import ExportPlan, ExportRequest, ExportState, ExportSummary, Format
from onedoor.exports.plan import start_export
from onedoor.exports.storage import FolderExportStore
from onedoor.exports.writer import ExportRun, run_export, summarize_export
from onedoor.http.server import GC_THRESHOLDS
from onedoor.model.catalog import Catalog
from onedoor.query.audited import AuditedExecutor
from onedoor.query.context import build_query_engine
from onedoor.schema.builder import build_document, build_schema_and_policy, compute_version

QUESTION = "{ customers { nodes { id name email city country segment credit createdAt } } }"
TABLE = """
    CREATE TABLE customer (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT, city TEXT NOT NULL, country TEXT NOT NULL,
        segment TEXT NOT NULL, credit MINOR_UNITS_INT, created_at UTC_MICROS_INT NOT NULL, user_id INTEGER
    );
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {rows})
    INSERT INTO customer
    SELECT n, 'Company ' || n, CASE WHEN n % 7 THEN 'invoices@company' || n || '.example' END,
        CASE n % 3 WHEN 0 THEN 'Lyon' WHEN 1 THEN 'Bergen' ELSE 'Porto' END, CASE n % 2 WHEN 0 THEN 'FR' ELSE 'NO' END,
        CASE n % 4 WHEN 0 THEN 'LARGE' ELSE 'SMALL' END, CASE WHEN n % 5 THEN n % 100000 * 100 + 25 END,
        1500000000000000 + n * 1000003, NULL
    FROM number;
"""
WHO = Principal(
    person_id="P1", first_name="Ada", last_name="Lovelace", email="ada@company.example",
    groups=frozenset({"everyone", "sales"}), grants=(), key_id="Key012345678",
    key_created=datetime.now(UTC) - timedelta(days=1), key_expires=datetime.now(UTC) + timedelta(days=1),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """One export: what the processes that worked on it took."""

    seconds: float
    megabytes: float
    """The most of one of them."""


class Works:
    """Somebody's work, who stays in their groups and never cancels."""

    async def load_principal(self) -> Principal | None:
        return WHO

    def is_cancelled(self) -> bool:
        return False

    async def report_progress(self, rows: int, total: int | None) -> None:
        return None


async def open_executor(folder: Path) -> AuditedExecutor:
    parts = onedoor.load_parts()
    schema, rules = build_schema_and_policy(parts.modules, parts.masking_groups)
    database = await connect(SqliteOptions(path=str(folder / "database.sqlite")))
    catalog = Catalog(
        schema=schema,
        policy=rules,
        mappings=parts.mappings,
        connectors={"database": database, "posts": MemoryConnector({}), "caller": build_empty_principal_connector()},
        cursor_secret=b"a secret of the benchmark",
        version=compute_version(build_document(parts.modules, parts.masking_groups)),
    )
    audit_log = open_audit_log(folder / "journal", datetime.now(UTC))
    engine = build_query_engine(
        catalog, lambda caller: {"caller": build_principal_connector(caller)}, asyncio.get_running_loop().time
    )
    return AuditedExecutor(engine=engine, audit_log=audit_log, redaction_key=b"a key of the benchmark")


async def work(folder: Path, id: str, format: Format) -> None:
    """Export in a process of its own and print the most memory it took, in megabytes."""
    executor, store = await open_executor(folder), FolderExportStore(folder / "exports")
    plan = await start_export(executor, store, WHO, id, ExportRequest(text=QUESTION, format=format))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    ended = await run_export(ExportRun(executor=executor, store=store, host=Works(), plan=plan))
    if ended.state is not ExportState.DONE:
        raise SystemExit(f"the export ended {ended.state}: {ended.reason}")
    executor.audit_log.close()
    await executor.engine.catalog.connectors["database"].close()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def run(folder: Path, id: str, format: Format, processes: int, killed: bool) -> Took:
    """`killed`: the first of them is, once half of the rows are durable, and another takes over."""
    began = time.perf_counter()
    working = [_start_export(folder, id, format) for _ in range(processes)]
    if killed:
        _half(folder, id)
        working[0].send_signal(signal.SIGKILL)
        working[0].wait()
        working[0] = _start_export(folder, id, format)
    result = [item.communicate()[0] for item in working]
    if any(item.returncode for item in working):
        raise SystemExit(1)
    return Took(seconds=time.perf_counter() - began, megabytes=max(float(item) for item in result))


def _start_export(folder: Path, id: str, format: Format) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.export", "--folder", str(folder), "--id", id, "--format", format]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _half(folder: Path, id: str) -> None:
    store = FolderExportStore(folder / "exports")
    while True:
        stated = store.load_plan(id)
        if stated is not None and rows(store, stated) * 2 >= (stated.rows or 0):
            return
        time.sleep(0.05)


def rows(store: FolderExportStore, stated: ExportPlan) -> int:
    return sum(part.rows for range_ in stated.ranges for part in store.list_parts(stated.id, range_.number))


def read_summary(folder: Path, id: str) -> ExportSummary:
    store = FolderExportStore(folder / "exports")
    stated = store.load_plan(id)
    assert stated is not None
    return summarize_export(store, stated)


def ids(folder: Path, summary: ExportSummary) -> Iterator[int]:
    """Every id in the files, in order; one part in memory at a time."""
    for file in summary.files:
        for part in (item for item in file.parts if item.rows):
            path = folder / "exports" / summary.id / f"range-{part.range_number:04}" / f"part-{part.number:05}"
            if hashlib.sha256(path.read_bytes()).hexdigest() != part.sha256:
                raise SystemExit("a part is not what was written")
            yield from _column(path, file.name, head=(part.range_number, part.number) == (1, 1))


def _column(path: Path, name: str, head: bool) -> Sequence[int]:
    if name.endswith("csv"):
        reading = pyarrow.csv.ReadOptions(autogenerate_column_names=True, skip_rows=int(head))
        result = pyarrow.csv.read_csv(path, read_options=reading)["f0"]
    elif name.endswith("jsonl"):
        result = pyarrow.json.read_json(path)["id"]
    elif name.endswith("parquet"):
        result = pyarrow.parquet.read_table(path, columns=["id"])["id"]
    else:
        result = pyarrow.ipc.open_file(path).read_all()["id"]
    whole: list[int] = pc.cast(result, "int64").to_pylist()
    return whole


def print_measurements(folder: Path, count: int, formats: Sequence[Format], processes: int) -> None:
    print("| export | rows | seconds | rows a second | peak memory |\n|---|--:|--:|--:|--:|", flush=True)
    for index, format in enumerate(formats):
        ways = [(str(format), 1, False)]
        if index == 0:
            ways.append((f"{format}, {processes} processes", processes, False))
            ways.append((f"{format}, killed halfway and taken up again", 1, True))
        for name, working, killed in ways:
            id = f"{format.lower()}-{working}-{int(killed)}"
            took = run(folder, id, format, working, killed)
            if any(a != b for a, b in zip(ids(folder, read_summary(folder, id)), range(1, count + 1), strict=True)):
                raise SystemExit("rows were lost or doubled")
            speed = f"{count / took.seconds:,.0f}"
            print(f"| {name} | {count:,} | {took.seconds:.1f} | {speed} | {took.megabytes:.0f} MB |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--format", choices=list(Format), action="append", default=[])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--id", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    formats = [Format(item) for item in chosen.format] or list(Format)
    if chosen.folder is not None:
        asyncio.run(work(chosen.folder, chosen.id, formats[0]))
        return
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        for name in ("journal", "exports"):
            (folder / name).mkdir()
        with closing(sqlite3.connect(folder / "database.sqlite")) as database:
            database.executescript("PRAGMA journal_mode = OFF;" + TABLE.format(rows=chosen.rows))
        print_measurements(folder, chosen.rows, formats, chosen.processes)


if __name__ == "__main__":
    main()
