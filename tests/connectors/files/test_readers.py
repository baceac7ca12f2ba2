"""Decode in a process of its own: whatever the decoder does costs its file and a process, and nothing else."""

import asyncio
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from onedoor.connectors.files import reader_pool
from onedoor.connectors.files.reader_pool import DecodedFile, DecodingRequest, ReaderLimits, ReaderPool
from onedoor.connectors.files.reader_process import DecodingFailure

DECODERS = Path(__file__).with_name("decoders")
REQUEST = DecodingRequest(content=b'{"size": 9, "max_bytes": 1000}', tail=b"", max_rows=5, max_bytes=1000)
LIMITS = ReaderLimits(memory_bytes=256 * 2**20, cpu_seconds=60, seconds=60.0)
HASTY = ReaderLimits(memory_bytes=256 * 2**20, cpu_seconds=60, seconds=0.3)
FRUGAL = ReaderLimits(memory_bytes=256 * 2**20, cpu_seconds=0, seconds=60.0)
"""What it took to start counts as none of its own seconds, which are whole ones: so it has one at most."""
UNREADABLE = DecodedFile(failure=DecodingFailure.UNREADABLE)
TOO_LARGE = DecodedFile(failure=DecodingFailure.UNPACKED_TOO_LARGE)
END_SECONDS = 30.0

PARENT = """
import asyncio, os, sys
from pathlib import Path
from onedoor.connectors.files.reader_pool import DecodingRequest, ReaderLimits, ReaderPool

async def tell(pid, length):
    print(pid, flush=True)
    sys.stdin.read()

pool = ReaderPool("hostile:tell_and_spin", import_root=Path(sys.argv[1]), limits=ReaderLimits())
request = DecodingRequest(content=b'{"size": 9}', tail=b"", max_rows=1, max_bytes=1)
asyncio.run(pool.decode(request, tell))
"""

BuildPool = Callable[..., ReaderPool]


@pytest.fixture
def build_pool() -> Iterator[BuildPool]:
    pools: list[ReaderPool] = []

    def build(decoder: str, limits: ReaderLimits = LIMITS) -> ReaderPool:
        pools.append(ReaderPool(f"hostile:{decoder}", import_root=DECODERS, limits=limits))
        return pools[-1]

    yield build
    for pool in pools:
        pool.close()


async def refuse_range(start: int, length: int) -> bytes | None:
    return None


async def decode(pool: ReaderPool) -> DecodedFile:
    return await pool.decode(REQUEST, refuse_range)


async def facts(pool: ReaderPool) -> Any:
    (row,) = (await decode(pool)).rows
    return json.loads(row)


@pytest.mark.parametrize(
    ("decoder", "limits", "expected"),
    [
        pytest.param("abort", LIMITS, UNREADABLE, id="aborts"),
        pytest.param("crash", LIMITS, UNREADABLE, id="crashes"),
        pytest.param("leave", LIMITS, UNREADABLE, id="ends without a word"),
        pytest.param("raise_error", LIMITS, UNREADABLE, id="raises what it should not"),
        pytest.param("eat_memory", LIMITS, TOO_LARGE, id="eats memory"),
        pytest.param("abort_for_memory", LIMITS, TOO_LARGE, id="aborts for want of memory"),
        pytest.param("spin", FRUGAL, UNREADABLE, id="never returns, at work"),
        pytest.param("sleep", HASTY, UNREADABLE, id="never returns, asleep"),
        pytest.param("write_rows", LIMITS, UNREADABLE, id="writes endless rows"),
        pytest.param("write_flaws", LIMITS, UNREADABLE, id="writes endless flaws"),
        pytest.param("write_errors", HASTY, UNREADABLE, id="writes endless errors"),
        pytest.param("write_long_row", LIMITS, UNREADABLE, id="writes more than was asked for"),
        pytest.param("promise_long_row", LIMITS, UNREADABLE, id="promises more than was asked for"),
        pytest.param("write_no_frame", LIMITS, UNREADABLE, id="writes no frames"),
        pytest.param("write_no_text", LIMITS, UNREADABLE, id="writes no text"),
        pytest.param("ask_for_ever", LIMITS, UNREADABLE, id="asks for ever"),
        pytest.param("ask_for_too_much", LIMITS, DecodedFile(rows=('"REFUSED"',)), id="asks for bytes there are not"),
    ],
)
async def test_a_decoder_costs_no_more_than_its_file(
    build_pool: BuildPool,
    monkeypatch: pytest.MonkeyPatch,
    decoder: str,
    limits: ReaderLimits,
    expected: DecodedFile,
) -> None:
    monkeypatch.setattr(reader_pool, "MAX_RANGES", 50)
    assert await decode(build_pool(decoder, limits)) == expected


async def test_a_reader_holds_no_secrets_and_no_files_of_ours(
    build_pool: BuildPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDOOR_SECRET", "hunter2")
    told = await facts(build_pool("tell"))
    assert (sorted(told["environment"]), told["folder"], told["files"]) == (
        ["LANG", "MALLOC_ARENA_MAX", "OMP_NUM_THREADS"], "/", 3
    )  # fmt: skip


async def test_a_reader_is_kept_warm_until_it_has_decoded_enough_files(build_pool: BuildPool) -> None:
    pool = build_pool("tell", ReaderLimits(max_files=2))
    first, second, third = [(await facts(pool))["pid"] for _ in range(3)]
    assert first == second != third


async def test_a_file_at_which_a_reader_crashes_is_decoded_by_another(build_pool: BuildPool) -> None:
    pool = build_pool("crash_at_second_file")
    assert [await decode(pool) for _ in range(3)] == [DecodedFile(rows=("{}",))] * 3


async def test_a_reader_that_has_grown_is_replaced(build_pool: BuildPool) -> None:
    pool = build_pool("hoard_and_tell", ReaderLimits(max_resident_bytes=2**24))
    first, second = [(await facts(pool))["pid"] for _ in range(2)]
    assert first != second


async def test_a_reader_that_was_killed_while_idle_is_replaced(build_pool: BuildPool) -> None:
    pool = build_pool("tell")
    first = (await facts(pool))["pid"]
    pool.idle[0].process.kill()
    pool.idle[0].process.wait()
    assert (await facts(pool))["pid"] != first


async def test_no_more_readers_are_started_than_there_are_places(build_pool: BuildPool) -> None:
    pool = build_pool("tell")
    assert len({each["pid"] for each in await asyncio.gather(*(facts(pool) for _ in range(8)))}) <= 2


async def test_a_reader_whose_caller_leaves_is_ended_and_its_place_is_free(build_pool: BuildPool) -> None:
    pool, begun = build_pool("tell_and_spin"), asyncio.Queue[int]()

    async def note(start: int, length: int) -> bytes:
        begun.put_nowait(start)
        return b""

    for _ in range(3):
        task = asyncio.create_task(pool.decode(REQUEST, note))
        watch = os.pidfd_open(await begun.get())
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert select.select([watch], [], [], END_SECONDS)[0]
        os.close(watch)


def test_a_reader_ends_with_its_parent_whatever_it_does() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, DECODERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        watch = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    assert select.select([watch], [], [], END_SECONDS)[0]
    os.close(watch)
