"""Report a failing query: its seed, the smallest query that fails alike, and its world."""

from collections.abc import Iterator
from typing import Any

from onedoor.spi.spill import OpenSpillTable
from tests.properties.equality.asking import Outcome, outcome
from tests.properties.equality.draw import Question
from tests.properties.equality.question import asked
from tests.properties.equality.shrink import said, shrunk
from tests.properties.equality.world import World


async def report(one: Question, found: Outcome, scratch: OpenSpillTable) -> str:
    async def fails(smaller: Question) -> bool:
        try:
            return manner(await outcome(smaller, scratch)) == manner(found)
        except (LookupError, ValueError):  # what is left is no question
            return False

    small = await shrunk(one, fails)
    lines = [f"seed {one.seed}", *asked_of(one), "smaller:", *asked_of(small), *described(small.world)]
    return "\n".join([*lines, str((await outcome(small, scratch)).difference)])


def manner(of: Outcome) -> str | None:
    """How it fails: what stands before the colon."""
    return of.difference.partition(":")[0] if of.difference else None


def asked_of(one: Question) -> Iterator[str]:
    for fields in one.turns:
        text, variables = asked(fields)
        yield f"{text} with {variables}" if variables else text


def described(world: World) -> Iterator[str]:
    yield f"{world.in_memory} rows of a read in memory"
    for kind, rows in world.rows.items():
        yield f"{kind} in {world.sources[kind]}: {[dict(row) for row in rows]}"
        capabilities = world.cans[kind]
        promises = {name: getattr(capabilities, name) for name in said(capabilities)}
        columns = {
            name: {part: getattr(each, part) for part in said(each)} for name, each in capabilities.columns.items()
        }
        kept = promises | {name: each for name, each in columns.items() if each}
        yield from (f"    promises {name}: {plainly(each)}" for name, each in kept.items())


def plainly(promise: Any) -> str:
    match promise:
        case dict():
            return ", ".join(f"{name} {plainly(each)}" for name, each in promise.items())
        case frozenset():
            return " ".join(sorted(map(str, promise)))
        case _:
            return str(promise)
