"""Writers that are killed in the middle: what was told to have been made is there, and `made` agrees with the table."""

import asyncio
import os
import sys
from pathlib import Path

from onedoor.spi.connector import ChangeResult
from tests.connectors.writing.changes import created, part, row, rows
from tests.connectors.writing.conftest import Under

ROUNDS = 20
ROOT = Path(__file__).parents[3]


async def test_a_killed_writer_leaves_whole_changes_that_are_known(under: Under) -> None:
    if under.name == "memory":
        return
    told, done = await killed(under)
    there = {each["id"] for each in await rows(under.source)}
    parts = {each["thing_id"] for each in await rows(under.source, "part")}
    assert there == parts
    assert done <= there <= told
    for number in told:
        made = [
            await under.source.find_change(each)
            for each in (created(number, told=f"crash-{number}"), part(number, told=f"part-{number}"))
        ]
        after = row(number), {"thing_id": number, "line": 1, "label": None}
        assert made == ([ChangeResult(before=None, after=each) for each in after] if number in there else [None, None])
    assert len({number // 10_000 for number in told}) == ROUNDS


async def killed(under: Under) -> tuple[set[int], set[int]]:
    """The numbers of the changes that were begun, and of those that were told to be made."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.connectors.writing.crashing", under.name, under.place, str(ROUNDS), cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    out, _ = await child.communicate()
    assert child.returncode == 0
    lines = [line.split() for line in out.decode().splitlines()]
    return {int(line[0]) for line in lines}, {int(line[0]) for line in lines if len(line) == 2}
