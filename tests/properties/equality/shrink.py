"""Shrink a failing query: take parts and rows away as long as it fails alike."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import MISSING, replace
from dataclasses import fields as dataclass_fields
from itertools import islice
from typing import Any

from onedoor.spi.capabilities import Capabilities, Column
from tests.properties.equality.draw import Question
from tests.properties.equality.question import Field
from tests.properties.equality.world import IN_MEMORY, World

TRIES = 3000

Fails = Callable[[Question], Awaitable[bool]]


async def shrink(question: Question, fails: Fails) -> Question:
    """Again and again, until nothing more can go; bounded: at most TRIES questions are asked."""
    at, shrunk = 0, False
    for _ in range(TRIES):
        smaller = next(islice(less(question), at, None), None)
        if smaller is None and not shrunk:
            break
        if smaller is None:
            at, shrunk = 0, False
        elif await fails(smaller):
            question, shrunk = smaller, True
        else:
            at += 1
    return question


def less(question: Question) -> Iterator[Question]:
    if len(question.turns) > 1:
        yield from (replace(question, turns=[turn]) for turn in question.turns)
    for turns in zip(*map(fewer, question.turns), strict=False):
        yield replace(question, turns=turns)
    for world in poorer(question.world):
        yield replace(question, world=world)


def fewer(fields: Sequence[Field]) -> Iterator[Sequence[Field]]:
    for index, field in enumerate(fields):
        before, after = fields[:index], fields[index + 1 :]
        if before or after:
            yield [*before, *after]
        yield from ([*before, one, *after] for one in simpler(field))


def simpler(of: Field) -> Iterator[Field]:
    for name in of.arguments:
        yield replace(of, arguments={item: value for item, value in of.arguments.items() if item != name})
    for name in of.spoken:
        yield replace(of, spoken={item: value for item, value in of.spoken.items() if item != name})
    for below in fewer(of.below):
        yield replace(of, below=below)
    for arguments in pruned(of.arguments):
        if len(arguments) == len(of.arguments):
            yield replace(of, arguments=arguments)


def pruned(value: Any) -> Iterator[Any]:
    """Without one of its parts, or with one of its parts pruned."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield {item: inner for item, inner in value.items() if item != name}
            yield from ({**value, name: smaller} for smaller in pruned(part))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield [*value[:index], *value[index + 1 :]]
            yield from ([*value[:index], smaller, *value[index + 1 :]] for smaller in pruned(part))


def poorer(of: World) -> Iterator[World]:
    """Without some rows, with all in memory or in one source, or with less promised."""
    for kind, rows in of.rows.items():
        for size in sorted({len(rows), len(rows) // 2, 1} - {0}, reverse=True):
            for index in range(0, len(rows), size):
                yield replace(of, rows={**of.rows, kind: [*rows[:index], *rows[index + size :]]})
    if of.in_memory != max(IN_MEMORY):
        yield replace(of, in_memory=max(IN_MEMORY))
    for kind, source in of.sources.items():
        if source != (first := next(iter(of.sources.values()))):
            yield replace(of, sources={**of.sources, kind: first})
    for kind, capabilities in of.cans.items():
        yield from (replace(of, cans={**of.cans, kind: smaller}) for smaller in weaker(capabilities))


def weaker(capabilities: Capabilities) -> Iterator[Capabilities]:
    """Promising nothing, or one thing less."""
    bare = Capabilities(columns={name: Column(column.type) for name, column in capabilities.columns.items()})
    if capabilities != bare:
        yield bare
    for name in list_capabilities(capabilities, "columns"):
        yield replace(capabilities, **{name: getattr(bare, name)})
    for name, column in capabilities.columns.items():
        if column != bare.columns[name]:
            yield replace(capabilities, columns={**capabilities.columns, name: bare.columns[name]})


def list_capabilities(of: Any, *besides: str) -> list[str]:
    """The parts of a promise that are not those of one that promises nothing."""
    return [
        field.name
        for field in dataclass_fields(of)
        if field.name not in besides and field.default is not MISSING and getattr(of, field.name) != field.default
    ]
