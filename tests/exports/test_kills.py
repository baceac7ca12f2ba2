"""Whatever kills a process, and wherever, every row is in the files once and in order."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from onedoor.exports.models import ExportState
from onedoor.exports.plan import RangeLimits
from onedoor.exports.storage import FolderExportStore
from onedoor.exports.writer import summarize_export
from tests.exports.export_process import PAGE_ROWS, PART_ROWS, table

ROOT = Path(__file__).parents[2]
ROWS = 600


class ProcessForker:
    """Forks processes that export; whatever takes long is done before the fork."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/exports/export_process.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.read_reply() == "ready"

    def read_reply(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def send(self, *words: object) -> None:
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)

    def fork(self, id: str, format: str = "CSV", *, dies: int = 0, split: int = 10**9, page: int = PAGE_ROWS) -> int:
        """Fork a process that is killed before durable step `dies`, if any, and splits an export of `split` rows."""
        self.send("run", id, format, dies, split, page)
        return int(self.read_reply())

    def wait(self, process: int) -> int:
        """Return the exit code of the process, and keep its peak memory in kilobytes."""
        self.send("wait", process)
        code, self.memory = map(int, self.read_reply().split())
        return code

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessForker]:
    folder = tmp_path_factory.mktemp("forker")
    for name in ("journal", "exports"):
        (folder / name).mkdir()
    with closing(sqlite3.connect(folder / "database.sqlite")) as database:
        database.executescript(table(ROWS))
    forker = ProcessForker(folder)
    yield forker
    forker.close()


def ids(forker: ProcessForker, id: str) -> list[int]:
    """Return the ids in the file as it would be downloaded."""
    store = FolderExportStore(forker.folder / "exports")
    plan = store.load_plan(id)
    assert plan is not None
    summary = summarize_export(store, plan)
    assert (summary.state, len(summary.files)) == (ExportState.DONE, 1)
    folder = forker.folder / "exports" / id
    parts = (folder / f"range-{part.range_number:04}" / f"part-{part.number:05}" for part in summary.files[0].parts)
    head, *lines = b"".join(part.read_bytes() for part in parts).decode().splitlines()
    assert head == "id,status,total,note"
    return [int(line.split(",")[0]) for line in lines]


def test_a_kill_before_any_durable_step_loses_no_row(forker: ProcessForker) -> None:
    """There is one export for each step; a second process ends what the killed one began."""
    for dies in range(1, 1000):
        id = f"step-{dies}"
        killed = forker.wait(forker.fork(id, dies=dies))
        if killed == 0:
            break
        assert (killed, forker.wait(forker.fork(id))) == (-signal.SIGKILL, 0)
        assert ids(forker, id) == list(range(1, ROWS + 1))
    assert dies > 3 * (ROWS // PART_ROWS)


@pytest.mark.long
@pytest.mark.parametrize("kills_wanted", [10, 100])
def test_an_export_survives_kills_at_any_moment(forker: ProcessForker, kills_wanted: int) -> None:
    began = time.monotonic()
    assert forker.wait(forker.fork(f"whole-{kills_wanted}")) == 0
    usual, chance, kills, at = time.monotonic() - began, random.Random(1), 0, 0
    while kills < kills_wanted:
        at += 1
        for _ in range(5):
            process = forker.fork(f"moment-{kills_wanted}-{at}")
            time.sleep(chance.uniform(0, usual))
            os.kill(process, signal.SIGKILL)
            kills += forker.wait(process) == -signal.SIGKILL
        assert forker.wait(forker.fork(f"moment-{kills_wanted}-{at}")) == 0
        assert ids(forker, f"moment-{kills_wanted}-{at}") == list(range(1, ROWS + 1))


def test_two_processes_share_one_export(forker: ProcessForker) -> None:
    """They share it by ranges of keys; one is killed halfway, and the other exports what it leaves."""
    store = FolderExportStore(forker.folder / "exports")
    both = [forker.fork("shared", split=10) for _ in range(2)]
    while (plan := store.load_plan("shared")) is None or not store.list_parts("shared", 2):
        time.sleep(0.01)
    os.kill(both[0], signal.SIGKILL)
    assert [forker.wait(item) for item in both] == [-signal.SIGKILL, 0]
    assert len(plan.ranges) == RangeLimits().ranges_max
    assert ids(forker, "shared") == list(range(1, ROWS + 1))


def test_memory_does_not_grow_with_the_rows(forker: ProcessForker) -> None:
    """Ten times the rows take the same memory, but for what Python keeps allocated."""
    taken = []
    with closing(sqlite3.connect(forker.folder / "database.sqlite")) as database:
        try:
            for rows in (2_000, 20_000):
                database.executescript("DROP TABLE orders;" + table(rows))
                assert forker.wait(forker.fork(f"memory-{rows}", "PARQUET", page=PART_ROWS)) == 0
                taken.append(forker.memory)
        finally:
            database.executescript("DROP TABLE orders;" + table(ROWS))
    assert taken[1] - taken[0] < 40_000
