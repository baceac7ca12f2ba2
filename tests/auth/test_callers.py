"""From a key's text to the caller behind it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any, TypeVar

import pytest
from sqlalchemy import text

from auth import keyring, people
from auth.caller import Caller
from auth.callers import REMEMBERED, Callers, callers, look_up
from auth.keys import RANDOM_BYTES, digest, mint, parse, written
from auth.state import State, StateUnavailable

Result = TypeVar("Result")
ADA = "ada@acme.example"
STRANGER = written(mint(bytes(range(RANDOM_BYTES))))


@pytest.fixture(autouse=True)
def ada(state: State) -> None:
    people.create(state, first_name="Ada", last_name="Lovelace", email=ADA)
    people.join(state, ADA, "finance")


@pytest.fixture
def steps() -> Counter[str]:
    return Counter()


@pytest.fixture
def door(state: State, clock: Any, steps: Counter[str]) -> Iterator[Callers]:
    """The callers of the state, their steps counted."""

    def counted(name: str, step: Callable[[str], Result]) -> Callable[[str], Result]:
        def run(asked: str) -> Result:
            steps[name] += 1
            return step(asked)

        return run

    made = Callers(
        look_up=counted("look-up", partial(look_up, state)),
        digest=counted("HMAC", partial(digest, state.pepper)),
        now=state.now,
        monotonic=clock.monotonic,
    )
    yield made
    made.close()


def swapped(state: State) -> str:
    """A key with the id of one that opens and the secret of another."""
    held, other = parse(keyring.create(state, ADA).text), parse(STRANGER)
    assert held is not None
    assert other is not None
    return written(replace(held, secret=other.secret))


def revoked(state: State) -> str:
    made = keyring.create(state, ADA)
    keyring.revoke(state, made.id)
    return made.text


def deactivated(state: State) -> str:
    made = keyring.create(state, ADA)
    people.deactivate(state, ADA)
    return made.text


def expired(state: State) -> str:
    made = keyring.create(state, ADA)
    with state.writing() as connection:
        connection.execute(text("UPDATE key SET expires_at = created_at"))
    return made.text


REASONS: dict[str, Callable[[State], str | None]] = {
    "no key": lambda state: None,
    "malformed": lambda state: "od_nonsense",
    "checksum": lambda state: STRANGER[:-1] + ("0" if STRANGER[-1] != "0" else "1"),
    "unknown": lambda state: STRANGER,
    "wrong secret": swapped,
    "expired": expired,
    "revoked": revoked,
    "deactivated": deactivated,
}


@pytest.mark.parametrize("reason", REASONS)
async def test_every_refusal_is_the_same_and_costs_the_same_steps(
    state: State, door: Callers, steps: Counter[str], reason: str
) -> None:
    brought = REASONS[reason](state)
    refusals = [await door.caller(brought) for _ in range(3)]
    assert refusals == [None] * 3
    assert steps == {"HMAC": 3, "look-up": 3}


async def test_the_key_of_a_person_opens_with_the_groups_they_are_in(state: State, door: Callers) -> None:
    made, person = keyring.create(state, ADA), people.listed(state)[0]
    assert await door.caller(made.text) == Caller(
        person_id=person.id, first_name="Ada", last_name="Lovelace", email=ADA,
        groups=frozenset({"everyone", "finance"}), grants=(),
        key_id=made.id, key_created=state.now(), key_expires=made.expires_at,
    )  # fmt: skip


async def test_a_group_no_longer_registered_counts_for_nothing(state: State, door: Callers) -> None:
    with state.writing() as connection:
        connection.execute(text("UPDATE membership SET group_name = 'owners' WHERE group_name = 'finance'"))
    caller = await door.caller(keyring.create(state, ADA).text)
    assert caller is not None
    assert caller.groups == {"everyone"}


CHANGES: dict[str, Callable[[State, str], object]] = {
    "revoked": lambda state, key_id: keyring.revoke(state, key_id),
    "rotated": lambda state, key_id: keyring.rotate(state, ADA),
    "deactivated": lambda state, key_id: people.deactivate(state, ADA),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_shut_is_shut_within_a_second(state: State, door: Callers, clock: Any, change: str) -> None:
    made = keyring.create(state, ADA)
    assert await door.caller(made.text) is not None
    CHANGES[change](state, made.id)
    clock.seconds += 1.0
    assert await door.caller(made.text) is None


async def test_who_leaves_a_group_is_out_of_it_within_a_second(state: State, door: Callers, clock: Any) -> None:
    made = keyring.create(state, ADA)
    await door.caller(made.text)
    people.leave(state, ADA, "finance")
    clock.seconds += 1.0
    caller = await door.caller(made.text)
    assert caller is not None
    assert caller.groups == {"everyone"}


async def test_a_key_expires_on_time_though_its_look_up_is_fresh(state: State, door: Callers, clock: Any) -> None:
    made = keyring.create(state, ADA, days=1)
    clock.seconds = 86_399.5
    assert await door.caller(made.text) is not None
    clock.seconds = 86_400.0
    assert await door.caller(made.text) is None


async def test_a_key_is_looked_up_once_a_second_however_many_bring_it(
    state: State,
    door: Callers,
    clock: Any,
    steps: Counter[str],
) -> None:
    made = keyring.create(state, ADA)
    for second in range(3):
        clock.seconds = float(second)
        assert None not in await asyncio.gather(*(door.caller(made.text) for _ in range(200)))
        clock.seconds += 0.9
        await door.caller(made.text)
    assert steps == {"HMAC": 603, "look-up": 3}


async def test_a_wrong_secret_is_refused_though_the_right_one_is_remembered(state: State, door: Callers) -> None:
    made, stranger = keyring.create(state, ADA), parse(STRANGER)
    held = parse(made.text)
    assert held is not None
    assert stranger is not None
    assert await door.caller(made.text) is not None
    assert await door.caller(written(replace(held, secret=stranger.secret))) is None


async def test_what_is_remembered_is_bounded_and_forgets_strangers(clock: Any) -> None:
    door = Callers(look_up=lambda key_id: None, digest=lambda secret: secret.encode(), now=clock.now)
    await asyncio.gather(
        *(door.caller(written(mint(number.to_bytes(RANDOM_BYTES, "little")))) for number in range(REMEMBERED + 100))
    )
    door.close()
    assert len(door._asked) == 0


async def test_one_who_gives_up_waiting_does_not_take_the_others_along(state: State, clock: Any) -> None:
    made, gate = keyring.create(state, ADA), Event()

    def slow(key_id: str) -> object:
        gate.wait(5)
        return look_up(state, key_id)

    door = Callers(look_up=slow, digest=partial(digest, state.pepper), now=clock.now, monotonic=clock.monotonic)
    first, second = (asyncio.create_task(door.caller(made.text)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await second is not None
    assert first.cancelled()
    door.close()


async def test_nobody_is_let_in_nor_refused_while_the_state_is_silent(state: State) -> None:
    door = callers(state)
    made = keyring.create(state, ADA)
    with state.writing() as connection:
        connection.execute(text("ALTER TABLE key RENAME TO gone"))
    with pytest.raises(StateUnavailable, match=r"^the state does not answer$"):
        await door.caller(made.text)
    with state.writing() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO key"))
    assert await door.caller(made.text) is not None
    door.close()
