"""Limits in, an Acme out whose sources promise nothing and give their rows in batches, so that much outgrows memory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from engine.desk import Desk
from engine.house import House, Limits
from engine.source import Source
from engine.words import Ask, Can, Row
from sources.scratch.scratch import Scratches
from tests import acme

BATCH = 100
PATIENT = Limits(request_seconds=60, source_seconds=60, cost_max=10**9)
Between = Callable[[Ask, int], Awaitable[None]]


async def at_once(ask: Ask, number: int) -> None:
    """Nothing lies between one batch and the next."""


@dataclass(frozen=True, slots=True)
class Batches:
    """The same rows a few at a time; `between` is told the number of each batch before it is given."""

    of: Source
    between: Between = at_once

    def can(self, collection: str) -> Can:
        return self.of.can(collection)

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        async for rows in self.of.read(ask):
            for number, start in enumerate(range(0, len(rows), BATCH)):
                await self.between(ask, number)
                yield rows[start : start + BATCH]

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def bare(limits: Limits, between: Between = at_once) -> Desk:
    """A door behind which all steps are ours."""
    sources = {name: Batches(acme.promising_nothing(each), between) for name, each in acme.sources().items()}
    inside = {**built().sources, **sources, "slack": acme.sources()["slack"]}
    return acme.opened(replace(built(), sources=inside, limits=limits, scratch=Scratches(limits)))


def promising() -> Desk:
    """The door behind which the sources do all they can."""
    return acme.opened(built())


@cache
def built() -> House:
    return acme.house()
