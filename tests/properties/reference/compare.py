"""Run a query under all capabilities and compare the replies with that of the reference."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import orjson

from onedoor.errors import ErrorCode
from onedoor.query.context import ExecutionResult, QueryEngine
from tests.acme import ask, caller
from tests.properties.reference.capabilities import drawn, kept
from tests.properties.reference.questions import Asked
from tests.properties.reference.reference import Reply, replied
from tests.properties.reference.world import WORLDS

REAL = "real promises"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the reference said, and each difference found, named by the promise it was found under."""

    reply: Reply
    differences: Sequence[str]


async def compared(asked: Asked) -> Outcome:
    """Twice with other variables and once by another caller, all at once, under each promise."""
    first, second = asked.given(0), asked.given(1)
    turns = [(asked.groups, first), (asked.others, second), (asked.groups, second)]
    replies = [await replied(asked.world, caller(*groups), asked.document, given) for groups, given in turns]
    text = asked.text
    found = []
    for name, engine in desks(asked).items():
        answers = await asyncio.gather(*(ask(engine, text, *groups, variables=given) for groups, given in turns))
        result = [
            None
            if name == REAL and needs_keys(answer, f"{text} {given}")
            else difference(answer, reply, of=asked.world.name)
            for answer, reply, (_, given) in zip(answers, replies, turns, strict=True)
        ]
        found += [f"{name}, turn {turn}: {each}" for turn, each in enumerate(result) if each]
    return Outcome(reply=replies[0], differences=found)


def desks(asked: Asked) -> Mapping[str, QueryEngine]:
    """What is valid does not depend on promises, so the desks share what they admitted."""
    of = WORLDS[asked.world.name]
    real = kept("real", of)
    others = {"no promises": kept("nothing", of), "some promises": drawn(asked.world, Random(asked.seed))}
    return {REAL: real, **{name: replace(each, operation_cache=real.operation_cache) for name, each in others.items()}}


def needs_keys(answer: ExecutionResult, text: str) -> bool:
    """Replies are read thread by thread, permissions file by file, so the real sources cannot filter by them."""
    keyed = "replies" in text or "permissions" in text
    return {each.code for each in answer.errors} == {ErrorCode.CANNOT_ANSWER} and keyed


def difference(answer: ExecutionResult, reply: Reply, *, of: str) -> str | None:
    """Where nulls travel up, they may take along what was noted below; so there only whether any did is compared."""
    codes = {each.code for each in answer.errors}
    if answer.rejected or reply.refused:
        agree = answer.rejected and codes <= reply.refused
        return None if agree else f"refused with {sorted(codes)}, the reference with {sorted(reply.refused)}"
    if written(answer.data) != written(reply.data):
        return f"data {written(answer.data)}\n  of the reference {written(reply.data)}"
    if of == "torn":
        travelled = (ErrorCode.NULL_VALUE in codes, any(code == ErrorCode.NULL_VALUE for code, *_ in reply.errors))
        return None if travelled[0] == travelled[1] else f"a null that travelled: {travelled}"
    errors = frozenset((each.code, each.path, (each.extensions or {}).get("nulls")) for each in answer.errors)
    return (
        None if errors == reply.errors else f"errors {errors - reply.errors}, of the reference {reply.errors - errors}"
    )


def written(data: Any) -> str:
    return orjson.dumps(data).decode()
