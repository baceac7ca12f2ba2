"""Report a failing query: its seed, the smallest query that fails alike, and its world."""

from collections.abc import Iterator
from typing import Any

from onedoor.spi.spill import OpenSpillTable
from tests.properties.equality.draw import Question
from tests.properties.equality.execution import Outcome, outcome
from tests.properties.equality.question import build_document
from tests.properties.equality.shrink import list_capabilities, shrink
from tests.properties.equality.world import World


async def report(question: Question, failing: Outcome, scratch: OpenSpillTable) -> str:
    async def fails(smaller: Question) -> bool:
        try:
            return manner(await outcome(smaller, scratch)) == manner(failing)
        except (LookupError, ValueError):  # what is left is no question
            return False

    small = await shrink(question, fails)
    lines = [f"seed {question.seed}", *asked_of(question), "smaller:", *asked_of(small), *described(small.world)]
    return "\n".join([*lines, str((await outcome(small, scratch)).difference)])


def manner(of: Outcome) -> str | None:
    """How it fails: what stands before the colon."""
    return of.difference.partition(":")[0] if of.difference else None


def asked_of(question: Question) -> Iterator[str]:
    for fields in question.turns:
        text, variables = build_document(fields)
        yield f"{text} with {variables}" if variables else text


def described(world: World) -> Iterator[str]:
    yield f"{world.in_memory} rows of a read in memory"
    for kind, rows in world.rows.items():
        yield f"{kind} in {world.sources[kind]}: {[dict(row) for row in rows]}"
        capabilities = world.cans[kind]
        promises = {name: getattr(capabilities, name) for name in list_capabilities(capabilities)}
        columns = {
            name: {part: getattr(column, part) for part in list_capabilities(column)}
            for name, column in capabilities.columns.items()
        }
        declared = promises | {name: column for name, column in columns.items() if column}
        yield from (f"    promises {name}: {plainly(item)}" for name, item in declared.items())


def plainly(promise: Any) -> str:
    match promise:
        case dict():
            return ", ".join(f"{name} {plainly(item)}" for name, item in promise.items())
        case frozenset():
            return " ".join(sorted(map(str, promise)))
        case _:
            return str(promise)
