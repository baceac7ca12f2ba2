"""The guard around what changes: time, breaker and queue bound it as they bound reads, and nothing is ever retried."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from engine.change import guarded
from engine.change.words import Change, Unmade, Verb
from engine.errors import Code, SourceFailed
from engine.guard import FAILURES, Guard, guard
from engine.house import Limits
from tests.changing import bank
from tests.changing.bank import Bank, Board, Fault, Faulty

CHANGE = Change(id="c", collection="account", verb=Verb.CREATE, values={"name": "Ada"})


@pytest.fixture
def at(tmp_path: Path) -> Guard:
    return guard(
        "it", Faulty(Bank(tmp_path / "bank")), Limits(source_seconds=0.3, source_calls=2, source_queue=0), monotonic
    )


def told(at: Guard, *faults: Fault) -> list[str]:
    at.source.faults = list(faults)  # type: ignore[attr-defined]
    return at.source.told  # type: ignore[attr-defined, no-any-return]


async def test_a_write_that_fails_is_not_told_again(at: Guard) -> None:
    calls = told(at, bank.dropped)
    with pytest.raises(SourceFailed):
        await guarded.write(at, [CHANGE])
    assert calls == ["c"]


async def test_a_write_that_hangs_is_not_waited_for(at: Guard) -> None:
    told(at, bank.hanging)
    with pytest.raises(SourceFailed, match=r"`it` did not answer within 0.3 s"):
        await guarded.write(at, [CHANGE])
    assert await guarded.made(at, CHANGE) is not None


async def test_behind_an_open_breaker_it_is_certain_that_nothing_was_made(at: Guard) -> None:
    calls = told(at, *[bank.dropped] * FAILURES)
    for _ in range(FAILURES):
        with pytest.raises(SourceFailed):
            await guarded.write(at, [CHANGE])
    with pytest.raises(Unmade, match="has not answered of late") as caught:
        await guarded.write(at, [CHANGE])
    assert (caught.value.code, len(calls)) == (Code.SOURCE_UNAVAILABLE, FAILURES)


async def test_a_source_that_refuses_is_alive(at: Guard) -> None:
    told(at, *[bank.refused] * FAILURES)
    for _ in range(FAILURES):
        with pytest.raises(Unmade, match="it does not want to"):
            await guarded.write(at, [CHANGE])
    assert len(await guarded.write(at, [CHANGE])) == 1


async def test_what_finds_no_place_in_the_queue_was_not_made(at: Guard) -> None:
    calls = told(at, bank.hanging, bank.hanging)
    both = [asyncio.create_task(guarded.write(at, [replace(CHANGE, id=each)])) for each in ("a", "b")]
    await asyncio.sleep(0.05)
    with pytest.raises(Unmade) as caught:
        await guarded.write(at, [CHANGE])
    assert (caught.value.code, len(calls)) == (Code.SOURCE_OVERLOADED, 2)
    await asyncio.gather(*both, return_exceptions=True)
    assert not at.slots.locked()


async def test_a_source_that_is_none_to_be_changed_says_so() -> None:
    class Reads:
        pass

    sources: Sequence[Any] = (Reads(), Board())
    guards = [guard("it", each, Limits(), monotonic) for each in sources]
    assert [guarded.writes(each, "post") is None for each in guards] == [True, False]
