"""What the door needs at hand, and a question under way."""

import asyncio
import secrets
from collections import Counter as Counted
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from auth.caller import Caller
from auth.callers import Callers
from door.documents import Documents
from door.request import Head, head
from door.turnstile import Turnstile
from engine.bus import Bus, Here
from engine.desk import Answer, Desk, Question
from engine.live import Subscribe, subscribe
from engine.record import GRAPHQL
from records.journal import Journal
from records.record import RANDOM_BYTES, Outcome, record_id
from work.works import Works

AT_ONCE = 16
"""Events that are answered at once in this process."""


@dataclass(slots=True)
class Listening:
    """Who listens now. `leaving` is set once the door is told to stop."""

    streams: Counted[str] = field(default_factory=Counted)
    """Event streams, by key."""
    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    """Left while an event is answered: one event may wake all who listen."""
    leaving: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """What the door needs at hand."""

    desk: Desk
    callers: Callers
    journal: Journal
    records_key: bytes
    turnstile: Turnstile
    origins: frozenset[str] = frozenset()
    """Of the web pages that may call from a browser."""
    documents: Documents = field(default_factory=Documents)
    bus: Bus = field(default_factory=lambda: Bus(Here()))
    subscribe: Subscribe = subscribe
    listening: Listening = field(default_factory=Listening)
    works: Works | None = None


@dataclass(slots=True, kw_only=True)
class Coming:
    """One question under way, as far as it has come, or one event of a subscription."""

    id: str
    at: datetime
    began: float
    head: Head
    address: str
    caller: Caller | None = None
    question: Question | None = None
    told: Answer = field(default_factory=Answer)
    surface: str = GRAPHQL
    subscription: str | None = None
    """The id with which the subscription began that this belongs to."""
    events: int | None = None
    """How many events there were, once it has ended."""
    stopped: Outcome = Outcome.CANCELLED
    """What it comes to if it is cancelled now."""


def coming(asked: Head, address: str, **more: Any) -> Coming:
    """From now on."""
    at = datetime.now(UTC)
    id = record_id(at, secrets.token_bytes(RANDOM_BYTES))
    return Coming(id=id, at=at, began=perf_counter(), head=asked, address=address, **more)


def came(scope: Mapping[str, Any]) -> Coming:
    """A request, as its head says it."""
    return coming(head(scope), address(scope))


def address(scope: Mapping[str, Any]) -> str:
    """Where it comes from."""
    host: str = (scope.get("client") or ("",))[0]
    return host
