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
from tests.properties.reference.capabilities import draw_engine, get_engine
from tests.properties.reference.questions import DrawnQuestion
from tests.properties.reference.reference import Reply, compute_reply
from tests.properties.reference.world import WORLDS

REAL = "real promises"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the reference said, and each difference found, named by the promise it was found under."""

    reply: Reply
    differences: Sequence[str]


async def compare(question: DrawnQuestion) -> Outcome:
    """Twice with other variables under each promise, and under one of them by another caller, all at once."""
    first, second = question.given(0), question.given(1)
    all_turns = [(question.groups, first), (question.groups, second), (question.others, second)]
    replies = [
        await compute_reply(question.world, caller(*groups), question.document, given) for groups, given in all_turns
    ]
    text = question.text
    results = []
    engines = list_engines(question)
    shared = Random(question.seed).choice(list(engines))
    for name, engine in engines.items():
        turns = all_turns if name == shared else all_turns[:2]
        answers = await asyncio.gather(*(ask(engine, text, *groups, variables=given) for groups, given in turns))
        result = [
            None
            if name == REAL and needs_keys(answer, f"{text} {given}")
            else difference(answer, reply, of=question.world.name)
            for answer, reply, (_, given) in zip(answers, replies, turns, strict=False)
        ]
        results += [f"{name}, turn {turn}: {item}" for turn, item in enumerate(result) if item]
    return Outcome(reply=replies[0], differences=results)


def list_engines(question: DrawnQuestion) -> Mapping[str, QueryEngine]:
    """Validity does not depend on capabilities, so the engines share their validated operations."""
    of = WORLDS[question.world.name]
    real = get_engine("real", of)
    others = {
        "no promises": get_engine("nothing", of),
        "some promises": draw_engine(question.world, Random(question.seed)),
    }
    return {
        REAL: real,
        **{name: replace(other, document_cache=real.document_cache) for name, other in others.items()},
    }


def needs_keys(answer: ExecutionResult, text: str) -> bool:
    """Replies are read thread by thread, permissions file by file, so the real sources cannot filter by them."""
    keyed = "replies" in text or "permissions" in text
    return {error.code for error in answer.errors} == {ErrorCode.CANNOT_ANSWER} and keyed


def difference(answer: ExecutionResult, reply: Reply, *, of: str) -> str | None:
    """Where nulls travel up, they may take along what was noted below; so there only whether any did is compared."""
    codes = {error.code for error in answer.errors}
    if answer.rejected or reply.refused:
        agree = answer.rejected and codes <= reply.refused
        return None if agree else f"refused with {sorted(codes)}, the reference with {sorted(reply.refused)}"
    if to_json(answer.data) != to_json(reply.data):
        return f"data {to_json(answer.data)}\n  of the reference {to_json(reply.data)}"
    if of == "torn":
        travelled = (ErrorCode.NULL_VALUE in codes, any(code == ErrorCode.NULL_VALUE for code, *_ in reply.errors))
        return None if travelled[0] == travelled[1] else f"a null that travelled: {travelled}"
    errors = frozenset((error.code, error.path, (error.extensions or {}).get("nulls")) for error in answer.errors)
    return (
        None if errors == reply.errors else f"errors {errors - reply.errors}, of the reference {reply.errors - errors}"
    )


def to_json(data: Any) -> str:
    return orjson.dumps(data).decode()
