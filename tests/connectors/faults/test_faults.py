"""A fault on the wire costs one message in time, and the connector works again as soon as the fault is gone."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from demo.run import SECRETS
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Limits
from onedoor.runtime import resilience
from onedoor.runtime.breaker import BREAKER_FAILURES, PROBE_SECONDS
from onedoor.runtime.resilience import ResilientConnector
from onedoor.spi.predicates import Row
from tests.connectors.faults.connectors import OPENERS, Faulty
from tests.connectors.faults.refusals import ENDED, KNOWN_BY_PASSWORD, SKEWED, CredentialRefusal

GONE = {ErrorCode.SOURCE_UNAVAILABLE}
STRANGE = {ErrorCode.SOURCE_UNAVAILABLE, ErrorCode.SOURCE_INVALID}
FAULTS = {
    "refused": GONE,
    "reset": GONE,
    "hanging": GONE,
    "slow": GONE,
    "half": STRANGE,
    "garbage": STRANGE,
    "huge": {*STRANGE, ErrorCode.LIMIT_EXCEEDED},
    "page": STRANGE,
    "schema": STRANGE,
    "401": GONE,
    "403": GONE,
    "429": {ErrorCode.SOURCE_OVERLOADED, ErrorCode.RATE_LIMITED},
    "500": GONE,
}
"""The faults, and the error codes that a client may see for each."""
OF_HTTP = frozenset({"page", "schema", "401", "403", "429", "500"})
LIMITS = Limits(source_seconds=0.3)
ASKS = BREAKER_FAILURES + 3
MOST_BYTES = 24 * 2**20
"""The most bytes read of one endless response, those on the wire included."""
BACK_SECONDS = 2.0
MARGIN = 20.0
"""How much longer a busy machine may take."""
TELLING = re.compile(r"127\.0\.0\.1|https?:|/srv|SECRET|Traceback|\wError\b|Exception|\.py|SELECT")
"""What no client may see: addresses, code, the server's own text."""


@dataclass(slots=True)
class MovableClock:
    """The loop's clock, which a test moves on so that nobody waits for the next probe of a source."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorUnderFault:
    """A ResilientConnector, and its rows without a fault."""

    faulty: Faulty
    guarded: ResilientConnector
    clock: "MovableClock"
    rows: list[Row]

    async def read_error(self) -> ConnectorError:
        """Return the error of one more scan, which must come in time, once a probe that it led to has ended."""
        async with asyncio.timeout(LIMITS.source_seconds * 2 + MARGIN):
            with pytest.raises(ConnectorError) as failure:
                await resilience.read_rows(self.guarded, self.faulty.ask)
        if self.guarded.breaker.probe is not None:
            await asyncio.wait([self.guarded.breaker.probe])
        return failure.value


@pytest.fixture(params=OPENERS)
async def connector(request: pytest.FixtureRequest) -> AsyncIterator[ConnectorUnderFault]:
    async with OPENERS[request.param](request) as faulty:
        clock = MovableClock()
        guarded = resilience.wrap_connector(request.param, faulty.source, LIMITS, clock)
        try:
            rows = await right(guarded, faulty, clock)
            yield ConnectorUnderFault(faulty=faulty, guarded=guarded, clock=clock, rows=rows)
        finally:
            await faulty.source.close()


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_costs_one_message_and_leaves_nothing_behind(connector: ConnectorUnderFault, fault: str) -> None:
    faulty, guarded = connector.faulty, connector.guarded
    if fault in OF_HTTP and not faulty.http:
        return
    await faulty.wire.set(fault)
    calls, pings = guarded.counters["calls"], count_pings(guarded)
    failures = [await connector.read_error() for _ in range(ASKS)]
    calls, came, sent = guarded.counters["calls"] - calls, faulty.wire.came, faulty.wire.sent
    await faulty.wire.set(None)

    assert {failure.code for failure in failures} <= FAULTS[fault]
    assert [failure.reason for failure in failures if TELLING.search(failure.reason) or secret(failure.reason)] == []
    assert came <= calls + pings.total() + faulty.goodbyes, "the library asks again on its own"
    assert sent < MOST_BYTES * (calls + pings.total()) or not faulty.bounds_bytes
    if FAULTS[fault] == GONE:
        assert calls <= BREAKER_FAILURES + ASKS * 0.2 + resilience.RETRY_CREDIT_MAX, "the breaker does not open"
    assert await right_again(connector) == connector.rows


@pytest.mark.parametrize(
    ("connector", "refusal"),
    [
        pytest.param(name, refusal, id=f"{name} {fault}")
        for fault, refusals in (("ended", ENDED), ("skewed", SKEWED))
        for name, refusal in refusals.items()
    ],
    indirect=["connector"],
)
async def test_expired_credentials_are_named_as_such(
    connector: ConnectorUnderFault, refusal: CredentialRefusal
) -> None:
    """A wrong clock is named too, although the server reports it like a wrong key."""
    wire = connector.faulty.wire
    wire.says = refusal.answers
    await wire.set("scripted")
    failure = await connector.read_error()
    await wire.set(None)

    assert (failure.reason, failure.code) == (refusal.message, ErrorCode.SOURCE_UNAVAILABLE)
    assert await right_again(connector) == connector.rows


def test_every_connector_has_expiring_credentials() -> None:
    assert set(OPENERS) == {*ENDED, *KNOWN_BY_PASSWORD}


def count_pings(guarded: ResilientConnector) -> Counter[str]:
    """Count the pings of the breaker from now on."""
    pings, ping = Counter[str](), guarded.breaker.ping

    async def count_and_ping() -> None:
        pings["it"] += 1
        await ping()

    guarded.breaker.ping = count_and_ping
    return pings


def secret(text: str) -> bool:
    return any(item in text for item in SECRETS.values())


async def right_again(connector: ConnectorUnderFault) -> list[Row]:
    return await right(connector.guarded, connector.faulty, connector.clock)


async def right(guarded: ResilientConnector, faulty: Faulty, clock: MovableClock) -> list[Row]:
    """Return the rows as soon as a scan succeeds. Raises TimeoutError."""
    async with asyncio.timeout(BACK_SECONDS + MARGIN):
        while True:
            with suppress(ConnectorError):
                return await resilience.read_rows(guarded, faulty.ask)
            clock.ahead += PROBE_SECONDS
            await asyncio.sleep(0)
