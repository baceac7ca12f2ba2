"""An export's file and who wants it in, its bytes out: for who started it alone, judged again, on record."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from auth.caller import Caller
from engine.desk import Answer
from engine.errors import Refused
from exports.clerk import Clerk
from exports.columns import lost, rows
from exports.export import result
from exports.start import judge
from exports.words import File, State, Stated, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    file: File
    chunks: AsyncIterator[bytes]
    """Raises Stopped where a part is not what was written."""


async def download(clerk: Clerk, store: Store, caller: Caller, id: str, name: str) -> Download | None:
    """None: there is no such file, or it is not for this caller, who is told no more than that.

    The record says which fields the file shows them, and how many bytes. Where the file is not for them now, it says
    what is withheld. Where there is none, or it is another's, nothing is recorded here.
    """
    stated = store.stated(id)
    file = None if stated is None or stated.person != caller.person_id else found(store, stated, name)
    if stated is None or file is None:
        return None
    held = stated, file

    def reads(told: Answer) -> int | None:
        compiled = told.compiled
        now = () if compiled is None else rows(compiled.picks, compiled.verdicts).columns
        return held[1].bytes if now and lost(held[0].columns, now) is None else None

    try:
        await judge(clerk, caller, stated.wish, reads)
    except Refused:
        return None
    return Download(file=file, chunks=_read(store, stated, file))


def found(store: Store, stated: Stated, name: str) -> File | None:
    """The file of this name, of an export that is done."""
    ended = store.ended(stated.id)
    if ended is None or ended.state is not State.DONE:
        return None
    return next((each for each in result(store, stated).files if each.name == name), None)


async def _read(store: Store, stated: Stated, file: File) -> AsyncIterator[bytes]:
    for part in file.parts:
        async for chunk in store.read(stated.id, part):
            yield chunk
