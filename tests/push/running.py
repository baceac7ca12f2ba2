"""A source and limits in, a request's fetch under way out, with nothing to bind."""

from engine import guard
from engine.bind import Bound
from engine.cache.through import Reader
from engine.fetch.words import Fetching
from engine.house import Limits
from engine.source import Source


def running(name: str, source: Source, limits: Limits) -> Fetching:
    return Fetching(
        guards={name: Reader(guard=guard.guard(name, source, limits, lambda: 0.0))},
        values=Bound(variables={}, cursors={}, sealing={}),
        calls=[],
        limits=limits,
    )
