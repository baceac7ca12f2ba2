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
from onedoor.runtime.resilience import BREAKER_FAILURES, ResilientConnector, wrap_connector
from onedoor.spi.connector import ChangeKind, ChangeRejected, RowChange
from tests.mutations import bank
from tests.mutations.bank import Bank, Board, Fault, Faulty

CHANGE = RowChange(id="c", collection="account", kind=ChangeKind.CREATE, values={"name": "Ada"})


@pytest.fixture
def at(tmp_path: Path) -> ResilientConnector:
    return wrap_connector(
        "it", Faulty(Bank(tmp_path / "bank")), Limits(source_seconds=0.3, source_calls=2, source_queue=0), monotonic
    )


def set_faults(at: ResilientConnector, *faults: Fault) -> list[str]:
    at.inner.faults = list(faults)  # type: ignore[attr-defined]
    return at.inner.applied  # type: ignore[attr-defined, no-any-return]


async def test_a_failed_write_is_not_retried(at: ResilientConnector) -> None:
    calls = set_faults(at, bank.drop_call)
    with pytest.raises(ConnectorError):
        await resilience.apply_to_connector(at, [CHANGE])
    assert calls == ["c"]


async def test_a_write_that_hangs_is_not_waited_for(at: ResilientConnector) -> None:
    set_faults(at, bank.hang_after)
    with pytest.raises(ConnectorError, match=r"`it` did not answer within 0.3 s"):
        await resilience.apply_to_connector(at, [CHANGE])
    assert await resilience.find_change_in_connector(at, CHANGE) is not None


async def test_behind_an_open_breaker_nothing_was_changed_for_certain(at: ResilientConnector) -> None:
    calls = set_faults(at, *[bank.drop_call] * BREAKER_FAILURES)
    for _ in range(BREAKER_FAILURES):
        with pytest.raises(ConnectorError):
            await resilience.apply_to_connector(at, [CHANGE])
    with pytest.raises(ChangeRejected, match="is unavailable after repeated failures") as caught:
        await resilience.apply_to_connector(at, [CHANGE])
    assert (caught.value.code, len(calls)) == (ErrorCode.SOURCE_UNAVAILABLE, BREAKER_FAILURES)


async def test_a_rejection_is_no_failure_of_the_connector(at: ResilientConnector) -> None:
    set_faults(at, *[bank.refuse] * BREAKER_FAILURES)
    for _ in range(BREAKER_FAILURES):
        with pytest.raises(ChangeRejected, match="it does not want to"):
            await resilience.apply_to_connector(at, [CHANGE])
    assert len(await resilience.apply_to_connector(at, [CHANGE])) == 1


async def test_a_write_that_finds_no_place_in_the_queue_was_not_applied(at: ResilientConnector) -> None:
    calls = set_faults(at, bank.hang_after, bank.hang_after)
    both = [asyncio.create_task(resilience.apply_to_connector(at, [replace(CHANGE, id=each)])) for each in ("a", "b")]
    await asyncio.sleep(0.05)
    with pytest.raises(ChangeRejected) as caught:
        await resilience.apply_to_connector(at, [CHANGE])
    assert (caught.value.code, len(calls)) == (ErrorCode.SOURCE_OVERLOADED, 2)
    await asyncio.gather(*both, return_exceptions=True)
    assert not at.semaphore.locked()


async def test_a_connector_without_writes_has_no_write_capabilities() -> None:
    class Reads:
        pass

    sources: Sequence[Any] = (Reads(), Board())
    guards = [wrap_connector("it", each, Limits(), monotonic) for each in sources]
    assert [resilience.get_write_capabilities(each, "post") is None for each in guards] == [True, False]
