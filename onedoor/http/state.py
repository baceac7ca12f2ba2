"""Hold what every request of this process needs: the executor, keys, limits, documents and open streams."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auth.authentication import Authenticator
from onedoor.exports.models import ExportStore
from onedoor.http.health import HealthCheck
from onedoor.http.key_watch import KeyWatch
from onedoor.http.persisted_documents import PersistedDocuments
from onedoor.http.rate_limit import RateLimiter
from onedoor.http.turned_away import TurnedAwayRecords
from onedoor.jobs.worker import JobRuntime
from onedoor.model.catalog import Limits
from onedoor.query.audited import AuditedExecutor
from onedoor.query.context import QueryEngine
from onedoor.query.subscriptions import SubscribeFunction, subscribe
from onedoor.runtime.fair_slots import FairSlots
from onedoor.runtime.pubsub import InMemoryEventStore, PubSub

if TYPE_CHECKING:
    from onedoor.http.scim import ScimEndpoint
    from onedoor.http.sign_in import SignInEndpoint

LIFESPAN_KEY = "onedoor"
"""Where LifespanState is in the state of the ASGI lifespan, which also a wrapped app passes on."""

CONCURRENT_EVENTS_MAX = 16
"""Events of subscriptions that are executed at once in this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifespanState:
    """What the server asks of the app outside any request."""

    leave: Callable[[], None]
    """Ends the subscriptions, which would hold a server up that stops."""
    allowed_origins: frozenset[str]
    """Origins of the web pages that may read what the server answers before there is a request."""


@dataclass(slots=True)
class ActiveStreams:
    """Count the subscriptions that are open, and tell them when the server stops."""

    count_by_key: Counter[str] = field(default_factory=Counter)
    """Event streams, by id of the key."""
    event_slots: FairSlots = field(default_factory=lambda: FairSlots(CONCURRENT_EVENTS_MAX))
    """Held while an event is executed, by turns of the subscribers: one event may wake all of them."""
    shutting_down: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """The state of an open app."""

    executor: AuditedExecutor
    authenticator: Authenticator
    rate_limiter: RateLimiter
    allowed_origins: frozenset[str] = frozenset()
    """Origins of the web pages that may call from a browser."""
    documents: PersistedDocuments = field(default_factory=PersistedDocuments)
    pubsub: PubSub = field(default_factory=lambda: PubSub(InMemoryEventStore()))
    subscribe: SubscribeFunction = subscribe
    active_streams: ActiveStreams = field(default_factory=ActiveStreams)
    job_runtime: JobRuntime | None = None
    health: HealthCheck = field(default_factory=lambda: HealthCheck({}))
    export_store: ExportStore | None = None
    """The files of exports; None: there are none to download."""
    scim: "ScimEndpoint | None" = None
    """Serves the directory that pushes; None: none does."""
    sign_in: "SignInEndpoint | None" = None
    """Signs people in; None: no provider is configured."""

    turned_away: TurnedAwayRecords = field(init=False)
    """The records of those who have no key, or too many requests."""
    key_watch: KeyWatch = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "turned_away", TurnedAwayRecords(self.executor))
        object.__setattr__(self, "key_watch", KeyWatch(self.authenticator.find_ended))

    @property
    def engine(self) -> QueryEngine:
        return self.executor.engine

    @property
    def limits(self) -> Limits:
        return self.executor.engine.catalog.limits
