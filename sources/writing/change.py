"""A store and a change in, what came of it out: the same steps for every store that knows its files by their paths.

A version is compared by the store itself; what stood before is what was replaced, or it is looked at again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from engine.change.words import Change, Made, Unmade, Values, Verb
from engine.errors import Code, SourceFailed
from sources.writing.marks import mark
from sources.writing.words import Filed, Keeper, Outrun, Standing

TRIES = 6
PAUSE = 0.05
"""Seconds before the second of them; so much more before each that follows."""
Answer = TypeVar("Answer")


def single(changes: Sequence[Change]) -> Change:
    if len(changes) != 1:
        raise Unmade("files are changed one at a time", Code.CANNOT_ANSWER)
    return changes[0]


async def written(keeper: Keeper, filed: Filed, *, dry: bool) -> Sequence[Made]:
    """Raises Unmade, SourceFailed."""
    for turn in range(TRIES):
        await asyncio.sleep(PAUSE * turn)
        before = await surely(keeper.standing(filed.id))
        judged(filed, before)
        if dry:
            return [await foreseen(keeper, filed, before)]
        try:
            return [await made_of(keeper, filed, before)]
        except Outrun:
            continue
    raise Unmade("the file is changed by others again and again", Code.VERSION_CONFLICT)


async def surely(question: Awaitable[Answer]) -> Answer:
    """What fails before anything was told to be changed has changed nothing."""
    try:
        return await question
    except SourceFailed as failure:
        raise Unmade(failure.reason, failure.code) from failure


def judged(filed: Filed, before: Standing | None) -> None:
    if filed.verb is Verb.CREATE and before is not None:
        raise Unmade("there is a file of this name already", Code.ALREADY_EXISTS)
    if filed.verb is Verb.DELETE and before is None:
        raise Unmade("there is no such file", Code.NOT_FOUND)
    if filed.version is not None and (before is None or before.version != filed.version):
        raise Unmade("the file is at another version", Code.VERSION_CONFLICT)


async def made_of(keeper: Keeper, filed: Filed, before: Standing | None) -> Made:
    values = None if before is None else before.values
    if filed.verb is Verb.DELETE and before is not None:
        await keeper.removed(filed, before)
        return Made(before=values, after=None)
    return Made(before=values, after=await keeper.placed(filed, before))


async def foreseen(keeper: Keeper, filed: Filed, before: Standing | None) -> Made:
    """What the file would be, but for what its store alone can give; what it is a copy of must be there."""
    values = None if before is None else before.values
    if filed.verb is Verb.DELETE:
        return Made(before=values, after=None)
    size = len(filed.octets or b"")
    if filed.copy_of is not None:
        origin = await surely(keeper.standing(filed.copy_of))
        if origin is None:
            raise missing_origin()
        size = origin.values["size"]
    return Made(before=values, after={**keeper.known(filed), "size": size})


async def made(keeper: Keeper, change: Change, wished: Callable[[Change], Filed]) -> Made | None:
    """By the mark it left, of the last few changes; of a file that is deleted, by there being none."""
    try:
        id = wished(change).id
    except Unmade:
        return None
    standing = await keeper.standing(id)
    if change.verb is Verb.DELETE:
        return Made(before={"id": id}, after=None) if standing is None else None
    return None if standing is None else found(standing, mark(change.id))


def found(standing: Standing, change: str) -> Made | None:
    """What stood after a change is what stood before the next."""
    after: Values | None = standing.values
    for each in standing.marks:
        if each.change == change:
            return Made(before=at(standing, each.before), after=after)
        after = at(standing, each.before)
    return None


def at(standing: Standing, version: str | None) -> Values | None:
    return None if version is None else {"id": standing.values["id"], "version": version}


def missing_origin() -> Unmade:
    return Unmade("there is no such file as `copy_of` names", Code.NOT_FOUND)


async def after(keeper: Keeper, filed: Filed, version: str) -> Values:
    """It is made: what cannot be looked at now, or is another's by now, is told as far as it is known."""
    try:
        stands = await keeper.standing(filed.id)
    except SourceFailed:
        stands = None
    if stands is not None and stands.version == version:
        return stands.values
    known = {**keeper.known(filed), "version": version}
    return known if filed.octets is None else {**known, "size": len(filed.octets)}
