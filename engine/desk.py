"""What answering works with: a question, its answer as it is filled, and the desk, which remembers between requests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLSchema, OperationDefinitionNode

from auth.caller import Caller
from auth.rules import Requirement
from engine import guard
from engine.admit import Document
from engine.bind import Window
from engine.cache.through import Cache, Reader
from engine.errors import Fault
from engine.fetch.words import Call
from engine.guard import Guard
from engine.house import House
from engine.least import Least
from engine.permit import Verdicts
from engine.plan.words import Plan
from engine.quota import READS, Quotas
from engine.render.render import Shown
from engine.select import Pick
from engine.source import Source
from engine.watch import Watching
from records.record import Changed

DOCUMENTS = 256
PLANS = 1024
VIEWS = 1000
PEOPLE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a client asks."""

    text: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """The request's own, from `extensions.onedoor`."""
    document: str | None = None
    """The digest by which the text was asked for, where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What callers with the same groups share: the requirements they meet, and the schema as they may know it."""

    met: frozenset[Requirement]
    scope: str
    """What of this is part of the key of all they read."""
    schema: GraphQLSchema
    readers: Mapping[str, Reader]
    service: Callable[[], str] | None
    """What of it a router is told, written once; None: the house is no subgraph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An operation of a document as it can be asked again."""

    document: Document
    operation: OperationDefinitionNode
    plain: Mapping[str, type] | None
    """Its variables, where they are such that their values stand for themselves."""
    shape: Any
    """Of those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a question comes to for all callers with the same permissions."""

    picks: tuple[Pick, ...]
    verdicts: Verdicts
    plan: Plan
    shown: Shown
    introspects: bool
    windows: tuple[Window, ...]
    lines: dict[Any, tuple[bytes, bytes, bytes]] = field(default_factory=dict)
    """What every record of it holds, as `engine/record.py` writes it."""


@dataclass(slots=True, kw_only=True)
class Answer:
    """What a client is told, and what the record says of it; filled stage by stage."""

    data: dict[str, Any] | None = None
    faults: Sequence[Fault] = field(default_factory=list)
    refused: bool = False
    planned: bool = False
    """Only its plan was asked for, so there is no data."""
    document: Document | None = None
    operation: OperationDefinitionNode | None = None
    compiled: Compiled | None = None
    calls: list[Call] = field(default_factory=list)
    record: str = ""
    """The id of the record it leaves."""
    extensions: dict[str, Any] = field(default_factory=dict)
    changes: list[Changed] = field(default_factory=list)
    """What was changed, as records say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A house and what it remembers between requests."""

    house: House
    guards: Mapping[str, Guard]
    personal: Callable[[Caller], Mapping[str, Source]]
    """Sources made anew for each request, of the caller alone."""
    clock: Callable[[], float]
    cache: Cache | None
    """What was read a moment ago; None: nothing is kept."""
    asked: Least[Any, Asked]
    """By text and operation."""
    plans: Least[Any, Compiled]
    views: Least[frozenset[str], View]
    """By groups held."""
    texts: Least[str, Mapping[str, Any]]
    """What records say of a document, by its text."""
    people: Least[str, tuple[Caller, bytes]]
    """What they say of a caller, by key."""
    watching: Watching = field(default_factory=Watching)


def desk(
    house: House,
    personal: Callable[[Caller], Mapping[str, Source]],
    clock: Callable[[], float],
    cache: Cache | None = None,
    quotas: Mapping[str, Quotas] | None = None,
) -> Desk:
    reads = {name: each.of(READS) for name, each in (quotas or {}).items()}
    return Desk(
        house=house,
        guards={
            name: guard.guard(name, source, house.limits, clock, reads.get(name))
            for name, source in house.sources.items()
        },
        personal=personal,
        clock=clock,
        cache=cache,
        asked=Least(DOCUMENTS),
        plans=Least(PLANS),
        views=Least(VIEWS),
        texts=Least(DOCUMENTS),
        people=Least(PEOPLE),
    )
