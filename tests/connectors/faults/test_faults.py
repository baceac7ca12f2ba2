"""A fault on the wire costs one message in time, and the connector works again as soon as the fault is gone."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from demo.run import SECRETS
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Limits
from onedoor.runtime import resilience
from onedoor.runtime.resilience import BREAKER_FAILURES, ResilientConnector
from onedoor.spi.predicates import Row
from tests.connectors.faults.opened import OPENED, Faulty
from tests.connectors.faults.refusals import ENDED, KNOWN_BY_PASSWORD, SKEWED, Said

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
LIMITS = Limits(source_seconds=0.5)
ASKS = BREAKER_FAILURES + 3
MOST_BYTES = 24 * 2**20
"""The most bytes read of one endless response, those on the wire included."""
BACK_SECONDS = 2.0
MARGIN = 2.5
"""How much longer a busy machine may take."""
TELLING = re.compile(r"127\.0\.0\.1|https?:|/srv|SECRET|Traceback|\wError\b|Exception|\.py|SELECT")
"""What no client may see: addresses, code, the server's own text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A ResilientConnector, and its rows without a fault."""

    faulty: Faulty
    guarded: ResilientConnector
    rows: list[Row]

    async def told(self) -> ConnectorError:
        """Return the error of one more scan, which must come in time."""
        async with asyncio.timeout(LIMITS.source_seconds * 2 + MARGIN):
            with pytest.raises(ConnectorError) as failure:
                await resilience.read_rows(self.guarded, self.faulty.ask)
        return failure.value


@pytest.fixture(params=OPENED)
async def standing(request: pytest.FixtureRequest) -> AsyncIterator[Standing]:
    async with OPENED[request.param](request) as faulty:
        guarded = resilience.wrap_connector(request.param, faulty.source, LIMITS, asyncio.get_running_loop().time)
        try:
            yield Standing(faulty=faulty, guarded=guarded, rows=await right(guarded, faulty))
        finally:
            await faulty.source.close()


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_costs_one_message_and_leaves_nothing_behind(standing: Standing, fault: str) -> None:
    faulty, guarded = standing.faulty, standing.guarded
    if fault in OF_HTTP and not faulty.http:
        return
    await faulty.wire.set(fault)
    made = guarded.counters["calls"]
    failures = [await standing.told() for _ in range(ASKS)]
    made, came, sent = guarded.counters["calls"] - made, faulty.wire.came, faulty.wire.sent
    await faulty.wire.set(None)

    assert {each.code for each in failures} <= FAULTS[fault]
    assert [each.reason for each in failures if TELLING.search(each.reason) or secret(each.reason)] == []
    assert came <= made + faulty.goodbyes, "the library asks again on its own"
    assert sent < MOST_BYTES * made
    if FAULTS[fault] == GONE:
        assert made <= BREAKER_FAILURES + ASKS * 0.2 + resilience.RETRY_CREDIT_MAX, "the breaker does not open"
    assert await right_again(standing) == standing.rows


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        pytest.param(name, said, id=f"{name} {fault}")
        for fault, all_said in (("ended", ENDED), ("skewed", SKEWED))
        for name, said in all_said.items()
    ],
    indirect=["standing"],
)
async def test_expired_credentials_are_named_as_such(standing: Standing, said: Said) -> None:
    """A wrong clock is named too, although the server reports it like a wrong key."""
    wire = standing.faulty.wire
    wire.says = said.answers
    await wire.set("told")
    failure = await standing.told()
    await wire.set(None)

    assert (failure.reason, failure.code) == (said.told, ErrorCode.SOURCE_UNAVAILABLE)
    assert await right_again(standing) == standing.rows


def test_every_connector_has_expiring_credentials() -> None:
    assert set(OPENED) == {*ENDED, *KNOWN_BY_PASSWORD}


def secret(text: str) -> bool:
    return any(each in text for each in SECRETS.values())


async def right_again(standing: Standing) -> list[Row]:
    return await right(standing.guarded, standing.faulty)


async def right(guarded: ResilientConnector, faulty: Faulty) -> list[Row]:
    """Return the rows as soon as a scan succeeds. Raises TimeoutError."""
    async with asyncio.timeout(BACK_SECONDS + MARGIN):
        while True:
            with suppress(ConnectorError):
                return await resilience.read_rows(guarded, faulty.ask)
            await asyncio.sleep(0.05)
