"""Kill writers in the middle: every change that was reported is there, and `find_change` agrees with the table."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from onedoor.spi.connector import ChangeResult
from tests.connectors.writing.changes import build_creation, build_part_change, build_row, read_rows
from tests.connectors.writing.conftest import ConnectorUnderTest
from tests.connectors.writing.crashing import END

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def crashing() -> Iterator["subprocess.Popen[str]"]:
    """A process that forks the writers, as its imports take longer than all else."""
    command = [sys.executable, "-m", "tests.connectors.writing.crashing"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.communicate()


@pytest.mark.parametrize("rounds", [3, pytest.param(30, marks=pytest.mark.long)])
async def test_a_killed_writer_leaves_whole_changes_that_are_known(
    under_test: ConnectorUnderTest, crashing: "subprocess.Popen[str]", rounds: int
) -> None:
    if under_test.name == "memory":
        return
    result, done = kill_writers(crashing, under_test, rounds)
    there = {item["id"] for item in await read_rows(under_test.source)}
    parts = {item["thing_id"] for item in await read_rows(under_test.source, "part")}
    assert there == parts
    assert done <= there <= result
    for number in result:
        changes = [
            await under_test.source.find_change(item)
            for item in (
                build_creation(number, told=f"crash-{number}"),
                build_part_change(number, told=f"part-{number}"),
            )
        ]
        after = build_row(number), {"thing_id": number, "line": 1, "label": None}
        assert changes == (
            [ChangeResult(before=None, after=item) for item in after] if number in there else [None, None]
        )
    assert len({number // 10_000 for number in result}) == rounds


def kill_writers(
    crashing: "subprocess.Popen[str]", under_test: ConnectorUnderTest, rounds: int
) -> tuple[set[int], set[int]]:
    """The numbers of the changes that were begun, and of those that were told to be made."""
    assert crashing.stdin is not None
    assert crashing.stdout is not None
    print(under_test.name, under_test.place, rounds, file=crashing.stdin, flush=True)
    lines = [line.split() for line in iter(crashing.stdout.readline, f"{END}\n")]
    return {int(line[0]) for line in lines}, {int(line[0]) for line in lines if len(line) == 2}
