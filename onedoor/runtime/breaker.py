"""Stop calling a source that has failed: a circuit breaker that opens only where the source fails a probe, too."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from onedoor.errors import ConnectorError
from onedoor.runtime.call_context import CallContext, use_call_context

WINDOW_CALLS = 10

WINDOW_SECONDS = 10.0

BREAKER_FAILURES = 5
"""Calls that must have failed, of the last WINDOW_CALLS and within WINDOW_SECONDS, before the source is probed."""

PROBE_SECONDS = 0.5
"""How long the breaker waits between two probes."""

Clock = Callable[[], float]


@dataclass(slots=True, kw_only=True)
class CircuitBreaker:
    """The outcomes of the calls to one source.

    Calls fail for what they ask, too: whoever asks too much must not shut a source for the others. So when half of the
    last calls failed, the source is probed, and only a probe that fails opens the breaker. An open breaker lets calls
    through once a probe succeeds.
    """

    source: str
    ping: Callable[[], Awaitable[None]]
    probe_timeout: float
    """In seconds."""
    clock: Clock
    is_open: bool = False
    failed_at: deque[float | None] = field(default_factory=lambda: deque(maxlen=WINDOW_CALLS))
    """When each of the last calls failed; None: it did not."""
    probe_at: float = 0.0
    """When the next probe may be made."""
    probe: "asyncio.Task[None] | None" = None
    """The last probe, which may be under way."""

    async def check(self) -> None:
        """Raise ConnectorError while the breaker is open; of the calls that come then, one at a time makes a probe."""
        if not self.is_open:
            return
        if self.clock() >= self.probe_at:
            self._start_probe()
            assert self.probe is not None
            await asyncio.shield(self.probe)
        if self.is_open:
            raise ConnectorError(
                f"`{self.source}` is unavailable after repeated failures, and is tried again within a second"
            )

    @property
    def failures(self) -> int:
        """How many of the last calls failed, and not long ago."""
        oldest = self.clock() - WINDOW_SECONDS
        return sum(failed_at is not None and failed_at > oldest for failed_at in self.failed_at)

    def record_success(self) -> None:
        """Count a call that the source answered."""
        if self.failed_at:
            self.failed_at.append(None)

    def record_failure(self) -> None:
        """Count a call that failed, and probe the source where too many did."""
        self.failed_at.append(self.clock())
        if self.failures >= BREAKER_FAILURES and not self.is_open and self.clock() >= self.probe_at:
            self._start_probe()

    def _start_probe(self) -> None:
        self.probe_at = self.clock() + PROBE_SECONDS
        if self.probe is None or self.probe.done():
            self.probe = asyncio.ensure_future(self._probe())

    async def _probe(self) -> None:
        try:
            with use_call_context(CallContext(is_probe=True)):
                async with asyncio.timeout(self.probe_timeout):
                    await self.ping()
        except Exception:  # whatever it is, the source did not answer
            self.is_open = True
        else:
            self.is_open = False
            self.failed_at.clear()
        self.probe_at = self.clock() + PROBE_SECONDS
