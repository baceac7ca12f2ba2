"""Timeout, circuit breaker and bulkhead bound writes as they bound reads, and no write is ever retried."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Limits
from onedoor.runtime import resilience
from onedoor.runtime.breaker import BREAKER_FAILURES
from onedoor.runtime.resilience import ResilientConnector, wrap_connector
from onedoor.spi.connector import ChangeKind, ChangeRejected, RowChange
from tests.mutations import bank
from tests.mutations.bank import Bank, Board, Fault, Faulty

CHANGE = RowChange(id="c", collection="account", kind=ChangeKind.CREATE, values={"name": "Ada"})


@pytest.fixture
def resilient_bank(tmp_path: Path) -> ResilientConnector:
    return wrap_connector(
        "it", Faulty(Bank(tmp_path / "bank")), Limits(source_seconds=0.3, source_calls=2, source_queue=0), monotonic
    )


def set_faults(resilient_bank: ResilientConnector, *faults: Fault) -> list[str]:
    resilient_bank.inner.faults = list(faults)  # type: ignore[attr-defined]
    return resilient_bank.inner.applied  # type: ignore[attr-defined, no-any-return]


async def test_a_failed_write_is_not_retried(resilient_bank: ResilientConnector) -> None:
    calls = set_faults(resilient_bank, bank.drop_call)
    with pytest.raises(ConnectorError):
        await resilience.apply_to_connector(resilient_bank, [CHANGE])
    assert calls == ["c"]


async def test_a_write_that_hangs_is_not_waited_for(resilient_bank: ResilientConnector) -> None:
    set_faults(resilient_bank, bank.hang_after)
    with pytest.raises(ConnectorError, match=r"`it` did not answer within 0.3 s"):
        await resilience.apply_to_connector(resilient_bank, [CHANGE])
    assert await resilience.find_change_in_connector(resilient_bank, CHANGE) is not None


async def fail_ping() -> None:
    raise ConnectorError("it is down")


async def test_behind_an_open_breaker_nothing_was_changed_for_certain(resilient_bank: ResilientConnector) -> None:
    calls = set_faults(resilient_bank, *[bank.drop_call] * BREAKER_FAILURES)
    resilient_bank.breaker.ping = fail_ping
    for _ in range(BREAKER_FAILURES):
        with pytest.raises(ConnectorError):
            await resilience.apply_to_connector(resilient_bank, [CHANGE])
    assert resilient_bank.breaker.probe is not None
    await resilient_bank.breaker.probe
    with pytest.raises(ChangeRejected, match="is unavailable after repeated failures") as caught:
        await resilience.apply_to_connector(resilient_bank, [CHANGE])
    assert (caught.value.code, len(calls)) == (ErrorCode.SOURCE_UNAVAILABLE, BREAKER_FAILURES)


async def test_a_rejection_is_no_failure_of_the_connector(resilient_bank: ResilientConnector) -> None:
    set_faults(resilient_bank, *[bank.refuse] * BREAKER_FAILURES)
    for _ in range(BREAKER_FAILURES):
        with pytest.raises(ChangeRejected, match="it does not want to"):
            await resilience.apply_to_connector(resilient_bank, [CHANGE])
    assert len(await resilience.apply_to_connector(resilient_bank, [CHANGE])) == 1


async def test_a_write_that_finds_no_place_in_the_queue_was_not_applied(resilient_bank: ResilientConnector) -> None:
    calls = set_faults(resilient_bank, bank.hang_after, bank.hang_after)
    both = [
        asyncio.create_task(resilience.apply_to_connector(resilient_bank, [replace(CHANGE, id=name)]))
        for name in ("a", "b")
    ]
    await asyncio.sleep(0.05)
    with pytest.raises(ChangeRejected) as caught:
        await resilience.apply_to_connector(resilient_bank, [CHANGE])
    assert (caught.value.code, len(calls)) == (ErrorCode.SOURCE_OVERLOADED, 2)
    await asyncio.gather(*both, return_exceptions=True)
    assert resilient_bank.slots.free == 2


async def test_a_connector_without_writes_has_no_write_capabilities() -> None:
    class Reads:
        pass

    sources: Sequence[Any] = (Reads(), Board())
    guards = [wrap_connector("it", source, Limits(), monotonic) for source in sources]
    assert [resilience.get_write_capabilities(guard, "post") is None for guard in guards] == [True, False]
