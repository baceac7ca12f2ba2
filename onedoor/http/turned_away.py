"""Record callers that are turned away: the first requests of each, then one a second that says how many it stands for.

Whoever has no key, or too many requests, would otherwise fill the disk of the audit log as fast as they can send.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from onedoor.audit.log import AuditLogUnavailable
from onedoor.audit.record import AuditOutcome
from onedoor.http.requests import RequestContext
from onedoor.query.audited import AuditedExecutor, Conclusion

WINDOW_SECONDS = 1.0

SINGLE_RECORDS = 5
"""Requests of a caller that are recorded each by itself, before they are counted."""

CALLERS_MAX = 1_000
"""Callers that are told apart at once; more share one record."""

SITE_PREFIX = 64
"""The bits of an IPv6 address that tell who it is; the rest is the caller's to choose."""

Caller = tuple[str, AuditOutcome, int]


@dataclass(slots=True, kw_only=True)
class RepeatedRefusal:
    """What a caller was turned away with: the last request, and how many there were since the last record."""

    single_count: int = 0
    """How many were recorded each by itself, since the caller was last quiet for a second."""
    context: RequestContext
    conclusion: Conclusion
    byte_count: int
    count: int = 0


def is_turned_away(context: RequestContext, conclusion: Conclusion) -> bool:
    """Whether a request was refused for who sent it, or how many they send, and nothing of it was executed."""
    return conclusion.outcome is AuditOutcome.LIMITED or context.principal is None


def get_site(address: str) -> str:
    """Return what tells an address from those of other people."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or ip_network((parsed, SITE_PREFIX), strict=False))


class TurnedAwayRecords:
    """Writes the records of those who are turned away."""

    def __init__(self, executor: AuditedExecutor) -> None:
        self.executor = executor
        self.repeated: dict[Caller, RepeatedRefusal] = {}

    async def record(self, context: RequestContext, conclusion: Conclusion, byte_count: int) -> None:
        """Record the first requests of a caller, and count those that follow.

        Whoever is refused by a limit does not wait until the record is durable. Raises AuditLogUnavailable.
        """
        caller = self._identify(context, conclusion)
        repeated = self.repeated.get(caller)
        if repeated is None:
            repeated = RepeatedRefusal(context=context, conclusion=conclusion, byte_count=byte_count)
            self.repeated[caller] = repeated
            asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._end_window, caller)
        if repeated.single_count == SINGLE_RECORDS:
            repeated.context, repeated.conclusion, repeated.byte_count = context, conclusion, byte_count
            repeated.count += 1
            return
        repeated.single_count += 1
        if conclusion.outcome is AuditOutcome.LIMITED:
            self.executor.record_nowait(context, conclusion, byte_count)
        else:
            await self.executor.record(context, conclusion, byte_count)

    def flush(self) -> None:
        """Record what was counted."""
        for caller in list(self.repeated):
            self._record_repeated(self.repeated.pop(caller))

    def _identify(self, context: RequestContext, conclusion: Conclusion) -> Caller:
        name = get_site(context.head.address) if context.principal is None else context.principal.key_id
        caller = name, conclusion.outcome, conclusion.status
        return caller if caller in self.repeated or len(self.repeated) < CALLERS_MAX else ("", *caller[1:])

    def _end_window(self, caller: Caller) -> None:
        """Record what was counted, and count on while there is anything to count."""
        repeated = self.repeated.get(caller)
        if repeated is None:
            return
        if not repeated.count:
            del self.repeated[caller]
            return
        self._record_repeated(repeated)
        repeated.count = 0
        asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._end_window, caller)

    def _record_repeated(self, repeated: RepeatedRefusal) -> None:
        if repeated.count:
            repeated.context.count = repeated.count
            with suppress(AuditLogUnavailable):  # the log is closed: there is nothing to write to
                self.executor.record_nowait(repeated.context, repeated.conclusion, repeated.byte_count)
