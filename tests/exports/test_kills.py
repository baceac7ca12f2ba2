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
from tests.exports.working import PART_ROWS, table

ROOT = Path(__file__).parents[2]
ROWS = 600


class Nursery:
    """Forks a process that exports, as often as it is told to; what takes long stands before the fork."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/exports/working.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.told() == "ready"

    def told(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, *words: object) -> None:
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)

    def begun(self, id: str, format: str = "CSV", dies: int = 0, split: int = 10**9) -> int:
        """The process id; `dies` before the durable step of this number, `split`: how many rows are split in ranges."""
        self.say("run", id, format, dies, split)
        return int(self.told())

    def ended(self, process: int) -> int:
        """How the process ended, and the most memory it took, in kilobytes."""
        self.say("wait", process)
        code, self.memory = map(int, self.told().split())
        return code

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    folder = tmp_path_factory.mktemp("nursery")
    for each in ("journal", "exports"):
        (folder / each).mkdir()
    with closing(sqlite3.connect(folder / "database.sqlite")) as database:
        database.executescript(table(ROWS))
    made = Nursery(folder)
    yield made
    made.close()


def ids(nursery: Nursery, id: str) -> list[int]:
    """Those in the file, as it would be downloaded."""
    store = FolderExportStore(nursery.folder / "exports")
    stated = store.load_plan(id)
    assert stated is not None
    made = summarize_export(store, stated)
    assert (made.state, len(made.files)) == (ExportState.DONE, 1)
    place = nursery.folder / "exports" / id
    parts = (place / f"range-{each.range_number:04}" / f"part-{each.number:05}" for each in made.files[0].parts)
    head, *lines = b"".join(each.read_bytes() for each in parts).decode().splitlines()
    assert head == "id,status,total,note"
    return [int(each.split(",")[0]) for each in lines]


def test_a_process_may_be_killed_before_any_durable_step(nursery: Nursery) -> None:
    """One export for each step; another process ends what the killed one began."""
    for dies in range(1, 1000):
        id = f"step-{dies}"
        killed = nursery.ended(nursery.begun(id, dies=dies))
        if killed == 0:
            break
        assert (killed, nursery.ended(nursery.begun(id))) == (-signal.SIGKILL, 0)
        assert ids(nursery, id) == list(range(1, ROWS + 1))
    assert dies > 3 * (ROWS // PART_ROWS)


@pytest.mark.long
@pytest.mark.parametrize("kills_wanted", [10, 100])
def test_an_export_survives_kills_at_any_moment(nursery: Nursery, kills_wanted: int) -> None:
    began = time.monotonic()
    assert nursery.ended(nursery.begun(f"whole-{kills_wanted}")) == 0
    usual, chance, kills, at = time.monotonic() - began, random.Random(1), 0, 0
    while kills < kills_wanted:
        at += 1
        for _ in range(5):
            process = nursery.begun(f"moment-{kills_wanted}-{at}")
            time.sleep(chance.uniform(0, usual))
            os.kill(process, signal.SIGKILL)
            kills += nursery.ended(process) == -signal.SIGKILL
        assert nursery.ended(nursery.begun(f"moment-{kills_wanted}-{at}")) == 0
        assert ids(nursery, f"moment-{kills_wanted}-{at}") == list(range(1, ROWS + 1))


def test_two_processes_share_one_export(nursery: Nursery) -> None:
    """By ranges of keys; one of them is killed halfway, and the other does what it leaves."""
    store = FolderExportStore(nursery.folder / "exports")
    both = [nursery.begun("shared", split=10) for _ in range(2)]
    while (stated := store.load_plan("shared")) is None or not store.list_parts("shared", 2):
        time.sleep(0.01)
    os.kill(both[0], signal.SIGKILL)
    assert [nursery.ended(each) for each in both] == [-signal.SIGKILL, 0]
    assert len(stated.ranges) == RangeLimits().ranges_max
    assert ids(nursery, "shared") == list(range(1, ROWS + 1))


def test_memory_does_not_grow_with_the_rows(nursery: Nursery) -> None:
    """Ten times the rows, the same memory, but for what Python keeps at hand."""
    taken = []
    for rows in (2_000, 20_000):
        with closing(sqlite3.connect(nursery.folder / "database.sqlite")) as database:
            database.executescript("DROP TABLE orders;" + table(rows))
        assert nursery.ended(nursery.begun(f"memory-{rows}", "PARQUET")) == 0
        taken.append(nursery.memory)
    assert taken[1] - taken[0] < 40_000
