"""A stated export in, its parts out, range by range; begun anywhere, it goes on from what the manifests name.

Any number of processes may run the same export: each range is done by one of them at a time.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from exports.clerk import Clerk
from exports.files import files
from exports.folder import digest
from exports.pages import Pages, pages
from exports.words import Ending, Format, Part, Range, Result, State, Stated, Stopped, Store, Work

PART_ROWS = 100_000
PART_BYTES = 64 * 2**20
"""Where a part ends: at whichever comes first. A process that dies loses no more work than this."""
OTHERS_SECONDS = 0.2
"""How often who has no range left looks what became of those of others."""


class Writer(Protocol):
    """Writes one part."""

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """About how many bytes the part has now."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporting:
    """One export, as one process runs it."""

    clerk: Clerk
    store: Store
    work: Work
    stated: Stated
    part_rows: int = PART_ROWS


async def export(run: Exporting) -> Result:
    """Returns when it has ended, by this process or by another."""
    id, store = run.stated.id, run.store
    try:
        while store.ended(id) is None:
            if not await _some_range(run):
                if all(_done(store.parts(id, each.number)) for each in run.stated.ranges):
                    store.end(id, Ending(state=State.DONE))
                else:
                    await _others(run)
    except Stopped as stopped:
        store.end(id, Ending(state=stopped.state, reason=stopped.reason))
    return result(run.store, run.stated)


def cancel(store: Store, id: str) -> Ending:
    """Whoever runs it stops at the next page; what was written stays unread."""
    return store.end(id, Ending(state=State.CANCELLED, reason="it was cancelled"))


def result(store: Store, stated: Stated) -> Result:
    """Of an export that ended."""
    ending = store.ended(stated.id)
    assert ending is not None
    parts = [part for each in stated.ranges for part in store.parts(stated.id, each.number)]
    return Result(
        id=stated.id,
        state=ending.state,
        reason=ending.reason,
        rows=sum(each.rows for each in parts),
        files=files(stated, parts) if ending.state is State.DONE else (),
        left_out=stated.left_out,
    )


def _done(parts: Sequence[Part]) -> bool:
    return bool(parts) and parts[-1].last


async def _some_range(run: Exporting) -> bool:
    """Does the first range that nobody does; False: there is none."""
    for each in run.stated.ranges:
        if _done(run.store.parts(run.stated.id, each.number)):
            continue
        with run.store.claim(run.stated.id, each.number) as ours:
            if ours and not _done(run.store.parts(run.stated.id, each.number)):
                await _range(run, each)
                return True
    return False


async def _others(run: Exporting) -> None:
    if run.work.cancelled():
        raise Stopped(State.CANCELLED, "it was cancelled")
    await asyncio.sleep(OTHERS_SECONDS)


async def _range(run: Exporting, of: Range) -> None:
    """From where its manifest ends to its last row, or until the export has ended elsewhere."""
    id, store = run.stated.id, run.store
    await asyncio.to_thread(store.sweep, id, of.number)
    parts = list(store.parts(id, of.number))
    asking = pages(run.clerk, run.work, run.stated)
    try:
        await _parts(run, of, asking, parts)
    finally:
        await asking.close()


async def _parts(run: Exporting, of: Range, asking: Pages, parts: list[Part]) -> None:
    while not _done(parts):
        part = await _part(run, of, asking, parts)
        if part is None:
            return
        parts.append(part)
        done = (each.rows for every in run.stated.ranges for each in run.store.parts(run.stated.id, every.number))
        await run.work.progress(sum(done), run.stated.rows)


async def _part(run: Exporting, of: Range, asking: Pages, before: Sequence[Part]) -> Part | None:
    """The next part, durable; None where the export has ended meanwhile.

    While a page is written the next is asked for, be it of the next part.
    """
    number, place = len(before) + 1, run.store.fresh(run.stated.id, of.number)
    after = before[-1].cursor if before else of.after
    left = None if asking.paged.total is None else asking.paged.total - sum(each.rows for each in before)
    writer = await asyncio.to_thread(_opened, place, run.stated, (of.number, number) == (1, 1))
    written, rows, last = 0, 0, False
    try:
        while not last and rows < run.part_rows and written < PART_BYTES:
            if _stopped(run):
                return None
            page = await asking.next((of, after, left))
            after, rows, left = page.cursor, rows + len(page.rows), None if left is None else left - len(page.rows)
            last = page.last or left == 0
            if not last:
                asking.ahead((of, after, left))
            written = await asyncio.to_thread(writer.write, page.rows)
    finally:
        await asyncio.to_thread(writer.close)
    told = {"range": of.number, "number": number, "rows": rows, "cursor": after, "last": last}
    return await asyncio.to_thread(partial(_kept, run, place, **told))


def _stopped(run: Exporting) -> bool:
    """Whether it has ended meanwhile, by another process; raises Stopped where nobody wants it."""
    if run.work.cancelled():
        raise Stopped(State.CANCELLED, "it was cancelled")
    return run.store.ended(run.stated.id) is not None


def _kept(run: Exporting, place: Path, **told: Any) -> Part:
    part = Part(bytes=place.stat().st_size, sha256=digest(place), **told)
    run.store.keep(run.stated.id, part, place)
    return part


WRITERS: Mapping[Format, str] = {
    Format.CSV: "exports.formats.csv",
    Format.JSONL: "exports.formats.jsonl",
    Format.PARQUET: "exports.formats.table",
    Format.ARROW: "exports.formats.table",
}
"""Imported when a format is first written: not every door has what its libraries take."""


def _opened(path: Path, stated: Stated, head: bool) -> Writer:
    format = stated.wish.format
    made: Callable[..., Writer] = import_module(WRITERS[format]).Writer
    return made(path, stated.columns, head, format)
